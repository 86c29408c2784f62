import { describe, expect, test } from "bun:test";
import { FrameBoundary } from "./frame-boundary.ts";

/** A frame of `length` payload bytes, as a server (or with `masked` a client) sends it. */
function frame(length: number, masked = false): Buffer {
  const mask = masked ? 0x80 : 0;
  const head =
    length < 126
      ? Buffer.from([0x82, mask | length])
      : length < 65_536
        ? Buffer.from([0x82, mask | 126, length >> 8, length & 0xff])
        : Buffer.concat([Buffer.from([0x82, mask | 127, 0, 0, 0, 0]), lengthBytes(length)]);
  return Buffer.concat([head, Buffer.alloc(masked ? 4 : 0, 7), Buffer.alloc(length, 0x88)]);
}

function lengthBytes(length: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(length);
  return bytes;
}

describe("between two frames of a WebSocket", () => {
  for (const length of [0, 1, 125, 126, 65_535, 65_536])
    for (const masked of [false, true])
      test(`${length} bytes${masked ? ", masked" : ""}: at the end, and nowhere before`, () => {
        const bytes = frame(length, masked);
        const boundary = new FrameBoundary();
        expect(boundary.isBetweenFrames).toBeTrue();
        const middle = [1, 2, 3, Math.floor(bytes.length / 2), bytes.length - 1].filter((at) => at < bytes.length);
        let from = 0;
        for (const at of middle.sort((a, b) => a - b)) {
          boundary.feed(bytes, from, at);
          from = at;
          expect(boundary.isBetweenFrames).toBeFalse();
        }
        boundary.feed(bytes, from, bytes.length);
        expect(boundary.isBetweenFrames).toBeTrue();
      });

  test("many frames in one piece, and one frame in many", () => {
    const bytes = Buffer.concat([frame(5), frame(300), frame(0), frame(70_000)]);
    const whole = new FrameBoundary();
    whole.feed(bytes, 0, bytes.length);
    expect(whole.isBetweenFrames).toBeTrue();
    const pieces = new FrameBoundary();
    for (let at = 0; at < bytes.length; at++) pieces.feed(bytes, at, at + 1);
    expect(pieces.isBetweenFrames).toBeTrue();
    pieces.feed(bytes, 0, 3);
    expect(pieces.isBetweenFrames).toBeFalse();
  });
});
