/** Asks over HTTP/1.1: one request after another on a connection of its own. */
import { HttpConnection, type Security } from "../support/http-connection.ts";
import { type Answer, type Asker, bodyToSend, type Question } from "./question.ts";
import { HUNG_MS } from "./scene.ts";

export class Http1Asker implements Asker {
  readonly #port: number;
  readonly #security: Security;
  #connection: HttpConnection | undefined;

  constructor(port: number, security: Security) {
    this.#port = port;
    this.#security = security;
  }

  async connect(): Promise<void> {
    if (this.#connection?.isOpen !== true) this.#connection = await HttpConnection.open(this.#port, this.#security);
  }

  async ask(target: string, question: Question): Promise<Answer> {
    const connection = this.#connection as HttpConnection;
    const { leavesAfterMs } = question;
    const leaving = leavesAfterMs === undefined ? undefined : setTimeout(() => connection.leave(), leavesAfterMs);
    try {
      const { status, head, body } = await connection.ask(requestOf(target, question), HUNG_MS);
      return {
        status,
        field: (name) => new RegExp(`^${name}: *(.*)$`, "im").exec(head)?.[1],
        isBody: (expected) => body.equals(expected),
        length: body.length,
        text: body.toString("latin1", 0, 200),
      };
    } finally {
      clearTimeout(leaving);
    }
  }

  close(): void {
    this.#connection?.leave();
  }
}

function requestOf(target: string, question: Question): Buffer {
  const { method, user, isLast, isChunked } = question;
  const body = bodyToSend(question);
  const framing = isChunked
    ? "Transfer-Encoding: chunked\r\n"
    : body.length > 0
      ? `Content-Length: ${body.length}\r\n`
      : "";
  const headers = `${user === undefined ? "" : `X-User: ${user}\r\n`}${isLast ? "Connection: close\r\n" : ""}${framing}`;
  const head = Buffer.from(`${method} ${target} HTTP/1.1\r\nHost: chaos.example\r\n${headers}\r\n`);
  if (!isChunked) return Buffer.concat([head, body]);
  const half = body.length >> 1;
  const chunks = [body.subarray(0, half), body.subarray(half)].filter((piece) => piece.length > 0);
  const framed = chunks.flatMap((piece) => [
    Buffer.from(`${piece.length.toString(16)}\r\n`),
    piece,
    Buffer.from("\r\n"),
  ]);
  return Buffer.concat([head, ...framed, Buffer.from("0\r\n\r\n")]);
}
