/**
 * Reads the endpoint's answer as it arrives and passes it to the client: interim answers, the head, the body by its
 * framing. Everything is checked before it goes on; what an endpoint gets wrong before its head went out becomes 502.
 */
import type { ErrorCode } from "../base/errors.ts";
import { ChunkedBody } from "../protocols/http1/chunked.ts";
import { BAD, type Head, type HeadLimits, MORE } from "../protocols/http1/head.ts";
import { inspectResponse, type ResponseFraming, responseFraming } from "../protocols/http1/inspect-response.ts";
import { parseResponseHead } from "../protocols/http1/parse-response.ts";
import { ExchangeResponseEdits } from "./edits.ts";
import type { Exchange } from "./exchange.ts";
import { releaseHead, takeHead } from "./heads.ts";

const MAX_INTERIM_ANSWERS = 32;
const MAX_FIELDS = 256;
const NO_BYTES = Buffer.alloc(0);

/** What became of the bytes that were fed. */
export type RelayResult = "more" | "done" | "tunnel" | "failed" | "unwanted";

/** Says of the head of an answer whether another one is got instead. */
export interface AnswerJudge {
  isUnwanted(head: Head): boolean;
}

export class ResponseRelay {
  failure: ErrorCode = "E_BAD_RESPONSE";
  /** The endpoint keeps the connection open for another exchange. */
  reusable = false;
  /** Any byte of an answer, interim ones included, has arrived. */
  begun = false;
  /** The status of the answer; 0 before its head is there. */
  status = 0;
  readonly #exchange: Exchange;
  readonly #limits: HeadLimits;
  readonly #judge: AnswerJudge | undefined;
  #head: Head | undefined;
  #partial: Buffer | undefined;
  #interim = 0;
  #framing: ResponseFraming = "none";
  #remaining = 0;
  #chunked: ChunkedBody | undefined;
  #passChunks = false;
  #inBody = false;

  constructor(exchange: Exchange, maxHeadBytes: number, judge: AnswerJudge | undefined) {
    this.#exchange = exchange;
    this.#judge = judge;
    this.#limits = { bytes: maxHeadBytes, fields: MAX_FIELDS };
  }

  feed(bytes: Buffer): RelayResult {
    this.begun = true;
    return this.#inBody ? this.#feedBody(bytes, 0, bytes.length) : this.#feedHead(bytes);
  }

  /** The endpoint has closed the connection. `clean`: in good order, which ends a body that has no other end. */
  closed(clean: boolean): "done" | "failed" {
    if (this.#inBody && this.#framing === "close" && clean) return "done";
    this.failure = this.#inBody ? "E_UPSTREAM_RESET" : this.begun ? "E_BAD_RESPONSE" : "E_UPSTREAM_CLOSED";
    return "failed";
  }

  /** Lets go of what it borrowed. */
  release(): void {
    if (this.#head !== undefined) releaseHead(this.#head);
    this.#head = undefined;
  }

  #feedHead(piece: Buffer): RelayResult {
    const bytes = this.#partial === undefined ? piece : Buffer.concat([this.#partial, piece]);
    this.#head ??= takeHead(bytes, 0);
    const head = this.#head;
    head.bytes = bytes;
    for (;;) {
      const result = parseResponseHead(head, bytes.length, this.#limits);
      if (result === MORE) {
        this.#partial = bytes;
        return "more";
      }
      if (result === BAD) return this.#fail(head.error);
      this.#partial = undefined;
      const problem = inspectResponse(head);
      if (problem !== undefined) return this.#fail(problem);
      if (head.status >= 200) return this.#beginAnswer(head, bytes);
      if (head.status === 101) return this.#beginTunnel(head, bytes);
      if (++this.#interim > MAX_INTERIM_ANSWERS) return this.#fail("E_BAD_RESPONSE");
      if (this.#exchange.head.minorVersion === 1) this.#exchange.client.sendInterim(head);
      head.reset(bytes, head.position);
      if (head.start === bytes.length) {
        releaseHead(head);
        this.#head = undefined;
        return "more";
      }
    }
  }

  #beginTunnel(head: Head, bytes: Buffer): RelayResult {
    const exchange = this.#exchange;
    if (!exchange.upgrade || head.upgradeField < 0) return this.#fail("E_BAD_RESPONSE");
    this.#inBody = true;
    this.#framing = "close";
    exchange.status = 101;
    exchange.answerBegun = true;
    const upgrade = `Connection: Upgrade\r\nUpgrade: ${head.value(head.upgradeField)}\r\n`;
    exchange.sessionInUse?.answered(head);
    const appended = upgrade + exchange.responseAppended;
    exchange.client.sendHead({ head, framing: "none", appended }, bytes, head.position, bytes.length);
    return "tunnel";
  }

  #beginAnswer(head: Head, bytes: Buffer): RelayResult {
    const exchange = this.#exchange;
    this.#framing = responseFraming(head, exchange.isHeadRequest);
    this.#remaining = this.#framing === "length" ? head.contentLength : 0;
    this.reusable =
      this.#framing !== "close" && !head.connectionClose && (head.minorVersion === 1 || head.connectionKeepAlive);
    const start = head.position;
    const end = this.#bodyEnd(bytes, start);
    // Bytes behind the answer would be taken for the next one. Nothing has gone out yet: say that it is wrong.
    if (end < 0 || (end < bytes.length && this.#framing !== "close")) return this.#fail("E_BAD_RESPONSE");

    this.status = head.status;
    if (this.#judge?.isUnwanted(head) === true) {
      this.reusable &&= this.#isComplete();
      return "unwanted";
    }
    this.#inBody = true;
    exchange.status = head.status;
    exchange.answerBegun = true;
    this.#passChunks = exchange.client.takesChunks(this.#framing);
    this.#runFilters(head);
    exchange.sessionInUse?.answered(head);
    const framing = this.#isNothingButFields() ? "none" : this.#framing;
    const response = { head, framing, appended: exchange.responseAppended + exchange.attemptsLine };
    if (this.#chunked === undefined || this.#passChunks) exchange.client.sendHead(response, bytes, start, end);
    else this.#sendHeadAndData(response, bytes, start, end);
    return this.#isComplete() ? this.#finish() : "more";
  }

  /** Whole already and empty: in HTTP/2 its fields end the stream, which gRPC insists on ("Trailers-Only"). */
  #isNothingButFields(): boolean {
    const chunked = this.#chunked;
    if (chunked === undefined || !chunked.ended || this.#passChunks) return false;
    return chunked.dataBytes === 0 && chunked.trailers === "" && this.#exchange.head.minorVersion === 1;
  }

  /** Trailers go along with chunks; a client that gets the data only gets them by themselves. */
  #finish(): "done" {
    const trailers = this.#chunked?.trailers ?? "";
    if (trailers !== "" && !this.#passChunks) this.#exchange.client.sendTrailers(trailers);
    return "done";
  }

  /** Where the body's part of a first piece ends; -1 when it is wrong. Counts it, too. */
  #bodyEnd(bytes: Buffer, start: number): number {
    switch (this.#framing) {
      case "none":
        return start;
      case "close":
        return bytes.length;
      case "length": {
        const end = Math.min(bytes.length, start + this.#remaining);
        this.#remaining -= end - start;
        return end;
      }
      case "chunked": {
        this.#chunked = new ChunkedBody();
        const end = this.#chunked.consume(bytes, start, bytes.length);
        return this.#chunked.failed ? -1 : end;
      }
    }
  }

  /** For clients that cannot take chunks: the head, then the data in them, gone over a second time. */
  #sendHeadAndData(
    response: { head: Head; framing: ResponseFraming; appended: string },
    bytes: Buffer,
    start: number,
    end: number,
  ): void {
    const { client } = this.#exchange;
    client.sendHead(response, NO_BYTES, 0, 0);
    new ChunkedBody().consume(bytes, start, end, (from, to) => client.sendBody(bytes, from, to));
  }

  #feedBody(bytes: Buffer, start: number, end: number): RelayResult {
    const { client } = this.#exchange;
    let stop = end;
    if (this.#framing === "length") {
      stop = Math.min(end, start + this.#remaining);
      this.#remaining -= stop - start;
      client.sendBody(bytes, start, stop);
    } else if (this.#chunked !== undefined) {
      stop = this.#passChunks
        ? this.#chunked.consume(bytes, start, end)
        : this.#chunked.consume(bytes, start, end, (from, to) => client.sendBody(bytes, from, to));
      if (this.#chunked.failed) return this.#fail("E_UPSTREAM_RESET");
      if (this.#passChunks) client.sendBody(bytes, start, stop);
    } else client.sendBody(bytes, start, end);
    if (stop < end) this.reusable = false;
    return this.#isComplete() ? this.#finish() : "more";
  }

  #isComplete(): boolean {
    if (this.#framing === "none") return true;
    if (this.#framing === "length") return this.#remaining === 0;
    return this.#chunked?.ended ?? false;
  }

  #runFilters(head: Head): void {
    const filters = this.#exchange.matched?.responseFilters;
    if (filters === null || filters === undefined) return;
    const edits = new ExchangeResponseEdits(this.#exchange, head);
    for (const filter of filters) filter.onResponse?.(this.#exchange, edits);
  }

  #fail(code: ErrorCode): "failed" {
    this.failure = code;
    return "failed";
  }
}
