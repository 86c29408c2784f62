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
  const started = performance.now();
  const visits: Promise<Visit>[] = [];
  const sent = { browse: 0, buy: 0 };
  for (let atMs = 0; atMs < seconds * 1_000; atMs = performance.now() - started) {
    for (const kind of ["browse", "buy"] as const)
      for (; sent[kind] < (rate[kind] * atMs) / 1_000; sent[kind]++) visits.push(visit(port, kind, atMs));
    await Bun.sleep(TICK_MS);
  }
  return Promise.all(visits);
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

if (import.meta.main) {
  const port = Number(process.env["FRONT_PORT"] ?? 8080);
  console.log("second          asked   shown  waiting room  bought  refused  failed     p50     p99");
  let second = 0;
  for (const [name, rate, seconds] of [
    ["usual", USUAL, 3],
    ["sale", SALE, 5],
    ["usual", USUAL, 3],
  ] as const) {
    const visits = await sendCrowd(port, rate, seconds);
    for (let at = 0; at < seconds; at++) {
      const during = visits.filter(({ atMs }) => Math.floor(atMs / 1_000) === at);
      const refused = count(during, "browse", "refused") + count(during, "buy", "refused");
      const failed = count(during, "browse", "failed") + count(during, "buy", "failed");
      const figures = [
        String(during.length).padStart(12),
        String(count(during, "browse", "served")).padStart(8),
        String(count(during, "browse", "waiting room")).padStart(14),
        String(count(during, "buy", "served")).padStart(8),
        String(refused).padStart(9),
        String(failed).padStart(8),
        `${percentile(during, 50).toFixed(0)} ms`.padStart(8),
        `${percentile(during, 99).toFixed(0)} ms`.padStart(8),
      ];
      console.log(`${String(++second).padStart(2)} ${name.padEnd(6)}${figures.join("")}`);
    }
  }
}
