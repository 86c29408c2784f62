/** An HTTP/2 client that sends exactly the frames it is told to, right or wrong, and writes down all that comes back. */
import { connect, type Socket } from "node:net";
import { FLAG, FRAME, PREFACE } from "../../src/protocols/http2/frames.ts";
import { HeaderList } from "../../src/protocols/http2/header-list.ts";
import { DECODED, HpackDecoder } from "../../src/protocols/http2/hpack-decoder.ts";

export type Pair = readonly [name: string, value: string];

export { FLAG, FRAME, H2_ERROR, PREFACE, SETTING } from "../../src/protocols/http2/frames.ts";

/** One frame; the length may be told wrong. */
export function frame(
  type: number,
  flags: number,
  streamId: number,
  payload: Buffer = NOTHING,
  length?: number,
): Buffer {
  const header = Buffer.alloc(9);
  header.writeUIntBE(length ?? payload.length, 0, 3);
  header[3] = type;
  header[4] = flags;
  header.writeUInt32BE(streamId, 5);
  return Buffer.concat([header, payload]);
}

const NOTHING = Buffer.alloc(0);

export function uint32(...values: readonly number[]): Buffer {
  const bytes = Buffer.alloc(values.length * 4);
  for (const [index, value] of values.entries()) bytes.writeUInt32BE(value >>> 0, index * 4);
  return bytes;
}

/** A field block: literals that are neither compressed nor indexed, so that any bytes can be sent. */
export function block(pairs: readonly Pair[]): Buffer {
  return Buffer.concat(pairs.flatMap(([name, value]) => [Buffer.from([0]), literal(name), literal(value)]));
}

function literal(text: string): Buffer {
  return Buffer.concat([integer(text.length, 7, 0), Buffer.from(text, "latin1")]);
}

/** RFC 7541 section 5.1. */
export function integer(value: number, prefixBits: number, flags: number): Buffer {
  const most = 2 ** prefixBits - 1;
  if (value < most) return Buffer.from([flags | value]);
  const bytes = [flags | most];
  let rest = value - most;
  for (; rest >= 128; rest = Math.floor(rest / 128)) bytes.push((rest % 128) | 128);
  return Buffer.from([...bytes, rest]);
}

export const END = FLAG.endStream;
export const ALL = FLAG.endHeaders;
export const GET: readonly Pair[] = [
  [":method", "GET"],
  [":scheme", "http"],
  [":authority", "a.example"],
  [":path", "/"],
];
export const POST: readonly Pair[] = [[":method", "POST"], ...GET.slice(1)];

export const headers = (streamId: number, pairs: readonly Pair[], flags: number = END | ALL): Buffer =>
  frame(FRAME.headers, flags, streamId, block(pairs));
export const data = (streamId: number, text: string | Buffer, flags: number = 0): Buffer =>
  frame(FRAME.data, flags, streamId, typeof text === "string" ? Buffer.from(text) : text);
export const settings = (...pairs: readonly (readonly [number, number])[]): Buffer =>
  frame(
    FRAME.settings,
    0,
    0,
    Buffer.concat(pairs.map(([id, value]) => Buffer.concat([uint32(id).subarray(2), uint32(value)]))),
  );
export const windowUpdate = (streamId: number, increment: number): Buffer =>
  frame(FRAME.windowUpdate, 0, streamId, uint32(increment));
export const rstStream = (streamId: number, code: number): Buffer => frame(FRAME.rstStream, 0, streamId, uint32(code));
export const ping = (flags = 0): Buffer => frame(FRAME.ping, flags, 0, Buffer.alloc(8));
export const SETTINGS_ACK = frame(FRAME.settings, FLAG.ack, 0);

export interface Received {
  readonly type: number;
  readonly flags: number;
  readonly streamId: number;
  readonly payload: Buffer;
}

/** What is known of one stream. */
export class Answer {
  status = 0;
  readonly interim: number[] = [];
  fields: Pair[] = [];
  trailers: Pair[] = [];
  body = NOTHING;
  received = 0;
  ended = false;
  reset: number | undefined;

  field(name: string): string | undefined {
    return this.fields.find(([key]) => key === name)?.[1];
  }
}

export interface FrameClientOptions {
  /** What is sent first; the preface and empty SETTINGS when not told otherwise. */
  readonly hello?: Buffer;
  /** Windows are kept open by themselves unless told otherwise. */
  readonly keepWindowsOpen?: boolean;
  /** SETTINGS are acknowledged by themselves unless told otherwise. */
  readonly acknowledges?: boolean;
  /** Bodies are counted, but not kept. */
  readonly dropBodies?: boolean;
}

const open = new Set<FrameClient>();

/** Closes all clients that are left. For `afterEach`. */
export function leaveAll(): void {
  for (const client of open) client.leave();
  open.clear();
}

export class FrameClient {
  readonly socket: Socket;
  readonly frames: Received[] = [];
  /** Streams by number. */
  readonly answers = new Map<number, Answer>();
  /** What WINDOW_UPDATE has allowed in all, by stream. */
  readonly windows = new Map<number, number>();
  goaway: { readonly last: number; readonly code: number; readonly text: string } | undefined;
  ended = false;
  closed = false;
  readonly #options: FrameClientOptions;
  readonly #decoder = new HpackDecoder({ tableBytes: 4_096, listBytes: 1_048_576, fields: 2_000 });
  #rest: Buffer = NOTHING;
  #block: Buffer = NOTHING;
  #blockEnds = false;

  private constructor(socket: Socket, options: FrameClientOptions) {
    this.socket = socket;
    this.#options = options;
    open.add(this);
    socket.on("data", (bytes: Buffer) => this.#read(bytes));
    socket.on("end", () => {
      this.ended = true;
    });
    socket.on("close", () => {
      this.closed = true;
    });
    socket.on("error", () => {});
  }

  static async open(port: number, options: FrameClientOptions = {}): Promise<FrameClient> {
    const socket = connect({ port, host: "127.0.0.1", noDelay: true, allowHalfOpen: true });
    const client = new FrameClient(socket, options);
    await new Promise((resolve) => socket.once("connect", resolve));
    client.send(options.hello ?? Buffer.concat([PREFACE, settings()]));
    return client;
  }

  get isOver(): boolean {
    return this.ended || this.closed;
  }

  send(...frames: readonly Buffer[]): boolean {
    return !this.socket.destroyed && this.socket.write(Buffer.concat(frames));
  }

  answer(streamId: number): Answer {
    let answer = this.answers.get(streamId);
    if (answer === undefined) {
      answer = new Answer();
      this.answers.set(streamId, answer);
    }
    return answer;
  }

  /** Whether a stream has its answer, or was reset. */
  isDone(streamId: number): boolean {
    const answer = this.answers.get(streamId);
    return answer !== undefined && (answer.ended || answer.reset !== undefined);
  }

  async until(condition: () => boolean, timeoutMs = 4_000): Promise<void> {
    for (let waitedMs = 0; !condition(); waitedMs += 5) {
      if (waitedMs >= timeoutMs) throw new Error(`waited in vain: ${this.describe()}`);
      await Bun.sleep(5);
    }
  }

  /** What came of the streams and the connection, in words; "" when nothing has. */
  describe(): string {
    const streams = [...this.answers].map(([id, { status, reset, ended }]) => {
      return `${id}:${status}${ended ? " ended" : ""}${reset === undefined ? "" : ` RST ${reset}`}`;
    });
    const goaway = this.goaway === undefined ? [] : [`GOAWAY ${this.goaway.code} ${this.goaway.text}`];
    return [...streams, ...goaway, ...(this.isOver ? ["closed"] : [])].join(", ");
  }

  leave(): void {
    this.socket.destroy();
    open.delete(this);
  }

  #read(bytes: Buffer): void {
    let all = this.#rest.length === 0 ? bytes : Buffer.concat([this.#rest, bytes]);
    while (all.length >= 9 && all.length >= 9 + all.readUIntBE(0, 3)) {
      const end = 9 + all.readUIntBE(0, 3);
      this.#take(all[3] as number, all[4] as number, all.readUInt32BE(5) & 0x7fffffff, all.subarray(9, end));
      all = all.subarray(end);
    }
    this.#rest = all;
  }

  #take(type: number, flags: number, streamId: number, payload: Buffer): void {
    if (this.frames.length < 10_000) this.frames.push({ type, flags, streamId, payload: NOTHING });
    const ends = (flags & END) !== 0;
    if (type === FRAME.goaway)
      this.goaway = {
        last: payload.readUInt32BE(0),
        code: payload.readUInt32BE(4),
        text: payload.toString("latin1", 8),
      };
    else if (type === FRAME.rstStream) this.answer(streamId).reset = payload.readUInt32BE(0);
    else if (type === FRAME.settings && !ends && this.#options.acknowledges !== false) this.send(SETTINGS_ACK);
    else if (type === FRAME.windowUpdate)
      this.windows.set(streamId, (this.windows.get(streamId) ?? 0) + payload.readUInt32BE(0));
    else if (type === FRAME.data) this.#takeData(streamId, payload, ends);
    else if (type === FRAME.headers || type === FRAME.continuation) {
      if (type === FRAME.headers) this.#blockEnds = ends;
      this.#block = Buffer.concat([this.#block, payload]);
      if ((flags & ALL) !== 0) this.#takeFields(streamId);
    }
  }

  #takeData(streamId: number, payload: Buffer, ends: boolean): void {
    const answer = this.answer(streamId);
    answer.received += payload.length;
    if (this.#options.dropBodies !== true) answer.body = Buffer.concat([answer.body, payload]);
    if (ends) answer.ended = true;
    if (this.#options.keepWindowsOpen === false || payload.length === 0) return;
    this.send(windowUpdate(0, payload.length), ...(ends ? [] : [windowUpdate(streamId, payload.length)]));
  }

  #takeFields(streamId: number): void {
    const list = new HeaderList();
    const result = this.#decoder.decode(this.#block, 0, this.#block.length, list);
    if (result !== DECODED) throw new Error(`bad field block: ${this.#decoder.problem}`);
    this.#block = NOTHING;
    const pairs = Array.from({ length: list.count }, (_, field): Pair => [list.name(field), list.value(field)]);
    const answer = this.answer(streamId);
    const status = Number(pairs.find(([name]) => name === ":status")?.[1] ?? 0);
    if (status >= 100 && status < 200) answer.interim.push(status);
    else if (answer.status === 0) {
      answer.status = status;
      answer.fields = pairs;
    } else answer.trailers = pairs;
    if (this.#blockEnds) answer.ended = true;
  }
}
