import { afterEach, describe, expect, test } from "bun:test";
import { connect } from "node:net";
import type { TCPSocketListener } from "bun";
import { plainIp } from "./connection.ts";
import { openListeningSocket, portOf } from "./listening-socket.ts";
import { attachSteering, detachSteering } from "./worker-steering.ts";

const SOCKETS = 4;
const CONNECTIONS = 10;

interface Group {
  readonly descriptor: number;
  readonly port: number;
  /** By client address: the sockets it has come to. */
  readonly seen: Map<string, Set<number>>;
}

const listeners: TCPSocketListener[] = [];
afterEach(() => {
  for (const listener of listeners.splice(0)) listener.stop(true);
});

function listenOn(host: string): Group {
  const first = openListeningSocket(host, 0);
  const port = portOf(first);
  const descriptors = [first];
  while (descriptors.length < SOCKETS) descriptors.push(openListeningSocket(host, port));
  const seen = new Map<string, Set<number>>();
  for (const [index, fd] of descriptors.entries()) {
    const open = (socket: { remoteAddress: string; end(): void }): void => {
      const ip = plainIp(socket.remoteAddress);
      seen.set(ip, (seen.get(ip) ?? new Set()).add(index));
      socket.end();
    };
    listeners.push(Bun.listen({ fd, socket: { open, data() {} } } as never));
  }
  return { descriptor: first, port, seen };
}

async function come({ port, seen }: Group, host: string, from: readonly string[]): Promise<Map<string, Set<number>>> {
  seen.clear();
  for (const localAddress of from) {
    for (let connection = 0; connection < CONNECTIONS; connection++) {
      await new Promise<void>((resolve, reject) => {
        const socket = connect({ port, host, localAddress });
        socket.on("error", reject);
        socket.on("close", () => resolve());
        socket.resume();
      });
    }
  }
  return new Map(seen);
}

const addresses = Array.from({ length: 16 }, (_, index) => `127.0.0.${index + 1}`);

describe("clients led to the same socket again", () => {
  for (const host of ["127.0.0.1", "::"]) {
    test(`each address to one of the sockets, all sockets used (${host})`, async () => {
      const group = listenOn(host);
      expect(attachSteering(group.descriptor, { sockets: SOCKETS, loopback: true })).toBe(true);
      const seen = await come(group, "127.0.0.1", addresses);
      expect([...seen.keys()]).toEqual(addresses);
      for (const sockets of seen.values()) expect(sockets.size).toBe(1);
      expect(new Set([...seen.values()].flatMap((sockets) => [...sockets])).size).toBe(SOCKETS);
    });
  }

  test("IPv6", async () => {
    const group = listenOn("::");
    expect(attachSteering(group.descriptor, { sockets: SOCKETS, loopback: true })).toBe(true);
    expect((await come(group, "::1", ["::1"])).get("::1")?.size).toBe(1);
  });

  test("loopback is spread unless it is to be steered, and nothing is once that ends", async () => {
    const group = listenOn("::");
    const few = addresses.slice(0, 4);
    // Four addresses, ten connections each: that chance brings all to one socket is out of the question.
    const spread = async (): Promise<boolean> =>
      [...(await come(group, "127.0.0.1", few)).values()].some((sockets) => sockets.size > 1);
    expect(attachSteering(group.descriptor, { sockets: SOCKETS, loopback: false })).toBe(true);
    expect(await spread()).toBe(true);
    attachSteering(group.descriptor, { sockets: SOCKETS, loopback: true });
    expect(await spread()).toBe(false);
    expect(detachSteering(group.descriptor)).toBe(true);
    expect(await spread()).toBe(true);
  });

  test("a socket that does not listen cannot be steered", () => {
    expect(attachSteering(-1, { sockets: 2, loopback: true })).toBe(false);
  });
});
