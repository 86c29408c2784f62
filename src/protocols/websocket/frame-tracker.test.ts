import { describe, expect, test } from "bun:test";
import { FrameTracker } from "./frame-tracker.ts";

interface Frame {
  readonly opcode: number;
  readonly length: number;
  readonly masked: boolean;
}

function encode({ opcode, length, masked }: Frame): Buffer {
  const mask = masked ? 0x80 : 0;
  const head =
    length < 126
      ? Buffer.from([0x80 | opcode, mask | length])
      : length < 65_536
        ? Buffer.from([0x80 | opcode, mask | 126, length >> 8, length & 0xff])
        : Buffer.concat([Buffer.from([0x80 | opcode, mask | 127]), lengthOf(length)]);
  return Buffer.concat([
    head,
    masked ? Buffer.from([0x81, 0x88, 0x88, 0x88]) : Buffer.alloc(0),
    Buffer.alloc(length, 8),
  ]);
}

function lengthOf(length: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64BE(BigInt(length));
  return bytes;
}

const FRAMES: readonly Frame[] = [0, 1, 125, 126, 127, 128, 65_535, 65_536, 70_000].flatMap((length) =>
  [false, true].map((masked) => ({ opcode: length % 3, length, masked })),
);

describe("FrameTracker", () => {
  test("knows exactly where frames end, byte by byte", () => {
    const tracker = new FrameTracker();
    for (const frame of FRAMES) {
      const bytes = encode(frame);
      for (let at = 0; at < bytes.length; at++) {
        tracker.consume(bytes, at, at + 1);
        if (tracker.betweenFrames !== (at === bytes.length - 1)) throw new Error(`wrong at ${at} of ${bytes.length}`);
      }
      expect(tracker.betweenFrames).toBe(true);
    }
    expect(tracker.closing).toBe(false);
  });

  test.each([1, 2, 3, 7, 13, 125, 1_000, 65_537])("does not mind pieces of %p bytes", (size) => {
    const bytes = Buffer.concat(FRAMES.map(encode));
    const tracker = new FrameTracker();
    for (let at = 0; at < bytes.length; at += size) tracker.consume(bytes, at, Math.min(bytes.length, at + size));
    expect(tracker.betweenFrames).toBe(true);
    tracker.consume(bytes, 0, 1);
    expect(tracker.betweenFrames).toBe(false);
  });

  test("notices a Close frame from its first byte on, and not in a payload", () => {
    const tracker = new FrameTracker();
    const data = encode({ opcode: 2, length: 300, masked: true });
    tracker.consume(data, 0, data.length);
    expect(tracker.closing).toBe(false);
    tracker.consume(Buffer.from([0x88]), 0, 1);
    expect([tracker.closing, tracker.betweenFrames]).toEqual([true, false]);
    tracker.consume(Buffer.from([0x82, 1, 2, 3, 4, 5, 6]), 0, 7);
    expect(tracker.betweenFrames).toBe(true);
  });

  test("a length that never ends keeps it inside", () => {
    const tracker = new FrameTracker();
    tracker.consume(Buffer.concat([Buffer.from([0x82, 0x7f]), Buffer.alloc(8, 0xff)]), 0, 10);
    tracker.consume(Buffer.alloc(100_000), 0, 100_000);
    expect(tracker.betweenFrames).toBe(false);
  });
});
