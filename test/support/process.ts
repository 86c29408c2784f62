/** Real processes for scenarios: started in a group of their own, listened to, signalled, and ended with all they started. */
import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

export type Ending = number | NodeJS.Signals;

const groups = new Set<RunningProgram>();
/** Since the last `endAll`, ended ones included. */
const started: RunningProgram[] = [];
const folders = new Set<string>();
process.on("exit", () => {
  for (const program of groups) program.kill();
});

/** What evenkeel says of its own bugs, wherever they come up. */
const FAULT = "a fault of evenkeel";

/**
 * Ends every process that was started here and what those have started, and removes their folders. For `afterEach`. Throws
 * when evenkeel has had a bug.
 */
export async function endAll(): Promise<void> {
  const programs = [...groups];
  for (const program of programs) program.kill();
  await Promise.all(programs.map(({ ended }) => ended));
  for (const folder of folders) rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
  folders.clear();
  const faulty = started.splice(0).filter(({ stderr }) => stderr.includes(FAULT));
  if (faulty.length > 0)
    throw new Error(`faults of its own: ${faulty.map((program) => program.describe()).join("\n")}`);
}

/** A folder that lasts until `endAll`. */
export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "evenkeel-scenario-"));
  folders.add(folder);
  return folder;
}

export interface ProgramOptions {
  readonly cwd?: string;
  readonly environment?: Readonly<Record<string, string>>;
}

export class RunningProgram {
  readonly pid: number;
  /** Its exit code, or the signal that it died of. */
  readonly ended: Promise<Ending>;
  /** Resolves when all of its output is there: not before all that have inherited its pipes have ended. */
  readonly outputEnded: Promise<void>;
  /** What it has written to standard output and standard error. */
  stdout = "";
  stderr = "";
  readonly #name: string;

  /** A group of its own, so that nothing that it starts can outlive the test. */
  constructor(command: readonly string[], options: ProgramOptions = {}) {
    this.#name = command.slice(0, 6).join(" ");
    const child: ChildProcess = spawn(command[0] as string, command.slice(1), {
      cwd: options.cwd,
      env: { ...process.env, ...options.environment },
      stdio: ["ignore", "pipe", "pipe"],
      detached: true,
    });
    this.pid = child.pid ?? 0;
    child.stdout?.on("data", (bytes: Buffer) => {
      this.stdout += bytes.toString();
    });
    child.stderr?.on("data", (bytes: Buffer) => {
      this.stderr += bytes.toString();
    });
    this.outputEnded = new Promise((resolve) => child.on("close", () => resolve()));
    this.ended = new Promise((resolve) => {
      child.on("exit", (code, signal) => resolve(code ?? signal ?? -1));
      child.on("error", (error) => {
        this.stderr += error.message;
        resolve(-1);
      });
    });
    groups.add(this);
    started.push(this);
  }

  signal(name: NodeJS.Signals): void {
    process.kill(this.pid, name);
  }

  /** Waits for its end. Throws, with what it has said, when that takes longer. */
  async ending(timeoutMs = 15_000): Promise<Ending> {
    const ending = await Promise.race([this.ended, Bun.sleep(timeoutMs).then(() => undefined)]);
    if (ending === undefined) throw new Error(`still running after ${timeoutMs} ms: ${this.describe()}`);
    return ending;
  }

  /** Waits until its output has `text` for the `count`th time. */
  async says(text: string, count = 1): Promise<void> {
    await eventually(
      () => this.count(text) >= count,
      () => `"${text}" from ${this.describe()}`,
    );
  }

  /** How often its output has `text`. */
  count(text: string): number {
    return `${this.stdout}${this.stderr}`.split(text).length - 1;
  }

  /** Ends the whole group at once. */
  kill(): void {
    groups.delete(this);
    try {
      if (this.pid > 1) process.kill(-this.pid, "SIGKILL");
    } catch {
      // Nobody of it is left.
    }
  }

  describe(): string {
    return `${this.#name}\n${this.stdout.slice(-2_000)}${this.stderr.slice(-4_000)}`;
  }
}

/** Looks every few milliseconds until `check` holds. Throws when it takes too long; `what` says what was waited for. */
export async function eventually(
  check: () => boolean | Promise<boolean>,
  what: string | (() => string),
  timeoutMs = 20_000,
): Promise<void> {
  for (let waitedMs = 0; waitedMs < timeoutMs; waitedMs += 25) {
    if (await check()) return;
    await Bun.sleep(25);
  }
  throw new Error(`waited ${timeoutMs} ms in vain for ${typeof what === "string" ? what : what()}`);
}

/** Whether all these programs are installed; says what is skipped when not. */
export function havePrograms(...names: readonly string[]): boolean {
  const path = `${process.env["PATH"] ?? ""}:/usr/sbin:/sbin`;
  const missing = names.filter((name) => Bun.which(name, { PATH: path }) === null);
  if (missing.length > 0) console.log(`skipped: ${missing.join(" and ")} not installed`);
  return missing.length === 0;
}

const handedOut = new Set<number>();

/** A port that nobody uses, below those that the system gives to outgoing connections: it stays free while its server restarts. */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = 10_240 + Math.floor(Math.random() * 22_000);
    if (handedOut.has(port) || !(await canListen(port))) continue;
    handedOut.add(port);
    return port;
  }
}

function canListen(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.on("error", () => resolve(false));
    server.listen(port, "127.0.0.1", () => server.close(() => resolve(true)));
  });
}

// ---- What the system knows of a process (proc(5))

export function isRunning(pid: number): boolean {
  return (statusField(pid, "State") ?? "Z")[0] !== "Z";
}

export function childrenOf(pid: number): number[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name) && Number(statusField(Number(name), "PPid")) === pid)
    .map(Number)
    .filter(isRunning);
}

/** All that run in the group of a process, which may be gone itself. */
export function groupOf(pid: number): number[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name) && Number(statusField(Number(name), "NSpgid")?.split(/\s+/).at(-1)) === pid)
    .map(Number)
    .filter(isRunning);
}

/** What a process was started with; nothing once it is gone. */
export function argumentsOf(pid: number): string[] {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0");
  } catch {
    return [];
  }
}

export function residentBytes(pid: number): number {
  return Number.parseInt(statusField(pid, "VmRSS") ?? "0", 10) * 1_024;
}

export function openDescriptors(pid: number): number {
  return readdirSync(`/proc/${pid}/fd`).length;
}

/** Connections that a process has accepted on a local IPv4 port. */
export function acceptedConnections(pid: number, port: number): number {
  const sockets = new Set(readdirSync(`/proc/${pid}/fd`).map((name) => linkOf(`/proc/${pid}/fd/${name}`)));
  const established = readFileSync("/proc/net/tcp", "utf8")
    .split("\n")
    .map((line) => line.trim().split(/\s+/))
    .filter((columns) => columns[3] === "01" && Number.parseInt(columns[1]?.split(":")[1] ?? "", 16) === port);
  return established.filter((columns) => sockets.has(`socket:[${columns[9]}]`)).length;
}

function linkOf(path: string): string {
  try {
    return readlinkSync(path);
  } catch {
    return "";
  }
}

/** Undefined once the process is gone. */
function statusField(pid: number, name: string): string | undefined {
  try {
    return new RegExp(`^${name}:\\s+(.*)$`, "m").exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1];
  } catch {
    return undefined;
  }
}
