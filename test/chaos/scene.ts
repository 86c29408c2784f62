/** The processes of a chaos run, and the configurations that evenkeel is given in the course of it. */
import { renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { ConfigInput } from "../../src/config/schema.ts";
import { createSelfSigned } from "../../src/tls/self-signed.ts";
import { type ControlledEndpoint, startControlledEndpoints } from "../support/controlled-endpoint.ts";
import { type Evenkeel, startEvenkeel } from "../support/evenkeel.ts";
import { freePort, temporaryFolder } from "../support/process.ts";
import { hasRedis, RedisServer } from "../support/redis.ts";
import { ENDPOINTS } from "./plan.ts";

/** Idle connections to endpoints end soon, so that at the end there are none. */
const IDLE_TIMEOUT = "1s";
export const WORKERS = 2;
/** Nobody waits longer for an answer, whatever happens. */
export const LONGEST_ANSWER_MS = 8_000;
/** An answer that takes longer than evenkeel allows itself, by more than a busy machine explains. */
export const HUNG_MS = LONGEST_ANSWER_MS + 12_000;
/** So long that nothing of what these clients ask is cut off by it. */
export const DRAIN_TIMEOUT_MS = LONGEST_ANSWER_MS + 7_000;
/** Connections of HTTP/2 are told to go now and then: those of HTTP/1.1 close by themselves before. */
const REQUESTS_PER_CONNECTION = 150;

/** Pools by what is done to them. `app`: states and weights; `moving`: endpoints are removed and added; `users`: sessions. */
export const POOLS = ["app", "moving", "users"] as const;
const BALANCERS = ["round-robin", "least-connections", "power-of-two-choices", "peak-ewma", "random"] as const;

export interface Ports {
  readonly plain: number;
  readonly tls: number;
  /** Of a listener that configurations with an odd number have and others do not. */
  readonly extra: number;
}

export interface Scene {
  readonly evenkeel: Evenkeel;
  readonly endpoints: readonly ControlledEndpoint[];
  readonly redis: RedisServer | undefined;
  readonly ports: Ports;
  /** One per endpoint: the numbers of the POSTs that it has executed. */
  readonly journals: readonly string[];
  /** The access log of each process that takes another's place, counted from 0. */
  accessLog(generation: number): string;
  /** The configuration with a number: 0 is the first, others differ in what may be changed under load. */
  config(variant: number, generation: number): ConfigInput;
  /** Puts another certificate in the place of the one that clients are shown; `certificateName` is among its names. */
  replaceCertificate(number: number): void;
}

export function certificateName(number: number): string {
  return `number-${number}.chaos.example`;
}

export async function buildScene(): Promise<Scene> {
  const folder = temporaryFolder();
  const journals = Array.from({ length: ENDPOINTS }, (_, index) => join(folder, `journal-${index}`));
  const script = "chaos/echo-endpoint.ts";
  const endpoints = await startControlledEndpoints(ENDPOINTS, script, (index) => [journals[index] as string]);
  const redis = hasRedis() ? await new RedisServer(await freePort()).start() : undefined;
  const ports = { plain: await freePort(), tls: await freePort(), extra: await freePort() };
  const addresses = endpoints.map(({ address }) => address);
  const certificate = join(folder, "site.pem");
  const replaceCertificate = (number: number): void => writeCertificate(certificate, certificateName(number));
  replaceCertificate(0);
  const accessLog = (generation: number): string => join(folder, `access-${generation}.log`);
  const parts = { ports, certificate, addresses, redis };
  const config = (variant: number, generation: number) =>
    configOf({ ...parts, accessLog: accessLog(generation) }, variant);
  const evenkeel = await startEvenkeel(config(0, 0));
  return { evenkeel, endpoints, redis, ports, journals, accessLog, config, replaceCertificate };
}

/** Certificate and key in one file, replaced in one step: they always fit together. */
function writeCertificate(path: string, name: string): void {
  const { certificatePem, keyPem } = createSelfSigned(["127.0.0.1", name], Date.now());
  writeFileSync(`${path}.new`, certificatePem + keyPem);
  renameSync(`${path}.new`, path);
}

interface Parts {
  readonly ports: Ports;
  readonly certificate: string;
  readonly accessLog: string;
  readonly addresses: readonly string[];
  readonly redis: RedisServer | undefined;
}

function configOf({ ports, certificate, accessLog, addresses, redis }: Parts, variant: number): ConfigInput {
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
    workers: WORKERS,
    listeners: {
      web: { address: `127.0.0.1:${ports.plain}` },
      secure: {
        address: `127.0.0.1:${ports.tls}`,
        maxRequestsPerConnection: REQUESTS_PER_CONNECTION,
        tls: {
          certificates: [{ certificate, key: certificate }, { selfSigned: { names: ["other.chaos.example"] } }],
        },
      },
      ...(variant % 2 === 0 ? {} : { extra: { address: `127.0.0.1:${ports.extra}` } }),
    },
    routes: [...POOLS.map(route), changing],
    pools: {
      app: pool,
      moving: { ...pool, ...(variant % 2 === 0 ? {} : { slowStart: { window: "1s" } }) },
      users: { ...pool, sessions: { type: "header", name: "X-User", ...shared } },
    },
    accessLog: { path: accessLog, format: "{target} {status} {attempts} {pool} {reason} {method}" },
    shutdown: { drainTimeout: `${DRAIN_TIMEOUT_MS}ms` },
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
