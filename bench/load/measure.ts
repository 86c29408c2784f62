/** Load on one proxy for a few seconds, and what it cost: processor time from /proc, the rest from the load generator. */
import { readFileSync } from "node:fs";
import type { RunningRival } from "./rivals.ts";

export interface Figures {
  /** Processor microseconds per request. */
  readonly user: number;
  readonly system: number;
  readonly total: number;
  readonly requestsPerSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  /** Peak resident memory of all its processes. */
  readonly memoryMiB: number;
  readonly errors: number;
}

const TICK_US = 10_000;

/** Runs `command` (wrk, or something that prints alike) against a running proxy. */
export async function measure(rival: RunningRival, command: readonly string[]): Promise<Figures> {
  const pids = rival.pids();
  const before = cpuOf(pids);
  const child = Bun.spawn([...command], { stdout: "pipe", stderr: "pipe" });
  const output = await new Response(child.stdout).text();
  await child.exited;
  const after = cpuOf(pids);
  const requests = requestsIn(output);
  const user = ((after.user - before.user) * TICK_US) / requests;
  const system = ((after.system - before.system) * TICK_US) / requests;
  return {
    user,
    system,
    total: user + system,
    requestsPerSecond: rateIn(output),
    p50Ms: milliseconds(/50%\s+([\d.]+\w+)/.exec(output)?.[1]),
    p99Ms: milliseconds(/99%\s+([\d.]+\w+)/.exec(output)?.[1]),
    memoryMiB: pids.reduce((sum, pid) => sum + peakMemory(pid), 0) / 1_024,
    errors: errorsIn(output) + (requests === 0 ? 1 : 0),
  };
}

export function residentKiB(pids: readonly number[]): number {
  return pids.reduce((sum, pid) => sum + statusField(pid, "VmRSS"), 0);
}

function peakMemory(pid: number): number {
  return statusField(pid, "VmHWM");
}

function statusField(pid: number, field: string): number {
  const text = readFileSync(`/proc/${pid}/status`, "utf8");
  return Number(new RegExp(`${field}:\\s+(\\d+)`).exec(text)?.[1] ?? 0);
}

export function cpuOf(pids: readonly number[]): { user: number; system: number } {
  let user = 0;
  let system = 0;
  for (const pid of pids) {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    user += Number(fields[11]);
    system += Number(fields[12]);
  }
  return { user, system };
}

/** As wrk, h2load and openssl s_time print it. */
function requestsIn(output: string): number {
  const found =
    /(\d+) requests in/.exec(output) ??
    /, (\d+) succeeded/.exec(output) ??
    /(\d+) connections in \d+ real/.exec(output);
  return Number(found?.[1] ?? 0);
}

function rateIn(output: string): number {
  const rate = /Requests\/sec:\s+([\d.]+)/.exec(output) ?? /, ([\d.]+) req\/s/.exec(output);
  if (rate !== null) return Number(rate[1]);
  const sTime = /(\d+) connections in (\d+) real/.exec(output);
  return sTime === null ? 0 : Number(sTime[1]) / Number(sTime[2]);
}

function errorsIn(output: string): number {
  const failed = /(\d+) failed, (\d+) errored/.exec(output);
  if (failed !== null) return Number(failed[1]) + Number(failed[2]);
  const bad = Number(/Non-2xx or 3xx responses: (\d+)/.exec(output)?.[1] ?? 0);
  const sockets = /Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)/.exec(output);
  return bad + (sockets === null ? 0 : sockets.slice(1).reduce((sum, count) => sum + Number(count), 0));
}

function milliseconds(text: string | undefined): number {
  const match = /^([\d.]+)(us|ms|s)$/.exec(text ?? "");
  if (match === null) return Number.NaN;
  return Number(match[1]) * { us: 0.001, ms: 1, s: 1_000 }[match[2] as "us" | "ms" | "s"];
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1
    ? (sorted[middle] as number)
    : ((sorted[middle - 1] as number) + (sorted[middle] as number)) / 2;
}
