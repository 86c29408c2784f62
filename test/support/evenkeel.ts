/** The program itself, started from its source with a configuration of the test's. */
import { renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { ConfigInput } from "../../src/config/schema.ts";
import {
  argumentsOf,
  childrenOf,
  eventually,
  freePort,
  openDescriptors,
  RunningProgram,
  temporaryFolder,
} from "./process.ts";

const MAIN = join(import.meta.dir, "..", "..", "src", "cli", "main.ts");
const RELOADED = "INFO  reloaded";
const REFUSED = "reload refused";
const LET_GO = "stopping  signal=SIGUSR2";
const NOT_HANDED_OVER = "handing over failed";
/** A new process that does not come up is given up after half a minute. */
const UPGRADE_MS = 40_000;

/** Runs a command of the program to its end. */
export async function runCommand(...args: readonly string[]): Promise<RunningProgram & { readonly code: unknown }> {
  const program = startCommand(...args);
  const code = await program.ending(30_000);
  await program.outputEnded;
  return Object.assign(program, { code });
}

export function startCommand(...args: readonly string[]): RunningProgram {
  return new RunningProgram([process.execPath, MAIN, ...args], { environment: { NO_COLOR: "1" } });
}

/** Starts the program and waits until /readyz is 200. An admin address is chosen; no access log unless one is asked for. */
export async function startEvenkeel(config: ConfigInput): Promise<Evenkeel> {
  const evenkeel = new Evenkeel(temporaryFolder(), await freePort(), config);
  await evenkeel.ready();
  return evenkeel;
}

export class Evenkeel extends RunningProgram {
  /** The supervisor that serves: after an upgrade another process than the one that was started. */
  supervisor: number;
  readonly folder: string;
  readonly adminPort: number;
  readonly #file: string;

  constructor(folder: string, adminPort: number, config: ConfigInput) {
    const file = join(folder, "evenkeel.json");
    writeConfig(file, adminPort, config);
    super([process.execPath, MAIN, "run", "-c", file]);
    this.supervisor = this.pid;
    this.folder = folder;
    this.adminPort = adminPort;
    this.#file = file;
  }

  async ready(): Promise<void> {
    const endedEarly = this.ended.then((ending) => {
      throw new Error(`ended with ${ending}: ${this.describe()}`);
    });
    const ready = eventually(
      async () => (await this.readiness()) === 200,
      () => `/readyz of ${this.describe()}`,
      30_000,
    );
    await Promise.race([ready, endedEarly]);
    // From here on, its end is for the test to expect.
    endedEarly.catch(() => {});
  }

  /** Status of /readyz; 0 when nobody answers. */
  async readiness(): Promise<number> {
    const asked = fetch(`http://127.0.0.1:${this.adminPort}/readyz`, { headers: { Connection: "close" } });
    return asked.then(
      (response) => response.status,
      () => 0,
    );
  }

  /** Replaces the file in one step, as editors do. */
  write(config: ConfigInput | string): void {
    writeConfig(this.#file, this.adminPort, config);
  }

  /** Writes the file, sends SIGHUP and waits for the outcome: whether it was taken. */
  async reload(config: ConfigInput | string): Promise<boolean> {
    this.write(config);
    const [good, bad] = [this.count(RELOADED), this.count(REFUSED)];
    this.signal("SIGHUP");
    await eventually(
      () => this.count(RELOADED) > good || this.count(REFUSED) > bad,
      () => `a reload by ${this.describe()}`,
    );
    return this.count(RELOADED) > good;
  }

  /** To the supervisor that serves. */
  override signal(name: NodeJS.Signals): void {
    process.kill(this.supervisor, name);
  }

  /**
   * Sends SIGUSR2 and waits for the outcome: whether a new process serves, and alone. The one before goes on until it has
   * drained. `meanwhile` is called once the signal is sent.
   */
  async upgrade(meanwhile: () => Promise<void> = async () => {}): Promise<boolean> {
    const [good, bad] = [this.count(LET_GO), this.count(NOT_HANDED_OVER)];
    this.signal("SIGUSR2");
    await meanwhile();
    await eventually(
      () => this.count(LET_GO) > good || this.count(NOT_HANDED_OVER) > bad,
      () => `an upgrade of ${this.describe()}`,
      UPGRADE_MS,
    );
    if (this.count(LET_GO) === good) return false;
    this.supervisor = Number(/.*INFO {2}serving .*?pid=(\d+)/s.exec(this.stderr)?.[1]);
    return true;
  }

  /** Process ids of the workers; empty with `workers: 0`. */
  workers(): number[] {
    // In an upgrade the new supervisor is a child, too.
    return childrenOf(this.supervisor).filter((pid) => argumentsOf(pid).includes("worker"));
  }

  /** Open descriptors of the supervisor and all workers. */
  descriptors(): number {
    return [this.supervisor, ...this.workers()].reduce((sum, pid) => sum + openDescriptors(pid), 0);
  }

  async metrics(): Promise<Metrics> {
    const response = await fetch(`http://127.0.0.1:${this.adminPort}/metrics`, { headers: { Connection: "close" } });
    return new Metrics(await response.text());
  }
}

/** Values of one reading of /metrics. */
export class Metrics {
  readonly #samples: readonly { readonly name: string; readonly labels: string; readonly value: number }[];

  constructor(text: string) {
    this.#samples = [...text.matchAll(/^([a-z_]+)(?:\{(.*)\})? (\S+)$/gm)].map(([, name, labels, value]) => ({
      name: name as string,
      labels: labels ?? "",
      value: Number(value),
    }));
  }

  /** Sum of the samples of a metric that have all these labels, each written `name="value"`. */
  sum(name: string, ...labels: readonly string[]): number {
    return this.#of(name, labels).reduce((sum, { value }) => sum + value, 0);
  }

  /** Every counter there is, by name and labels. */
  counters(): Map<string, number> {
    const counters = this.#samples.filter(({ name }) => name.endsWith("_total"));
    return new Map(counters.map(({ name, labels, value }) => [`${name}{${labels}}`, value]));
  }

  #of(name: string, labels: readonly string[]) {
    return this.#samples.filter(
      (sample) => sample.name === name && labels.every((text) => sample.labels.includes(text)),
    );
  }
}

function writeConfig(file: string, adminPort: number, config: ConfigInput | string): void {
  const admin = { address: `127.0.0.1:${adminPort}` };
  const text = typeof config === "string" ? config : JSON.stringify({ accessLog: false, ...config, admin });
  writeFileSync(`${file}.new`, text);
  renameSync(`${file}.new`, file);
}
