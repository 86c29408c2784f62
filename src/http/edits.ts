/** Changes to a head: recorded while the exchange goes on, applied once when the head is written. */
import type { RequestEdits, ResponseEdits } from "../filters/definition.ts";
import type { Head } from "../protocols/http1/head.ts";
import type { ByteWriter } from "../transport/byte-writer.ts";
import type { Exchange } from "./exchange.ts";

/** Copies the header lines that are not dropped, in as few runs as possible; without the empty line at the end. */
export function writeHeadFields(writer: ByteWriter, head: Head): void {
  let runStart = head.fieldsStart;
  if (head.dropped > 0) {
    for (let field = 0; field < head.fieldCount; field++) {
      if (!head.isDropped(field)) continue;
      const lineStart = head.nameStart(field);
      if (lineStart > runStart) writer.copy(head.bytes, runStart, lineStart);
      runStart = head.lineEnd(field);
    }
  }
  const end = head.position - 2;
  if (end > runStart) writer.copy(head.bytes, runStart, end);
}

/** What request filters may change. */
export class ExchangeRequestEdits implements RequestEdits {
  readonly #exchange: Exchange;

  constructor(exchange: Exchange) {
    this.#exchange = exchange;
  }

  setTarget(target: string): void {
    this.#exchange.newTarget = target;
  }

  setHost(host: string): void {
    this.#exchange.newHost = host;
  }

  setHeader(name: string, value: string): void {
    this.removeHeader(name);
    this.addHeader(name, value);
  }

  addHeader(name: string, value: string): void {
    this.#exchange.appended += headerLine(name, value);
  }

  removeHeader(name: string): void {
    this.#exchange.head.dropNamed(name.toLowerCase());
  }
}

/** What response filters may change. */
export class ExchangeResponseEdits implements ResponseEdits {
  readonly #exchange: Exchange;
  readonly #head: Head;

  constructor(exchange: Exchange, head: Head) {
    this.#exchange = exchange;
    this.#head = head;
  }

  get status(): number {
    return this.#head.status;
  }

  setHeader(name: string, value: string): void {
    this.removeHeader(name);
    this.addHeader(name, value);
  }

  addHeader(name: string, value: string): void {
    this.#exchange.responseAppended += headerLine(name, value);
  }

  removeHeader(name: string): void {
    this.#head.dropNamed(name.toLowerCase());
  }
}

/** A line break in a value would begin another header: whatever could be read as one becomes a space. */
function headerLine(name: string, value: string): string {
  return `${name}: ${value.replace(/[^\t\x20-\x7e\x80-\xff]/g, " ")}\r\n`;
}
