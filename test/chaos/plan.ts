/** What goes wrong and when: drawn from a seed before anything begins, so that a run can be had again. */
import { type Random, seededRandom } from "../../src/base/random.ts";

export const ENDPOINTS = 5;
/** So many endpoints may fail at one time: one is always well. */
const MOST_FAILING = ENDPOINTS - 1;
/** For every fault to end, and what it hit to be used again, before the same is hit once more. */
const REST_MS = 600;
const MIN_GAP_MS = 100;
const MAX_GAP_MS = 500;
const MIN_LENGTH_MS = 400;
const MAX_LENGTH_MS = 3_500;
const MIN_BETWEEN_KILLS_MS = 400;
const MIN_BETWEEN_UPGRADES_MS = 5_000;
/** In a longer run no more after this, so that some process lives long enough to show what grows. */
const UPGRADES_UNTIL_MS = 120_000;
/** Changed files are looked at every five seconds. */
const MIN_BETWEEN_CERTIFICATES_MS = 3_000;

/** What an endpoint does; the first three to its process, the others by itself. */
export const ENDPOINT_FAULTS = [
  "die",
  "stop",
  "silent",
  "slow",
  "reset",
  "cut",
  "garbage",
  "unavailable",
  "refuse-half",
  "flap",
] as const;
export const REDIS_FAULTS = ["redis-dies", "redis-stops"] as const;
export const OPERATIONS = [
  "reload",
  "bad-reload",
  "drain",
  "maintenance",
  "weight",
  "remove",
  "kill-worker",
  "upgrade",
  "bad-upgrade",
  "certificate",
] as const;
/** Which worker `kill-worker` is about: one that serves, by its number, or any of a process that leaves after an upgrade. */
export const LEAVING_WORKER = 2;

export type Fault = (typeof ENDPOINT_FAULTS)[number] | (typeof REDIS_FAULTS)[number] | (typeof OPERATIONS)[number];

export interface Step {
  readonly fault: Fault;
  readonly fromMs: number;
  /** When it is over; the same as `fromMs` for what happens at once. */
  readonly untilMs: number;
  /** Endpoint, worker, or variant of the configuration or of the fault that it is about. */
  readonly which: number;
}

const LASTING: ReadonlySet<Fault> = new Set<Fault>([
  ...ENDPOINT_FAULTS,
  ...REDIS_FAULTS,
  "drain",
  "maintenance",
  "weight",
  "remove",
]);

/** Before the same happens again; REST_MS for all others. */
const REST_OF_MS: Partial<Record<Fault, number>> = {
  "kill-worker": MIN_BETWEEN_KILLS_MS,
  upgrade: MIN_BETWEEN_UPGRADES_MS,
  "bad-upgrade": MIN_BETWEEN_UPGRADES_MS,
  certificate: MIN_BETWEEN_CERTIFICATES_MS,
};

export function planChaos(seed: number, lengthMs: number, withRedis: boolean): Step[] {
  const random = seededRandom(seed);
  const steps: Step[] = [];
  const freeFromMs = new Map<string, number>();
  for (let atMs = 300; ; atMs += MIN_GAP_MS + random.below(MAX_GAP_MS - MIN_GAP_MS)) {
    const lengthOfIt = MIN_LENGTH_MS + random.below(MAX_LENGTH_MS - MIN_LENGTH_MS);
    const fault = drawFault(random, withRedis);
    const which = random.below(
      fault.startsWith("redis") ? 1 : fault === "kill-worker" ? LEAVING_WORKER + 1 : ENDPOINTS,
    );
    if (atMs + MIN_LENGTH_MS > lengthMs) return steps;
    const untilMs = LASTING.has(fault) ? Math.min(lengthMs, atMs + lengthOfIt) : atMs;
    const what = targetOf(fault, which);
    if ((freeFromMs.get(what) ?? 0) > atMs) continue;
    if (isEndpointFault(fault) && failingAt(steps, atMs) >= MOST_FAILING) continue;
    if (what === "process" && atMs > UPGRADES_UNTIL_MS) continue;
    freeFromMs.set(what, untilMs + (REST_OF_MS[fault] ?? REST_MS));
    steps.push({ fault, fromMs: atMs, untilMs, which });
  }
}

export function describeStep({ fault, fromMs, untilMs, which }: Step): string {
  const seconds = (ms: number): string => (ms / 1_000).toFixed(2).padStart(6);
  const until = untilMs > fromMs ? `until ${seconds(untilMs)} s` : "";
  return `${seconds(fromMs)} s  ${fault.padEnd(12)} ${which}  ${until}`.trimEnd();
}

export function isEndpointFault(fault: Fault): boolean {
  return (ENDPOINT_FAULTS as readonly Fault[]).includes(fault);
}

function drawFault(random: Random, withRedis: boolean): Fault {
  const kind = random.below(10);
  if (kind === 0 && withRedis) return REDIS_FAULTS[random.below(REDIS_FAULTS.length)] as Fault;
  const faults: readonly Fault[] = kind < 6 ? ENDPOINT_FAULTS : OPERATIONS;
  return faults[random.below(faults.length)] as Fault;
}

/** What cannot be in two states at once: an endpoint's process, what an operator says of it, Redis, the workers, ... */
function targetOf(fault: Fault, which: number): string {
  if (isEndpointFault(fault)) return `process ${which}`;
  if (fault.startsWith("redis")) return "redis";
  if (fault === "kill-worker") return "workers";
  if (fault === "certificate") return "certificate";
  if (fault.endsWith("upgrade")) return "process";
  if (fault === "remove") return `removed ${which}`;
  return fault.endsWith("reload") ? "configuration" : `state ${which}`;
}

function failingAt(steps: readonly Step[], atMs: number): number {
  return steps.filter(({ fault, untilMs }) => isEndpointFault(fault) && untilMs + REST_MS > atMs).length;
}
