/** An endpoint that keeps what each connection brings, until it is what the test waits for. */

export interface Capture {
  readonly port: number;
  /** The bytes of the oldest connection not given out yet, once `isEnough` said so of them. Rejects after 10 seconds. */
  next(): Promise<Buffer>;
  stop(): void;
}

/** Connections are closed as soon as they brought enough. */
export function startCapture(isEnough: (bytes: Buffer) => boolean): Capture {
  const ready: Buffer[] = [];
  const waiting: ((bytes: Buffer) => void)[] = [];
  const server = Bun.listen<{ bytes: Buffer; done: boolean }>({
    hostname: "127.0.0.1",
    port: 0,
    socket: {
      open(socket) {
        socket.data = { bytes: Buffer.alloc(0), done: false };
      },
      data(socket, piece) {
        const { data } = socket;
        data.bytes = Buffer.concat([data.bytes, piece]);
        if (data.done || !isEnough(data.bytes)) return;
        data.done = true;
        const waiter = waiting.shift();
        if (waiter === undefined) ready.push(data.bytes);
        else waiter(data.bytes);
        socket.end();
      },
      error() {},
    },
  });
  const next = (): Promise<Buffer> => {
    const bytes = ready.shift();
    if (bytes !== undefined) return Promise.resolve(bytes);
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error("nothing was captured in time")), 10_000);
      waiting.push((captured) => {
        clearTimeout(timer);
        resolve(captured);
      });
    });
  };
  return { port: server.port, next, stop: () => server.stop(true) };
}
