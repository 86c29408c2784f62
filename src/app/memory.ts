/** The memory that all processes share, and how it is divided. */
import { ftruncateSync } from "node:fs";
import { SharedCounters } from "../base/shared-counters.ts";
import { localRegion, openSharedRegion, type Region, subregion } from "../base/shared-memory.ts";
import { openUnnamedFile, pathOf } from "../base/unnamed-file.ts";
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

/** The files that it is in. Sessions have one of their own: a process that takes this one's place goes on with it. */
export interface SharedFiles {
  readonly tables: number;
  readonly sessions: number;
}

/** `inherited`: sessions that another process leaves to this one. */
export function createSharedMemory(workers: number, inherited: number | undefined): SharedFiles {
  const tables = openUnnamedFile("tables");
  ftruncateSync(tables, totalBytes(workers));
  if (inherited !== undefined) return { tables, sessions: inherited };
  const sessions = openUnnamedFile("sessions");
  ftruncateSync(sessions, SessionTable.bytes());
  crypto.getRandomValues(new SessionTable(openSharedRegion(pathOf(sessions))).secret);
  return { tables, sessions };
}

/** Maps the memory behind these descriptors, inherited ones for example. */
export function mapSharedMemory({ tables, sessions }: SharedFiles, workers: number): SharedTables {
  return divide(openSharedRegion(pathOf(tables)), openSharedRegion(pathOf(sessions)), workers);
}

/** Memory of this process alone, when everything runs in one. */
export function privateMemory(): SharedTables {
  const tables = divide(localRegion(totalBytes(1)), localRegion(SessionTable.bytes()), 1);
  crypto.getRandomValues(tables.sessions.secret);
  return tables;
}

function totalBytes(workers: number): number {
  return (
    EndpointTable.bytes(workers) +
    MetricsTable.bytes(workers) +
    SharedCounters.bytes(workers) +
    ResilienceMemory.bytes(workers)
  );
}

function divide(region: Region, sessions: Region, workers: number): SharedTables {
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
    sessions: new SessionTable(sessions),
    counters: (worker) => new SharedCounters(countersRegion, workers, worker),
  };
}
