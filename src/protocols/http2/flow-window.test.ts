import { describe, expect, test } from "bun:test";
import { seededRandom } from "../../base/random.ts";
import { ReceiveWindow, SendWindow } from "./flow-window.ts";
import { MAX_WINDOW } from "./frames.ts";

describe("what we may send", () => {
  test("begins with 65,535, is taken and given back", () => {
    const window = new SendWindow();
    window.take(65_535);
    expect(window.available).toBe(0);
    expect(window.add(10)).toBe(true);
    expect(window.available).toBe(10);
  });

  test("never gets above 2^31-1", () => {
    const window = new SendWindow(1);
    expect(window.add(MAX_WINDOW)).toBe(false);
    expect(window.available).toBe(1);
    expect(window.add(MAX_WINDOW - 1)).toBe(true);
    expect(window.add(1)).toBe(false);
    expect(window.adjust(1, 2)).toBe(false);
  });

  test("follows SETTINGS_INITIAL_WINDOW_SIZE, also below 0", () => {
    const window = new SendWindow();
    window.take(60_000);
    expect(window.adjust(65_535, 16_384)).toBe(true);
    expect(window.available).toBe(16_384 - 60_000);
    expect(window.add(50_000)).toBe(true);
    expect(window.available).toBe(6_384);
    expect(window.adjust(16_384, 65_535)).toBe(true);
    expect(window.available).toBe(65_535 - 60_000 + 50_000);
  });
});

describe("what the peer may send", () => {
  test("to the last byte, and not one more", () => {
    const window = new ReceiveWindow(100);
    expect(window.receive(99)).toBe(true);
    expect(window.receive(2)).toBe(false);
    expect(window.receive(1)).toBe(true);
    expect(window.receive(0)).toBe(true);
    expect(window.receive(1)).toBe(false);
  });

  test("is given back when half of it was consumed", () => {
    const window = new ReceiveWindow(100);
    window.receive(100);
    expect(window.consume(49)).toBe(0);
    expect(window.consume(1)).toBe(50);
    expect(window.available).toBe(50);
    expect(window.consume(20)).toBe(0);
    expect(window.consume(30)).toBe(50);
    expect(window.available).toBe(100);
  });

  test("grows at once, and never above 2^31-1", () => {
    const window = new ReceiveWindow();
    expect(window.grow(1_000_000)).toBe(1_000_000 - 65_535);
    expect([window.available, window.size]).toEqual([1_000_000, 1_000_000]);
    expect(window.grow(10)).toBe(0);
    expect(window.grow(2 ** 40)).toBe(MAX_WINDOW - 1_000_000);
  });

  test("follows our own setting, also below 0", () => {
    const window = new ReceiveWindow(100);
    window.receive(80);
    window.adjust(50);
    expect(window.available).toBe(-30);
    expect(window.receive(0)).toBe(true);
    expect(window.receive(1)).toBe(false);
    expect(window.consume(80)).toBe(80);
    expect(window.available).toBe(50);
  });

  test("both sides agree, whatever happens", () => {
    const random = seededRandom(4);
    const [sender, receiver] = [new SendWindow(1_000), new ReceiveWindow(1_000)];
    let waiting = 0;
    for (let round = 0; round < 10_000; round++) {
      const sent = Math.min(random.below(400), sender.available);
      sender.take(sent);
      expect(receiver.receive(sent)).toBe(true);
      waiting += sent;
      const read = random.below(waiting + 1);
      waiting -= read;
      const increment = receiver.consume(read);
      if (increment > 0) expect(sender.add(increment)).toBe(true);
      expect(sender.available).toBe(receiver.available);
      // A sender with nothing left to send always finds that something is given back once all is read.
      if (sender.available === 0) expect(waiting).toBeGreaterThan(0);
    }
  });
});
