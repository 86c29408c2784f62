import { afterEach, describe, expect, test } from "bun:test";
import { closeSync, fstatSync, openSync, readdirSync } from "node:fs";
import { systemTimers } from "../base/clock.ts";
import { openUnnamedFile, unnamedFileOf } from "../base/unnamed-file.ts";
import { openDescriptorChannel, sendDescriptors } from "../transport/descriptor-passing.ts";
import { sendNamed } from "../transport/named-descriptors.ts";
import { RuntimeChanges } from "../upstreams/runtime-changes.ts";
import { type Inheritance, inherit, leave } from "./inheritance.ts";
import { createSharedMemory } from "./memory.ts";
import { handOver } from "./takeover.ts";

const opened: number[] = [];

afterEach(() => {
  for (const descriptor of opened.splice(0)) closeSync(descriptor);
});

function keep(descriptor: number): number {
  opened.push(descriptor);
  return descriptor;
}

function channel(): readonly [number, number] {
  const [near, far] = openDescriptorChannel();
  return [keep(near), keep(far)];
}

function passOn(inheritance: Inheritance): Inheritance {
  const [near, far] = channel();
  leave(near, inheritance);
  const received = inherit(far);
  for (const descriptors of Object.values(received.sockets)) for (const descriptor of descriptors) keep(descriptor);
  if (received.sessions !== undefined) keep(received.sessions);
  return received;
}

const inode = (descriptor: number): bigint => fstatSync(descriptor, { bigint: true }).ino;
const descriptors = (): number => readdirSync("/proc/self/fd").length;
const NONE = { changes: new Map(), sessions: undefined };

describe("what is left", () => {
  test("sockets by address, more than one message can hold", () => {
    const files = Array.from({ length: 7 }, () => keep(openUnnamedFile("test")));
    const sockets = Object.fromEntries(
      Array.from({ length: 100 }, (_, index) => [`:${index}`, files.slice(0, 1 + (index % 7))]),
    );
    const received = passOn({ ...NONE, sockets });
    const inodes = (all: Inheritance["sockets"]) =>
      Object.entries(all).map(([address, list]) => [address, list.map(inode)]);
    expect(inodes(received.sockets)).toEqual(inodes(sockets));
  });

  test("what operators have changed, however much that is", () => {
    const changes = new RuntimeChanges();
    for (let index = 0; index < 5_000; index++) changes.remove("app", `10.0.${index >> 8}.${index & 255}:80`);
    const received = passOn({ sockets: {}, changes: changes.save(), sessions: undefined });
    expect(received.changes?.get("app")?.removed.size).toBe(5_000);
  });

  test("the memory of sessions, when it means the same here and there", () => {
    const { tables, sessions } = createSharedMemory(1, undefined);
    keep(tables);
    keep(sessions);
    expect(inode(passOn({ ...NONE, sockets: {}, sessions }).sessions as number)).toBe(inode(sessions));
    // Another size, another layout.
    expect(passOn({ ...NONE, sockets: {}, sessions: keep(openUnnamedFile("small")) }).sessions).toBeUndefined();
    const [near, far] = channel();
    const before = descriptors();
    sendNamed(near, {});
    sendDescriptors(near, JSON.stringify({ sessionLayout: 0 }), [keep(unnamedFileOf("changes", "{}")), sessions]);
    expect(inherit(far)).toEqual({ sockets: {}, changes: new Map(), sessions: undefined });
    expect(descriptors()).toBe(before + 1);
  });

  test("as much as there is when the other end is closed early", () => {
    const [near, far] = openDescriptorChannel();
    keep(far);
    const socket = keep(openSync("/dev/null", "r"));
    sendNamed(near, { ":80": [socket] });
    closeSync(near);
    const { sockets, ...rest } = inherit(far);
    expect(sockets[":80"]).toHaveLength(1);
    keep(sockets[":80"]?.[0] as number);
    expect(rest).toEqual({ changes: undefined, sessions: undefined });
  });
});

describe("handing over", () => {
  const options = (command: readonly string[]) => ({
    command,
    inheritance: { ...NONE, sockets: {} },
    environment: { PATH: process.env["PATH"] },
    timers: systemTimers,
  });

  test.each([
    ["a program that is not there", ["/nowhere/evenkeel"], "nowhere"],
    ["one that ends", ["sh", "-c", "exit 3"], "it ended (exit code 3)"],
  ])("to %s fails, and nothing stays open", async (_title, command, problem) => {
    const before = descriptors();
    const outcome = await handOver(options(command)).outcome;
    expect(outcome.problem).toContain(problem);
    expect(descriptors()).toBe(before);
  });

  test("is given up when it is cancelled", async () => {
    const handingOver = handOver(options(["sleep", "60"]));
    handingOver.cancel();
    expect((await handingOver.outcome).problem).toBe("this process was told to stop");
  });
});
