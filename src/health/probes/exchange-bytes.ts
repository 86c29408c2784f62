/** Connects, sends, and collects what comes back until it is enough: what the socket probes share. */
import type { Socket } from "bun";
import { formatAddress } from "../../base/address.ts";
import type { Timers } from "../../base/clock.ts";
import type { ProbeResult, ProbeTarget } from "./definition.ts";

/** More than this is not read: a check is not a download. */
const MAX_BYTES = 262_144;

const NOTHING = Buffer.alloc(0);

/** Looks at all that has come so far: undefined to go on reading, otherwise the verdict (`{ failed }` or `{}`). */
export type Judge = (received: Buffer, ended: boolean) => { readonly failed?: string } | undefined;

export function exchangeBytes(
  target: ProbeTarget,
  send: string,
  judge: Judge,
  timeoutMs: number,
  timers: Timers,
): Promise<ProbeResult> {
  return new Promise((resolve) => {
    let connection: Socket | undefined;
    let received = Buffer.alloc(0);
    let settled = false;
    const finish = (result: ProbeResult): void => {
      if (settled) return;
      settled = true;
      timer.stop();
      resolve(result);
      connection?.end();
    };
    const timer = timers.after(timeoutMs, () =>
      finish(connection === undefined ? "connecting took too long" : "no answer in time"),
    );
    const look = (ended: boolean): void => {
      const verdict = judge(received, ended || received.length >= MAX_BYTES);
      if (verdict !== undefined) finish(verdict.failed);
      else if (ended) finish("the connection was closed early");
      else if (received.length >= MAX_BYTES) finish(`no answer within its first ${MAX_BYTES} bytes`);
    };
    Bun.connect({
      hostname: target.host,
      port: target.port,
      socket: {
        binaryType: "buffer",
        open(socket) {
          connection = socket;
          // Too late: nobody waits for it any more.
          if (settled) socket.end();
          else if (send !== "" || target.preface !== undefined)
            socket.write(Buffer.concat([target.preface ?? NOTHING, Buffer.from(send)]));
          if (!settled) look(false);
        },
        data(_socket, bytes) {
          if (settled) return;
          received = Buffer.concat([received, bytes]);
          look(false);
        },
        close: () => {
          if (!settled) look(true);
        },
        error: (_socket, error) => finish(error.message),
      },
    }).catch(() => finish(`connecting to ${formatAddress(target)} failed`));
  });
}
