import { afterEach, describe, expect, test } from "bun:test";
import { writeSync } from "node:fs";
import type { Socket } from "bun";
import { FakeClock } from "../base/fake-clock.ts";
import { openDescriptorChannel } from "./descriptor-passing.ts";
import { closeDescriptor } from "./listening-socket.ts";
import { Peeker, type Peeking, peekBytes, takeBytes } from "./peek.ts";

const open: number[] = [];
afterEach(() => {
  for (const descriptor of open.splice(0)) closeDescriptor(descriptor);
});

/** Both ends of a connection. */
function channel(): [number, number] {
  const [near, far] = openDescriptorChannel();
  open.push(near, far);
  return [near, far];
}

const buffer = Buffer.alloc(64);

describe("looking at bytes", () => {
  test("leaves them there, and takes as many as it is told", async () => {
    let accepted: (descriptor: number) => void = () => {};
    const descriptorOf = new Promise<number>((resolve) => {
      accepted = resolve;
    });
    const open = (socket: Socket): void => {
      socket.pause();
      accepted((socket as unknown as { readonly fd: number }).fd);
    };
    const listener = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { open, data() {} } });
    const client = await Bun.connect({ hostname: "127.0.0.1", port: listener.port, socket: { data() {} } });
    const near = await descriptorOf;
    expect(peekBytes(near, buffer)).toBeLessThan(0);
    client.write("header+rest");
    for (let look = 0; look < 2; look++) expect(peekBytes(near, buffer)).toBe(11);
    expect(buffer.toString("latin1", 0, 11)).toBe("header+rest");
    expect(takeBytes(near, 7)).toBe(true);
    expect(peekBytes(near, buffer)).toBe(4);
    expect(buffer.toString("latin1", 0, 4)).toBe("rest");
    expect(takeBytes(near, 5)).toBe(false);
    listener.stop(true);
  });
});

describe("waiting for bytes", () => {
  function waiting(descriptor: number, seen: string[], name: string): Peeking {
    return { descriptor, onReadable: (ended) => void seen.push(`${name}${ended ? " ended" : ""}`) };
  }

  test("calls those for whom there is something, and runs only while somebody waits", () => {
    const clock = new FakeClock();
    const peeker = new Peeker(clock);
    const seen: string[] = [];
    const [one, farOne] = channel();
    const [two, farTwo] = channel();
    const first = waiting(one, seen, "one");
    const second = waiting(two, seen, "two");
    expect(clock.waiting).toBe(0);
    peeker.add(first);
    peeker.add(second);
    clock.advance(10);
    expect(seen).toEqual([]);
    writeSync(farTwo, "x");
    clock.advance(2);
    expect(seen).toEqual(["two"]);
    peeker.remove(second);
    closeDescriptor(open.splice(open.indexOf(farOne), 1)[0] as number);
    clock.advance(2);
    expect(seen).toEqual(["two", "one ended"]);
    peeker.remove(first);
    peeker.remove(first);
    expect([peeker.waiting, clock.waiting]).toEqual([0, 0]);
  });

  test("one that ends another in the middle", () => {
    const clock = new FakeClock();
    const peeker = new Peeker(clock);
    const seen: string[] = [];
    const [one, farOne] = channel();
    const [two, farTwo] = channel();
    const second = waiting(two, seen, "two");
    peeker.add({ descriptor: one, onReadable: () => peeker.remove(second) });
    peeker.add(second);
    writeSync(farOne, "x");
    writeSync(farTwo, "x");
    clock.advance(2);
    expect(seen).toEqual([]);
    peeker.close();
    expect(clock.waiting).toBe(0);
  });
});
