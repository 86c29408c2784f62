/**
 * Whether everything adds up: what clients saw, what the access log says, what the metrics count and what endpoints have
 * executed. A worker that was killed takes with it what it had under way and the lines that it had not written yet; nothing
 * else may be missing.
 */
import { readFileSync } from "node:fs";
import type { Metrics } from "../support/evenkeel.ts";
import type { Asked } from "./clients.ts";
import { numberIn } from "./echo.ts";

/** How long a line may wait in a worker before it is written, and a client may not notice that its worker is gone. */
const UNWRITTEN_MS = 2_000;
const UNNOTICED_MS = 1_000;
const MOST_ATTEMPTS = 3;
const SHOWN = 5;

export interface Evidence {
  readonly asked: readonly Asked[];
  readonly killsMs: readonly number[];
  readonly accessLog: string;
  readonly journals: readonly string[];
  readonly metrics: Metrics;
}

interface Line {
  readonly number: number;
  readonly status: number;
  readonly attempts: number;
  readonly pool: string;
  readonly reason: string;
}

export interface Accounts {
  readonly problems: string[];
  readonly lines: number;
  /** How often evenkeel itself ended a request, by reason. */
  readonly reasons: ReadonlyMap<string, number>;
  /** Requests without a line because their worker was killed. */
  readonly lost: number;
}

export function account(evidence: Evidence): Accounts {
  const lines = readLines(evidence.accessLog);
  const byNumber = new Map(lines.map((line) => [line.number, line]));
  const missing = evidence.asked.filter(({ number }) => !byNumber.has(number));
  const problems = [
    ...(byNumber.size === lines.length ? [] : ["a request has more than one line in the access log"]),
    ...some("line without a request", lines.filter(({ number }) => evidence.asked[number] === undefined).map(show)),
    ...some("line without a reason", lines.filter(isUnexplained).map(show)),
    ...some("internal failure", lines.filter(({ reason }) => reason === "E_INTERNAL").map(show)),
    ...some("request without a line", missing.filter((asked) => !mayBeMissing(asked, evidence)).map(show)),
    ...some("line that is not what its client saw", contradictions(evidence, byNumber)),
    ...executionProblems(evidence),
    ...metricsProblems(evidence, lines, missing.length),
  ];
  const reasons = new Map<string, number>();
  for (const { reason } of lines) if (reason !== "-") reasons.set(reason, (reasons.get(reason) ?? 0) + 1);
  return { problems, lines: lines.length, reasons, lost: missing.length };
}

function readLines(accessLog: string): Line[] {
  const text = readFileSync(accessLog, "latin1");
  return text
    .split("\n")
    .slice(0, -1)
    .filter((line) => !line.startsWith("/variant"))
    .map((line) => {
      const [target = "", status, attempts, pool = "", reason = ""] = line.split(" ");
      return { number: numberIn(target), status: Number(status), attempts: Number(attempts), pool, reason };
    });
}

function some(what: string, examples: readonly string[]): string[] {
  if (examples.length === 0) return [];
  return [`${examples.length} times: ${what}\n    ${examples.slice(0, SHOWN).join("\n    ")}`];
}

function show(what: object): string {
  return JSON.stringify(what);
}

/** Only what an endpoint has answered needs no reason: 200, and the 503 of one that is told to answer so. */
function isUnexplained({ status, attempts, reason }: Line): boolean {
  return reason === "-" && status !== 200 && !(status === 503 && attempts > 0);
}

function mayBeMissing(asked: Asked, { killsMs }: Evidence): boolean {
  // Who leaves may do so before the request is there.
  return asked.breach === "left" || isNear(killsMs, asked);
}

function isNear(killsMs: readonly number[], { fromMs, untilMs }: Asked): boolean {
  return killsMs.some((ms) => ms >= fromMs - UNNOTICED_MS && ms <= untilMs + UNWRITTEN_MS);
}

function contradictions({ asked, killsMs }: Evidence, lines: ReadonlyMap<number, Line>): string[] {
  return asked.flatMap((request) => {
    const line = lines.get(request.number);
    if (line === undefined || request.breach === "left") return [];
    // What a worker has sent and logged may be lost on the way when it is killed right then.
    const isBroken = request.status === 0 && isNear(killsMs, request);
    const isSame =
      request.status === 0
        ? line.reason !== "-" || isBroken
        : request.status === line.status && request.fromEndpoint === (line.reason === "-");
    return isSame ? [] : [`${show(request)} ${show(line)}`];
  });
}

/** What must not be done twice was done once at most, and once when its client was told so. */
function executionProblems({ asked, journals }: Evidence): string[] {
  const executed = new Map<number, number>();
  for (const journal of journals) {
    for (const text of readFileSync(journal, "latin1").split("\n").slice(0, -1))
      executed.set(Number(text), (executed.get(Number(text)) ?? 0) + 1);
  }
  const posts = asked.filter(({ method }) => method === "POST");
  const twice = posts.filter(({ number }) => (executed.get(number) ?? 0) > 1);
  const never = posts.filter(({ number, status }) => status === 200 && !executed.has(number));
  return [
    ...some("POST executed twice", twice.map(show)),
    ...some("POST acknowledged but not executed", never.map(show)),
  ];
}

/** Counters are exact but for what killed workers have not counted to the end. */
function metricsProblems({ metrics, killsMs }: Evidence, lines: readonly Line[], lost: number): string[] {
  const problems: string[] = [];
  const between = (what: string, value: number, from: number, until: number): void => {
    if (value < from || value > until) problems.push(`${what}: ${value}, expected ${from} to ${until}`);
  };
  const requests = metrics.sum("evenkeel_listener_requests_total");
  const statuses =
    metrics.sum("evenkeel_route_responses_total") - metrics.sum("evenkeel_route_responses_total", 'route="variant"');
  const variants = metrics.sum("evenkeel_route_responses_total", 'route="variant"');
  // Killed between two counts, a worker may have counted one of them.
  between(
    "requests, and the sum of statuses",
    requests - variants,
    statuses - killsMs.length,
    statuses + killsMs.length,
  );
  between("requests, and lines of the log", requests - variants, lines.length, lines.length + lost);
  const failed = lines.filter(({ reason }) => reason !== "-").length;
  between("refusals, and lines with a reason", metrics.sum("evenkeel_refusals_total"), failed, failed + lost);
  for (const pool of ["app", "users"]) {
    const attempts = lines.reduce((sum, line) => sum + (line.pool === pool ? line.attempts : 0), 0);
    const counted = metrics.sum("evenkeel_endpoint_attempts_total", `pool="${pool}"`);
    between(
      `attempts on the endpoints of ${pool}, and those of the log`,
      counted,
      attempts,
      attempts + MOST_ATTEMPTS * lost,
    );
  }
  return problems;
}
