/** What operators do to evenkeel itself in a chaos run: other configurations and upgrades, good ones and bad ones, one after another. */
import type { ConfigInput } from "../../src/config/schema.ts";
import { argumentsOf, childrenOf, eventually, isRunning } from "../support/process.ts";
import { type Generation, Generations } from "./generations.ts";
import { memoryOf } from "./process-memory.ts";
import { DRAIN_TIMEOUT_MS, type Scene, WORKERS } from "./scene.ts";

/** What a process may take to end once it has drained, on a busy machine. */
const LEAVE_SLACK_MS = 5_000;
/** Variant of an upgrade: whoever asks for it does so twice. */
const IMPATIENT = 4;

export class Changes {
  readonly generations: Generations;
  /** What should have worked and did not. */
  readonly failures: string[] = [];
  readonly #scene: Scene;
  readonly #nowMs: () => number;
  /** Their outcomes are told apart by counting. */
  #changing: Promise<void> = Promise.resolve();
  /** Supervisors that another has replaced, until they have ended. */
  readonly #leaving = new Map<number, Generation>();
  readonly #ends: Promise<void>[] = [];

  constructor(scene: Scene, nowMs: () => number) {
    this.#scene = scene;
    this.#nowMs = nowMs;
    this.generations = new Generations(scene.accessLog);
  }

  /** Resolves when all has come to an end. */
  async settle(): Promise<void> {
    await this.#changing;
    await Promise.all(this.#ends);
  }

  reload(variant: number): Promise<void> {
    return this.#reload(() => this.#config(variant), true);
  }

  badReload(which: number): Promise<void> {
    return this.#reload(() => badConfigurations[which] ?? "{", false);
  }

  /** A new process with another configuration takes over; the one before must leave. Begins when `ready` resolves. */
  upgrade(which: number, ready: () => Promise<unknown>): Promise<void> {
    return this.#changeProcess(async () => {
      const { evenkeel } = this.#scene;
      await ready();
      await this.read();
      const { supervisor } = evenkeel;
      const { serving } = this.generations;
      serving.memory = memoryOf(supervisor, WORKERS);
      evenkeel.write(this.#scene.config(1 + which, this.generations.current + 1));
      const askAgain = async (): Promise<void> => evenkeel.signal("SIGUSR2");
      if (!(await evenkeel.upgrade(which === IMPATIENT ? askAgain : undefined))) {
        this.failures.push("an upgrade that should have worked has failed");
        return;
      }
      this.generations.begin();
      this.#leaving.set(supervisor, serving);
      this.#ends.push(this.#leave(supervisor));
    });
  }

  /** The new process finds a configuration that is wrong, or with 0 is killed while it starts. The other must go on. */
  badUpgrade(which: number): Promise<void> {
    return this.#changeProcess(async () => {
      const { evenkeel } = this.#scene;
      const isKilled = which === 0;
      evenkeel.write(isKilled ? this.#config(0) : (badConfigurations[which] ?? "{"));
      if (!(await evenkeel.upgrade(isKilled ? () => this.#killSuccessor() : undefined))) return;
      this.failures.push("an upgrade that should have failed has worked");
      this.generations.begin();
    });
  }

  /** Keeps the counters of the process that serves. */
  async read(): Promise<void> {
    const fromMs = this.#nowMs();
    const metrics = await this.#scene.evenkeel.metrics();
    this.generations.serving.reading = { fromMs, untilMs: this.#nowMs(), metrics };
  }

  /** A worker of a process that another has replaced, if there is any. */
  leavingWorker(): { readonly pid: number; readonly of: Generation } | undefined {
    const workers = [...this.#leaving].flatMap(([pid, of]) => workersOf(pid).map((worker) => ({ pid: worker, of })));
    return workers[0];
  }

  #config(variant: number): ConfigInput {
    return this.#scene.config(variant, this.generations.current);
  }

  #reload(config: () => ConfigInput | string, isGood: boolean): Promise<void> {
    return this.#change(async () => {
      const taken = await this.#scene.evenkeel.reload(config());
      if (taken !== isGood)
        this.failures.push(`a reload that should ${isGood ? "" : "not "}have been taken was ${taken}`);
    });
  }

  #changeProcess(run: () => Promise<void>): Promise<void> {
    return this.#change(() => this.generations.change(run));
  }

  #change(run: () => Promise<void>): Promise<void> {
    this.#changing = this.#changing.then(run);
    return this.#changing;
  }

  async #leave(supervisor: number): Promise<void> {
    const processes = [supervisor, ...workersOf(supervisor)];
    const hasLeft = eventually(
      () => !processes.some(isRunning),
      () => `the end of process ${supervisor} after an upgrade`,
      DRAIN_TIMEOUT_MS + LEAVE_SLACK_MS,
    );
    await hasLeft.catch((error: Error) => void this.failures.push(error.message));
    this.#leaving.delete(supervisor);
  }

  async #killSuccessor(): Promise<void> {
    const { supervisor } = this.#scene.evenkeel;
    const successor = (): number | undefined => childrenOf(supervisor).find((pid) => argumentsOf(pid).includes("run"));
    await eventually(() => successor() !== undefined, "a process to take over");
    process.kill(successor() as number, "SIGKILL");
  }
}

function workersOf(supervisor: number): number[] {
  return childrenOf(supervisor).filter((pid) => argumentsOf(pid).includes("worker"));
}

const badConfigurations = [
  "{ not even a file",
  "listeners: { web: { adress: 127.0.0.1:1 } }",
  "",
  '{"listeners": {"web": {"address": "127.0.0.1:1", "pool": "nowhere"}}}',
  '{"workers": "many"}',
];
