/**
 * Replacing a running evenkeel by a new process without refusing a connection: the new one is started with a channel on
 * which it gets copies of all listening sockets, and the old one stops accepting only when the new one serves.
 */
import type { Timers } from "../base/clock.ts";
import type { Environment } from "../config/load.ts";
import { openDescriptorChannel, receiveDescriptors, sendDescriptors } from "../transport/descriptor-passing.ts";
import { closeDescriptor } from "../transport/listening-socket.ts";
import type { InheritedSockets } from "./sockets.ts";

const VARIABLE = "EVENKEEL_TAKEOVER";
const CHANNEL = 3;
const START_TIMEOUT_MS = 30_000;

export interface HandOverOptions {
  readonly command: readonly string[];
  readonly sockets: InheritedSockets;
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
export function handOver({ command, sockets, environment, timers }: HandOverOptions): HandingOver {
  let cancel = (): void => {};
  const outcome = new Promise<HandedOver>((resolve) => {
    const [near, far] = openDescriptorChannel();
    const addresses = Object.entries(sockets);
    const counts = addresses.map(([address, descriptors]) => ({ address, count: descriptors.length }));
    sendDescriptors(
      near,
      JSON.stringify(counts),
      addresses.flatMap(([, descriptors]) => descriptors),
    );
    let settled = false;
    const settle = (problem: string): void => {
      if (settled) return;
      settled = true;
      timer.stop();
      closeDescriptor(near);
      resolve({ problem, pid: child.pid });
    };
    const child = Bun.spawn([...command], {
      stdio: ["inherit", "inherit", "inherit", far],
      env: { ...environment, [VARIABLE]: "1" },
      ipc: () => settle(""),
      serialization: "json",
      onExit: (_process, code, signal) => settle(`it ended (${signal ?? `exit code ${code}`})`),
    });
    closeDescriptor(far);
    const timer = timers.after(START_TIMEOUT_MS, () => {
      child.kill("SIGKILL");
      settle("it did not serve in time");
    });
    cancel = () => {
      child.kill("SIGKILL");
      settle("this process was told to stop");
    };
    child.unref();
  });
  return { outcome, cancel };
}

/** The process that has started this one to take its place; undefined when nobody has. */
export function predecessor(environment: Environment): number | undefined {
  return environment[VARIABLE] === "1" ? process.ppid : undefined;
}

/** The sockets that this process was started with, by address. */
export function inheritedSockets(environment: Environment): InheritedSockets {
  if (environment[VARIABLE] !== "1") return {};
  const message = receiveDescriptors(CHANNEL);
  closeDescriptor(CHANNEL);
  if (message === undefined) return {};
  let next = 0;
  const entries = (JSON.parse(message.text) as { address: string; count: number }[]).map(({ address, count }) => {
    const descriptors = message.descriptors.slice(next, next + count);
    next += count;
    return [address, descriptors] as const;
  });
  return Object.fromEntries(entries);
}
