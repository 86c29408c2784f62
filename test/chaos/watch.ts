/** What holds all the time, looked at while everything goes wrong, and how much the processes use. */
import type { Evenkeel } from "../support/evenkeel.ts";
import { openDescriptors, residentBytes } from "../support/process.ts";
import type { Generations } from "./generations.ts";

const LOOK_MS = 500;
const ANSWER_MS = 10_000;
/** Their rows go to others when endpoints are removed. */
const NOT_LASTING = /^evenkeel_endpoint_.*pool="moving"/;
const MIB = 1_048_576;
/** Growth of memory from the middle third of the run to the last that is still noise, as in the soak test. */
const MEMORY_SHARE = 1.15;
const MEMORY_SLACK_MIB = 48;

export class Watch {
  readonly problems: string[] = [];
  /** Of the process that has most, once per look. */
  readonly memoryMiB: number[] = [];
  readonly #evenkeel: Evenkeel;
  readonly #generations: Generations;
  #isOver = false;
  #running: Promise<void> = Promise.resolve();
  #before = new Map<string, number>();

  constructor(evenkeel: Evenkeel, generations: Generations) {
    this.#evenkeel = evenkeel;
    this.#generations = generations;
  }

  start(): void {
    this.#running = this.#run();
  }

  async stop(): Promise<void> {
    this.#isOver = true;
    await this.#running;
    this.#compareMemory();
  }

  async #run(): Promise<void> {
    while (!this.#isOver) {
      const { epoch } = this.#generations;
      const read = this.#evenkeel.metrics().then((metrics) => metrics.counters());
      const counters = await Promise.race([read.catch(() => undefined), Bun.sleep(ANSWER_MS)]);
      // In an upgrade either process may answer, and a connection that waited for the one that leaves is lost.
      if (this.#generations.isChanging || this.#generations.epoch !== epoch) this.#before = new Map();
      else if (counters === undefined) this.problems.push("the admin server did not answer");
      else this.#compare(counters);
      this.memoryMiB.push(Math.max(...processesOf(this.#evenkeel).map(residentBytes)) / MIB);
      await Bun.sleep(LOOK_MS);
    }
  }

  #compare(counters: Map<string, number>): void {
    for (const [name, value] of this.#before) {
      const now = counters.get(name);
      if (NOT_LASTING.test(name) || (now ?? 0) >= value) continue;
      this.problems.push(`a counter went back: ${name} from ${value} to ${now}`);
    }
    this.#before = counters;
  }

  #compareMemory(): void {
    const third = Math.floor(this.memoryMiB.length / 3);
    const middle = median(this.memoryMiB.slice(third, 2 * third));
    const last = median(this.memoryMiB.slice(2 * third));
    if (last > middle * MEMORY_SHARE + MEMORY_SLACK_MIB)
      this.problems.push(`memory of a process grew from ${Math.round(middle)} to ${Math.round(last)} MiB`);
  }
}

export function processesOf(evenkeel: Evenkeel): number[] {
  return [evenkeel.supervisor, ...evenkeel.workers()];
}

/** Open descriptors of all processes; one that is just ending has none. */
export function descriptorsOf(evenkeel: Evenkeel): number {
  return processesOf(evenkeel).reduce((sum, pid) => {
    try {
      return sum + openDescriptors(pid);
    } catch {
      return sum;
    }
  }, 0);
}

function median(numbers: readonly number[]): number {
  return [...numbers].sort((a, b) => a - b)[Math.floor(numbers.length / 2)] ?? 0;
}
