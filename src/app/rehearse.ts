/**
 * Builds what the supervisor and a worker would for a configuration, and throws it away: what only building shows is known
 * before anything is served. Files are read; nothing is written, nobody is contacted, and no timer runs.
 */
import { systemClock, type Timer, type Timers } from "../base/clock.ts";
import { EvenkeelError } from "../base/errors.ts";
import { at, type Path, PlacedError } from "../base/place.ts";
import { systemRandom } from "../base/random.ts";
import type { Config } from "../config/schema.ts";
import { type ListenerConfig, tlsOf } from "../listeners/schema.ts";
import { checkLogPath } from "../observability/access-log.ts";
import { silentLog } from "../observability/log.ts";
import { KINDS } from "../observability/metrics-table.ts";
import { certificateWarnings } from "../tls/certificate.ts";
import type { CertificateConfig, ListenerTlsConfig } from "../tls/schema.ts";
import { DEFAULT_CIPHERS } from "../tls/secure-context.ts";
import { DEFAULT_SELF_SIGNED_NAMES } from "../tls/self-signed.ts";
import { fixedEndpoint } from "../upstreams/discovery.ts";
import type { EndpointSpec } from "../upstreams/endpoint.ts";
import { MAX_ENDPOINTS } from "../upstreams/endpoint-table.ts";
import type { EndpointConfig } from "../upstreams/schema.ts";
import { authoritiesOf } from "./acme-certificates.ts";
import { buildUpdate } from "./build-update.ts";
import { CertificateStore } from "./certificate-store.ts";
import { createDataPath } from "./create-data-path.ts";
import type { WorkerUpdate } from "./data-path.ts";
import { privateMemory } from "./memory.ts";
import { Rows } from "./rows.ts";

/** Each shows one problem; when it is left out, the next shows. */
const MOST_BUILDS = 20;
/** Stands for a certificate that cannot be used, or is yet to be got from an authority. */
const STAND_IN: CertificateConfig = { selfSigned: { names: [...DEFAULT_SELF_SIGNED_NAMES] } };

const STOPPED: Timer = { stop: () => {} };
const NO_TIMERS: Timers = { after: () => STOPPED, every: () => STOPPED };

/** An error would keep the configuration from being served; a warning would not, and whoever serves it would be sorry. */
export interface Finding {
  readonly severity: "error" | "warning";
  readonly path: Path;
  readonly reason: string;
}

/** What only building it shows of this configuration, in the order in which it is found. */
export async function rehearse(config: Config): Promise<readonly Finding[]> {
  const { acme, accessLog } = config;
  const found = [
    await problemOf(() => acme && at(["acme"], () => authoritiesOf(acme))),
    await problemOf(() => accessLog !== false && at(["accessLog"], () => checkLogPath(accessLog))),
  ];
  const certificates = createStore();
  let rest: Config | undefined = withoutEffects(config);
  let good: Config | undefined;
  for (let builds = 0; rest !== undefined && builds < MOST_BUILDS; builds++) {
    const built: Config = rest;
    const problem = await problemOf(() => build(built, certificates));
    found.push(problem);
    rest = problem && without(built, problem.path);
    if (problem === undefined) good = built;
  }
  const warnings = good === undefined ? [] : warningsOf(good, certificates);
  certificates.close();
  const errors = found.filter((problem) => problem !== undefined);
  return [...errors.map(({ path, reason }): Finding => ({ severity: "error", path, reason })), ...warnings];
}

/** What clients will have against certificates that can be served. */
function warningsOf(config: Config, certificates: CertificateStore): Finding[] {
  return Object.entries(certificates.load(config)).flatMap(([name, loaded]) => {
    const written = tlsOf(config.listeners[name])?.certificates ?? [];
    return loaded.flatMap((certificate, index): Finding[] => {
      if (!("certificate" in (written[index] ?? {}))) return [];
      const path = ["listeners", name, "tls", "certificates", index, "certificate"];
      return certificateWarnings(certificate, systemClock.wallNow()).map(({ message: reason }) => {
        return { severity: "warning", path, reason };
      });
    });
  });
}

async function problemOf(run: () => unknown): Promise<PlacedError | undefined> {
  try {
    await run();
    return undefined;
  } catch (error) {
    if (error instanceof PlacedError) return error;
    if (error instanceof EvenkeelError) return new PlacedError([], error.message, { cause: error });
    throw error;
  }
}

async function build(config: Config, certificates: CertificateStore): Promise<void> {
  const update = updateOf(config, certificates);
  const tables = privateMemory();
  const dataPath = createDataPath({
    worker: 0,
    endpointTable: tables.endpoints,
    metrics: tables.metrics,
    resilience: tables.resilience,
    counters: tables.counters(0),
    sessions: tables.sessions,
    clock: systemClock,
    timers: NO_TIMERS,
    random: systemRandom,
    log: silentLog,
    report: () => {},
    onSuspect: () => {},
  });
  try {
    dataPath.prepare(update, {});
  } finally {
    await dataPath.close();
  }
}

function updateOf(config: Config, certificates: CertificateStore): WorkerUpdate {
  const endpoints = rowsOf("endpoints", MAX_ENDPOINTS);
  const specs = (pool: string, configs: readonly EndpointConfig[]): EndpointSpec[] =>
    configs.flatMap((written) => {
      const endpoint = fixedEndpoint(written);
      return endpoint === undefined ? [] : [{ ...endpoint, row: endpoints.take(`${pool} ${endpoint.id}`) }];
    });
  return buildUpdate(config, {
    generation: 1,
    certificates: certificates.load(config),
    endpoints: at(["pools"], () =>
      Object.fromEntries(Object.entries(config.pools).map(([name, pool]) => [name, specs(name, pool.endpoints)])),
    ),
    rows: {
      listener: rowsOf("listeners", KINDS.listener.rows),
      route: rowsOf("routes", KINDS.route.rows),
      pool: rowsOf("pools", KINDS.pool.rows),
    },
  });
}

function rowsOf(what: string, capacity: number): Rows {
  return new Rows({ what, capacity, now: () => 0, isBusy: () => false, clear: () => {} });
}

function createStore(): CertificateStore {
  return new CertificateStore({
    clock: systemClock,
    timers: NO_TIMERS,
    random: systemRandom,
    log: silentLog,
    responder: { present: () => {}, withdraw: () => {} },
    onChange: () => {},
  });
}

/** Without what would be opened for writing, and without the authority, for whom a folder is made. */
function withoutEffects(config: Config): Config {
  const listeners = Object.entries(config.listeners).map(([name, listener]) => {
    const tls = tlsOf(listener);
    const certificates = tls?.certificates.map((written) => ("acme" in written ? STAND_IN : written)) ?? [];
    return [name, tls === undefined ? listener : withTls(listener, { ...tls, certificates })];
  });
  return { ...config, accessLog: false, acme: undefined, listeners: Object.fromEntries(listeners) };
}

/** Without what is wrong at `path`, so that the rest can be looked at; undefined when it cannot be left out. */
function without({ pools, listeners, ...config }: Config, path: Path): Config | undefined {
  const [section, name = "", part] = path.map(String);
  const pool = section === "pools" && part === "connections" ? pools[name] : undefined;
  if (pool?.connections.tls !== undefined) {
    const plain = { ...pool, connections: { ...pool.connections, tls: undefined } };
    return { ...config, listeners, pools: { ...pools, [name]: plain } };
  }
  const listener = section === "listeners" && part === "tls" ? listeners[name] : undefined;
  const tls = tlsOf(listener);
  if (listener === undefined || tls === undefined) return undefined;
  return { ...config, pools, listeners: { ...listeners, [name]: withTls(listener, tlsWithout(tls, path.slice(3))) } };
}

function tlsWithout(tls: ListenerTlsConfig, [key, index]: Path): ListenerTlsConfig | undefined {
  if (key === "certificates") return { ...tls, certificates: tls.certificates.with(Number(index), STAND_IN) };
  if (key === "ciphers") return { ...tls, ciphers: [...DEFAULT_CIPHERS] };
  if (key === "clientAuthentication") return { ...tls, clientAuthentication: { mode: "off" } };
  return undefined;
}

function withTls(listener: ListenerConfig, tls: ListenerTlsConfig | undefined): ListenerConfig {
  return { ...listener, tls } as ListenerConfig;
}
