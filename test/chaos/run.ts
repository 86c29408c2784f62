/**
 * A run of chaos: load on a real evenkeel, faults of endpoints, workers, Redis, configuration and upgrades drawn from a seed,
 * then quiet; and what must hold whatever happened.
 */
import { eventually, groupOf, isRunning } from "../support/process.ts";
import { account } from "./accounting.ts";
import { type Asked, Clients } from "./clients.ts";
import { Inflictor } from "./inflict.ts";
import { describeStep, planChaos, type Step } from "./plan.ts";
import { USERS } from "./question.ts";
import { untilQuiet } from "./quiet.ts";
import { buildScene, POOLS, type Scene, WORKERS } from "./scene.ts";
import { descriptorsOf, Watch } from "./watch.ts";

const WARM_UP_MS = 1_500;
/** Load after everything is well again: not one request of it may fail. */
const CALM_MS = 1_500;
/** Event queues, timers and health checks under way come and go. */
const DESCRIPTOR_SLACK = 10;
const CONNECTIONS_FOR_ALL = 24;
const ANSWER_MS = 10_000;

export interface ChaosOptions {
  readonly seed: number;
  readonly seconds: number;
}

export interface ChaosReport {
  readonly plan: readonly Step[];
  /** What was violated; nothing when all is well. */
  readonly violations: string[];
  readonly summary: string;
  /** The end of what evenkeel has said. */
  readonly log: string;
}

/** Whoever calls it calls `endAll` afterwards. */
export async function runChaos({ seed, seconds }: ChaosOptions): Promise<ChaosReport> {
  const scene = await buildScene();
  const { evenkeel } = scene;
  const plan = planChaos(seed, seconds * 1_000, scene.redis !== undefined);
  const run = new ChaosRun(scene, seed);
  const violations: string[] = [];
  try {
    await run.warmUp();
    await run.suffer(plan);
    await run.calmDown();
    await run.comeToRest();
    await run.end();
  } catch (error) {
    violations.push(error instanceof Error ? error.message : String(error));
  } finally {
    await run.stop();
  }
  violations.push(...run.violations());
  return { plan, violations, summary: run.summary(plan), log: evenkeel.stderr.slice(-8_000) };
}

class ChaosRun {
  readonly #scene: Scene;
  readonly #clients: Clients;
  readonly #inflictor: Inflictor;
  readonly #watch: Watch;
  readonly #problems: string[] = [];
  #descriptors = 0;
  #accounted = "";

  constructor(scene: Scene, seed: number) {
    this.#scene = scene;
    this.#clients = new Clients(scene.ports, seed);
    this.#inflictor = new Inflictor(scene, () => this.#clients.nowMs);
    this.#watch = new Watch(scene.evenkeel, this.#inflictor.changes.generations);
  }

  /** Some load and quiet, so that what is measured then is what is usual. */
  async warmUp(): Promise<void> {
    const clients = this.#clients;
    clients.start();
    await Bun.sleep(WARM_UP_MS);
    await clients.stop();
    await untilQuiet(this.#scene);
    this.#descriptors = descriptorsOf(this.#scene.evenkeel);
    const failed = clients.asked.filter(hasFailed);
    if (failed.length > 0) this.#problems.push(`before any fault: ${JSON.stringify(failed[0])}`);
  }

  async suffer(plan: readonly Step[]): Promise<void> {
    this.#clients.start();
    this.#watch.start();
    await this.#inflictor.follow(plan);
  }

  /** All faults are lifted. Once evenkeel has found that out nothing fails any more, and users stay where they are. */
  async calmDown(): Promise<void> {
    const { evenkeel } = this.#scene;
    await this.#inflictor.changes.reload(0);
    let last = "";
    await eventually(
      async () => {
        const metrics = await evenkeel.metrics();
        // Users keep to the endpoints that they have: nobody may try the circuit of another.
        const open = metrics.sum("evenkeel_circuit_state", 'pool="app"', 'state="open"');
        const ejected = metrics.sum("evenkeel_endpoint_ejected");
        const eligible = metrics.sum("evenkeel_endpoint_eligible");
        last = `${eligible} eligible, ${ejected} ejected, ${open} open circuits`;
        return open === 0 && ejected === 0 && eligible === POOLS.length * this.#scene.endpoints.length;
      },
      () => `all endpoints to be well again: ${last}`,
    );
    const from = this.#clients.asked.length;
    const beganMs = this.#clients.nowMs;
    await Bun.sleep(CALM_MS);
    await this.#usersStay();
    await this.#clients.stop();
    await this.#watch.stop();
    const failed = this.#clients.asked.slice(from).filter((asked) => asked.fromMs > beganMs && hasFailed(asked));
    if (failed.length > 0)
      this.#problems.push(`${failed.length} failed after all faults: ${JSON.stringify(failed[0])}`);
  }

  /** Nothing is under way, nothing is held, and it still does what it is told. */
  async comeToRest(): Promise<void> {
    const { evenkeel } = this.#scene;
    await untilQuiet(this.#scene);
    await eventually(
      () => descriptorsOf(evenkeel) <= this.#descriptors + DESCRIPTOR_SLACK,
      () => `${this.#descriptors} open descriptors as before; there are ${descriptorsOf(evenkeel)}`,
    );
    // One that was killed again and again is not started at once.
    await eventually(() => evenkeel.workers().length === WORKERS, "both workers");
    const { changes } = this.#inflictor;
    await changes.reload(7);
    const { plain, tls, extra } = this.#scene.ports;
    for (const origin of [`http://127.0.0.1:${plain}`, `https://127.0.0.1:${tls}`, `http://127.0.0.1:${extra}`])
      await this.#everyWorkerServes(origin, "7");
    const metrics = await evenkeel.metrics();
    const restarts = metrics.sum("evenkeel_worker_restarts_total");
    const kills = changes.generations.serving.killsMs.length;
    if (restarts !== kills) this.#problems.push(`${kills} workers were killed, ${restarts} restarted`);
  }

  async end(): Promise<void> {
    const { evenkeel, journals } = this.#scene;
    const { changes, killsMs } = this.#inflictor;
    const generations = changes.generations.all;
    const metrics = await evenkeel.metrics();
    // Nothing is under way: they count all that ever was.
    changes.generations.serving.reading = {
      fromMs: Number.POSITIVE_INFINITY,
      untilMs: Number.POSITIVE_INFINITY,
      metrics,
    };
    evenkeel.signal("SIGTERM");
    await eventually(
      () => !isRunning(evenkeel.supervisor),
      () => `the end of ${evenkeel.describe()}`,
    );
    const ending = await evenkeel.ending();
    if (ending !== 0) this.#problems.push(`evenkeel ended with ${ending}`);
    const faults = evenkeel.count("a fault of evenkeel");
    if (faults > 0) this.#problems.push(`${faults} faults of its own are in its log`);
    const stopped = evenkeel.count("INFO  stopped");
    if (stopped !== generations.length)
      this.#problems.push(`${stopped} of ${generations.length} processes stopped in good order`);
    for (const [line] of evenkeel.stderr.matchAll(/^.*drain timeout: closing.*$/gm))
      this.#problems.push(`something was cut off: ${line}`);
    const left = groupOf(evenkeel.pid);
    if (left.length > 0) this.#problems.push(`processes left over: ${left.join(", ")}`);
    const { asked, notConnected } = this.#clients;
    const accounts = account({ asked, notConnected, killsMs, generations, journals });
    this.#problems.push(...accounts.problems);
    this.#accounted = `${accounts.lines} lines in the log (${countEach(accounts.reasons)}), ${accounts.lost} lost with killed workers or clients that left`;
  }

  async stop(): Promise<void> {
    await Promise.all([this.#clients.end(), this.#watch.stop()]);
  }

  violations(): string[] {
    return [...this.#problems, ...this.#clients.wrongAnswers, ...this.#inflictor.failures, ...this.#watch.problems];
  }

  summary(plan: readonly Step[]): string {
    const { asked, notConnected } = this.#clients;
    const outcomes = countEach(asked.map(({ breach, status }) => breach ?? String(status)));
    const speeches = countEach(asked.map(({ speech }) => speech));
    const upgrades = this.#inflictor.changes.generations.current;
    const memory = `${Math.round(Math.max(0, ...this.#watch.memoryMiB))} MiB at most in a process`;
    const requests = `${asked.length} requests (${speeches}; ${outcomes}), ${notConnected.length} connections to killed workers`;
    return `${plan.length} faults, ${upgrades} upgrades, ${requests}; ${this.#accounted}; ${memory}`;
  }

  /** So many connections that each worker gets some. */
  async #everyWorkerServes(origin: string, expected: string): Promise<void> {
    const ask = async (): Promise<string> => {
      const tls = { rejectUnauthorized: false };
      const options = { headers: { Connection: "close" }, signal: AbortSignal.timeout(ANSWER_MS), tls };
      const answer = await fetch(`${origin}/variant`, options).catch(() => undefined);
      return (await answer?.text()) ?? "no answer";
    };
    const answers = new Set(await Promise.all(Array.from({ length: CONNECTIONS_FOR_ALL }, ask)));
    if (answers.size !== 1 || !answers.has(expected))
      this.#problems.push(`${origin} after the last reload: ${[...answers].join(", ")} instead of ${expected}`);
  }

  /** Each user's requests go to one endpoint, in whichever worker they arrive. */
  async #usersStay(): Promise<void> {
    for (let user = 0; user < USERS; user++) {
      const ports = new Set<string>();
      for (let count = 0; count < 4; count++) {
        const answer = await this.#clients.askOnce("/users", `user-${user}`, count % 2 === 0 ? "plain" : "tls");
        ports.add(answer?.field("x-port") ?? "none");
      }
      if (ports.size > 1) this.#problems.push(`user-${user} was sent to ${[...ports].join(" and ")}`);
    }
  }
}

/** What was refused, as a connection of HTTP/2 ended, clients ask again elsewhere. */
function hasFailed({ status, breach }: Asked): boolean {
  return status !== 200 && status !== 101 && breach !== "left" && breach !== "refused";
}

function countEach(what: readonly string[]): string {
  const counted = new Map<string, number>();
  for (const each of what) counted.set(each, (counted.get(each) ?? 0) + 1);
  const mostFirst = [...counted].sort(([, a], [, b]) => b - a);
  return mostFirst.map(([each, count]) => `${each}: ${count}`).join(", ");
}

export function describeRun({ seed, seconds }: ChaosOptions, { plan, violations, log }: ChaosReport): string {
  const timeline = plan.map((step) => `  ${describeStep(step)}`).join("\n");
  const violated = violations.map((violation) => `  ${violation}`).join("\n");
  return `seed ${seed}, ${seconds} s; what went wrong on purpose:\n${timeline}\nthe end of evenkeel's log:\n${log}\nviolated:\n${violated}`;
}
