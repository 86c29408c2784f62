/** The clients of a chaos run: each asks one thing after another, looks closely at every answer and keeps what became of it. */
import { type Random, seededRandom } from "../../src/base/random.ts";
import { type Breach, Broken, HttpConnection, type WholeAnswer } from "../support/http-connection.ts";
import { bodyOf, checksum, targetOf } from "./echo.ts";
import { LONGEST_ANSWER_MS, POOLS } from "./scene.ts";

const CLIENTS = 16;
export const USERS = 12;
const PAUSE_MS = 60;
/** An answer that takes longer than evenkeel allows itself, by more than a busy machine explains. */
const HUNG_MS = LONGEST_ANSWER_MS + 12_000;
const RECONNECT_PAUSE_MS = 20;

export interface Asked {
  readonly number: number;
  readonly method: string;
  readonly target: string;
  /** Milliseconds since the load began. */
  readonly fromMs: number;
  untilMs: number;
  /** Of the answer; 0 when there was no whole one. */
  status: number;
  /** Why there was none. */
  breach: Breach | undefined;
  /** The endpoint answered, not evenkeel. */
  fromEndpoint: boolean;
}

interface Question {
  readonly method: string;
  readonly target: string;
  readonly size: number;
  readonly headers: string;
  readonly body: Buffer;
  readonly isChunked: boolean;
  /** Leaves after this many milliseconds without waiting for the answer. */
  readonly leavesAfterMs: number | undefined;
}

export class Clients {
  readonly asked: Asked[] = [];
  /** What must never be: answers that are not those to what was asked. */
  readonly wrongAnswers: string[] = [];
  readonly #port: number;
  readonly #beganMs = performance.now();
  readonly #random: Random;
  #isOver = false;
  #running: Promise<unknown> = Promise.resolve();

  constructor(port: number, seed: number) {
    this.#port = port;
    this.#random = seededRandom(seed);
  }

  get nowMs(): number {
    return performance.now() - this.#beganMs;
  }

  start(): void {
    this.#isOver = false;
    this.#running = Promise.all(Array.from({ length: CLIENTS }, () => this.#run()));
  }

  /** All come to an end with what they have begun. */
  async stop(): Promise<void> {
    this.#isOver = true;
    await this.#running;
  }

  /** One request on a connection of its own; the answer, if it is whole. */
  async askOnce(target: string, headers = ""): Promise<WholeAnswer | undefined> {
    const question = { method: "GET", target, size: 100, headers, body: Buffer.alloc(0), isChunked: false };
    const connection = await HttpConnection.open(this.#port).catch(() => undefined);
    if (connection === undefined) return undefined;
    const answer = await this.#ask(connection, { ...question, leavesAfterMs: undefined });
    connection.leave();
    return answer;
  }

  async #run(): Promise<void> {
    let connection: HttpConnection | undefined;
    while (!this.#isOver) {
      connection = connection?.isOpen === true ? connection : await this.#connect();
      if (connection === undefined) continue;
      await this.#ask(connection, this.#draw());
      await Bun.sleep(this.#random.below(PAUSE_MS));
    }
    connection?.leave();
  }

  /** Nobody may be there for a moment, when workers are killed: clients try again. */
  async #connect(): Promise<HttpConnection | undefined> {
    try {
      return await HttpConnection.open(this.#port);
    } catch (error) {
      if (error instanceof Broken && error.breach === "late") this.wrongAnswers.push("a connection was not accepted");
      await Bun.sleep(RECONNECT_PAUSE_MS);
      return undefined;
    }
  }

  #draw(): Question {
    const random = this.#random;
    const method = (["GET", "GET", "GET", "POST", "PUT"] as const)[random.below(5)] as string;
    const pool = POOLS[random.below(POOLS.length)] as string;
    const size = random.below(8) === 0 ? 20_000 + random.below(300_000) : random.below(3_000);
    const bodySize =
      method === "GET" ? 0 : random.below(6) === 0 ? 100_000 + random.below(200_000) : random.below(9_000);
    const user = pool === "users" ? `X-User: user-${random.below(USERS)}\r\n` : "";
    const close = random.below(12) === 0 ? "Connection: close\r\n" : "";
    return {
      method,
      target: `/${pool}`,
      size,
      headers: user + close,
      body: bodyOf(random.below(1_000_000), bodySize),
      isChunked: method !== "GET" && random.below(3) === 0,
      leavesAfterMs: random.below(25) === 0 ? random.below(60) : undefined,
    };
  }

  async #ask(connection: HttpConnection, question: Question): Promise<WholeAnswer | undefined> {
    const number = this.asked.length;
    const { method } = question;
    const target = targetOf(question.target, number, question.size);
    const fromMs = this.nowMs;
    const asked: Asked = {
      number,
      method,
      target,
      fromMs,
      untilMs: -1,
      status: 0,
      breach: undefined,
      fromEndpoint: false,
    };
    this.asked.push(asked);
    const leaving =
      question.leavesAfterMs === undefined ? undefined : setTimeout(() => connection.leave(), question.leavesAfterMs);
    try {
      const answer = await connection.ask(requestOf(target, question), HUNG_MS);
      asked.status = answer.status;
      this.#examine(asked, question, answer);
      return answer;
    } catch (error) {
      if (!(error instanceof Broken)) throw error;
      asked.breach = error.breach;
      if (error.breach === "invalid") this.wrongAnswers.push(`request ${number}: an answer that is not valid HTTP`);
      if (error.breach === "late") this.wrongAnswers.push(`request ${number}: no answer in ${HUNG_MS} ms`);
      return undefined;
    } finally {
      clearTimeout(leaving);
      asked.untilMs = this.nowMs;
    }
  }

  /** Whether the answer belongs to the request, to the last byte, and the request had reached the endpoint as it was. */
  #examine(asked: Asked, { size, body }: Question, answer: WholeAnswer): void {
    const { number } = asked;
    const field = (name: string): string | undefined => new RegExp(`^${name}: *(.*)$`, "im").exec(answer.head)?.[1];
    const echoed = field("x-number");
    asked.fromEndpoint = echoed !== undefined;
    const wrong = (what: string): void => void this.wrongAnswers.push(`request ${number}: ${what}`);
    if (echoed !== undefined && echoed !== String(number)) wrong(`the answer to request ${echoed}`);
    if (answer.status !== 200) {
      if (answer.status < 500) wrong(`status ${answer.status}: ${answer.body.subarray(0, 200).toString("latin1")}`);
      return;
    }
    if (echoed === undefined) wrong("status 200, but not of an endpoint");
    if (field("x-checksum") !== checksum(body)) wrong("its body was changed on the way to the endpoint");
    if (!answer.body.equals(bodyOf(number, size)))
      wrong(`${answer.body.length} bytes that are not the ${size} expected`);
  }
}

function requestOf(target: string, { method, headers, body, isChunked }: Question): Buffer {
  const framing = isChunked
    ? "Transfer-Encoding: chunked\r\n"
    : body.length > 0
      ? `Content-Length: ${body.length}\r\n`
      : "";
  const head = Buffer.from(`${method} ${target} HTTP/1.1\r\nHost: chaos.example\r\n${headers}${framing}\r\n`);
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
