/** `npx bun bench/load/udp.ts`: UDP through evenkeel and nginx stream in turns, processor microseconds per datagram. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { cpuOf, median, residentKiB } from "./measure.ts";
import { familyOf } from "./rivals.ts";

const TICK_US = 10_000;
const ENDPOINT_PORTS = [29_111, 29_112];
const PROXY_CPU = "0";
const LOAD_CPU = "1";
const PEER = join(import.meta.dir, "udp-peer.ts");
const ROOT = join(import.meta.dir, "..", "..");
const MODULE = "/usr/lib/nginx/modules/ngx_stream_module.so";
const WARM_UP_MS = 1_000;
/** What runs at the moment: ended also when this program is told to stop. */
const running = new Set<Bun.Subprocess>();

export interface UdpScene {
  readonly name: string;
  readonly sockets: number;
  /** Datagrams a second of each; 0 for as many as get answers. */
  readonly rate: number;
  /** One answer ends a flow. */
  readonly oneAnswer: boolean;
}

const UDP_SCENES: readonly UdpScene[] = [
  { name: "flows of 64 clients, as fast as it goes", sockets: 64, rate: 0, oneAnswer: false },
  { name: "flows of 1,000 clients, as fast as it goes", sockets: 1_000, rate: 0, oneAnswer: false },
  { name: "game: 200 clients, 30 a second each", sockets: 200, rate: 30, oneAnswer: false },
  { name: "one answer per flow, 64 clients", sockets: 64, rate: 0, oneAnswer: true },
];

export interface UdpFigures {
  /** Processor microseconds per datagram passed on, either way. */
  readonly user: number;
  readonly system: number;
  readonly total: number;
  readonly perSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly lost: number;
  readonly memoryMiB: number;
}

interface Started {
  readonly name: string;
  readonly port: number;
  readonly process: Bun.Subprocess;
}

function startEvenkeel(folder: string, { oneAnswer }: UdpScene): Started {
  const port = 29_011;
  const config = {
    workers: 1,
    listeners: {
      game: { address: `127.0.0.1:${port}`, protocol: "udp", pool: "app", ...(oneAnswer ? { responses: 1 } : {}) },
    },
    pools: { app: { health: false, endpoints: ENDPOINT_PORTS.map((endpoint) => `127.0.0.1:${endpoint}`) } },
    admin: false,
    accessLog: false,
    log: { level: "warn" },
  };
  const file = join(folder, "evenkeel.json");
  writeFileSync(file, JSON.stringify(config));
  const main = [process.execPath, join(ROOT, "src", "cli", "main.ts"), "run", "-c", file];
  return { name: "evenkeel", port, process: spawn(PROXY_CPU, main) };
}

function startNginx(folder: string, { oneAnswer }: UdpScene): Started {
  const port = 29_012;
  const servers = ENDPOINT_PORTS.map((endpoint) => `server 127.0.0.1:${endpoint};`).join(" ");
  const config = `load_module ${MODULE}; worker_processes 1; daemon off; pid ${folder}/nginx.pid; error_log ${folder}/nginx.err error; worker_rlimit_nofile 20000;
events { worker_connections 19000; }
stream { upstream app { ${servers} }
 server { listen 127.0.0.1:${port} udp reuseport; proxy_pass app; proxy_timeout 30s; ${oneAnswer ? "proxy_responses 1;" : ""} } }`;
  const file = join(folder, "nginx.conf");
  writeFileSync(file, config);
  return { name: "nginx", port, process: spawn(PROXY_CPU, ["nginx", "-c", file]) };
}

function spawn(cpu: string, command: readonly string[]): Bun.Subprocess {
  const child = Bun.spawn(["taskset", "-c", cpu, ...command], { stdio: ["ignore", "ignore", "inherit"] });
  running.add(child);
  return child;
}

function stop(child: Bun.Subprocess): void {
  running.delete(child);
  for (const pid of familyOf(child.pid).reverse()) {
    try {
      process.kill(pid, "SIGKILL");
    } catch {
      // Gone already.
    }
  }
}

async function measure(item: Started, scene: UdpScene, seconds: number): Promise<UdpFigures> {
  const pids = familyOf(item.process.pid);
  const before = cpuOf(pids);
  const args = ["load", String(item.port), String(scene.sockets), String(seconds), String(scene.rate)];
  const load = Bun.spawn(["taskset", "-c", LOAD_CPU, process.execPath, PEER, ...args], { stdout: "pipe" });
  const output = await new Response(load.stdout).text();
  const after = cpuOf(pids);
  const { answers, lost, p50Ms, p99Ms } = JSON.parse(output) as Record<string, number> & { answers: number };
  const datagrams = Math.max(1, answers * 2);
  const user = ((after.user - before.user) * TICK_US) / datagrams;
  const system = ((after.system - before.system) * TICK_US) / datagrams;
  return {
    user,
    system,
    total: user + system,
    perSecond: datagrams / seconds,
    p50Ms: p50Ms ?? Number.NaN,
    p99Ms: p99Ms ?? Number.NaN,
    lost: lost ?? 0,
    memoryMiB: residentKiB(pids) / 1_024,
  };
}

/** One scene in `rounds` rounds, in turns; medians by name. A round more than counts, to warm up. */
async function runUdpScene(
  folder: string,
  scene: UdpScene,
  rounds: number,
  seconds: number,
  only = "",
): Promise<Record<string, UdpFigures>> {
  const endpoints = ENDPOINT_PORTS.map((port) => spawn(LOAD_CPU, [process.execPath, PEER, "echo", String(port)]));
  const starters = [startEvenkeel, startNginx].filter((start) => start.name.toLowerCase().includes(only));
  const items = starters.map((start) => start(folder, scene));
  try {
    await Bun.sleep(WARM_UP_MS);
    const samples = new Map<string, UdpFigures[]>(items.map(({ name }) => [name, []]));
    for (let round = 0; round <= rounds; round++) {
      for (const item of items) {
        const figures = await measure(item, scene, seconds);
        if (round > 0) samples.get(item.name)?.push(figures);
      }
    }
    return Object.fromEntries([...samples].map(([name, list]) => [name, medianOf(list)]));
  } finally {
    for (const { process: child } of items) stop(child);
    for (const endpoint of endpoints) stop(endpoint);
  }
}

function medianOf(list: readonly UdpFigures[]): UdpFigures {
  const keys = Object.keys(list[0] as UdpFigures) as (keyof UdpFigures)[];
  return Object.fromEntries(keys.map((key) => [key, median(list.map((figures) => figures[key]))])) as never;
}

if (import.meta.main) {
  const folder = mkdtempSync(join(tmpdir(), "evenkeel-udp-"));
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.on(signal, () => process.exit(1));
  process.on("exit", () => {
    for (const child of running) stop(child);
    rmSync(folder, { recursive: true, force: true });
  });
  const { values } = parseArgs({
    options: {
      rounds: { type: "string", default: "5" },
      seconds: { type: "string", default: "3" },
      scenes: { type: "string", default: "" },
      only: { type: "string", default: "" },
    },
  });
  for (const scene of UDP_SCENES) {
    if (!scene.name.includes(values.scenes)) continue;
    console.log(`\n${scene.name}`);
    const medians = await runUdpScene(folder, scene, Number(values.rounds), Number(values.seconds), values.only);
    for (const [name, { user, system, total, perSecond, p50Ms, p99Ms, lost, memoryMiB }] of Object.entries(medians)) {
      const cost = `${total.toFixed(2)} us per datagram (user ${user.toFixed(2)}, system ${system.toFixed(2)})`;
      console.log(
        `  ${name.padEnd(9)} ${cost}  ${Math.round(perSecond)}/s  p50 ${p50Ms.toFixed(2)} p99 ${p99Ms.toFixed(2)} ms  ${lost} lost  ${memoryMiB.toFixed(0)} MiB`,
      );
    }
    const [ours, theirs] = [medians["evenkeel"], medians["nginx"]];
    if (ours !== undefined && theirs !== undefined)
      console.log(`  ${(ours.total / theirs.total).toFixed(2)} of nginx's (target 1)`);
  }
}
