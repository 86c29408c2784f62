/**
 * Requests at a fixed rate, whether those before have been answered or not: users do not wait for each other. On as many
 * connections as it takes, each used again and again.
 */
import { Broken, HttpConnection, type WholeAnswer } from "./http-connection.ts";

const TICK_MS = 5;
const GET = "GET / HTTP/1.1\r\nHost: load.example\r\n\r\n";
const POST = "POST / HTTP/1.1\r\nHost: load.example\r\nContent-Length: 0\r\n\r\n";

export interface SteadyLoad {
  readonly port: number;
  readonly requestsPerSecond: number;
  readonly seconds: number;
  /** How long a client waits. */
  readonly patienceMs: number;
  /** GET when not set. */
  readonly method?: "GET" | "POST";
}

export interface Outcome {
  /** When it was sent, in milliseconds since the load began. */
  readonly fromMs: number;
  readonly tookMs: number;
  /** 0 when there was no whole answer. */
  readonly status: number;
  readonly head: string;
}

/** Resolves when every request has come to something. */
export async function steadyLoad(load: SteadyLoad): Promise<Outcome[]> {
  const { requestsPerSecond, seconds } = load;
  const idle: HttpConnection[] = [];
  const outcomes: Outcome[] = [];
  const running: Promise<void>[] = [];
  const began = performance.now();
  const total = Math.round(requestsPerSecond * seconds);

  const ask = async (fromMs: number): Promise<void> => {
    const answer = await askOnce(idle, load);
    outcomes.push({
      fromMs,
      tookMs: performance.now() - began - fromMs,
      status: answer?.status ?? 0,
      head: answer?.head ?? "",
    });
  };
  while (running.length < total) {
    const due = Math.min(total, Math.floor(((performance.now() - began) / 1_000) * requestsPerSecond));
    while (running.length < due) running.push(ask(performance.now() - began));
    await Bun.sleep(TICK_MS);
  }
  await Promise.all(running);
  for (const connection of idle) connection.leave();
  return outcomes;
}

async function askOnce(
  idle: HttpConnection[],
  { port, patienceMs, method }: SteadyLoad,
): Promise<WholeAnswer | undefined> {
  try {
    let connection = idle.pop();
    while (connection?.isOpen === false) connection = idle.pop();
    connection ??= await HttpConnection.open(port);
    const answer = await connection.ask(method === "POST" ? POST : GET, patienceMs);
    if (connection.isOpen) idle.push(connection);
    return answer;
  } catch (error) {
    if (error instanceof Broken) return undefined;
    throw error;
  }
}

/** The value that this share of the numbers does not exceed. */
export function percentile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] ?? Number.NaN;
}

const CAPACITY_SECONDS = 2;

/** Requests per second that these endpoints can work on when each has always `atATime` of them. */
export async function measureCapacity(ports: readonly number[], atATime: number): Promise<number> {
  let answered = 0;
  const until = performance.now() + CAPACITY_SECONDS * 1_000;
  const ask = async (port: number): Promise<void> => {
    const connection = await HttpConnection.open(port);
    while (performance.now() < until) {
      await connection.ask(GET, 5_000);
      answered++;
    }
    connection.leave();
  };
  await Promise.all(ports.flatMap((port) => Array.from({ length: atATime }, () => ask(port))));
  return answered / CAPACITY_SECONDS;
}
