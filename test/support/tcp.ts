/** Plain TCP peers for tests: each a few lines over node:net, independent of our own transport. */
import { type AddressInfo, connect, createServer, type Socket } from "node:net";

export interface TcpEndpoint {
  readonly port: number;
  readonly address: string;
  /** Connections accepted so far. */
  readonly sockets: Socket[];
  stop(): Promise<void>;
}

/** On a free port, unless one is named. */
export async function tcpEndpoint(serve: (socket: Socket) => void, wanted = 0): Promise<TcpEndpoint> {
  const sockets: Socket[] = [];
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    sockets.push(socket);
    socket.on("error", () => {});
    serve(socket);
  });
  await new Promise<void>((resolve) => void server.listen(wanted, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  return {
    port,
    address: `127.0.0.1:${port}`,
    sockets,
    stop: () =>
      new Promise((resolve) => {
        for (const socket of sockets) socket.destroy();
        server.close(() => resolve());
      }),
  };
}

export interface TcpClient {
  readonly socket: Socket;
  /** Everything received so far. */
  text(): string;
  received(): number;
  /** Resolves once this holds; rejects after five seconds. */
  until(condition: () => boolean): Promise<void>;
  /** "end" (FIN), "reset", or "" while it is open. */
  ended(): string;
  closed: Promise<void>;
}

export async function tcpClient(port: number): Promise<TcpClient> {
  const socket = connect({ port, host: "127.0.0.1", allowHalfOpen: true });
  const pieces: Buffer[] = [];
  let ended = "";
  let length = 0;
  const checks = new Set<() => void>();
  const look = (): void => {
    for (const check of checks) check();
  };
  socket.on("data", (bytes: Buffer) => {
    pieces.push(bytes);
    length += bytes.length;
    look();
  });
  socket.on("end", () => {
    if (ended === "") ended = "end";
    look();
  });
  socket.on("error", () => {
    ended = "reset";
    look();
  });
  const closed = new Promise<void>((resolve) => void socket.on("close", () => resolve()));
  await new Promise<void>((resolve, reject) => {
    socket.once("connect", resolve);
    socket.once("error", reject);
  });
  return {
    socket,
    text: () => Buffer.concat(pieces).toString("latin1"),
    received: () => length,
    ended: () => ended,
    closed,
    until: (condition) =>
      new Promise((resolve, reject) => {
        const timer = setTimeout(() => {
          checks.delete(check);
          reject(new Error(`waited in vain; received ${length} bytes, ended: ${ended || "no"}`));
        }, 5_000);
        const check = (): void => {
          if (!condition()) return;
          clearTimeout(timer);
          checks.delete(check);
          resolve();
        };
        checks.add(check);
        check();
      }),
  };
}

/** Looks again every few milliseconds until it holds; for what no event tells of. */
export async function eventually(condition: () => boolean, what: string): Promise<void> {
  for (let look = 0; look < 1_000; look++) {
    if (condition()) return;
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  throw new Error(`never happened: ${what}`);
}
