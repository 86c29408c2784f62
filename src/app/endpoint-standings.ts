/**
 * What stands for and against each endpoint, kept in the shared table as it changes: its health, its state, its weight with
 * slow start. Says what has changed and why, in the log and as events.
 */

import { algorithms } from "../balancing/registry.ts";
import type { Clock, Timers } from "../base/clock.ts";
import type { HealthStatus } from "../health/health-state.ts";
import type { EventLog, EventType } from "../observability/event-log.ts";
import type { Log } from "../observability/log.ts";
import type { PoolConfig } from "../pools/schema.ts";
import { slowStartOptions } from "../resilience/options.ts";
import { effectiveWeight, slowStartFactor } from "../resilience/slow-start.ts";
import type { AdminState } from "../upstreams/admin-state.ts";
import { Drains } from "./drains.ts";
import type { SharedTables } from "./memory.ts";
import { SlowStarts } from "./slow-starts.ts";

/** A keyed algorithm builds its table anew with each step, and each step moves keys. */
const KEYED_STEPS = 10;
const STEPS = 100;

export interface StandingsOptions {
  readonly clock: Clock;
  readonly timers: Timers;
  readonly log: Log;
  readonly events: EventLog;
  readonly tables: SharedTables;
  readonly onWeights: (pool: string) => void;
  readonly onLeaving: (pool: string, id: string, which: "idle" | "all") => void;
}

/** Which endpoint is meant, and the settings of its pool. */
export interface EndpointPlace {
  readonly pool: string;
  readonly id: string;
  /** Of its row. */
  readonly name: string;
  readonly row: number;
  readonly config: PoolConfig;
}

export interface Ejection {
  readonly reason: string;
  readonly sinceMs: number;
}

interface Standing {
  place: EndpointPlace;
  state: AdminState;
  stateSinceMs: number;
  weight: number;
  isHealthy: boolean;
  /** Why and since when it is ejected; undefined while it is not. */
  ejection: Ejection | undefined;
  /** Its pool began with it: there is nobody to take the load while it warms up. */
  startsInFull: boolean;
}

export interface StandingStatus {
  readonly stateSinceMs: number;
  /** How long it may still drain; undefined when it does not. */
  readonly drainLeftMs: number | undefined;
  readonly ejection: Ejection | undefined;
  /** Part of its weight that counts now: below 1 while it warms up. */
  readonly warmth: number;
}

export class EndpointStandings {
  readonly #options: StandingsOptions;
  readonly #standings = new Map<string, Standing>();
  readonly #drains: Drains;
  readonly #slowStarts: SlowStarts;

  constructor(options: StandingsOptions) {
    this.#options = options;
    this.#drains = new Drains(options.clock, options.timers);
    this.#slowStarts = new SlowStarts(options.clock, options.timers);
  }

  /** Takes over what is wanted of an endpoint. True when its weight has changed. `isFirst`: its pool had none before. */
  set(
    place: EndpointPlace,
    wanted: { readonly state: AdminState; readonly weight: number },
    isFirst: boolean,
  ): boolean {
    const known = this.#standings.get(place.name);
    // A name can get another row when it was away for a moment: then nothing is known of it.
    if (known === undefined || known.place.row !== place.row) {
      const standing = this.#begin(place, wanted.weight, isFirst && wanted.state === "ready");
      this.#setState(standing, wanted.state);
      this.#storeWeight(standing);
      return false;
    }
    known.place = place;
    const { state, weight } = known;
    if (wanted.state !== state) {
      this.#setState(known, wanted.state);
      this.#announce("endpoint.state", known, `from ${state} to ${wanted.state}`, state, wanted.state);
    }
    if (wanted.weight !== weight) {
      known.weight = wanted.weight;
      this.#announce("endpoint.weight", known, `from ${weight} to ${wanted.weight}`, weight, wanted.weight);
    }
    return this.#storeWeight(known);
  }

  healthChanged(name: string, status: HealthStatus, reason: string): void {
    const standing = this.#standings.get(name);
    if (standing === undefined) return;
    const { log, events, tables } = this.#options;
    const { pool, id: endpoint, row } = standing.place;
    const wasHealthy = standing.isHealthy;
    standing.isHealthy = status === "healthy";
    tables.endpoints.setHealthy(row, standing.isHealthy);
    if (status === "unhealthy") {
      standing.startsInFull = false;
      this.#slowStarts.end(name);
      log.warn("endpoint is down", { pool, endpoint, reason });
      events.publish("endpoint.down", { pool, endpoint, reason });
    } else if (standing.isHealthy && !wasHealthy) {
      this.#warmUp(standing);
      if (reason === "not checked") return;
      log.info("endpoint is up", { pool, endpoint, reason });
      events.publish("endpoint.up", { pool, endpoint, reason });
    }
  }

  ejectionChanged(name: string, ejected: boolean, reason: string): void {
    const standing = this.#standings.get(name);
    if (standing === undefined) return;
    const { pool, id: endpoint } = standing.place;
    standing.ejection = ejected ? { reason, sinceMs: this.#options.clock.now() } : undefined;
    this.#options.events.publish(ejected ? "endpoint.ejected" : "endpoint.returned", { pool, endpoint, reason });
    if (ejected) this.#slowStarts.end(name);
    else this.#warmUp(standing);
  }

  statusOf(name: string): StandingStatus {
    const standing = this.#standings.get(name);
    const slowStart =
      standing === undefined ? slowStartOptions(false) : slowStartOptions(standing.place.config.slowStart);
    return {
      stateSinceMs: standing?.stateSinceMs ?? this.#options.clock.now(),
      drainLeftMs: this.#drains.leftMs(name),
      ejection: standing?.ejection,
      warmth: slowStartFactor(this.#slowStarts.ageMs(name), slowStart),
    };
  }

  /** Says in the log and as an event what has become of an endpoint. */
  tell(type: EventType, pool: string, endpoint: string, reason: string): void {
    this.#options.log.info(type, { pool, endpoint, reason });
    this.#options.events.publish(type, { pool, endpoint, reason });
  }

  keepOnly(kept: ReadonlySet<string>): void {
    for (const name of this.#standings.keys()) if (!kept.has(name)) this.#end(name);
  }

  close(): void {
    this.#drains.close();
    this.#slowStarts.close();
  }

  #begin(place: EndpointPlace, weight: number, isFirst: boolean): Standing {
    this.#end(place.name);
    const stateSinceMs = this.#options.clock.now();
    const standing: Standing = {
      place,
      state: "ready",
      stateSinceMs,
      weight,
      isHealthy: false,
      ejection: undefined,
      startsInFull: isFirst,
    };
    this.#standings.set(place.name, standing);
    return standing;
  }

  #end(name: string): void {
    this.#drains.end(name);
    this.#slowStarts.end(name);
    this.#standings.delete(name);
  }

  #setState(standing: Standing, state: AdminState): void {
    if (standing.state === state) return;
    const { tables, clock, onLeaving } = this.#options;
    const { pool, id, name, row } = standing.place;
    standing.state = state;
    standing.stateSinceMs = clock.now();
    tables.endpoints.setState(row, state);
    this.#drains.end(name);
    if (state === "ready") return this.#warmUp(standing);
    this.#slowStarts.end(name);
    if (state === "drain") this.#drain(standing);
    else {
      // Checks begin anew when it comes back; until the first has passed it is not picked.
      standing.isHealthy = false;
      tables.endpoints.setHealthy(row, false);
      onLeaving(pool, id, "all");
    }
  }

  #drain(standing: Standing): void {
    const { pool, id, name, row, config } = standing.place;
    const { tables, onLeaving } = this.#options;
    onLeaving(pool, id, "idle");
    this.#drains.begin(name, {
      inFlight: () => tables.endpoints.inFlight(row),
      timeoutMs: config.drainTimeout,
      onIdle: () => this.tell("endpoint.drained", pool, id, "nothing is in flight on it"),
      onTimeout: (inFlight) => {
        tables.endpoints.setDrained(row);
        onLeaving(pool, id, "all");
        if (inFlight > 0)
          this.tell("endpoint.drained", pool, id, `the drain timeout is over: ${inFlight} still in flight are closed`);
      },
    });
  }

  #warmUp(standing: Standing): void {
    const { name, pool, config } = standing.place;
    if (!standing.isHealthy || standing.ejection !== undefined || standing.state !== "ready") return;
    const { startsInFull } = standing;
    standing.startsInFull = false;
    if (startsInFull) return;
    const isKeyed = algorithms[config.balance.algorithm].keyed;
    this.#slowStarts.begin(name, slowStartOptions(config.slowStart), isKeyed ? KEYED_STEPS : STEPS, () => {
      if (this.#storeWeight(standing) && isKeyed) this.#options.onWeights(pool);
    });
  }

  /** True when that is not what was there. */
  #storeWeight({ place, weight }: Standing): boolean {
    const { endpoints } = this.#options.tables;
    const { slowStart } = place.config;
    const counts =
      slowStart === false
        ? weight
        : effectiveWeight(weight, this.#slowStarts.ageMs(place.name), slowStartOptions(slowStart));
    if (endpoints.weight(place.row) === counts) return false;
    endpoints.setWeight(place.row, counts);
    return true;
  }

  #announce(type: EventType, { place }: Standing, reason: string, from: string | number, to: string | number): void {
    const { pool, id: endpoint } = place;
    this.#options.log.info(type === "endpoint.state" ? "endpoint changes state" : "endpoint changes weight", {
      pool,
      endpoint,
      from: String(from),
      to: String(to),
    });
    this.#options.events.publish(type, { pool, endpoint, reason, from, to });
  }
}
