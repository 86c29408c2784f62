/** What a client of the chaos run asks, whichever protocol it speaks, and what it gets for an answer. */
import type { Random } from "../../src/base/random.ts";
import { bodyOf } from "./echo.ts";
import { POOLS } from "./scene.ts";

export const USERS = 12;

export interface Question {
  readonly method: string;
  readonly path: string;
  /** Of the answer. */
  readonly size: number;
  readonly user: string | undefined;
  /** The connection is not to be used again. */
  readonly isLast: boolean;
  /** Of what `bodyOf` makes of the two numbers. */
  readonly body: { readonly number: number; readonly size: number };
  /** The length of the body is not told beforehand. */
  readonly isChunked: boolean;
  /** Leaves after this many milliseconds without waiting for the answer. */
  readonly leavesAfterMs: number | undefined;
}

export interface Answer {
  readonly status: number;
  field(name: string): string | undefined;
  isBody(expected: Buffer): boolean;
  /** Of the body; the beginning of it, for people. */
  readonly length: number;
  readonly text: string;
}

/** One way to ask one thing after another. What goes wrong is thrown as Broken. */
export interface Asker {
  /** Throws when nobody takes the connection. */
  connect(): Promise<void>;
  /** `target` is that of the question with its number. */
  ask(target: string, question: Question): Promise<Answer>;
  /** Nothing more will be asked. */
  close(): void;
}

export function drawQuestion(random: Random): Question {
  const method = (["GET", "GET", "GET", "POST", "PUT"] as const)[random.below(5)] as string;
  const pool = POOLS[random.below(POOLS.length)] as string;
  const size = random.below(8) === 0 ? 20_000 + random.below(300_000) : random.below(3_000);
  const bodySize = method === "GET" ? 0 : random.below(6) === 0 ? 100_000 + random.below(200_000) : random.below(9_000);
  return {
    method,
    path: `/${pool}`,
    size,
    user: pool === "users" ? `user-${random.below(USERS)}` : undefined,
    isLast: random.below(12) === 0,
    body: { number: random.below(1_000_000), size: bodySize },
    isChunked: method !== "GET" && random.below(3) === 0,
    leavesAfterMs: random.below(25) === 0 ? random.below(60) : undefined,
  };
}

/** As it is asked for a WebSocket. */
export function drawForWebSocket(random: Random): Question {
  const question = drawQuestion(random);
  return { ...question, method: "GET", body: { ...question.body, size: 0 }, isChunked: false };
}

export function bodyToSend({ body }: Question): Buffer {
  return bodyOf(body.number, body.size);
}
