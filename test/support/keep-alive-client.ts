/** One client connection that asks again and again, and knows whether it is still the same one. */
import { connect, type Socket } from "node:net";

export interface KeepAliveAnswer {
  readonly status: number;
  readonly head: string;
  readonly body: string;
}

export class KeepAliveClient {
  closed = false;
  readonly #socket: Socket;
  #text = "";
  #wake: () => void = () => {};

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.on("data", (bytes) => {
      this.#text += bytes.toString("latin1");
      this.#wake();
    });
    const close = (): void => {
      this.closed = true;
      this.#wake();
    };
    socket.on("end", close).on("close", close).on("error", close);
  }

  /** Rejects when nobody accepts. */
  static open(port: number): Promise<KeepAliveClient> {
    return new Promise((resolve, reject) => {
      const socket = connect({ port, host: "127.0.0.1", noDelay: true });
      socket.once("error", reject);
      socket.once("connect", () => {
        socket.off("error", reject);
        resolve(new KeepAliveClient(socket));
      });
    });
  }

  /** A GET and its answer, which must have a Content-Length. Rejects when the connection is closed before that. */
  async get(path: string): Promise<KeepAliveAnswer> {
    this.#socket.write(`GET ${path} HTTP/1.1\r\nHost: test.example\r\n\r\n`);
    for (;;) {
      const answer = this.#takeAnswer();
      if (answer !== undefined) return answer;
      if (this.closed) throw new Error(`closed before its answer: ${JSON.stringify(this.#text)}`);
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  close(): void {
    this.#socket.destroy();
  }

  #takeAnswer(): KeepAliveAnswer | undefined {
    const end = this.#text.indexOf("\r\n\r\n");
    if (end < 0) return undefined;
    const head = this.#text.slice(0, end);
    const length = Number(/^content-length: (\d+)/im.exec(head)?.[1] ?? 0);
    if (this.#text.length < end + 4 + length) return undefined;
    const body = this.#text.slice(end + 4, end + 4 + length);
    this.#text = this.#text.slice(end + 4 + length);
    return { status: Number(/^HTTP\/1\.1 (\d{3})/.exec(head)?.[1] ?? 0), head, body };
  }
}
