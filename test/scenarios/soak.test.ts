/**
 * Mixed load over a longer time: nothing may grow, nothing may be left over, and every request must be accounted for.
 * Takes a minute. The nightly run gives it ten with EVENKEEL_SOAK_SECONDS=600.
 */
import { afterEach, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { type Evenkeel, startEvenkeel } from "../support/evenkeel.ts";
import { startNginx, wrk } from "../support/peers.ts";
import {
  endAll,
  eventually,
  freePort,
  havePrograms,
  openDescriptors,
  residentBytes,
  temporaryFolder,
} from "../support/process.ts";

const SECONDS = Number(process.env["EVENKEEL_SOAK_SECONDS"] ?? 60);
const MIB = 1_048_576;
/** Growth of memory from the middle third to the last that is still noise. */
const MEMORY_SHARE = 1.15;
const MEMORY_SLACK_BYTES = 24 * MIB;
/** Idle connections to endpoints come and go with the load. */
const DESCRIPTOR_SLACK = 48;
const UPLOAD_BYTES = 300_000;
const UPLOAD_PAUSE_MS = 20;

afterEach(endAll);

interface Sample {
  readonly memoryBytes: number;
  readonly descriptors: number;
}

/** All workers and the supervisor, once a second, as long as `work` lasts. */
async function sampleDuring(evenkeel: Evenkeel, work: Promise<unknown>): Promise<Sample[]> {
  const processes = [evenkeel.pid, ...evenkeel.workers()];
  const samples: Sample[] = [];
  let isOver = false;
  const over = work.finally(() => {
    isOver = true;
  });
  while (!isOver) {
    await Promise.race([over, Bun.sleep(1_000)]);
    if (isOver) break;
    samples.push({
      memoryBytes: processes.reduce((sum, pid) => sum + residentBytes(pid), 0),
      descriptors: processes.reduce((sum, pid) => sum + openDescriptors(pid), 0),
    });
  }
  await over;
  return samples;
}

function median(numbers: readonly number[]): number {
  return [...numbers].sort((a, b) => a - b)[Math.floor(numbers.length / 2)] ?? 0;
}

/** Medians of a figure in the middle third and in the last; the first is for warming up. */
function thirds(samples: readonly Sample[], figure: keyof Sample): { middle: number; last: number } {
  const values = samples.map((sample) => sample[figure]);
  const third = Math.floor(values.length / 3);
  return { middle: median(values.slice(third, 2 * third)), last: median(values.slice(2 * third)) };
}

/** Sends bodies one after another until the time is over, and sees that each arrives whole. Returns how many. */
async function upload(url: string, until: number): Promise<number> {
  const body = Buffer.alloc(UPLOAD_BYTES, "upload ");
  let sent = 0;
  while (performance.now() < until) {
    const size = 1 + Math.floor(Math.random() * UPLOAD_BYTES);
    const response = await fetch(url, { method: "POST", body: body.subarray(0, size) });
    if ((await response.text()) !== String(size)) throw new Error(`${size} bytes sent, status ${response.status}`);
    sent++;
    await Bun.sleep(UPLOAD_PAUSE_MS);
  }
  return sent;
}

/** An endpoint that says how much it was sent. Its address. */
function startCountingEndpoint(): { address: string; stop(): Promise<void> } {
  const server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    async fetch(request) {
      return new Response(String((await request.arrayBuffer()).byteLength));
    },
  });
  return { address: `127.0.0.1:${server.port}`, stop: () => server.stop(true) };
}

function linesOf(log: string): string[] {
  return readFileSync(log, "latin1").split("\n").slice(0, -1);
}

if (havePrograms("nginx", "wrk")) {
  test(
    `${SECONDS} seconds of mixed load: flat memory and descriptors, nothing in flight, every request accounted for`,
    async () => {
      const endpoints = await startNginx(3);
      const counting = startCountingEndpoint();
      const port = await freePort();
      const log = join(temporaryFolder(), "access.log");
      const evenkeel = await startEvenkeel({
        workers: 2,
        listeners: { web: { address: `127.0.0.1:${port}`, pool: "app" } },
        routes: [{ name: "upload", match: { path: "/upload" }, pool: "uploads" }],
        pools: {
          app: { endpoints: endpoints.map(({ address }) => address), balance: "least-connections" },
          uploads: { endpoints: [counting.address] },
        },
        accessLog: { path: log, format: "{method} {status} {reason}" },
      });
      const url = `http://127.0.0.1:${port}/`;
      const until = performance.now() + SECONDS * 1_000;
      // Pauses leave the machine some air: this is about time, not about speed.
      const load = Promise.all([
        wrk(url, { connections: 32, seconds: SECONDS, pauseMs: 10 }),
        wrk(url, { connections: 8, seconds: SECONDS, pauseMs: 10, headers: { Connection: "close" } }),
        Promise.all([upload(`${url}upload`, until), upload(`${url}upload`, until)]),
      ]);
      const samples = await sampleDuring(evenkeel, load);
      const [keptAlive, perRequest, uploads] = await load;

      expect(keptAlive).toMatchObject({ badAnswers: 0, socketErrors: 0 });
      expect(perRequest).toMatchObject({ badAnswers: 0, socketErrors: 0 });
      const memory = thirds(samples, "memoryBytes");
      expect(memory.last).toBeLessThan(memory.middle * MEMORY_SHARE + MEMORY_SLACK_BYTES);
      const descriptors = thirds(samples, "descriptors");
      expect(descriptors.last).toBeLessThanOrEqual(descriptors.middle + DESCRIPTOR_SLACK);
      console.log(
        `soak: ${keptAlive.requests} + ${perRequest.requests} requests, ${uploads[0] + uploads[1]} uploads; ` +
          `memory ${Math.round(memory.middle / MIB)} -> ${Math.round(memory.last / MIB)} MiB, ` +
          `descriptors ${descriptors.middle} -> ${descriptors.last}`,
      );
      await everythingIsAccountedFor(evenkeel, log, keptAlive.requests + perRequest.requests, uploads[0] + uploads[1]);
      await counting.stop();
    },
    (SECONDS + 90) * 1_000,
  );
}

async function everythingIsAccountedFor(evenkeel: Evenkeel, log: string, gets: number, posts: number): Promise<void> {
  await eventually(
    async () => (await evenkeel.metrics()).sum("evenkeel_endpoint_in_flight") === 0,
    "in-flight to come to 0",
  );
  const counted = async (): Promise<number> => (await evenkeel.metrics()).sum("evenkeel_listener_requests_total");
  // The log is written a few times a second.
  await eventually(async () => linesOf(log).length === (await counted()), "as many lines as requests");
  const lines = linesOf(log);
  const isGood = (line: string): boolean => /^(GET|POST) 200 -$/.test(line);
  // When its time is over, wrk leaves without waiting for its answers.
  expect(lines.filter((line) => !isGood(line) && !line.endsWith(" E_CLIENT_CLOSED"))).toEqual([]);
  expect(lines.filter((line) => line === "POST 200 -")).toHaveLength(posts);
  expect(lines.filter((line) => line === "GET 200 -").length).toBeGreaterThanOrEqual(gets);
  const metrics = await evenkeel.metrics();
  const responses = metrics.sum("evenkeel_route_responses_total");
  expect(responses).toBe(lines.length);
  expect(metrics.sum("evenkeel_worker_restarts_total")).toBe(0);
}
