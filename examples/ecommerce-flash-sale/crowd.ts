/** The people: so many a second, whatever becomes of those before them. Tells what each of them got. */

export type Outcome = "served" | "waiting room" | "refused" | "failed";

export interface Visit {
  readonly kind: "browse" | "buy";
  readonly outcome: Outcome;
  /** When it began, after the crowd did. */
  readonly atMs: number;
  readonly tookMs: number;
  /** What went wrong, where something did. */
  readonly problem: string;
}

export interface Rate {
  readonly browse: number;
  readonly buy: number;
}

/** The shop can serve 120 who look and 40 who buy in a second: places / 0.1 s. */
export const CAPACITY: Rate = { browse: 120, buy: 40 };
export const USUAL: Rate = { browse: 50, buy: 10 };
/** Ten times as many who look. Those who buy are fewer, for they have to get into the shop before. */
export const SALE: Rate = { browse: 500, buy: 30 };

const TICK_MS = 10;
const PATIENCE_MS = 20_000;

/** Sends them for `seconds`, and waits until the last one has an answer. */
export async function sendCrowd(port: number, rate: Rate, seconds: number): Promise<Visit[]> {
  return Promise.all(await arrive(port, rate, seconds));
}

/** As many as come in `seconds`; whether they have an answer by then or not. */
async function arrive(port: number, rate: Rate, seconds: number): Promise<Promise<Visit>[]> {
  const started = performance.now();
  const visits: Promise<Visit>[] = [];
  const sent = { browse: 0, buy: 0 };
  for (let atMs = 0; atMs < seconds * 1_000; atMs = performance.now() - started) {
    for (const kind of ["browse", "buy"] as const)
      for (; sent[kind] < (rate[kind] * atMs) / 1_000; sent[kind]++) visits.push(visit(port, kind, atMs));
    await Bun.sleep(TICK_MS);
  }
  return visits;
}

async function visit(port: number, kind: Visit["kind"], atMs: number): Promise<Visit> {
  const started = performance.now();
  const url = `http://127.0.0.1:${port}/${kind === "buy" ? "checkout" : ""}`;
  const method = kind === "buy" ? "POST" : "GET";
  let outcome: Outcome = "failed";
  let problem = "";
  try {
    const response = await fetch(url, { method, signal: AbortSignal.timeout(PATIENCE_MS) });
    const text = await response.text();
    outcome = outcomeOf(response, text);
    if (outcome === "failed") problem = `${response.status} ${text}`;
  } catch (error) {
    problem = String(error);
  }
  return { kind, outcome, problem, atMs, tookMs: performance.now() - started };
}

function outcomeOf(response: Response, text: string): Outcome {
  if (response.status === 200) return "served";
  if (response.status !== 503 || !response.headers.has("retry-after")) return "failed";
  return text.includes("waiting room") ? "waiting room" : "refused";
}

/** Of how long those took who were served. */
export function percentile(visits: readonly Visit[], percent: number): number {
  const times = visits.flatMap(({ outcome, tookMs }) => (outcome === "served" ? [tookMs] : [])).sort((a, b) => a - b);
  return times[Math.min(times.length - 1, Math.floor((times.length * percent) / 100))] ?? 0;
}

export function count(visits: readonly Visit[], kind: Visit["kind"], outcome: Outcome): number {
  return visits.filter((each) => each.kind === kind && each.outcome === outcome).length;
}

const DAY = [
  { name: "usual", rate: USUAL, seconds: 3 },
  { name: "sale", rate: SALE, seconds: 5 },
  { name: "usual", rate: USUAL, seconds: 3 },
] as const;

function line(visits: readonly Visit[]): string {
  const refused = count(visits, "browse", "refused") + count(visits, "buy", "refused");
  const failed = count(visits, "browse", "failed") + count(visits, "buy", "failed");
  const figures: [figure: number | string, width: number][] = [
    [visits.length, 8],
    [count(visits, "browse", "served"), 8],
    [count(visits, "browse", "waiting room"), 15],
    [count(visits, "buy", "served"), 9],
    [refused, 10],
    [failed, 9],
    [`${percentile(visits, 50).toFixed(0)} ms`, 11],
    [`${percentile(visits, 99).toFixed(0)} ms`, 11],
  ];
  return figures.map(([figure, width]) => String(figure).padStart(width)).join("");
}

if (import.meta.main) {
  const port = Number(process.env["FRONT_PORT"] ?? 8080);
  const hours: Promise<Visit>[][] = [];
  for (const { rate, seconds } of DAY) hours.push(await arrive(port, rate, seconds));
  console.log("second       asked   shown   waiting room   bought   refused   failed        p50        p99");
  let second = 0;
  for (const [index, { name, seconds }] of DAY.entries()) {
    const visits = await Promise.all(hours[index] ?? []);
    for (let at = 0; at < seconds; at++) {
      const during = visits.filter(({ atMs }) => Math.floor(atMs / 1_000) === at);
      console.log(`${String(++second).padStart(4)} ${name.padEnd(5)}${line(during)}`);
    }
  }
}
