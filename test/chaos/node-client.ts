/** The clients of a chaos run that are Node's, in a process of its own (node-client.mjs). */
import { createHash } from "node:crypto";
import { join } from "node:path";
import { type Breach, Broken } from "../support/http-connection.ts";
import { node } from "../support/node-peer.ts";
import type { Answer } from "./question.ts";
import { HUNG_MS } from "./scene.ts";

const CLOSE_MS = 2_000;

/** What it prints: an answer, or why there is none. */
export interface Reply {
  readonly id: number;
  readonly isOpen?: boolean;
  readonly breach?: Breach | "unsent";
  readonly status?: number;
  readonly fields?: Readonly<Record<string, string>>;
  readonly length?: number;
  readonly text?: string;
  readonly digest?: string;
}

export class NodeClient {
  readonly #process: Bun.Subprocess<"pipe", "pipe", "inherit">;
  readonly #waiting = new Map<number, (reply: Reply | undefined) => void>();
  #next = 0;

  constructor() {
    this.#process = Bun.spawn([node as string, join(import.meta.dir, "node-client.mjs")], {
      stdin: "pipe",
      stdout: "pipe",
      stderr: "inherit",
      env: { ...process.env, NODE_NO_WARNINGS: "1" },
    });
    void this.#read();
  }

  /** Undefined when there is no reply in time, or the process is gone. */
  async do(action: "open" | "ask" | "close" | "talk", what: object): Promise<Reply | undefined> {
    const id = this.#next++;
    const replied = new Promise<Reply | undefined>((resolve) => void this.#waiting.set(id, resolve));
    void this.#process.stdin.write(`${JSON.stringify({ id, action, ...what })}\n`);
    void this.#process.stdin.flush();
    const timer = setTimeout(() => this.#take(id, undefined), HUNG_MS);
    const reply = await replied;
    clearTimeout(timer);
    return reply;
  }

  async end(): Promise<void> {
    await this.#process.stdin.end();
    const timer = setTimeout(() => this.#process.kill("SIGKILL"), CLOSE_MS);
    await this.#process.exited;
    clearTimeout(timer);
  }

  async #read(): Promise<void> {
    const decoder = new TextDecoder();
    let rest = "";
    for await (const piece of this.#process.stdout) {
      const lines = (rest + decoder.decode(piece, { stream: true })).split("\n");
      rest = lines.pop() ?? "";
      for (const line of lines) {
        const reply = JSON.parse(line) as Reply;
        this.#take(reply.id, reply);
      }
    }
    for (const id of this.#waiting.keys()) this.#take(id, undefined);
  }

  #take(id: number, reply: Reply | undefined): void {
    this.#waiting.get(id)?.(reply);
    this.#waiting.delete(id);
  }
}

/** Throws Broken when it is none. */
export function answerIn(reply: Reply | undefined): Answer {
  if (reply === undefined) throw new Broken("late");
  const { status, fields = {}, length = 0, text = "", digest, breach } = reply;
  if (status === undefined) throw new Broken(breach === undefined || breach === "unsent" ? "late" : breach);
  return {
    status,
    field: (name) => fields[name],
    isBody: (expected) => digest === createHash("sha256").update(expected).digest("hex"),
    length,
    text,
  };
}
