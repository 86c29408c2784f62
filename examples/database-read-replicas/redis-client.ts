/** As much of a Redis client as this example needs: one connection, one command at a time. */
import { connect, type Socket } from "node:net";

export class RedisClient {
  readonly #socket: Socket;
  #waiting: { resolve(answer: string): void; reject(error: Error): void } | undefined;
  #received = "";

  /** Rejects when nobody listens at `port`. */
  static async connect(port: number): Promise<RedisClient> {
    const socket = connect(port, "127.0.0.1");
    await new Promise<void>((resolve, reject) => {
      socket.once("connect", resolve);
      socket.once("error", reject);
    });
    return new RedisClient(socket);
  }

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.on("data", (bytes) => this.#take(bytes.toString()));
    socket.on("close", () => this.#waiting?.reject(new Error("the connection is gone")));
    socket.on("error", () => {});
  }

  get isOpen(): boolean {
    return !this.#socket.destroyed && this.#socket.readable;
  }

  /** The answer as text; `""` for nothing. Rejects when Redis says that it is an error, or when the connection ends. */
  ask(...command: readonly string[]): Promise<string> {
    const parts = command.map((part) => `$${Buffer.byteLength(part)}\r\n${part}\r\n`);
    return new Promise((resolve, reject) => {
      if (!this.isOpen) return reject(new Error("the connection is gone"));
      this.#waiting = { resolve, reject };
      this.#socket.write(`*${parts.length}\r\n${parts.join("")}`);
    });
  }

  close(): void {
    this.#socket.destroy();
  }

  /** Simple texts, errors, numbers and texts with a length (Redis serialization protocol 2). */
  #take(text: string): void {
    this.#received += text;
    const line = /^([+\-:$])(.*?)\r\n/.exec(this.#received);
    if (line === null) return;
    const [whole, kind, value = ""] = line;
    let end = whole.length;
    let answer = value;
    if (kind === "$" && value === "-1") answer = "";
    else if (kind === "$") {
      end += Number(value) + 2;
      if (this.#received.length < end) return;
      answer = this.#received.slice(whole.length, end - 2);
    }
    this.#received = this.#received.slice(end);
    const waiting = this.#waiting;
    this.#waiting = undefined;
    if (kind === "-") waiting?.reject(new Error(answer));
    else waiting?.resolve(answer);
  }
}
