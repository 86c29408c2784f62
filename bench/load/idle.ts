/** Memory of idle connections: many are opened, each asks once and then stays. */
import { connect, type Socket } from "node:net";
import { residentKiB } from "./measure.ts";
import type { RunningRival } from "./rivals.ts";

const CONNECTIONS = 5_000;
const BATCH = 100;

/** KiB of resident memory per connection. */
export async function idleMemory(rival: RunningRival, port: number): Promise<number> {
  const pids = rival.pids();
  // What the first requests cost once is not the connections'.
  await closeAll(await openAll(port, 200));
  await Bun.sleep(500);
  const before = residentKiB(pids);
  const sockets = await openAll(port, CONNECTIONS);
  await Bun.sleep(1_000);
  const after = residentKiB(pids);
  await closeAll(sockets);
  return (after - before) / CONNECTIONS;
}

async function openAll(port: number, count: number): Promise<Socket[]> {
  const sockets: Socket[] = [];
  while (sockets.length < count) {
    sockets.push(...(await Promise.all(Array.from({ length: BATCH }, () => openOne(port)))));
  }
  return sockets;
}

function openOne(port: number): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect({ port, host: "127.0.0.1" });
    socket.on("error", reject);
    socket.on("connect", () => socket.write("GET / HTTP/1.1\r\nHost: a\r\n\r\n"));
    socket.once("data", () => resolve(socket));
  });
}

async function closeAll(sockets: readonly Socket[]): Promise<void> {
  for (const socket of sockets) socket.destroy();
  await Bun.sleep(200);
}
