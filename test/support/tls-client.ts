/** A client over TLS that sends what it is told and collects what comes back, on node:tls. */
import { type ConnectionOptions, connect } from "node:tls";

export interface TlsClient {
  /** Empty when the handshake was good, else why it was not. */
  readonly failure: string;
  write(text: string | Buffer): void;
  /** Says that nothing follows; goes on reading. */
  end(): void;
  destroy(): void;
  text(): string;
  received(): number;
  /** Resolves when this holds, or when nothing will follow. */
  until(condition: () => boolean): Promise<void>;
  readonly closed: Promise<void>;
  certificateNames(): string;
  readonly protocol: string;
}

export function tlsClient(port: number, options: ConnectionOptions = {}): Promise<TlsClient> {
  const pieces: Buffer[] = [];
  let isClosed = false;
  let look = (): void => {};
  return new Promise((resolve) => {
    const common = { port, host: "127.0.0.1", servername: "main.test", rejectUnauthorized: false, allowHalfOpen: true };
    const socket = connect({ ...common, ...options } as ConnectionOptions);
    const closed = new Promise<void>((done) => void socket.on("close", () => done()));
    const ready = (failure: string): void =>
      resolve({
        failure,
        write: (text) => void socket.write(text),
        end: () => void socket.end(),
        destroy: () => void socket.destroy(),
        text: () => Buffer.concat(pieces).toString("latin1"),
        received: () => pieces.reduce((sum, piece) => sum + piece.length, 0),
        until: (condition) =>
          new Promise((done) => {
            look = () => {
              if (condition() || isClosed) done();
            };
            look();
          }),
        closed,
        certificateNames: () => socket.getPeerCertificate().subjectaltname ?? "",
        protocol: socket.alpnProtocol === false || socket.alpnProtocol === null ? "" : socket.alpnProtocol,
      });
    socket.on("data", (bytes: Buffer) => {
      pieces.push(bytes);
      look();
    });
    socket.on("end", () => {
      isClosed = true;
      look();
    });
    socket.on("secureConnect", () => ready(""));
    socket.on("error", (error: Error) => ready(error.message));
    socket.on("close", () => {
      isClosed = true;
      ready("closed");
      look();
    });
  });
}

/** One request on a connection of its own: the whole answer, or why there was none. */
export async function ask(port: number, options: ConnectionOptions = {}, head = ""): Promise<string> {
  const client = await tlsClient(port, options);
  if (client.failure !== "") return client.failure;
  client.write(`GET / HTTP/1.1\r\nHost: main.test\r\n${head}Connection: close\r\n\r\n`);
  await client.until(() => false);
  client.destroy();
  return client.text() || "closed without an answer";
}

export function bodyOf(answer: string): string {
  const end = answer.indexOf("\r\n\r\n");
  return end < 0 ? answer : answer.slice(end + 4);
}
