/** The processes of a chaos run, and the configurations that evenkeel is given in the course of it. */
import { join } from "node:path";
import type { ConfigInput } from "../../src/config/schema.ts";
import { type ControlledEndpoint, startControlledEndpoints } from "../support/controlled-endpoint.ts";
import { type Evenkeel, startEvenkeel } from "../support/evenkeel.ts";
import { freePort, temporaryFolder } from "../support/process.ts";
import { hasRedis, RedisServer } from "../support/redis.ts";
import { ENDPOINTS } from "./plan.ts";

/** Idle connections to endpoints end soon, so that at the end there are none. */
const IDLE_TIMEOUT = "1s";
/** Nobody waits longer for an answer, whatever happens. */
export const LONGEST_ANSWER_MS = 8_000;

/** Pools by what is done to them. `app`: states and weights; `moving`: endpoints are removed and added; `users`: sessions. */
export const POOLS = ["app", "moving", "users"] as const;
const BALANCERS = ["round-robin", "least-connections", "power-of-two-choices", "peak-ewma", "random"] as const;

export interface Scene {
  readonly evenkeel: Evenkeel;
  readonly endpoints: readonly ControlledEndpoint[];
  readonly redis: RedisServer | undefined;
  readonly port: number;
  /** Of a listener that configurations with an odd number have and others do not. */
  readonly extraPort: number;
  readonly accessLog: string;
  /** One per endpoint: the numbers of the POSTs that it has executed. */
  readonly journals: readonly string[];
  /** The configuration with a number: 0 is the first, others differ in what may be changed under load. */
  config(variant: number): ConfigInput;
}

export async function buildScene(): Promise<Scene> {
  const folder = temporaryFolder();
  const journals = Array.from({ length: ENDPOINTS }, (_, index) => join(folder, `journal-${index}`));
  const script = "chaos/echo-endpoint.ts";
  const endpoints = await startControlledEndpoints(ENDPOINTS, script, (index) => [journals[index] as string]);
  const redis = hasRedis() ? await new RedisServer(await freePort()).start() : undefined;
  const port = await freePort();
  const extraPort = await freePort();
  const accessLog = join(folder, "access.log");
  const addresses = endpoints.map(({ address }) => address);
  const config = (variant: number): ConfigInput => configOf({ port, extraPort, accessLog, addresses, redis }, variant);
  const evenkeel = await startEvenkeel(config(0));
  return { evenkeel, endpoints, redis, port, extraPort, accessLog, journals, config };
}

interface Parts {
  readonly port: number;
  readonly extraPort: number;
  readonly accessLog: string;
  readonly addresses: readonly string[];
  readonly redis: RedisServer | undefined;
}

function configOf({ port, extraPort, accessLog, addresses, redis }: Parts, variant: number): ConfigInput {
  const timeouts = { response: "3s", idle: "4s", request: `${LONGEST_ANSWER_MS}ms` };
  const route = (pool: (typeof POOLS)[number]) => ({ name: pool, match: { pathPrefix: `/${pool}` }, pool, timeouts });
  const changing = { name: "variant", match: { path: "/variant" }, respond: { status: 200, body: String(variant) } };
  const pool = {
    ...POOL,
    balance: BALANCERS[variant % BALANCERS.length] as (typeof BALANCERS)[number],
    endpoints: [...addresses],
  };
  const shared = redis === undefined ? {} : { redis: { url: redis.url } };
  return {
    workers: 2,
    listeners: {
      web: { address: `127.0.0.1:${port}` },
      ...(variant % 2 === 0 ? {} : { extra: { address: `127.0.0.1:${extraPort}` } }),
    },
    routes: [...POOLS.map(route), changing],
    pools: {
      app: pool,
      moving: { ...pool, ...(variant % 2 === 0 ? {} : { slowStart: { window: "1s" } }) },
      users: { ...pool, sessions: { type: "header", name: "X-User", ...shared } },
    },
    accessLog: { path: accessLog, format: "{target} {status} {attempts} {pool} {reason} {method}" },
  };
}

/** Everything that keeps a pool up is on, with times short enough for a run of seconds. */
const POOL = {
  health: { type: "tcp", interval: "500ms", transitionInterval: "100ms", timeout: "500ms", unhealthyAfter: 2 },
  connections: { idleTimeout: IDLE_TIMEOUT, connectTimeout: "1s" },
  retry: {
    attempts: 2,
    on: ["connect-failure", "refused-stream", "reset", "timeout", "bad-answer", 503],
    perTryTimeout: "1s",
    backoff: { base: "10ms", max: "100ms" },
  },
  outlierDetection: { baseEjection: "500ms", maxEjection: "2s", ejectionJitter: "100ms", interval: "500ms" },
  circuitBreaker: { scope: "endpoint", openFor: "1s", slowerThan: "2s" },
  queue: { size: 64, timeout: "1s" },
  drainTimeout: "2s",
} satisfies Omit<NonNullable<ConfigInput["pools"]>[string], "endpoints" | "balance">;
