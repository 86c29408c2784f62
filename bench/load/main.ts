/** `npm run bench`: evenkeel beside nginx, HAProxy and Caddy, in one run, in turns. See bench/README.md. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { cpus, tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { http2Idle, idleMemory, plainIdle, tlsIdle } from "./idle.ts";
import { type Figures, measure, median } from "./measure.ts";
import { measureAtRate, type RatedFigures } from "./rated.ts";
import {
  caddy,
  evenkeel,
  haproxy,
  makeCertificate,
  nginx,
  PORT,
  type Rival,
  type RunningRival,
  startBackends,
  startGrpcEndpoint,
  startWebSocketEndpoint,
} from "./rivals.ts";
import { SCENES, type Scene } from "./scenes.ts";

const { values: options } = parseArgs({
  options: {
    rounds: { type: "string", default: "5" },
    seconds: { type: "string", default: "3" },
    scenes: { type: "string", default: "" },
    only: { type: "string", default: "" },
    "write-results": { type: "boolean", default: false },
  },
});
const rounds = Number(options.rounds);
const seconds = Number(options.seconds);
const LOAD_CPU = "1";
/** Caddy takes several times as long; it is measured in the scenes that say something about it. */
const CADDY_SCENES = new Set(["small, c=64", "small, c=512"]);

interface SceneResult {
  readonly scene: Scene;
  readonly medians: Record<string, Figures>;
}

const rivals = [evenkeel, nginx, haproxy, caddy].filter(
  (rival) => options.only === "" || options.only.split(",").includes(rival.name),
);
for (const rival of rivals) if (!rival.isInstalled()) console.log(`${rival.name} is not installed and left out`);
const present = rivals.filter((rival) => rival.isInstalled());
const folder = mkdtempSync(join(tmpdir(), "evenkeel-bench-"));
const running = new Set<RunningRival>();
for (const signal of ["SIGINT", "SIGTERM"] as const) process.on(signal, () => process.exit(1));
process.on("exit", () => {
  for (const item of running) item.stop();
  rmSync(folder, { recursive: true, force: true });
});

if (Bun.which("wrk") === null || !nginx.isInstalled()) {
  console.error("the bench needs wrk and nginx: apt-get install wrk nginx haproxy");
  process.exit(1);
}
makeCertificate(folder);
running.add(await startBackends(folder, LOAD_CPU));
running.add(await startGrpcEndpoint(LOAD_CPU));
running.add(await startWebSocketEndpoint(LOAD_CPU));
const results: SceneResult[] = [];
for (const scene of SCENES) if (scene.name.includes(options.scenes)) results.push(await runScene(scene));
const idle = options.scenes === "" || "idle".includes(options.scenes) ? await runIdle() : {};
const rated = options.scenes === "" || "rate".includes(options.scenes) ? await runAtRate() : undefined;
report(results, idle, rated);
process.exit(0);

async function runScene(scene: Scene): Promise<SceneResult> {
  const config = { routes: 0, accessLog: false, ...scene.config };
  const started = new Map<Rival, RunningRival>();
  const taking = present.filter((rival) => rival !== caddy || CADDY_SCENES.has(scene.name));
  for (const rival of taking) {
    const item = await rival.start(folder, config);
    running.add(item);
    started.set(rival, item);
  }
  const samples = new Map<string, Figures[]>(taking.map((rival) => [rival.name, []]));
  // A round more than counts, to warm up.
  for (let round = 0; round <= rounds; round++) {
    for (const [rival, item] of started) {
      const figures = await measure(item, loadCommand(scene, rival.port + PORT[scene.spoken ?? "http"]));
      if (round > 0) samples.get(rival.name)?.push(figures);
    }
  }
  for (const item of started.values()) {
    item.stop();
    running.delete(item);
  }
  const medians = Object.fromEntries([...samples].map(([name, figures]) => [name, medianOf(figures)]));
  printScene(scene, medians);
  return { scene, medians };
}

function loadCommand(scene: Scene, port: number): string[] {
  if (scene.load === "h2load" || scene.load === "grpc") return h2loadCommand(scene, port);
  if (scene.load === "websocket") {
    const script = join(import.meta.dir, "websocket-load.ts");
    return [
      "taskset",
      "-c",
      LOAD_CPU,
      process.execPath,
      script,
      String(port),
      String(scene.connections),
      String(seconds),
    ];
  }
  if (scene.load === "resumed") {
    const connect = ["-connect", `127.0.0.1:${port}`, "-www", scene.path, "-tls1_2"];
    return ["taskset", "-c", LOAD_CPU, "openssl", "s_time", ...connect, "-reuse", "-time", String(seconds)];
  }
  const command = [
    "taskset",
    "-c",
    LOAD_CPU,
    "wrk",
    "-t1",
    `-c${scene.connections}`,
    `-d${seconds}s`,
    "--latency",
    "--timeout",
    "10s",
  ];
  for (const header of scene.headers ?? []) command.push("-H", header);
  if (scene.script !== undefined) {
    const file = join(folder, "script.lua");
    writeFileSync(file, scene.script);
    command.push("-s", file);
  }
  return [...command, `${scene.spoken === "tls" ? "https" : "http"}://127.0.0.1:${port}${scene.path}`];
}

function h2loadCommand(scene: Scene, port: number): string[] {
  const command = ["taskset", "-c", LOAD_CPU, "h2load", "-t1", `-c${scene.connections}`, "-m10", `-D${seconds}`];
  if (scene.load === "grpc") {
    const body = join(folder, "grpc-request");
    writeFileSync(body, Buffer.from([0, 0, 0, 0, 5, 0x68, 0x65, 0x6c, 0x6c, 0x6f]));
    command.push("-d", body, "-H", "content-type: application/grpc", "-H", "te: trailers");
  }
  return [...command, `https://127.0.0.1:${port}${scene.path}`];
}

function medianOf(samples: readonly Figures[]): Figures {
  const of = (read: (figures: Figures) => number): number => median(samples.map(read));
  return {
    user: of(({ user }) => user),
    system: of(({ system }) => system),
    total: of(({ total }) => total),
    requestsPerSecond: of(({ requestsPerSecond }) => requestsPerSecond),
    p50Ms: of(({ p50Ms }) => p50Ms),
    p99Ms: of(({ p99Ms }) => p99Ms),
    memoryMiB: of(({ memoryMiB }) => memoryMiB),
    errors: samples.reduce((sum, { errors }) => sum + errors, 0),
  };
}

async function runIdle(): Promise<IdleResults> {
  const results: Record<string, Record<string, number>> = {};
  for (const [scene, spoken] of [
    [plainIdle, "http"],
    [tlsIdle, "tls"],
    [http2Idle, "tls"],
  ] as const) {
    const perConnection: Record<string, number> = {};
    for (const rival of present) {
      if (rival === caddy && spoken === "tls") continue;
      const item = await rival.start(folder, { routes: 0, accessLog: false });
      running.add(item);
      perConnection[rival.name] = await idleMemory(item, rival.port + PORT[spoken], scene);
      item.stop();
      running.delete(item);
    }
    results[scene.name] = perConnection;
    console.log(`\n${scene.name}, KiB for each: ${JSON.stringify(perConnection)}`);
  }
  return results;
}

type IdleResults = Readonly<Record<string, Readonly<Record<string, number>>>>;

/** All at 70% of what nginx can do at most. */
async function runAtRate(): Promise<Rated> {
  const names = ["evenkeel", "nginx", "haproxy"];
  const taking = present.filter(({ name }) => names.includes(name));
  const started = new Map<string, { running: RunningRival; port: number }>();
  for (const rival of taking) {
    const item = await rival.start(folder, { routes: 0, accessLog: false });
    running.add(item);
    started.set(rival.name, { running: item, port: rival.port });
  }
  const scene: Scene = { name: "capacity", connections: 64, path: "/", targets: {} };
  const best = await measure(started.get("nginx")!.running, loadCommand(scene, nginx.port));
  const requestsPerSecond = Math.round(best.requestsPerSecond * 0.7);
  const figures = await measureAtRate(started, { requestsPerSecond, seconds, rounds, cpu: LOAD_CPU, folder });
  for (const { running: item } of started.values()) {
    item.stop();
    running.delete(item);
  }
  console.log(`\nlatency at ${requestsPerSecond} requests/s (70% of nginx's most), c=64`);
  for (const [name, { p50Ms, p99Ms, p999Ms, errors }] of Object.entries(figures)) {
    const wrong = errors > 0 ? `  ${errors} ERRORS` : "";
    console.log(
      `  ${name.padEnd(9)} p50 ${p50Ms.toFixed(2)} p99 ${p99Ms.toFixed(2)} p99.9 ${p999Ms.toFixed(2)} ms${wrong}`,
    );
  }
  return { requestsPerSecond, figures };
}

interface Rated {
  readonly requestsPerSecond: number;
  readonly figures: Readonly<Record<string, RatedFigures>>;
}

function printScene(scene: Scene, medians: Readonly<Record<string, Figures>>): void {
  console.log(`\n${scene.name}`);
  for (const [name, figures] of Object.entries(medians)) {
    const { user, system, total, requestsPerSecond, p50Ms, p99Ms, memoryMiB, errors } = figures;
    // Not every load generator tells.
    const latencies = Number.isNaN(p99Ms) ? "" : ` p50 ${p50Ms.toFixed(2)} p99 ${p99Ms.toFixed(2)} ms`;
    const cost = `${total.toFixed(1)} us (user ${user.toFixed(1)}, system ${system.toFixed(1)})`;
    const wrong = errors > 0 ? `  ${errors} ERRORS` : "";
    console.log(
      `  ${name.padEnd(9)} ${cost.padEnd(36)} ${Math.round(requestsPerSecond)} requests/s ${latencies}  ${memoryMiB.toFixed(0)} MiB${wrong}`,
    );
  }
  for (const [rival, target, ratio] of ratios({ scene, medians })) {
    console.log(`  ${ratio.toFixed(2)} of ${rival}'s (target ${target}): ${ratio <= target ? "met" : "MISSED"}`);
  }
}

function ratios({ scene, medians }: SceneResult): [string, number, number][] {
  return Object.entries(scene.targets).flatMap(([rival, target]): [string, number, number][] => {
    const [ours, theirs] = [medians["evenkeel"], medians[rival]];
    return ours === undefined || theirs === undefined ? [] : [[rival, target, ours.total / theirs.total]];
  });
}

function report(all: readonly SceneResult[], idle: IdleResults, atRate: Rated | undefined): void {
  const names = present.map(({ name }) => name);
  let page = `# Measured\n\n${new Date().toISOString().slice(0, 10)}, ${cpus()[0]?.model} with ${cpus().length} cores, \`npm run bench\`: medians of ${rounds} rounds of ${seconds} s, in turns;\nthe balancer on one core, load and endpoints on the other. Processor microseconds per request (user + system), then requests/s and p99.\n\n`;
  page += `| scene | ${names.join(" | ")} | against nginx | against HAProxy |\n|---|${"---|".repeat(names.length + 2)}\n`;
  for (const result of all) {
    const cells = names.map((name) => {
      const figures = result.medians[name];
      if (figures === undefined) return "";
      return `${figures.total.toFixed(1)} (${figures.user.toFixed(1)} + ${figures.system.toFixed(1)}), ${Math.round(figures.requestsPerSecond)}/s${latency(figures.p99Ms)}`;
    });
    const ratio = (rival: "nginx" | "haproxy"): string => {
      const [ours, theirs] = [result.medians["evenkeel"], result.medians[rival]];
      if (ours === undefined || theirs === undefined) return "";
      const target = result.scene.targets[rival];
      const verdict =
        target === undefined
          ? ""
          : ours.total / theirs.total <= target
            ? ` (target ${target}: met)`
            : ` (target ${target}: missed)`;
      return `${(ours.total / theirs.total).toFixed(2)}${verdict}`;
    };
    page += `| ${result.scene.name} | ${cells.join(" | ")} | ${ratio("nginx")} | ${ratio("haproxy")} |\n`;
  }
  for (const [name, perConnection] of Object.entries(idle)) {
    const shown = Object.entries(perConnection).map(([rival, kib]) => `${rival} ${kib.toFixed(1)}`);
    page += `\nMemory of ${name}, KiB for each connection: ${shown.join(", ")}.\n`;
  }
  if (atRate !== undefined) {
    const shown = Object.entries(atRate.figures).map(
      ([name, { p50Ms, p99Ms, p999Ms }]) => `${name} ${p50Ms.toFixed(2)} / ${p99Ms.toFixed(2)} / ${p999Ms.toFixed(2)}`,
    );
    page += `\nLatency at ${atRate.requestsPerSecond} requests/s, 70% of what nginx can do at most (p50 / p99 / p99.9, ms): ${shown.join(", ")}.\n`;
  }
  const out = join(import.meta.dir, "..", "results");
  mkdirSync(out, { recursive: true });
  writeFileSync(
    join(out, `${new Date().toISOString().replaceAll(":", "-")}.json`),
    JSON.stringify({ rounds, seconds, results: all, idle, rated: atRate }, null, 2),
  );
  if (options["write-results"]) writeFileSync(join(import.meta.dir, "..", "RESULTS.md"), page);
}

function latency(p99Ms: number): string {
  return Number.isNaN(p99Ms) ? "" : `, ${p99Ms.toFixed(1)} ms`;
}
