/** Latency at a fixed rate, which says more to users than latency at full load: h2load sends, and logs every request. */
import { readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { median } from "./measure.ts";
import type { RunningRival } from "./rivals.ts";

const CONNECTIONS = 64;

export interface RatedFigures {
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly p999Ms: number;
  readonly errors: number;
}

export interface RatedLoad {
  readonly requestsPerSecond: number;
  readonly seconds: number;
  readonly rounds: number;
  readonly cpu: string;
  readonly folder: string;
}

/** The rivals in turns, at the same rate; medians over the rounds of each round's percentiles. */
export async function measureAtRate(
  rivals: ReadonlyMap<string, { readonly running: RunningRival; readonly port: number }>,
  load: RatedLoad,
): Promise<Record<string, RatedFigures>> {
  const samples = new Map<string, RatedFigures[]>();
  for (let round = 0; round < load.rounds; round++) {
    for (const [name, { port }] of rivals) samples.set(name, [...(samples.get(name) ?? []), await once(port, load)]);
  }
  return Object.fromEntries(
    [...samples].map(([name, figures]) => [
      name,
      {
        p50Ms: median(figures.map(({ p50Ms }) => p50Ms)),
        p99Ms: median(figures.map(({ p99Ms }) => p99Ms)),
        p999Ms: median(figures.map(({ p999Ms }) => p999Ms)),
        errors: figures.reduce((sum, { errors }) => sum + errors, 0),
      },
    ]),
  );
}

async function once(port: number, { requestsPerSecond, seconds, cpu, folder }: RatedLoad): Promise<RatedFigures> {
  const log = join(folder, "h2load.log");
  rmSync(log, { force: true });
  const perClient = (requestsPerSecond / CONNECTIONS).toFixed(2);
  const load = ["h2load", "--h1", `-c${CONNECTIONS}`, "-t1", `--rps=${perClient}`, `-D${seconds}`, `--log-file=${log}`];
  const child = Bun.spawn(["taskset", "-c", cpu, ...load, `http://127.0.0.1:${port}/`], { stdout: "ignore" });
  await child.exited;
  const rows = readFileSync(log, "utf8")
    .trim()
    .split("\n")
    .map((line) => line.split("\t"));
  const times = rows.map((row) => Number(row[2]) / 1_000).sort((a, b) => a - b);
  const at = (share: number): number =>
    times[Math.min(times.length - 1, Math.floor(times.length * share))] ?? Number.NaN;
  return {
    p50Ms: at(0.5),
    p99Ms: at(0.99),
    p999Ms: at(0.999),
    errors: rows.filter((row) => row[1] !== "200").length,
  };
}
