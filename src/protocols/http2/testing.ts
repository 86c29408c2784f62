/** What the tests of this folder share. */
import type { ByteSink } from "./byte-sink.ts";
import type { FrameHandler } from "./frame-handler.ts";
import { HeaderList } from "./header-list.ts";
import { HpackDecoder } from "./hpack-decoder.ts";
import type { HpackEncoder } from "./hpack-encoder.ts";

export type Pair = readonly [name: string, value: string];

/** A sink that begins small, so that tests see it grow. */
export class Output implements ByteSink {
  bytes: Buffer = Buffer.alloc(1);
  length = 0;

  reserve(count: number): void {
    if (this.length + count <= this.bytes.length) return;
    const larger = Buffer.alloc(this.length + count);
    this.bytes.copy(larger, 0, 0, this.length);
    this.bytes = larger;
  }

  take(): Buffer {
    const written = Buffer.from(this.bytes.subarray(0, this.length));
    this.length = 0;
    return written;
  }
}

export const hex = (text: string): Buffer => Buffer.from(text.replace(/\s+/g, ""), "hex");

export function pairsOf(list: HeaderList): Pair[] {
  return Array.from({ length: list.count }, (_, field): Pair => [list.name(field), list.value(field)]);
}

export function listOf(pairs: readonly Pair[]): HeaderList {
  const list = new HeaderList();
  for (const [name, value] of pairs) list.add(name, value);
  return list;
}

export const newDecoder = (tableBytes = 4_096, listBytes = 65_536, fields = 200): HpackDecoder =>
  new HpackDecoder({ tableBytes, listBytes, fields });

export function encode(encoder: HpackEncoder, pairs: readonly Pair[]): Buffer {
  const output = new Output();
  encoder.begin(output);
  for (const [name, value] of pairs) encoder.text(output, name, value);
  return output.take();
}

/** Writes down what it is told, DATA joined over its pieces. */
export class Recorder implements FrameHandler {
  readonly events: string[] = [];
  #data: Buffer[] = [];

  #tell(...parts: (string | number | boolean)[]): void {
    this.events.push(parts.join(" "));
  }
  dataBegin(streamId: number, flowBytes: number): void {
    this.#data = [];
    this.#tell("data-begin", streamId, flowBytes);
  }
  data(_streamId: number, bytes: Buffer, start: number, end: number): void {
    this.#data.push(Buffer.from(bytes.subarray(start, end)));
  }
  dataEnd(streamId: number, endStream: boolean, paddingBytes: number): void {
    this.#tell("data", streamId, Buffer.concat(this.#data).toString("hex"), endStream, paddingBytes);
  }
  headers(streamId: number, block: Buffer, start: number, end: number, endStream: boolean, error: number): void {
    this.#tell("headers", streamId, block.toString("hex", start, end), endStream, error);
  }
  priority(streamId: number): void {
    this.#tell("priority", streamId);
  }
  rstStream(streamId: number, code: number): void {
    this.#tell("rst", streamId, code);
  }
  setting(id: number, value: number): void {
    this.#tell("setting", id, value);
  }
  settingsEnd(): void {
    this.#tell("settings-end");
  }
  settingsAck(): void {
    this.#tell("settings-ack");
  }
  ping(bytes: Buffer, start: number): void {
    this.#tell("ping", bytes.toString("hex", start, start + 8));
  }
  pingAck(bytes: Buffer, start: number): void {
    this.#tell("ping-ack", bytes.toString("hex", start, start + 8));
  }
  goaway(lastStreamId: number, code: number, bytes: Buffer, start: number, end: number): void {
    this.#tell("goaway", lastStreamId, code, bytes.toString("latin1", start, end));
  }
  windowUpdate(streamId: number, increment: number): void {
    this.#tell("window", streamId, increment);
  }
  unknownFrame(type: number, streamId: number): void {
    this.#tell("unknown", type, streamId);
  }
  streamError(streamId: number, code: number, _reason: string): void {
    this.#tell("stream-error", streamId, code);
  }
  connectionError(code: number, _reason: string): void {
    this.#tell("connection-error", code);
  }
}
