/** What the examples share: starting their programs, waiting for them, and ending them all. */
import { createServer } from "node:net";
import { join } from "node:path";

export interface StartOptions {
  /** `free` takes whatever is free instead of the ports that evenkeel.yaml names. */
  readonly ports: "usual" | "free";
  readonly quiet?: boolean;
}

const MAIN = join(import.meta.dir, "..", "src", "cli", "main.ts");
const READY_WITHIN_MS = 20_000;
const LOOK_MS = 50;

/** The programs of one example. */
export class Processes {
  readonly #folder: string;
  readonly #options: StartOptions;
  readonly #children = new Map<string, Bun.Subprocess>();

  constructor(folder: string, options: StartOptions) {
    this.#folder = folder;
    this.#options = options;
  }

  port(usual: number): Promise<number> {
    return this.#options.ports === "usual" ? Promise.resolve(usual) : freePort();
  }

  launch(name: string, command: readonly string[], environment: Readonly<Record<string, string>> = {}): void {
    const output = this.#options.quiet === true ? "ignore" : "inherit";
    const child = Bun.spawn([...command], {
      cwd: this.#folder,
      env: { ...process.env, ...environment },
      stdio: ["ignore", output, output],
    });
    this.#children.set(name, child);
  }

  /** Evenkeel with the evenkeel.yaml of the example; `ports` by the variables that it names. */
  launchEvenkeel(ports: Readonly<Record<string, number>>): void {
    const variables = Object.entries(ports).map(([name, port]): [string, string] => [name, String(port)]);
    this.launch("evenkeel", [process.execPath, MAIN, "run", "-c", "evenkeel.yaml"], Object.fromEntries(variables));
  }

  /** Looks until `check` holds. Ends all and throws when that takes too long, or when one of them ends before. */
  async until(check: () => Promise<boolean>, what: string): Promise<void> {
    const until = performance.now() + READY_WITHIN_MS;
    const allRun = (): boolean => [...this.#children.values()].every(({ exitCode }) => exitCode === null);
    while (performance.now() < until && allRun()) {
      if (await check().catch(() => false)) return;
      await Bun.sleep(LOOK_MS);
    }
    await this.stop();
    throw new Error(`${what} did not begin to serve`);
  }

  async end(name: string, signal: NodeJS.Signals = "SIGTERM"): Promise<void> {
    const child = this.#children.get(name);
    this.#children.delete(name);
    child?.kill(signal);
    await child?.exited;
  }

  /** In the reverse order: evenkeel lets its clients finish while what is behind it is still there. */
  async stop(): Promise<void> {
    for (const name of [...this.#children.keys()].reverse()) await this.end(name);
  }
}

/** Ends everything once, on Ctrl-C. */
export function stopOnSignal(stop: () => Promise<void>): void {
  let stopping = false;
  for (const signal of ["SIGINT", "SIGTERM"] as const) {
    process.on(signal, () => {
      // A terminal and whoever started this may both hand on the same Ctrl-C.
      if (stopping) return;
      stopping = true;
      void stop().then(() => process.exit(0));
    });
  }
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.on("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const address = server.address();
      server.close(() => resolve(typeof address === "object" && address !== null ? address.port : 0));
    });
  });
}
