/** An endpoint that records what it gets byte by byte and answers with whatever the test wants, valid or not. */
import type { Socket } from "bun";

export interface RawEndpoint {
  readonly address: string;
  /** All bytes received, by connection. */
  readonly received: string[];
  stop(): void;
}

export interface EndpointSocket {
  /** The same for every call of one connection. */
  readonly identity: object;
  write(text: string): void;
  end(): void;
  reset(): void;
}

/** `onData` is told all that a connection has brought so far and the newest piece. */
export function startRawEndpoint(onData: (socket: EndpointSocket, all: string, piece: string) => void): RawEndpoint {
  const received: string[] = [];
  const server = Bun.listen<{ index: number }>({
    hostname: "127.0.0.1",
    port: 0,
    socket: {
      open(socket) {
        socket.data = { index: received.push("") - 1 };
      },
      data(socket, bytes) {
        const piece = bytes.toString("latin1");
        received[socket.data.index] += piece;
        onData(wrap(socket), received[socket.data.index] as string, piece);
      },
      error() {},
    },
  });
  return { address: `127.0.0.1:${server.port}`, received, stop: () => server.stop(true) };
}

function wrap(socket: Socket<{ index: number }>): EndpointSocket {
  return {
    identity: socket.data,
    write: (text) => void socket.write(Buffer.from(text, "latin1")),
    end: () => void socket.end(),
    reset: () => socket.terminate(),
  };
}

export function response(body: string, headers = ""): string {
  return `HTTP/1.1 200 OK\r\n${headers}Content-Length: ${body.length}\r\n\r\n${body}`;
}

/** Answers every request, once it is there as a whole, with its own bytes as the body. */
export function startEchoEndpoint(): RawEndpoint {
  const answered = new WeakMap<object, number>();
  return startRawEndpoint((socket, all) => {
    for (;;) {
      const start = answered.get(socket.identity) ?? 0;
      const request = wholeRequest(all.slice(start));
      if (request === undefined) return;
      answered.set(socket.identity, start + request.length);
      socket.write(response(request));
    }
  });
}

function wholeRequest(text: string): string | undefined {
  const end = text.indexOf("\r\n\r\n");
  if (end < 0) return undefined;
  const head = text.slice(0, end + 4);
  const length = /^content-length: (\d+)/im.exec(head);
  if (length !== null)
    return text.length >= head.length + Number(length[1]) ? text.slice(0, head.length + Number(length[1])) : undefined;
  if (/^transfer-encoding: chunked/im.test(head)) {
    const last = /\r\n0+(?:;[^\r\n]*)?\r\n(?:[^\r\n]+\r\n)*\r\n/.exec(text.slice(end + 2));
    return last === null ? undefined : text.slice(0, end + 2 + last.index + last[0].length);
  }
  return head;
}
