/** The memory that the processes of an evenkeel share. It outlives them for whoever has it: what they counted to their very end. */
import { closeSync, openSync, readdirSync, readlinkSync } from "node:fs";
import { mapSharedMemory, type SharedTables } from "../../src/app/memory.ts";
import { KINDS, type Kind, LISTENER, POOL, ROUTE } from "../../src/observability/metrics-table.ts";
import { MAX_ENDPOINTS } from "../../src/upstreams/endpoint-table.ts";

const STATUS_CLASSES = 6;

/** Of a running supervisor. */
export function memoryOf(supervisor: number, workers: number): SharedTables {
  const files = { tables: openFile(supervisor, "tables"), sessions: openFile(supervisor, "sessions") };
  try {
    return mapSharedMemory(files, workers);
  } finally {
    closeSync(files.tables);
    closeSync(files.sessions);
  }
}

function openFile(supervisor: number, label: string): number {
  const folder = `/proc/${supervisor}/fd`;
  const name = readdirSync(folder).find((entry) => isNamed(`${folder}/${entry}`, `/dev/shm/evenkeel-${label}-`));
  if (name === undefined) throw new Error(`process ${supervisor} shares no ${label}`);
  return openSync(`${folder}/${name}`, "r+");
}

function isNamed(path: string, start: string): boolean {
  try {
    return readlinkSync(path).startsWith(start);
  } catch {
    // It was closed meanwhile.
    return false;
  }
}

/** Over all listeners, routes and reasons that there ever were. */
export function totalsIn({ metrics }: SharedTables): { requests: number; statuses: number; refusals: number } {
  const sum = (kind: Kind, field: number): number => sumRows(KINDS[kind].rows, (row) => metrics.read(kind, row, field));
  const statuses = Array.from({ length: STATUS_CLASSES }, (_, index) => sum("route", ROUTE.statusClass + index));
  return {
    requests: sum("listener", LISTENER.requests),
    statuses: statuses.reduce((all, count) => all + count, 0),
    refusals: sum("reason", 0),
  };
}

/** What is under way, in words; "" when nothing is. */
export function underWayIn({ metrics, endpoints }: SharedTables): string {
  const counts = {
    "requests on endpoints": sumRows(MAX_ENDPOINTS, (row) => endpoints.inFlight(row)),
    "open connections": sumRows(KINDS.listener.rows, (row) => metrics.read("listener", row, LISTENER.open)),
    "requests waiting": sumRows(KINDS.pool.rows, (row) => metrics.read("pool", row, POOL.waiting)),
  };
  const held = Object.entries(counts).filter(([, count]) => count !== 0);
  return held.map(([what, count]) => `${count} ${what}`).join(", ");
}

function sumRows(rows: number, read: (row: number) => number): number {
  let sum = 0;
  for (let row = 0; row < rows; row++) sum += read(row);
  return sum;
}
