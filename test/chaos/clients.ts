/** The clients of a chaos run: each asks one thing after another, looks closely at every answer and keeps what became of it. */
import { type Random, seededRandom } from "../../src/base/random.ts";
import { type Breach, Broken } from "../support/http-connection.ts";
import { node } from "../support/node-peer.ts";
import { bodyOf, checksum, targetOf } from "./echo.ts";
import { Http1Asker } from "./http1-asker.ts";
import { ASKERS_PER_CONNECTION, Http2Asker } from "./http2-asker.ts";
import { NodeClient } from "./node-client.ts";
import { type Answer, type Asker, bodyToSend, drawForWebSocket, drawQuestion, type Question } from "./question.ts";
import { HUNG_MS, type Ports } from "./scene.ts";
import { WebSocketAsker } from "./websocket-asker.ts";

const PLAIN_CLIENTS = 8;
const TLS_CLIENTS = 6;
const HTTP2_CONNECTIONS = 2;
/** Half of them in TLS. */
const WEBSOCKETS = 4;
const PAUSE_MS = 60;
const RECONNECT_PAUSE_MS = 20;

/** What is spoken: HTTP/1.1 as it is, HTTP/1.1 in TLS, HTTP/2 in TLS, WebSocket. */
export type Speech = "plain" | "tls" | "http2" | "websocket";

export interface Asked {
  readonly number: number;
  readonly speech: Speech;
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

/** A connection that came to nothing before anything was asked. */
export interface NotConnected {
  readonly speech: Speech;
  readonly fromMs: number;
  readonly untilMs: number;
}

export class Clients {
  readonly asked: Asked[] = [];
  readonly notConnected: NotConnected[] = [];
  /** What must never be: answers that are not those to what was asked. */
  readonly wrongAnswers: string[] = [];
  readonly #ports: Ports;
  readonly #beganMs = performance.now();
  readonly #random: Random;
  readonly #nodeClient: NodeClient | undefined;
  #isOver = false;
  #running: Promise<unknown> = Promise.resolve();

  constructor(ports: Ports, seed: number) {
    this.#ports = ports;
    this.#random = seededRandom(seed);
    this.#nodeClient = node === null ? undefined : new NodeClient();
  }

  get nowMs(): number {
    return performance.now() - this.#beganMs;
  }

  start(): void {
    this.#isOver = false;
    const { plain, tls } = this.#ports;
    this.#running = Promise.all([
      ...times(PLAIN_CLIENTS, () => this.#run("plain", new Http1Asker(plain, "plain"))),
      ...times(TLS_CLIENTS, () => this.#run("tls", new Http1Asker(tls, "tls"))),
      ...(this.#nodeClient === undefined ? [] : this.#startWith(this.#nodeClient)),
    ]);
  }

  #startWith(client: NodeClient): Promise<void>[] {
    const { plain, tls } = this.#ports;
    const webSocket = (index: number): Asker =>
      index % 2 === 0 ? new WebSocketAsker(client, plain, "plain") : new WebSocketAsker(client, tls, "tls");
    return [
      ...times(HTTP2_CONNECTIONS * ASKERS_PER_CONNECTION, (index) =>
        this.#run("http2", new Http2Asker(client, tls, index % HTTP2_CONNECTIONS)),
      ),
      ...times(WEBSOCKETS, (index) => this.#run("websocket", webSocket(index))),
    ];
  }

  #draw(speech: Speech): Question {
    return speech === "websocket" ? drawForWebSocket(this.#random) : drawQuestion(this.#random);
  }

  /** All come to an end with what they have begun. */
  async stop(): Promise<void> {
    this.#isOver = true;
    await this.#running;
  }

  async end(): Promise<void> {
    await this.stop();
    await this.#nodeClient?.end();
  }

  /** One request of a user on a connection of its own; the answer, if it is whole. */
  async askOnce(path: string, user: string, speech: "plain" | "tls"): Promise<Answer | undefined> {
    const asker = new Http1Asker(this.#ports[speech], speech);
    if (!(await this.#connect(speech, asker))) return undefined;
    const body = { number: 0, size: 0 };
    const shape = { method: "GET", size: 100, body, isLast: true, isChunked: false, leavesAfterMs: undefined };
    const answer = await this.#ask(speech, asker, { ...shape, path, user });
    asker.close();
    return answer;
  }

  async #run(speech: Speech, asker: Asker): Promise<void> {
    while (!this.#isOver) {
      if (await this.#connect(speech, asker)) {
        await this.#ask(speech, asker, this.#draw(speech));
        await Bun.sleep(this.#random.below(PAUSE_MS));
      } else await Bun.sleep(RECONNECT_PAUSE_MS);
    }
    asker.close();
  }

  /** Who accepts may be killed right then: clients try again. */
  async #connect(speech: Speech, asker: Asker): Promise<boolean> {
    const fromMs = this.nowMs;
    try {
      await asker.connect();
      return true;
    } catch (error) {
      if (!(error instanceof Broken)) throw error;
      if (error.breach === "late") this.wrongAnswers.push(`a connection (${speech}) was not accepted`);
      this.notConnected.push({ speech, fromMs, untilMs: this.nowMs });
      return false;
    }
  }

  async #ask(speech: Speech, asker: Asker, question: Question): Promise<Answer | undefined> {
    const number = this.asked.length;
    const { method } = question;
    const target = targetOf(question.path, number, question.size);
    const fromMs = this.nowMs;
    const asked: Asked = {
      number,
      speech,
      method,
      target,
      fromMs,
      untilMs: -1,
      status: 0,
      breach: undefined,
      fromEndpoint: false,
    };
    this.asked.push(asked);
    try {
      const answer = await asker.ask(target, question);
      asked.status = answer.status;
      this.#examine(asked, question, answer);
      return answer;
    } catch (error) {
      if (!(error instanceof Broken)) throw error;
      asked.breach = error.breach;
      if (error.breach === "invalid") this.wrongAnswers.push(`request ${number}: an answer that is not valid`);
      if (error.breach === "late") this.wrongAnswers.push(`request ${number}: no answer in ${HUNG_MS} ms`);
      return undefined;
    } finally {
      asked.untilMs = this.nowMs;
    }
  }

  /** Whether the answer belongs to the request, to the last byte, and the request had reached the endpoint as it was. */
  #examine(asked: Asked, question: Question, answer: Answer): void {
    const { number } = asked;
    const echoed = answer.field("x-number");
    asked.fromEndpoint = echoed !== undefined;
    const wrong = (what: string): void => void this.wrongAnswers.push(`request ${number} (${asked.speech}): ${what}`);
    if (echoed !== undefined && echoed !== String(number)) wrong(`the answer to request ${echoed}`);
    if (answer.status === 101 && echoed !== undefined) return;
    if (answer.status !== 200) {
      if (answer.status < 500) wrong(`status ${answer.status}: ${answer.text}`);
      return;
    }
    if (echoed === undefined) wrong("status 200, but not of an endpoint");
    if (answer.field("x-checksum") !== checksum(bodyToSend(question)))
      wrong("its body was changed on the way to the endpoint");
    if (!answer.isBody(bodyOf(number, question.size)))
      wrong(`${answer.length} bytes that are not the ${question.size} expected`);
  }
}

function times<Result>(count: number, run: (index: number) => Result): Result[] {
  return Array.from({ length: count }, (_, index) => run(index));
}
