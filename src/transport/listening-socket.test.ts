import { describe, expect, test } from "bun:test";
import { assertNobodyListens, closeDescriptor, openListeningSocket, portOf } from "./listening-socket.ts";

describe("listening sockets", () => {
  test("share an address among themselves, and are seen by whoever asks before", () => {
    const first = openListeningSocket("127.0.0.1", 0);
    const port = portOf(first);
    const second = openListeningSocket("127.0.0.1", port);
    expect(portOf(second)).toBe(port);
    expect(() => assertNobodyListens("127.0.0.1", port)).toThrow("already in use");
    expect(() => assertNobodyListens("::", port)).toThrow("already in use");
    expect(() => assertNobodyListens("0.0.0.0", port)).toThrow("already in use");
    assertNobodyListens("127.0.0.2", port);
    closeDescriptor(first);
    expect(() => assertNobodyListens("127.0.0.1", port)).toThrow("already in use");
    closeDescriptor(second);
    assertNobodyListens("127.0.0.1", port);
  });

  test("one on every address is in the way of one on a single address", () => {
    const everywhere = openListeningSocket("::", 0);
    expect(() => assertNobodyListens("127.0.0.1", portOf(everywhere))).toThrow("already in use");
    closeDescriptor(everywhere);
  });

  test("asking leaves nothing open", () => {
    const [descriptor] = [openListeningSocket("127.0.0.1", 0)];
    const port = portOf(descriptor);
    closeDescriptor(descriptor);
    for (let count = 0; count < 3; count++) assertNobodyListens("127.0.0.1", port);
    const again = openListeningSocket("127.0.0.1", port);
    expect(portOf(again)).toBe(port);
    closeDescriptor(again);
  });
});
