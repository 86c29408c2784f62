/** What outlier detection tells the rest of the program, and how it is put into words. */
import type { Streak } from "./outlier-counters.ts";

export type EjectionCause = Streak | "success-rate" | "failure-percentage" | "latency";
export type ReturnCause = "time-served" | "active-check";

/**
 * `ejected`; `would-eject`: the same in a dry run, where nothing is done; `spared`: it is an outlier, but too few endpoints
 * would be left.
 */
export interface EjectionEvent {
  readonly kind: "ejected" | "would-eject" | "spared";
  /** Index in the pool. */
  readonly endpoint: number;
  readonly cause: EjectionCause;
  /** Failures in a row, a success rate in 0 to 1, percent of failures, or milliseconds: see `cause`. */
  readonly measured: number;
  /** What `measured` was held against, in the same unit. */
  readonly bound: number;
  /** How long it stays out, or would; milliseconds. */
  readonly forMs: number;
  readonly atMs: number;
}

export interface ReturnEvent {
  readonly kind: "returned";
  readonly endpoint: number;
  readonly cause: ReturnCause;
  /** How long it was out; milliseconds. */
  readonly forMs: number;
  readonly atMs: number;
}

export type OutlierEvent = EjectionEvent | ReturnEvent;

const PREFIX: Readonly<Record<EjectionEvent["kind"], string>> = {
  ejected: "ejected",
  "would-eject": "would be ejected",
  spared: "kept although an outlier, too few endpoints would be left",
};

const IN_A_ROW: Readonly<Record<Streak, string>> = {
  "server-errors": "server errors",
  "gateway-errors": "gateway errors",
  "connect-failures": "connect failures",
  timeouts: "timeouts",
};

/** The event in words for logs and "why is it out": `ejected for 30s: 5 gateway errors in a row`. */
export function describeOutlierEvent(event: OutlierEvent): string {
  if (event.kind === "returned") {
    const why = event.cause === "active-check" ? "an active check passed" : "its time is over";
    return `back after ${seconds(event.forMs)}: ${why}`;
  }
  const duration = event.kind === "spared" ? "" : ` for ${seconds(event.forMs)}`;
  return `${PREFIX[event.kind]}${duration}: ${reasonOf(event)}`;
}

function reasonOf({ cause, measured, bound }: EjectionEvent): string {
  switch (cause) {
    case "success-rate":
      return `success rate ${percent(measured)}, the others' bound is ${percent(bound)}`;
    case "failure-percentage":
      return `${measured.toFixed(1)}% of requests failed, the bound is ${bound}%`;
    case "latency":
      return `average latency ${measured.toFixed(0)}ms, the others' bound is ${bound.toFixed(0)}ms`;
    default:
      return `${measured} ${IN_A_ROW[cause]} in a row`;
  }
}

function percent(rate: number): string {
  return `${(rate * 100).toFixed(1)}%`;
}

function seconds(durationMs: number): string {
  return `${Number((durationMs / 1_000).toFixed(1))}s`;
}
