/** Speaks to a running evenkeel through its admin API, for the commands that show and change it. */
import type { Command } from "commander";
import type {
  EndpointAddRequest,
  EndpointChangeRequest,
  EndpointView,
  PoolView,
  ProblemView,
} from "../admin/api-types.ts";

export interface AdminOptions {
  readonly admin?: string;
}

const DEFAULT = "127.0.0.1:9900";
const ADMIN_HELP = `where evenkeel is run from: host:port, or the path of its socket; else EVENKEEL_ADMIN, else ${DEFAULT}`;
const TIMEOUT_MS = 10_000;

/** What can go wrong in talking to it, in words for the user. */
export class AdminError extends Error {}

/** Adds the option that all these commands have. */
export function withAdmin(command: Command): Command {
  return command
    .option("--admin <where>", ADMIN_HELP)
    .addHelpText(
      "after",
      "\nThe token, where one is configured, is taken from EVENKEEL_ADMIN_TOKEN.\nExit codes: 0 done, 1 failed, 2 wrong usage.",
    );
}

/** Runs a command, and turns what goes wrong into a message and exit code 1. */
export async function reporting(run: () => Promise<void>): Promise<void> {
  try {
    await run();
  } catch (error) {
    if (!(error instanceof AdminError)) throw error;
    console.error(`evenkeel: ${error.message}`);
    process.exitCode = 1;
  }
}

export class AdminClient {
  readonly #where: string;

  constructor({ admin }: AdminOptions) {
    this.#where = admin ?? (process.env["EVENKEEL_ADMIN"] || DEFAULT);
  }

  async pools(only: string | undefined): Promise<PoolView[]> {
    if (only !== undefined) return [await this.pool(only)];
    const pools = (await this.#ask("GET", "pools")) as { name: string }[];
    return Promise.all(pools.map(({ name }) => this.pool(name)));
  }

  async pool(name: string): Promise<PoolView> {
    return (await this.#ask("GET", `pools/${encodeURIComponent(name)}`)) as PoolView;
  }

  async endpoint(pool: string, endpoint: string): Promise<EndpointView> {
    return (await this.#ask("GET", endpointPath(pool, endpoint))) as EndpointView;
  }

  async change(pool: string, endpoint: string, change: EndpointChangeRequest): Promise<EndpointView> {
    return (await this.#ask("PATCH", endpointPath(pool, endpoint), change)) as EndpointView;
  }

  async add(pool: string, endpoint: EndpointAddRequest): Promise<EndpointView> {
    return (await this.#ask("POST", `pools/${encodeURIComponent(pool)}/endpoints`, endpoint)) as EndpointView;
  }

  /** What it was. */
  async remove(pool: string, endpoint: string): Promise<EndpointView> {
    return (await this.#ask("DELETE", endpointPath(pool, endpoint))) as EndpointView;
  }

  /** The stream of events, from behind the event `since` on. */
  async events(since: string | undefined): Promise<ReadableStream<Uint8Array>> {
    const response = await this.#fetch("GET", since === undefined ? "events" : `events?since=${since}`);
    if (!response.ok) throw await this.#refusal(response);
    if (response.body === null) throw new AdminError("the answer has no body");
    return response.body;
  }

  async #ask(method: string, path: string, body?: unknown): Promise<unknown> {
    const response = await this.#fetch(method, path, body, AbortSignal.timeout(TIMEOUT_MS));
    if (!response.ok) throw await this.#refusal(response);
    return response.json();
  }

  async #fetch(method: string, path: string, body?: unknown, signal?: AbortSignal): Promise<Response> {
    const where = this.#where;
    const isSocket = where.startsWith("/");
    const base = isSocket
      ? "http://localhost"
      : /^https?:\/\//.test(where)
        ? where.replace(/\/+$/, "")
        : `http://${where}`;
    const token = process.env["EVENKEEL_ADMIN_TOKEN"];
    try {
      return await fetch(`${base}/api/${path}`, {
        method,
        headers: {
          "Content-Type": "application/json",
          Connection: "close",
          ...(token === undefined || token === "" ? {} : { Authorization: `Bearer ${token}` }),
        },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
        ...(signal === undefined ? {} : { signal }),
        ...(isSocket ? { unix: where } : {}),
      });
    } catch (error) {
      const why = (error as Error).message.replace(/\.? Is the computer able to access the url\?$/, "");
      throw new AdminError(`cannot reach evenkeel at ${where}: ${why}; is it running, and is --admin right?`);
    }
  }

  async #refusal(response: Response): Promise<AdminError> {
    const text = await response.text();
    try {
      return new AdminError((JSON.parse(text) as ProblemView).detail);
    } catch {
      return new AdminError(`${this.#where} answered ${response.status}: is that evenkeel's admin address?`);
    }
  }
}

function endpointPath(pool: string, endpoint: string): string {
  return `pools/${encodeURIComponent(pool)}/endpoints/${encodeURIComponent(endpoint)}`;
}
