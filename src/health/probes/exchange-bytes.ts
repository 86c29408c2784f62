/** Connects, sends, and collects what comes back until it is enough: what the socket probes share. */
import type { Socket } from "bun";
import { formatAddress } from "../../base/address.ts";
import type { Timers } from "../../base/clock.ts";
import { endpointHandshakeFailure } from "../../tls/secure-context.ts";
import type { ProbeAnswer, ProbeResult, ProbeTarget } from "./definition.ts";

/** More than this is not read: a check is not a download. */
const MAX_BYTES = 262_144;

const NOTHING = Buffer.alloc(0);

/** Looks at all that has come so far: undefined to go on reading, otherwise the verdict (`{}` for one that passed). */
export type Judge = (received: Buffer, ended: boolean) => ProbeAnswer | undefined;

/** One question and its answer. */
class ByteExchange {
  readonly #target: ProbeTarget;
  readonly #send: Buffer;
  readonly #judge: Judge;
  readonly #finished: (result: ProbeResult) => void;
  #socket: Socket | undefined;
  #ready = false;
  #settled = false;
  #received: Buffer = NOTHING;

  constructor(target: ProbeTarget, send: Buffer, judge: Judge, finished: (result: ProbeResult) => void) {
    this.#target = target;
    this.#send = send;
    this.#judge = judge;
    this.#finished = finished;
  }

  finish(result: ProbeResult): void {
    if (this.#settled) return;
    this.#settled = true;
    this.#finished(result);
    this.#socket?.end();
  }

  timedOut(): void {
    if (this.#socket === undefined) this.finish("connecting took too long");
    else this.finish(this.#ready ? "no answer in time" : "the TLS handshake took too long");
  }

  open(socket: Socket): void {
    this.#socket = socket;
    // Too late: nobody waits for it any more.
    if (this.#settled) socket.end();
    else if (this.#target.tls === undefined) this.#begin(socket);
  }

  handshake(socket: Socket, ok: boolean, error: { code?: string } | null): void {
    const { tls } = this.#target;
    if (tls === undefined) return;
    const failure = endpointHandshakeFailure(ok, error, tls.verify);
    if (failure === undefined) this.#begin(socket);
    else this.finish(`the TLS handshake failed: ${failure}`);
  }

  data(_socket: Socket, bytes: Buffer): void {
    if (this.#settled) return;
    this.#received = Buffer.concat([this.#received, bytes]);
    this.#look(false);
  }

  close(): void {
    if (this.#settled) return;
    if (this.#ready) this.#look(true);
    else this.finish("the TLS handshake failed: the connection was closed");
  }

  error(_socket: Socket, error: Error): void {
    this.finish(error.message);
  }

  #begin(socket: Socket): void {
    this.#ready = true;
    const bytes = Buffer.concat([this.#target.preface ?? NOTHING, this.#send]);
    if (bytes.length > 0) socket.write(bytes);
    this.#look(false);
  }

  #look(ended: boolean): void {
    const isFull = this.#received.length >= MAX_BYTES;
    const verdict = this.#judge(this.#received, ended || isFull);
    if (verdict !== undefined) this.finish(saysMore(verdict) ? verdict : verdict.failed);
    else if (ended) this.finish("the connection was closed early");
    else if (isFull) this.finish(`no answer within its first ${MAX_BYTES} bytes`);
  }
}

function saysMore({ degraded, retryAfterMs, word }: ProbeAnswer): boolean {
  return degraded !== undefined || retryAfterMs !== undefined || word !== undefined;
}

export function exchangeBytes(
  target: ProbeTarget,
  send: string | Buffer,
  judge: Judge,
  timeoutMs: number,
  timers: Timers,
): Promise<ProbeResult> {
  return new Promise((resolve) => {
    const exchange = new ByteExchange(target, Buffer.from(send as string), judge, (result) => {
      timer.stop();
      resolve(result);
    });
    const timer = timers.after(timeoutMs, () => exchange.timedOut());
    const { host, port, tls, name } = target;
    const socket = {
      binaryType: "buffer",
      open: (connection: Socket) => exchange.open(connection),
      handshake: (connection: Socket, ok: boolean, error: { code?: string } | null) =>
        exchange.handshake(connection, ok, error),
      data: (connection: Socket, bytes: Buffer) => exchange.data(connection, bytes),
      close: () => exchange.close(),
      error: (connection: Socket, error: Error) => exchange.error(connection, error),
    } as const;
    const options = { hostname: host, port, socket, ...(tls !== undefined && { tls: tls.optionsFor(name) }) };
    Bun.connect(options as never).catch(() => exchange.finish(`connecting to ${formatAddress(target)} failed`));
  });
}
