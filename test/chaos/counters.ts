/**
 * Whether the counters of one process say what its access log says. They are exact but for what killed workers have not
 * counted to the end, and, when they were read in the middle of the load, for what was under way then.
 */
import type { Metrics } from "../support/evenkeel.ts";
import type { Line } from "./accounting.ts";
import type { Asked } from "./clients.ts";
import type { Generation } from "./generations.ts";
import { totalsIn, underWayIn } from "./process-memory.ts";

const MOST_ATTEMPTS = 3;
/** A client may have its answer before that is counted: the worker may have to wait for a processor in between. */
const UNCOUNTED_MS = 500;

export interface Counted {
  readonly generation: Generation;
  readonly lines: readonly Line[];
  readonly asked: readonly Asked[];
  /** Requests without a line, whose worker was killed. */
  readonly lost: readonly Asked[];
}

interface Counters {
  readonly requests: number;
  readonly statuses: number;
  readonly refusals: number;
  /** By pool, as far as they are known. */
  readonly attempts: ReadonlyMap<string, number>;
}

/** What may have been counted, by the log. */
interface Expected {
  readonly certain: readonly Line[];
  readonly possible: readonly Line[];
  readonly lost: number;
  readonly killed: number;
}

export function checkCounters(counted: Counted): string[] {
  const { reading, memory } = counted.generation;
  if (reading === undefined) return ["its counters were not read"];
  const problems = check(shownCounters(reading.metrics), expectedAt(counted, reading.fromMs, reading.untilMs));
  if (memory === undefined) return problems;
  const end = Number.POSITIVE_INFINITY;
  problems.push(...check({ ...totalsIn(memory), attempts: new Map() }, expectedAt(counted, end, end)));
  const underWay = underWayIn(memory);
  if (underWay !== "") problems.push(`it has ended with ${underWay}`);
  return problems;
}

function shownCounters(metrics: Metrics): Counters {
  const variants = metrics.sum("evenkeel_route_responses_total", 'route="variant"');
  const attempts = (pool: string): number => metrics.sum("evenkeel_endpoint_attempts_total", `pool="${pool}"`);
  return {
    requests: metrics.sum("evenkeel_listener_requests_total") - variants,
    statuses: metrics.sum("evenkeel_route_responses_total") - variants,
    refusals: metrics.sum("evenkeel_refusals_total"),
    attempts: new Map(["app", "users"].map((pool) => [pool, attempts(pool)])),
  };
}

function expectedAt({ generation, lines, asked, lost }: Counted, fromMs: number, untilMs: number): Expected {
  return {
    certain: lines.filter(({ number }) => isOver(asked[number], fromMs)),
    possible: lines.filter(({ number }) => (asked[number]?.fromMs ?? 0) <= untilMs),
    lost: lost.filter((request) => request.fromMs <= untilMs).length,
    killed: generation.killsMs.length,
  };
}

/** Whether evenkeel, too, was done with it at that time: who leaves does not wait for that. */
function isOver(asked: Asked | undefined, atMs: number): boolean {
  if (atMs === Number.POSITIVE_INFINITY) return true;
  return asked !== undefined && asked.breach === undefined && asked.untilMs + UNCOUNTED_MS < atMs;
}

function check({ requests, statuses, refusals, attempts }: Counters, expected: Expected): string[] {
  const { certain, possible, lost, killed } = expected;
  const problems: string[] = [];
  const between = (what: string, value: number, from: number, until: number): void => {
    if (value < from || value > until) problems.push(`${what}: ${value}, expected ${from} to ${until}`);
  };
  // Killed between two counts, a worker may have counted one of them. One is read after the other.
  const apart = killed + possible.length - certain.length;
  between("requests, and the sum of statuses", requests, statuses - apart, statuses + apart);
  between("requests, and lines of the log", requests, certain.length, possible.length + lost);
  const [failed, mayHaveFailed] = [certain.filter(hasReason).length, possible.filter(hasReason).length];
  between("refusals, and lines with a reason", refusals, failed, mayHaveFailed + lost);
  for (const [pool, count] of attempts) {
    const most = attemptsOn(pool, possible) + MOST_ATTEMPTS * lost;
    between(`attempts on the endpoints of ${pool}, and those of the log`, count, attemptsOn(pool, certain), most);
  }
  return problems;
}

function hasReason({ reason }: Line): boolean {
  return reason !== "-";
}

function attemptsOn(pool: string, lines: readonly Line[]): number {
  return lines.reduce((sum, line) => sum + (line.pool === pool ? line.attempts : 0), 0);
}
