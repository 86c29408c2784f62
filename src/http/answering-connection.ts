/** The half of an HTTP/1.1 connection that writes answers: heads, bodies as they are or in chunks, answers of our own. */
import type { Head } from "../protocols/http1/head.ts";
import type { ResponseFraming } from "../protocols/http1/inspect-response.ts";
import { Connection } from "../transport/connection.ts";
import type { ResponseHead } from "./client-side.ts";
import type { HttpContext } from "./context.ts";
import type { Exchange } from "./exchange.ts";
import { type BodyCoding, type ConnectionLine, writeOwnAnswer, writeResponseHead } from "./response-writer.ts";
import { type WebSocketTunnel, webSocketTunnel } from "./websocket-tunnel.ts";

/** Answers up to this size leave in one write with their head. */
const COALESCE_BYTES = 262_144;
const CHUNK_END = Buffer.from("\r\n");
const LAST_CHUNK = Buffer.from("0\r\n\r\n");

export abstract class AnsweringConnection extends Connection {
  readonly context: HttpContext;
  /** Whether another request may follow on this connection. */
  protected keepAlive = true;
  /** Set while the connection is a WebSocket. */
  protected webSocket: WebSocketTunnel | undefined;
  #coding: BodyCoding = "as-is";

  constructor(context: HttpContext) {
    super();
    this.context = context;
  }

  /** The exchange that is being answered; undefined between two of them. */
  protected abstract get current(): Exchange | undefined;
  /** What follows is no HTTP any more. */
  protected abstract beginTunnel(): void;
  /** The client has stopped taking what it is sent. */
  protected abstract stalled(): void;

  takesChunks(framing: ResponseFraming): boolean {
    return framing === "chunked" && this.current?.head.minorVersion === 1;
  }

  sendHead(response: ResponseHead, body: Buffer, start: number, end: number): void {
    const exchange = this.current as Exchange;
    const { writer, date } = this.context;
    const { framing, head } = response;
    const isTunnel = head.status === 101;
    const isOld = exchange.head.minorVersion === 0;
    this.#coding = framing === "close" && !isOld ? "chunk" : "as-is";
    // A body that ends with the connection, or one that was announced and will never be read, cannot be followed.
    if (isOld && (framing === "close" || framing === "chunked")) this.keepAlive = false;
    if (exchange.head.expectContinue && !exchange.body.complete) this.keepAlive = false;
    if (this.context.draining) this.keepAlive = false;
    writeResponseHead(
      writer,
      response,
      { coding: this.#coding, keepsChunks: this.takesChunks(framing) },
      isTunnel ? "" : this.#connectionLine(exchange),
      (head.hasDate ? "" : date.line()) + exchange.settings.hstsLine,
    );
    exchange.headBytesOut += writer.length;
    if (isTunnel) {
      this.beginTunnel();
      this.webSocket = webSocketTunnel(head);
      this.webSocket?.fromEndpoint(body, start, end);
    }

    if (this.#coding === "chunk" && end > start) {
      this.#send(writer.bytes, 0, writer.length, true);
      this.sendBody(body, start, end);
    } else if (head.bytes === body && start - writer.length >= head.start) {
      // The endpoint's own head stands in front of the body and is done with: ours takes its place, and nothing else moves.
      writer.bytes.copy(body, start - writer.length, 0, writer.length);
      this.#send(body, start - writer.length, end, false);
    } else if (writer.length + end - start <= COALESCE_BYTES) {
      writer.copy(body, start, end);
      this.#send(writer.bytes, 0, writer.length, true);
    } else {
      this.#send(writer.bytes, 0, writer.length, true);
      this.#send(body, start, end, false);
    }
  }

  sendBody(bytes: Buffer, start: number, end: number): void {
    if (start === end) return;
    this.webSocket?.fromEndpoint(bytes, start, end);
    if (this.#coding === "as-is") return this.#send(bytes, start, end, false);
    const size = Buffer.from(`${(end - start).toString(16)}\r\n`);
    this.#send(size, 0, size.length, false);
    this.#send(bytes, start, end, false);
    this.#send(CHUNK_END, 0, CHUNK_END.length, false);
  }

  sendInterim(head: Head): void {
    const { writer } = this.context;
    const interim = { head, framing: "none", appended: "" } as const;
    writeResponseHead(writer, interim, { coding: "as-is", keepsChunks: false }, "", "");
    (this.current as Exchange).headBytesOut += writer.length;
    this.#send(writer.bytes, 0, writer.length, true);
  }

  /** Only clients that speak HTTP/1.0 do not take chunks, and they know no trailers. */
  sendTrailers(): void {}

  sendOwn(status: number, headers: string, body: string): void {
    const exchange = this.current as Exchange;
    const { writer, date } = this.context;
    if (!exchange.body.complete) this.keepAlive = false;
    const answer = { status, headers, body, withBody: !exchange.isHeadRequest };
    const ownLines = date.line() + exchange.settings.hstsLine;
    const bodyBytes = writeOwnAnswer(writer, answer, this.#connectionLine(exchange), ownLines);
    exchange.headBytesOut += writer.length - bodyBytes;
    this.#coding = "as-is";
    this.#send(writer.bytes, 0, writer.length, true);
  }

  /** Marks the end of a body whose length nobody knew. */
  protected endBody(): void {
    if (this.#coding === "as-is") return;
    this.#coding = "as-is";
    this.send(LAST_CHUNK, 0, LAST_CHUNK.length, false);
  }

  #connectionLine(exchange: Exchange): ConnectionLine {
    if (!this.keepAlive) return "Connection: close\r\n";
    return exchange.head.minorVersion === 0 ? "Connection: keep-alive\r\n" : "";
  }

  #send(bytes: Buffer, start: number, end: number, reused: boolean): void {
    const exchange = this.current;
    if (exchange !== undefined) exchange.bytesOut += end - start;
    const wasCongested = this.congested;
    this.send(bytes, start, end, reused);
    if (this.congested && !wasCongested) this.stalled();
  }
}
