/** A data path in this process, with real sockets on both sides, for tests of what goes over the wire. */
import { buildUpdate } from "../../src/app/build-update.ts";
import { CertificateStore } from "../../src/app/certificate-store.ts";
import { createDataPath } from "../../src/app/create-data-path.ts";
import type { DataPath } from "../../src/app/data-path.ts";
import { privateMemory, type SharedTables } from "../../src/app/memory.ts";
import { type Clock, systemClock, systemTimers, type Timers } from "../../src/base/clock.ts";
import { seededRandom } from "../../src/base/random.ts";
import { type Config, type ConfigInput, configSchema } from "../../src/config/schema.ts";
import type { ListenerConfig } from "../../src/listeners/schema.ts";
import { type Log, silentLog } from "../../src/observability/log.ts";
import { LISTENER } from "../../src/observability/metrics-table.ts";
import { openDatagramSocket, openListeningSocket, portOf } from "../../src/transport/listening-socket.ts";
import type { EndpointSpec } from "../../src/upstreams/endpoint.ts";

export interface Balancer {
  readonly port: number;
  readonly dataPath: DataPath;
  readonly tables: SharedTables;
  /** What it has reported, as `TYPE NAME`. */
  readonly events: readonly string[];
  /** Exchanges in flight on all endpoints. */
  inFlight(): number;
  openConnections(): number;
  setEligible(pool: string, index: number, eligible: boolean): void;
  /** Sum of a field over the rows of all listeners. */
  requests(): number;
  reload(input: ConfigInput): void;
  /** The first half of a reload, with the sockets of listeners that it adds; `dataPath.commit` is the second. */
  prepare(input: ConfigInput, descriptors?: Readonly<Record<string, number>>): void;
  stop(): Promise<void>;
}

export interface BalancerOptions {
  readonly clock?: Clock;
  readonly timers?: Timers;
  readonly log?: Log;
}

/** Serves `input` on a free port of its first listener. Every endpoint counts as healthy. */
export function startBalancer(input: ConfigInput, options: BalancerOptions = {}): Balancer {
  const tables = privateMemory();
  const events: string[] = [];
  const dataPath = createDataPath({
    worker: 0,
    endpointTable: tables.endpoints,
    metrics: tables.metrics,
    resilience: tables.resilience,
    counters: tables.counters(0),
    sessions: tables.sessions,
    clock: options.clock ?? systemClock,
    timers: options.timers ?? systemTimers,
    random: seededRandom(1),
    log: options.log ?? silentLog,
    onSuspect: () => {},
    report: (event) => void events.push(`${event.type} ${event.pool ?? event.listener}`),
  });
  const store = new CertificateStore({
    clock: systemClock,
    timers: systemTimers,
    random: seededRandom(1),
    log: silentLog,
    responder: { present: () => {}, withdraw: () => {} },
    onChange: () => {},
  });
  const rows = new Map<string, number>();
  const first = configSchema.parse({ accessLog: false, ...input });
  const [name, { protocol, address }] = Object.entries(first.listeners)[0] as [string, ListenerConfig];
  const host = address.startsWith(":") ? "::" : "127.0.0.1";
  const descriptor = protocol === "udp" ? openDatagramSocket(host, 0) : openListeningSocket("127.0.0.1", 0);
  let generation = 0;
  const prepare = (config: Config, descriptors: Readonly<Record<string, number>>): void =>
    dataPath.prepare(updateOf(config, ++generation, rows, tables, store.load(config)), descriptors);
  prepare(first, { [name]: descriptor });
  dataPath.commit();
  return {
    port: portOf(descriptor),
    dataPath,
    tables,
    events,
    inFlight: () => [...rows.values()].reduce((sum, row) => sum + tables.endpoints.inFlight(row), 0),
    openConnections: () => dataPath.openConnections(),
    setEligible: (pool, index, eligible) => {
      const row = [...rows].filter(([name]) => name.startsWith(`${pool} `))[index]?.[1];
      if (row !== undefined) tables.endpoints.setHealthy(row, eligible);
    },
    requests: () => tables.metrics.read("listener", 0, LISTENER.requests),
    reload: (next) => {
      prepare(configSchema.parse({ accessLog: false, ...next }), {});
      dataPath.commit();
    },
    prepare: (next, descriptors = {}) => prepare(configSchema.parse({ accessLog: false, ...next }), descriptors),
    stop: () => {
      store.close();
      return dataPath.close();
    },
  };
}

function updateOf(
  config: Config,
  generation: number,
  rows: Map<string, number>,
  tables: SharedTables,
  certificates: ReturnType<CertificateStore["load"]>,
): Parameters<DataPath["prepare"]>[0] {
  const endpoints = Object.fromEntries(
    Object.entries(config.pools).map(([pool, { endpoints: list }]) => [
      pool,
      list.map(({ address, weight, tier, maxConnections }): EndpointSpec => {
        const id = address ?? "";
        const row = rows.get(`${pool} ${id}`) ?? rows.size;
        const isNew = !rows.has(`${pool} ${id}`);
        rows.set(`${pool} ${id}`, row);
        if (isNew) tables.endpoints.setHealthy(row, true);
        tables.endpoints.setWeight(row, weight);
        const colon = id.lastIndexOf(":");
        return {
          id,
          host: id.slice(0, colon),
          port: Number(id.slice(colon + 1)),
          name: id.slice(0, colon),
          tier,
          maxConnections,
          row,
        };
      }),
    ]),
  );
  const numbered = () => {
    let next = 0;
    return { take: () => next++ };
  };
  const rowsByKind = { listener: numbered(), route: numbered(), pool: numbered() };
  return buildUpdate(config, { generation, endpoints, certificates, rows: rowsByKind });
}
