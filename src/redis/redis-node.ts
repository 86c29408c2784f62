/**
 * One Redis server: a connection that is made when it is needed, and dropped when the server does not answer. Nothing
 * waits longer than the timeout, nothing piles up, and a server that is down is left alone (TrialGate).
 */
import type { Clock, Timers } from "../base/clock.ts";
import { TrialGate } from "./trial-gate.ts";

/** Commands that may be under way on one connection. More are answered with "unavailable" at once. */
const MAX_PENDING = 1_024;

/** A command and its arguments. */
export type RedisCommand = readonly [string, ...string[]];

/** What is needed of Bun's RedisClient: a connection that is made once, and never again by itself. */
export interface RedisConnection {
  onclose: ((error: Error) => void) | null;
  connect(): Promise<unknown>;
  send(command: string, args: string[]): Promise<unknown>;
  close(): void;
}

export interface RedisNodeOptions {
  readonly clock: Clock;
  readonly timers: Timers;
  readonly timeoutMs: number;
  readonly failures: number;
  readonly waitMs: number;
  readonly connect: (url: string, timeoutMs: number) => RedisConnection;
  /** The server is left alone from now on, or asked again. */
  readonly onChange: (node: RedisNode, reachable: boolean, reason: string) => void;
}

/** What became of a command: its reply, where to go instead, or nothing. */
export type RedisReply =
  | { readonly kind: "reply"; readonly value: unknown }
  | { readonly kind: "redirect"; readonly message: string }
  | { readonly kind: "unavailable" };

const UNAVAILABLE: RedisReply = { kind: "unavailable" };

export class RedisNode {
  readonly url: string;
  readonly #options: RedisNodeOptions;
  readonly #gate: TrialGate;
  #connection: RedisConnection | undefined;
  #connecting: Promise<RedisConnection> | undefined;
  #pending = 0;
  #closed = false;

  constructor(url: string, options: RedisNodeOptions) {
    this.url = url;
    this.#options = options;
    this.#gate = new TrialGate(options.failures, options.waitMs);
  }

  /** host:port, without the password that the URL may have. */
  get name(): string {
    return new URL(this.url).host;
  }

  get reachable(): boolean {
    return this.#gate.state === "open";
  }

  /**
   * Sends the command lines, in one go; `done` is called once with the reply to the last one, never within this call.
   * False when the server is not to be asked now: then `done` is not called.
   */
  send(commands: readonly RedisCommand[], done: (reply: RedisReply) => void): boolean {
    const { clock, timers, timeoutMs } = this.#options;
    if (this.#closed || this.#pending >= MAX_PENDING || !this.#gate.mayTry(clock.now())) return false;
    this.#pending++;
    let over = false;
    const end = (reply: RedisReply, reason: string): void => {
      if (over) return;
      over = true;
      timer.stop();
      this.#pending--;
      if (reply.kind === "unavailable") this.#failed(reason);
      else if (this.#gate.succeeded()) this.#options.onChange(this, true, "");
      done(reply);
    };
    const timer = timers.after(timeoutMs, () => end(UNAVAILABLE, `no answer within ${timeoutMs} ms`));
    this.#run(commands).then(
      (value) => end({ kind: "reply", value }, ""),
      (error: Error) => {
        if (isRedirect(error)) end({ kind: "redirect", message: error.message }, "");
        else end(UNAVAILABLE, error.message);
      },
    );
    return true;
  }

  close(): void {
    this.#closed = true;
    this.#drop();
  }

  async #run(commands: readonly RedisCommand[]): Promise<unknown> {
    const connection = this.#connection ?? (await this.#connect());
    // Sent without waiting in between: what ASKING allows is for the next command on the connection.
    const replies = commands.map(([command, ...args]) => connection.send(command, args));
    return (await Promise.all(replies)).at(-1);
  }

  #connect(): Promise<RedisConnection> {
    this.#connecting ??= this.#openConnection();
    return this.#connecting;
  }

  async #openConnection(): Promise<RedisConnection> {
    const connection = this.#options.connect(this.url, this.#options.timeoutMs * 4);
    connection.onclose = () => this.#forget(connection);
    try {
      await connection.connect();
      if (this.#closed) throw new Error("closed");
      this.#connection = connection;
      return connection;
    } catch (error) {
      connection.close();
      throw error;
    } finally {
      this.#connecting = undefined;
    }
  }

  #forget(connection: RedisConnection): void {
    if (this.#connection === connection) this.#connection = undefined;
  }

  #failed(reason: string): void {
    if (!this.#gate.failed(this.#options.clock.now())) return;
    // Commands that a stopped server has not taken would be answered one after another when it goes on.
    this.#drop();
    if (!this.#closed) this.#options.onChange(this, false, reason);
  }

  #drop(): void {
    const connection = this.#connection;
    this.#connection = undefined;
    connection?.close();
  }
}

/** A node of a cluster that sends us elsewhere is well; one that is loading, full or locked is as good as gone. */
function isRedirect(error: Error): boolean {
  return /^(MOVED|ASK) /.test(error.message);
}
