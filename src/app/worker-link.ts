/** One worker, as the supervisor sees it: a process of its own, or the data path in this one (`workers: 0`). */
import { EvenkeelError } from "../base/errors.ts";
import type { EventReport } from "../observability/event-log.ts";
import type { Challenge } from "../tls/acme/challenges.ts";
import { openDescriptorChannel } from "../transport/descriptor-passing.ts";
import { closeDescriptor } from "../transport/listening-socket.ts";
import { sendNamed } from "../transport/named-descriptors.ts";
import type { EndpointSpec } from "../upstreams/endpoint.ts";
import type { DataPath, WorkerUpdate } from "./data-path.ts";
import type { SharedFiles } from "./memory.ts";
import type { FromWorker, ToWorker } from "./messages.ts";

export type Descriptors = Readonly<Record<string, number>>;

export interface WorkerLink {
  readonly pid: number;
  /** When it last gave a sign of life, on the clock's scale. */
  readonly lastSignMs: number;
  readonly memoryBytes: number;
  /** Rejects with an EvenkeelError that says what is wrong. */
  prepare(update: WorkerUpdate, descriptors: Descriptors): Promise<void>;
  commit(): void;
  abort(): void;
  replaceEndpoints(pool: string, endpoints: readonly EndpointSpec[]): void;
  /** Resolves once it shows these answers and no others, or has ended. */
  setChallenges(challenges: readonly Challenge[]): Promise<void>;
  weightsChanged(pool: string): void;
  closeConnections(pool: string, endpoint: string, which: "idle" | "all"): void;
  /** Resolves once it drains: with `handedOver` it accepts nothing from then on. */
  drain(handedOver: boolean): Promise<void>;
  reopenLogs(): void;
  ping(): void;
  /** Ends it; resolves when it is gone. */
  close(): Promise<void>;
  kill(): void;
}

export function localLink(dataPath: DataPath, now: () => number): WorkerLink {
  return {
    pid: process.pid,
    get lastSignMs() {
      return now();
    },
    get memoryBytes() {
      return process.memoryUsage.rss();
    },
    prepare: async (update, descriptors) => dataPath.prepare(update, descriptors),
    commit: () => dataPath.commit(),
    abort: () => dataPath.abort(),
    replaceEndpoints: (pool, endpoints) => dataPath.replaceEndpoints(pool, endpoints),
    setChallenges: async (challenges) => dataPath.setChallenges(challenges),
    weightsChanged: (pool) => dataPath.weightsChanged(pool),
    closeConnections: (pool, endpoint, which) => dataPath.closeConnections(pool, endpoint, which),
    drain: async (handedOver) => dataPath.drain(handedOver),
    reopenLogs: () => dataPath.reopenLogs(),
    ping: () => {},
    close: () => dataPath.close(),
    kill: () => {},
  };
}

/** The process is gone; that says nothing of what it was to prepare. */
export class WorkerEnded extends EvenkeelError {}

export interface ProcessLinkOptions {
  readonly command: readonly string[];
  readonly worker: number;
  readonly workers: number;
  readonly files: SharedFiles;
  readonly now: () => number;
  readonly onEvent: (event: EventReport) => void;
  readonly onSuspect: (pool: string, row: number) => void;
  readonly onExit: (link: ProcessLink, how: string) => void;
}

/** Where a worker finds what it inherits. */
export const INHERITED_FILES: SharedFiles = { tables: 3, sessions: 4 };
export const CHANNEL_DESCRIPTOR = 5;
const CLOSE_TIMEOUT_MS = 3_000;

export class ProcessLink implements WorkerLink {
  readonly worker: number;
  memoryBytes = 0;
  lastSignMs: number;
  readonly #options: ProcessLinkOptions;
  readonly #process: Bun.Subprocess;
  readonly #channel: number;
  #prepared: { generation: number; resolve: () => void; reject: (error: Error) => void } | undefined;
  #onDraining: (() => void) | undefined;
  #sequence = 0;
  /** By what they wait for. */
  readonly #challenged = new Map<number, () => void>();
  #exited = false;

  constructor(options: ProcessLinkOptions) {
    this.#options = options;
    this.worker = options.worker;
    this.lastSignMs = options.now();
    const [near, far] = openDescriptorChannel();
    this.#channel = near;
    this.#process = Bun.spawn([...options.command, String(options.worker), String(options.workers)], {
      stdio: ["ignore", "inherit", "inherit", options.files.tables, options.files.sessions, far],
      ipc: (message) => this.#onMessage(message as FromWorker),
      serialization: "json",
      onExit: (_process, code, signal) => this.#onExit(signal === null ? `exit code ${code}` : `signal ${signal}`),
    });
    closeDescriptor(far);
  }

  get pid(): number {
    return this.#process.pid;
  }

  prepare(update: WorkerUpdate, descriptors: Descriptors): Promise<void> {
    const named = Object.entries(descriptors).map(([name, descriptor]) => [name, [descriptor]] as const);
    return new Promise((resolve, reject) => {
      if (this.#exited) return reject(new WorkerEnded("the worker has ended"));
      this.#prepared = { generation: update.generation, resolve, reject };
      if (named.length > 0) sendNamed(this.#channel, Object.fromEntries(named));
      this.#send({ type: "prepare", update, withDescriptors: named.length > 0 });
    });
  }

  commit(): void {
    this.#send({ type: "commit" });
  }

  abort(): void {
    this.#send({ type: "abort" });
  }

  replaceEndpoints(pool: string, endpoints: readonly EndpointSpec[]): void {
    this.#send({ type: "endpoints", pool, endpoints });
  }

  setChallenges(challenges: readonly Challenge[]): Promise<void> {
    return new Promise((resolve) => {
      if (this.#exited) return resolve();
      const sequence = ++this.#sequence;
      this.#challenged.set(sequence, resolve);
      this.#send({ type: "challenges", sequence, challenges });
    });
  }

  weightsChanged(pool: string): void {
    this.#send({ type: "weights", pool });
  }

  closeConnections(pool: string, endpoint: string, which: "idle" | "all"): void {
    this.#send({ type: "leaving", pool, endpoint, which });
  }

  drain(handedOver: boolean): Promise<void> {
    return new Promise((resolve) => {
      if (this.#exited) return resolve();
      this.#onDraining = resolve;
      this.#send({ type: "drain", handedOver });
    });
  }

  reopenLogs(): void {
    this.#send({ type: "reopenLogs" });
  }

  ping(): void {
    this.#send({ type: "ping" });
  }

  async close(): Promise<void> {
    this.#send({ type: "close" });
    const timer = setTimeout(() => this.kill(), CLOSE_TIMEOUT_MS);
    await this.#process.exited;
    clearTimeout(timer);
  }

  kill(): void {
    if (!this.#exited) this.#process.kill("SIGKILL");
  }

  #send(message: ToWorker): void {
    if (this.#exited) return;
    try {
      this.#process.send(message);
    } catch {
      // It is going down; onExit tells.
    }
  }

  #onMessage(message: FromWorker): void {
    this.lastSignMs = this.#options.now();
    if (message.type === "pong") this.memoryBytes = message.memoryBytes;
    if (message.type === "draining") this.#onDraining?.();
    if (message.type === "event") this.#options.onEvent(message.event);
    if (message.type === "suspect") this.#options.onSuspect(message.pool, message.row);
    if (message.type === "challenges") {
      this.#challenged.get(message.sequence)?.();
      this.#challenged.delete(message.sequence);
    }
    if (message.type !== "prepared" || this.#prepared?.generation !== message.generation) return;
    const { resolve, reject } = this.#prepared;
    this.#prepared = undefined;
    if (message.problem === "") resolve();
    else reject(new EvenkeelError(message.problem));
  }

  #onExit(how: string): void {
    this.#exited = true;
    this.#onDraining?.();
    for (const resolve of this.#challenged.values()) resolve();
    this.#challenged.clear();
    closeDescriptor(this.#channel);
    this.#prepared?.reject(new WorkerEnded(`the worker ended (${how})`));
    this.#prepared = undefined;
    this.#options.onExit(this, how);
  }
}
