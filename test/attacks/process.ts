/** A real evenkeel process for attacks whose cost is measured from outside. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { ConfigInput } from "../../src/config/schema.ts";

const READY_WITHIN_MS = 20_000;

export interface RunningProcess {
  readonly pid: number;
  readonly port: number;
  /** Of the process itself, without its workers. Bytes. */
  residentBytes(): number;
  /** The sum over all listeners of a metric that Prometheus would see. */
  metric(name: string): Promise<number>;
  stop(): Promise<void>;
}

export async function startProcess(
  endpoints: string[],
  listener: Partial<ConfigInput["listeners"][string]>,
  rest: Partial<ConfigInput>,
): Promise<RunningProcess> {
  const [port, adminPort] = [await freePort(), await freePort()];
  const folder = mkdtempSync(join(tmpdir(), "evenkeel-attack-"));
  const file = join(folder, "evenkeel.json");
  const config: ConfigInput = {
    listeners: { web: { address: `127.0.0.1:${port}`, pool: "app", ...listener } },
    pools: { app: { endpoints } },
    admin: { address: `127.0.0.1:${adminPort}` },
    accessLog: false,
    log: { level: "error" },
    ...rest,
  };
  writeFileSync(file, JSON.stringify(config));
  const main = join(import.meta.dir, "..", "..", "src", "cli", "main.ts");
  const child = Bun.spawn([process.execPath, main, "run", "-c", file], { stdio: ["ignore", "ignore", "inherit"] });
  const running: RunningProcess = {
    pid: child.pid,
    port,
    residentBytes: () =>
      Number(/^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${child.pid}/status`, "utf8"))?.[1] ?? 0) * 1_024,
    metric: async (name) => {
      const text = await (await fetch(`http://127.0.0.1:${adminPort}/metrics`)).text();
      return [...text.matchAll(new RegExp(`^${name}(?:\\{[^}]*\\})? (\\S+)$`, "gm"))].reduce(
        (sum, [, value]) => sum + Number(value),
        0,
      );
    },
    stop: async () => {
      child.kill("SIGTERM");
      await child.exited;
      rmSync(folder, { recursive: true, force: true });
    },
  };
  const url = `${"tls" in listener ? "https" : "http"}://127.0.0.1:${port}/`;
  if (!(await isServing(url, () => child.exitCode === null))) {
    await running.stop();
    throw new Error(`evenkeel did not begin to serve on port ${port}`);
  }
  return running;
}

async function isServing(url: string, isAlive: () => boolean): Promise<boolean> {
  for (let waitedMs = 0; waitedMs < READY_WITHIN_MS && isAlive(); waitedMs += 50) {
    const answer = await fetch(url, { tls: { rejectUnauthorized: false } }).catch(() => undefined);
    await answer?.text();
    if (answer?.ok === true) return true;
    await Bun.sleep(50);
  }
  return false;
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.on("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const { port } = server.address() as { port: number };
      server.close(() => resolve(port));
    });
  });
}
