/** For tests: a connection on a socket that is none, with a clock that stands still. */
import { FakeClock } from "../../base/fake-clock.ts";
import { DeadlineSweep } from "../../transport/deadlines.ts";
import { Http2Upstream } from "./http2-upstream.ts";
import { asSocket, FakeBorrower, FakeSocket, FrameScript } from "./testing.ts";
import { UpstreamStream } from "./upstream-stream.ts";

/** A connection whose endpoint has told `settings`. */
export async function connectedUpstream(settings: number[] = [], options: { secure?: boolean; silent?: boolean } = {}) {
  const clock = new FakeClock();
  const sweep = new DeadlineSweep(clock, clock);
  const told: string[] = [];
  const kept = new Set<UpstreamStream>();
  const upstream = new Http2Upstream({
    maxResponseHead: 4_096,
    idleTimeoutMs: 55_000,
    secure: options.secure ?? false,
    now: () => clock.now(),
    upstreamReady: () => void told.push("ready"),
    upstreamFailed: (_upstream, code) => void told.push(code),
    upstreamClosed: () => {
      told.push("closed");
      sweep.remove(upstream);
    },
  });
  upstream.deadlineMs = 3_000;
  sweep.add(upstream);
  const socket = new FakeSocket(() => upstream);
  upstream.attach(asSocket(socket));
  const endpoint = new FrameScript();
  const heard = async (): Promise<void> => {
    await new Promise((resolve) => setImmediate(resolve));
    for (const bytes of socket.written.splice(0)) endpoint.receive(bytes);
  };
  const tell = async (...frames: Buffer[]): Promise<void> => {
    upstream.onData(Buffer.concat(frames));
    await heard();
  };
  const begin = (request: string): FakeBorrower => {
    const borrower = new FakeBorrower(request);
    const forget = (gone: UpstreamStream): void => void kept.delete(gone);
    const stream = new UpstreamStream(borrower, { forget });
    kept.add(stream);
    stream.place(upstream);
    borrower.begin(stream);
    return borrower;
  };
  upstream.opened(options.secure === true ? "h2" : "");
  if (options.silent !== true) await tell(endpoint.settings(...settings));
  return { clock, told, kept, upstream, socket, endpoint, heard, tell, begin };
}
