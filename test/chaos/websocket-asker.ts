/** Asks for a WebSocket, over HTTP/1.1 in clear text or TLS, and talks on it for a while. */
import type { Security } from "../support/http-connection.ts";
import { answerIn, type NodeClient } from "./node-client.ts";
import type { Answer, Asker, Question } from "./question.ts";

const MOST_MESSAGES = 8;
const LARGEST_MESSAGE = 80_000;
const LONGEST_PAUSE_MS = 300;

export class WebSocketAsker implements Asker {
  readonly #client: NodeClient;
  readonly #origin: string;

  constructor(client: NodeClient, port: number, security: Security) {
    this.#client = client;
    this.#origin = `${security === "tls" ? "wss" : "ws"}://127.0.0.1:${port}`;
  }

  /** Each has a connection of its own, made when it is asked for. */
  async connect(): Promise<void> {}

  async ask(target: string, { user, size, body: { number }, leavesAfterMs }: Question): Promise<Answer> {
    const messages = Array.from({ length: 1 + (number % MOST_MESSAGES) }, (_, index) => ({
      fill: `<${number}.${index}>`,
      size: (size * (index + 1)) % LARGEST_MESSAGE,
    }));
    const headers = user === undefined ? {} : { "X-User": user };
    const asked = { url: this.#origin + target, headers, messages, pauseMs: number % LONGEST_PAUSE_MS, leavesAfterMs };
    return answerIn(await this.#client.do("talk", asked));
  }

  close(): void {}
}
