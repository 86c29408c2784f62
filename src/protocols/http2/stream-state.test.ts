import { describe, expect, test } from "bun:test";
import { FRAME, H2_ERROR, MAX_STREAM_ID } from "./frames.ts";
import { StreamIds } from "./stream-ids.ts";
import {
  afterPeerEnded,
  afterWeEnded,
  CLOSED_BY,
  isConnectionError,
  isStreamError,
  maySend,
  onReceive,
  STREAM,
  VERDICT_FINE,
  VERDICT_IGNORE,
  type Verdict,
  verdictCode,
} from "./stream-state.ts";

const { data, headers, priority, rstStream, windowUpdate } = FRAME;
const TYPES = [data, headers, priority, rstStream, windowUpdate] as const;

/** A verdict in words. */
function words(verdict: Verdict): string {
  if (verdict === VERDICT_FINE) return "fine";
  if (verdict === VERDICT_IGNORE) return "ignore";
  expect(isConnectionError(verdict)).toBe(!isStreamError(verdict));
  const code = verdictCode(verdict) === H2_ERROR.streamClosed ? "closed" : "protocol";
  return `${isConnectionError(verdict) ? "connection" : "stream"} ${code}`;
}

describe("frames on streams that exist: DATA, HEADERS, PRIORITY, RST_STREAM, WINDOW_UPDATE", () => {
  for (const [name, state, verdicts] of [
    ["open", STREAM.open, ["fine", "fine", "fine", "fine", "fine"]],
    ["half closed by us", STREAM.halfClosedLocal, ["fine", "fine", "fine", "fine", "fine"]],
    ["half closed by the peer", STREAM.halfClosedRemote, ["stream closed", "stream closed", "fine", "fine", "fine"]],
    ["closed", STREAM.closed, ["connection closed", "connection closed", "fine", "ignore", "ignore"]],
  ] as const) {
    test(name, () => expect(TYPES.map((type) => words(onReceive(state, type)))).toEqual([...verdicts]));
  }
});

test("how END_STREAM moves a stream", () => {
  expect(afterPeerEnded(STREAM.open)).toBe(STREAM.halfClosedRemote);
  expect(afterPeerEnded(STREAM.halfClosedLocal)).toBe(STREAM.closed);
  expect(afterWeEnded(STREAM.open)).toBe(STREAM.halfClosedLocal);
  expect(afterWeEnded(STREAM.halfClosedRemote)).toBe(STREAM.closed);
  expect([STREAM.open, STREAM.halfClosedLocal, STREAM.halfClosedRemote, STREAM.closed].map(maySend)).toEqual([
    ...[true, false, true, false],
  ]);
});

describe("frames on streams that are not kept", () => {
  const verdicts = (ids: StreamIds, streamId: number): string[] =>
    TYPES.filter((type) => type !== headers).map((type) => words(ids.onReceive(streamId, type)));

  test("idle", () => {
    const ids = new StreamIds("server");
    const wrong = "connection protocol";
    expect(verdicts(ids, 1)).toEqual([wrong, "fine", wrong, wrong]);
    expect(words(ids.onReceive(1, headers))).toBe("fine");
    expect(ids.highest).toBe(1);
    expect(words(ids.onReceive(7, headers))).toBe("fine");
    expect(words(ids.onReceive(2, headers))).toBe(wrong);
    expect(verdicts(ids, 2)).toEqual([wrong, "fine", wrong, wrong]);
  });

  test("numbers that were passed over, or are long closed", () => {
    const ids = new StreamIds("server");
    ids.onReceive(7, headers);
    expect(words(ids.onReceive(5, headers))).toBe("connection protocol");
    expect(verdicts(ids, 5)).toEqual(["connection closed", "fine", "ignore", "ignore"]);
    expect(ids.highest).toBe(7);
  });

  test("closed a short while ago", () => {
    for (const [closedBy, expected] of [
      [CLOSED_BY.endStream, ["connection closed", "fine", "ignore", "ignore", "connection closed"]],
      [CLOSED_BY.ourReset, ["ignore", "fine", "ignore", "ignore", "ignore"]],
      [CLOSED_BY.peerReset, ["stream closed", "fine", "ignore", "ignore", "stream closed"]],
    ] as const) {
      const ids = new StreamIds("server");
      ids.onReceive(1, headers);
      ids.close(1, closedBy);
      expect([...verdicts(ids, 1), words(ids.onReceive(1, headers))]).toEqual([...expected]);
    }
  });

  test("our resets are remembered however many streams end as they should, and only so many of them", () => {
    const ids = new StreamIds("server");
    ids.onReceive(9_001, headers);
    ids.close(1, CLOSED_BY.ourReset);
    for (let id = 3; id < 3_000; id += 2) ids.close(id, CLOSED_BY.endStream);
    expect(words(ids.onReceive(1, data))).toBe("ignore");
    for (let id = 3_001; id < 4_001; id += 2) ids.close(id, CLOSED_BY.ourReset);
    expect(words(ids.onReceive(1, data))).toBe("connection closed");
    expect(words(ids.onReceive(3_999, data))).toBe("ignore");
  });

  test("as the client: no stream is begun by the peer", () => {
    const ids = new StreamIds("client");
    expect([ids.begin(), ids.begin(), ids.highest]).toEqual([1, 3, 3]);
    expect(words(ids.onReceive(5, headers))).toBe("connection protocol");
    expect(words(ids.onReceive(2, headers))).toBe("connection protocol");
    ids.close(1, CLOSED_BY.ourReset);
    expect(words(ids.onReceive(1, headers))).toBe("ignore");
  });

  test("stream numbers end", () => {
    const ids = new StreamIds("server");
    ids.onReceive(MAX_STREAM_ID, headers);
    expect([ids.highest, ids.begin()]).toEqual([MAX_STREAM_ID, 0]);
  });
});
