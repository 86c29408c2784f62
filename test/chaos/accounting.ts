/**
 * Whether everything adds up: what clients saw, what the access log says, what the metrics count and what endpoints have
 * executed. A worker that was killed takes with it what it had under way and the lines that it had not written yet; nothing
 * else may be missing.
 */
import { readFileSync } from "node:fs";
import type { Asked, NotConnected } from "./clients.ts";
import { checkCounters } from "./counters.ts";
import { numberIn } from "./echo.ts";
import type { Generation } from "./generations.ts";

/** How long a line may wait in a worker before it is written, and a client may not notice that its worker is gone. */
const UNWRITTEN_MS = 2_000;
const UNNOTICED_MS = 1_000;
const SHOWN = 5;

export interface Evidence {
  readonly asked: readonly Asked[];
  readonly notConnected: readonly NotConnected[];
  readonly killsMs: readonly number[];
  readonly generations: readonly Generation[];
  readonly journals: readonly string[];
}

export interface Line {
  readonly number: number;
  readonly status: number;
  readonly attempts: number;
  readonly pool: string;
  readonly reason: string;
}

export interface Accounts {
  readonly problems: string[];
  readonly lines: number;
  /** Why evenkeel itself has ended requests. */
  readonly reasons: readonly string[];
  /** Requests without a line. */
  readonly lost: number;
}

export function account(evidence: Evidence): Accounts {
  const linesOf = evidence.generations.map(({ accessLog }) => readLines(accessLog));
  const lines = linesOf.flat();
  const byNumber = new Map(lines.map((line) => [line.number, line]));
  const missing = evidence.asked.filter(({ number }) => !byNumber.has(number));
  const problems = [
    ...(byNumber.size === lines.length ? [] : ["a request has more than one line in the access log"]),
    ...some("line without a request", lines.filter(({ number }) => evidence.asked[number] === undefined).map(show)),
    ...some("line without a reason", lines.filter(isUnexplained).map(show)),
    ...some("internal failure", lines.filter(({ reason }) => reason === "E_INTERNAL").map(show)),
    ...some("request without a line", missing.filter((asked) => !mayBeMissing(asked, evidence)).map(show)),
    ...some("line that is not what its client saw", contradictions(evidence, byNumber)),
    ...some("connection that came to nothing", unexplainedConnections(evidence).map(show)),
    ...executionProblems(evidence),
    ...evidence.generations.flatMap((generation, index) => {
      // Whose worker was killed may have been counted all the same.
      const lost = missing.filter((asked) => isNear(generation.killsMs, asked));
      const problems = checkCounters({ generation, lines: linesOf[index] ?? [], asked: evidence.asked, lost });
      return problems.map((problem) => `process ${index + 1} of ${linesOf.length}: ${problem}`);
    }),
  ];
  const reasons = lines.map(({ reason }) => reason).filter((reason) => reason !== "-");
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

/** Only what an endpoint has answered needs no reason: 200, 101, and the 503 of one that is told to answer so. */
function isUnexplained({ status, attempts, reason }: Line): boolean {
  return reason === "-" && status !== 200 && !((status === 101 || status === 503) && attempts > 0);
}

function mayBeMissing(asked: Asked, evidence: Evidence): boolean {
  // Who leaves may do so before the request is there. What was refused nobody has looked at.
  return asked.breach === "left" || asked.breach === "refused" || isNear(evidence.killsMs, asked);
}

function isNear(killsMs: readonly number[], { fromMs, untilMs }: Pick<Asked, "fromMs" | "untilMs">): boolean {
  return killsMs.some((ms) => ms >= fromMs - UNNOTICED_MS && ms <= untilMs + UNWRITTEN_MS);
}

function unexplainedConnections({ notConnected, killsMs }: Evidence): NotConnected[] {
  return notConnected.filter((connection) => !isNear(killsMs, connection));
}

function contradictions(evidence: Evidence, lines: ReadonlyMap<number, Line>): string[] {
  return evidence.asked.flatMap((request) => {
    const line = lines.get(request.number);
    if (line === undefined || request.breach === "left") return [];
    // What a worker has sent and logged may be lost on the way when it is killed right then.
    const isBroken = request.status === 0 && isNear(evidence.killsMs, request);
    // A WebSocket ends when either side does so, in whatever way.
    const isTunnel = request.speech === "websocket" && request.breach === "cut" && line.status === 101;
    const isSame =
      request.status === 0
        ? (line.reason !== "-" && request.breach !== "refused") || isBroken || isTunnel
        : request.status === line.status && request.fromEndpoint === (line.reason === "-");
    return isSame ? [] : [`${show(request)} ${show(line)}`];
  });
}

/** What must not be done twice was done once at most, once when its client was told so, and not when that was refused. */
function executionProblems({ asked, journals }: Evidence): string[] {
  const executed = new Map<number, number>();
  for (const journal of journals) {
    for (const text of readFileSync(journal, "latin1").split("\n").slice(0, -1))
      executed.set(Number(text), (executed.get(Number(text)) ?? 0) + 1);
  }
  const posts = asked.filter(({ method }) => method === "POST");
  const twice = posts.filter(({ number }) => (executed.get(number) ?? 0) > 1);
  const never = posts.filter(({ number, status }) => status === 200 && !executed.has(number));
  const refused = posts.filter(({ number, breach }) => breach === "refused" && executed.has(number));
  return [
    ...some("POST executed twice", twice.map(show)),
    ...some("POST refused and executed", refused.map(show)),
    ...some("POST acknowledged but not executed", never.map(show)),
  ];
}
