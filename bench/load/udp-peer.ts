/**
 * Both ends of the UDP bench, as a process of its own: `echo PORT`, which sends back what comes, and `load PORT SOCKETS
 * SECONDS RATE`, many clients that each send a datagram, wait for the answer and send the next: at once when RATE is 0,
 * otherwise so many a second each. Prints what it did as JSON.
 */
import { dlopen, ptr } from "bun:ffi";
import { systemClock } from "../../src/base/clock.ts";
import { openConnectedSocket } from "../../src/transport/datagram-socket.ts";
import { ReadinessLoop } from "../../src/transport/readiness-loop.ts";
import { socketAddress } from "../../src/transport/socket-address.ts";

const PAYLOAD_BYTES = 100;
const MSG_DONTWAIT = 0x40;
/** An answer that has not come by then is taken for lost. */
const LOST_AFTER_MS = 200;

const libc = dlopen("libc.so.6", {
  send: { args: ["i32", "ptr", "u64", "i32"], returns: "i32" },
  recv: { args: ["i32", "ptr", "u64", "i32"], returns: "i32" },
}).symbols;

const [role, port, sockets, seconds, rate] = process.argv.slice(2);
if (role === "echo") await echo(Number(port));
else await load(Number(port), Number(sockets), Number(seconds), Number(rate));

async function echo(at: number): Promise<void> {
  await Bun.udpSocket({
    hostname: "127.0.0.1",
    port: at,
    socket: { data: (socket, data, from, address) => void socket.send(data, from, address) },
  });
}

async function load(to: number, count: number, forSeconds: number, perSecond: number): Promise<void> {
  const loop = new ReadinessLoop({ now: () => systemClock.now(), afterEvents: setImmediate, afterRound: () => {} });
  const address = socketAddress("127.0.0.1", to);
  const payload = Buffer.alloc(PAYLOAD_BYTES, "x");
  const buffer = Buffer.alloc(2_048);
  const [payloadAt, bufferAt] = [ptr(payload), ptr(buffer)];
  const latencies: number[] = [];
  let answers = 0;
  let lost = 0;
  const clients = Array.from({ length: count }, () => {
    const descriptor = openConnectedSocket(address);
    const client = {
      sentMs: 0,
      waiting: false,
      send() {
        client.sentMs = systemClock.now();
        client.waiting = true;
        libc.send(descriptor, payloadAt, PAYLOAD_BYTES, MSG_DONTWAIT);
      },
      onReady() {
        if (libc.recv(descriptor, bufferAt, buffer.length, MSG_DONTWAIT) !== PAYLOAD_BYTES) return;
        answers++;
        client.waiting = false;
        if (answers % 16 === 0) latencies.push(systemClock.now() - client.sentMs);
        if (perSecond === 0) client.send();
      },
    };
    loop.watch(descriptor, client);
    return client;
  });
  const startedMs = systemClock.now();
  if (perSecond === 0) for (const client of clients) client.send();
  else {
    let due = 0;
    setInterval(() => {
      const wanted = ((systemClock.now() - startedMs) / 1_000) * perSecond * count;
      for (; due < wanted; due++) clients[due % count]?.send();
    }, 1);
  }
  setInterval(() => {
    const now = systemClock.now();
    for (const client of clients) {
      if (!client.waiting || now - client.sentMs < LOST_AFTER_MS) continue;
      lost++;
      client.waiting = false;
      if (perSecond === 0) client.send();
    }
  }, LOST_AFTER_MS / 2);
  await Bun.sleep(forSeconds * 1_000);
  latencies.sort((a, b) => a - b);
  const at = (part: number): number => latencies[Math.floor(latencies.length * part)] ?? Number.NaN;
  console.log(JSON.stringify({ answers, lost, p50Ms: at(0.5), p99Ms: at(0.99) }));
  process.exit(0);
}
