import { afterEach, expect, test } from "bun:test";
import { afterEvents, systemClock } from "../base/clock.ts";
import { openConnectedSocket, ReceiveBatch } from "./datagram-socket.ts";
import { closeDescriptor, openDatagramSocket, portOf } from "./listening-socket.ts";
import { ReadinessLoop } from "./readiness-loop.ts";
import { socketAddress } from "./socket-address.ts";

const opened: number[] = [];
afterEach(() => {
  for (const descriptor of opened.splice(0)) closeDescriptor(descriptor);
});

function startLoop(): { loop: ReadinessLoop; rounds: () => number } {
  let rounds = 0;
  const loop = new ReadinessLoop({ now: () => systemClock.now(), afterEvents, afterRound: () => rounds++ });
  return { loop, rounds: () => rounds };
}

/** A bound socket, and a function that sends it an empty datagram. */
function socketPair(): { receiver: number; send: () => void } {
  const receiver = openDatagramSocket("127.0.0.1", 0);
  const sender = openConnectedSocket(socketAddress("127.0.0.1", portOf(receiver)));
  opened.push(receiver, sender);
  const batch = new ReceiveBatch();
  return { receiver, send: () => void batch.forward(sender, 0, 1) };
}

test("wakes for datagrams while the runtime's own timers and sockets go on", async () => {
  const { loop, rounds } = startLoop();
  const { receiver, send } = socketPair();
  const batch = new ReceiveBatch();
  let datagrams = 0;
  loop.watch(receiver, {
    onReady() {
      datagrams += batch.receive(receiver, 1_000, false);
    },
  });
  const server = Bun.serve({ port: 0, hostname: "127.0.0.1", fetch: () => new Response("served") });
  for (let round = 1; round <= 20; round++) {
    send();
    expect(await (await fetch(server.url)).text()).toBe("served");
    await Bun.sleep(1);
    while (datagrams < round) await Bun.sleep(1);
  }
  expect(datagrams).toBe(20);
  expect(rounds()).toBeGreaterThanOrEqual(20);
  loop.unwatch(receiver);
  await server.stop(true);
});

test("a watcher may stop itself and others while it is called", async () => {
  const { loop } = startLoop();
  const [one, two] = [socketPair(), socketPair()];
  const called: string[] = [];
  const stopBoth = (name: string) => () => {
    called.push(name);
    loop.unwatch(one.receiver);
    loop.unwatch(two.receiver);
  };
  one.send();
  two.send();
  loop.watch(one.receiver, { onReady: stopBoth("one") });
  loop.watch(two.receiver, { onReady: stopBoth("two") });
  while (called.length === 0) await Bun.sleep(1);
  await Bun.sleep(20);
  expect(called.length).toBe(1);
  expect(loop.size).toBe(0);
});

test("stopping what is not watched does nothing; a descriptor that cannot be watched is told", () => {
  const { loop } = startLoop();
  loop.unwatch(12_345);
  expect(() => loop.watch(1_048_575, { onReady() {} })).toThrow("cannot wait");
  expect(loop.size).toBe(0);
});
