import type { Timers } from "../../base/clock.ts";
import type { UdpCheck } from "../schema.ts";
import type { Probe, ProbeResult, ProbeTarget } from "./definition.ts";

/** When any answer passes: long enough for the network to say that nobody is there. */
const SILENCE_MS = 250;

/** Sends a datagram and looks at what comes back: an answer, nothing, or that nobody is at that port. */
export const udpProbe: Probe<UdpCheck> = (target, config, { timers }) => {
  const { send, expect, timeout } = config;
  const expected = expect === undefined ? undefined : bytesOf(expect);
  const judge = (answer: Buffer): ProbeResult =>
    expected === undefined || answer.includes(expected) ? undefined : `expected ${shown(expect)}, got ${hex(answer)}`;
  const silenceMs = expected === undefined ? Math.min(SILENCE_MS, timeout) : timeout;
  const onSilence = expected === undefined ? undefined : "no answer in time";
  return exchangeDatagrams(target, bytesOf(send), judge, { silenceMs, onSilence }, timers);
};

function exchangeDatagrams(
  { host, port }: ProbeTarget,
  datagram: Buffer,
  judge: (answer: Buffer) => ProbeResult,
  { silenceMs, onSilence }: { readonly silenceMs: number; readonly onSilence: ProbeResult },
  timers: Timers,
): Promise<ProbeResult> {
  return new Promise((resolve) => {
    let socket: { close(): void } | undefined;
    let settled = false;
    const finish = (result: ProbeResult): void => {
      if (settled) return;
      settled = true;
      timer.stop();
      socket?.close();
      resolve(result);
    };
    const timer = timers.after(silenceMs, () => finish(onSilence));
    const refused = (): void => finish("nobody is at that port");
    // The error comes in when the network says that the datagram reached nobody.
    const handlers = { data: (_socket: unknown, answer: Buffer) => finish(judge(answer)), error: refused };
    Bun.udpSocket({ connect: { hostname: host, port }, socket: handlers })
      .then((opened) => {
        socket = opened;
        if (settled) opened.close();
        else if (!opened.send(datagram)) finish("the datagram could not be sent");
      })
      .catch((error: Error) => finish(error.message));
  });
}

type Datagram = UdpCheck["send"];

function bytesOf(datagram: Datagram): Buffer {
  return typeof datagram === "string" ? Buffer.from(datagram) : Buffer.from(datagram.hex.replace(/\s/g, ""), "hex");
}

function shown(datagram: Datagram | undefined): string {
  return typeof datagram === "string" ? JSON.stringify(datagram) : hex(bytesOf(datagram ?? ""));
}

/** The first bytes, in hexadecimal. */
function hex(bytes: Buffer): string {
  return bytes.length === 0 ? "nothing" : `${bytes.toString("hex", 0, 40)}${bytes.length > 40 ? "..." : ""}`;
}
