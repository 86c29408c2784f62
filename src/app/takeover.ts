/**
 * Replacing a running evenkeel by a new process without refusing a connection: the new one is started with a channel on
 * which it gets all that is in inheritance.ts, and the old one stops accepting only when the new one serves.
 */
import type { Timers } from "../base/clock.ts";
import type { Environment } from "../config/load.ts";
import { openDescriptorChannel } from "../transport/descriptor-passing.ts";
import { closeDescriptor } from "../transport/listening-socket.ts";
import { type Inheritance, inherit, leave } from "./inheritance.ts";

const VARIABLE = "EVENKEEL_TAKEOVER";
const CHANNEL = 3;
const START_TIMEOUT_MS = 30_000;

export interface HandOverOptions {
  readonly command: readonly string[];
  readonly inheritance: Inheritance;
  readonly environment: Environment;
  readonly timers: Timers;
}

/** `problem` is "" when the new process serves, else the reason why it does not. */
export interface HandedOver {
  readonly problem: string;
  readonly pid: number;
}

export interface HandingOver {
  /** Resolves once the new process serves or will not. */
  readonly outcome: Promise<HandedOver>;
  /** Ends the new process: nobody is to take over any more. */
  cancel(): void;
}

/** Starts the new process. */
export function handOver(options: HandOverOptions): HandingOver {
  let cancel = (): void => {};
  const outcome = new Promise<HandedOver>((resolve) => {
    cancel = start(options, resolve);
  }).catch((error: Error) => ({ problem: error.message, pid: 0 }));
  return { outcome, cancel };
}

/** Calls `resolve` once. Returns how to end the new process before that. Throws when there is none to start. */
function start(
  { command, inheritance, environment, timers }: HandOverOptions,
  resolve: (outcome: HandedOver) => void,
): () => void {
  const [near, far] = openDescriptorChannel();
  let settled = false;
  const settle = (problem: string): void => {
    if (settled) return;
    settled = true;
    timer.stop();
    closeDescriptor(near);
    resolve({ problem, pid: child.pid });
  };
  const spawn = (): Bun.Subprocess => {
    try {
      leave(near, inheritance);
      return Bun.spawn([...command], {
        stdio: ["inherit", "inherit", "inherit", far],
        env: { ...environment, [VARIABLE]: "1" },
        ipc: () => settle(""),
        serialization: "json",
        onExit: (_process, code, signal) => settle(`it ended (${signal ?? `exit code ${code}`})`),
      });
    } catch (error) {
      closeDescriptor(near);
      throw error;
    } finally {
      closeDescriptor(far);
    }
  };
  const child = spawn();
  const timer = timers.after(START_TIMEOUT_MS, () => {
    child.kill("SIGKILL");
    settle("it did not serve in time");
  });
  child.unref();
  return () => {
    child.kill("SIGKILL");
    settle("this process was told to stop");
  };
}

/** The process that has started this one to take its place; undefined when nobody has. */
export function predecessor(environment: Environment): number | undefined {
  return environment[VARIABLE] === "1" ? process.ppid : undefined;
}

/** What the process before this one has left; undefined when there was none. */
export function inheritanceOf(environment: Environment): Inheritance | undefined {
  if (environment[VARIABLE] !== "1") return undefined;
  const inheritance = inherit(CHANNEL);
  closeDescriptor(CHANNEL);
  return inheritance;
}
