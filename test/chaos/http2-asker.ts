/** Asks over HTTP/2 in TLS: several askers share a connection. */
import { Broken } from "../support/http-connection.ts";
import { answerIn, type NodeClient } from "./node-client.ts";
import type { Answer, Asker, Question } from "./question.ts";

export const ASKERS_PER_CONNECTION = 5;

export class Http2Asker implements Asker {
  readonly #client: NodeClient;
  readonly #origin: string;
  /** Of the connection, which it shares with others of the same number. */
  readonly #number: number;

  constructor(client: NodeClient, port: number, number: number) {
    this.#client = client;
    this.#origin = `https://127.0.0.1:${port}`;
    this.#number = number;
  }

  async connect(): Promise<void> {
    const reply = await this.#client.do("open", { number: this.#number, origin: this.#origin });
    if (reply?.isOpen !== true) throw new Broken(reply === undefined ? "late" : "refused");
  }

  async ask(target: string, question: Question): Promise<Answer> {
    const { method, user, body, isChunked, isLast, leavesAfterMs } = question;
    const headers = {
      ":method": method,
      ":path": target,
      ":authority": "chaos.example",
      ...(user === undefined ? {} : { "x-user": user }),
      ...(isChunked || body.size === 0 ? {} : { "content-length": String(body.size) }),
    };
    const asked = { number: this.#number, headers, fill: `<${body.number}>`, size: body.size, leavesAfterMs };
    let reply = await this.#client.do("ask", asked);
    while (reply?.breach === "unsent") {
      await this.connect();
      reply = await this.#client.do("ask", asked);
    }
    // Others use it, too: not each of them ends it.
    if (isLast && body.number % ASKERS_PER_CONNECTION === 0) this.close();
    return answerIn(reply);
  }

  close(): void {
    void this.#client.do("close", { number: this.#number });
  }
}
