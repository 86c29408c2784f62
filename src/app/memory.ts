/** The memory that all processes share, and how it is divided. */
import { closeSync, ftruncateSync, openSync, unlinkSync } from "node:fs";
import { SharedCounters } from "../base/shared-counters.ts";
import { localRegion, openSharedRegion, type Region, subregion } from "../base/shared-memory.ts";
import { MetricsTable } from "../observability/metrics-table.ts";
import { SessionTable } from "../sessions/session-table.ts";
import { EndpointTable } from "../upstreams/endpoint-table.ts";
import { ResilienceMemory } from "./resilience-memory.ts";

export interface SharedTables {
  readonly endpoints: EndpointTable;
  readonly metrics: MetricsTable;
  readonly sessions: SessionTable;
  readonly resilience: ResilienceMemory;
  /** Counts connections on behalf of one worker; the supervisor uses it to take back what a dead one counted. */
  counters(worker: number): SharedCounters;
}

/** A file without a name: gone with the last process that has it, however that ends. */
export function createSharedMemory(workers: number): { descriptor: number; tables: SharedTables } {
  const path = `/dev/shm/evenkeel-${process.pid}-${crypto.randomUUID()}`;
  const descriptor = openSync(path, "wx+", 0o600);
  try {
    ftruncateSync(descriptor, totalBytes(workers));
    const tables = divide(openSharedRegion(path), workers);
    crypto.getRandomValues(tables.sessions.secret);
    return { descriptor, tables };
  } catch (error) {
    closeSync(descriptor);
    throw error;
  } finally {
    unlinkSync(path);
  }
}

/** Maps the memory behind an inherited descriptor. */
export function mapSharedMemory(descriptor: number, workers: number): SharedTables {
  return divide(openSharedRegion(`/proc/self/fd/${descriptor}`), workers);
}

/** Memory of this process alone, when everything runs in one. */
export function privateMemory(): SharedTables {
  const tables = divide(localRegion(totalBytes(1)), 1);
  crypto.getRandomValues(tables.sessions.secret);
  return tables;
}

function totalBytes(workers: number): number {
  return (
    EndpointTable.bytes(workers) +
    MetricsTable.bytes(workers) +
    SharedCounters.bytes(workers) +
    ResilienceMemory.bytes(workers) +
    SessionTable.bytes()
  );
}

function divide(region: Region, workers: number): SharedTables {
  const endpointBytes = EndpointTable.bytes(workers);
  const metricsBytes = MetricsTable.bytes(workers);
  const counterBytes = SharedCounters.bytes(workers);
  const countersRegion = subregion(region, endpointBytes + metricsBytes, counterBytes);
  const resilienceStart = endpointBytes + metricsBytes + counterBytes;
  const resilienceBytes = ResilienceMemory.bytes(workers);
  return {
    endpoints: new EndpointTable(subregion(region, 0, endpointBytes), workers),
    metrics: new MetricsTable(subregion(region, endpointBytes, metricsBytes), workers),
    resilience: new ResilienceMemory(subregion(region, resilienceStart, resilienceBytes), workers),
    sessions: new SessionTable(subregion(region, resilienceStart + resilienceBytes, SessionTable.bytes())),
    counters: (worker) => new SharedCounters(countersRegion, workers, worker),
  };
}
