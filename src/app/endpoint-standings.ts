/**
 * What stands for and against each endpoint, kept in the shared table as it changes: its health, its state, its weight with
 * slow start. Says what has changed and why, in the log and as events.
 */

import { algorithms } from "../balancing/registry.ts";
import type { Clock, Timers } from "../base/clock.ts";
import { type AgentView, describeAgent } from "../health/agent-state.ts";
import type { HealthStatus } from "../health/health-state.ts";
import { canDegrade } from "../health/schema.ts";
import type { EventLog, EventType } from "../observability/event-log.ts";
import type { Log } from "../observability/log.ts";
import { slowStartOptions } from "../resilience/options.ts";
import { slowStartFactor } from "../resilience/slow-start.ts";
import type { AdminState } from "../upstreams/admin-state.ts";
import { Drains } from "./drains.ts";
import {
  beginStanding,
  dampingOf,
  type EndpointPlace,
  isUp,
  type Standing,
  type StandingStatus,
  stronger,
} from "./endpoint-standing.ts";
import { FlapHolds } from "./flap-holds.ts";
import type { SharedTables } from "./memory.ts";
import { SlowStarts } from "./slow-starts.ts";
import { countedWeight } from "./weights.ts";

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

export class EndpointStandings {
  readonly #options: StandingsOptions;
  readonly #standings = new Map<string, Standing>();
  readonly #drains: Drains;
  readonly #slowStarts: SlowStarts;
  readonly #holds: FlapHolds;

  constructor(options: StandingsOptions) {
    this.#options = options;
    this.#drains = new Drains(options.clock, options.timers);
    this.#slowStarts = new SlowStarts(options.clock, options.timers);
    this.#holds = new FlapHolds(options.clock, options.timers);
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
      this.#want(standing, wanted.state);
      this.#storeWeight(standing);
      return false;
    }
    known.place = place;
    this.#keepUp(known);
    const { wanted: state, weight } = known;
    if (wanted.state !== state) {
      this.#want(known, wanted.state);
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
    const before = standing.status;
    const wasUp = isUp(before);
    standing.status = status;
    tables.endpoints.setDegraded(row, status === "degraded");
    tables.endpoints.setHealthy(row, isUp(status));
    if (status === "unhealthy") {
      standing.startsInFull = false;
      this.#slowStarts.end(name);
      log.warn("endpoint is down", { pool, endpoint, reason });
      events.publish("endpoint.down", { pool, endpoint, reason });
      if (wasUp) this.#damp(standing);
    } else if (isUp(status) && status !== before) {
      if (!wasUp) this.#warmUp(standing);
      if (reason === "not checked") return;
      if (status === "degraded") log.warn("endpoint is degraded", { pool, endpoint, reason });
      else log.info("endpoint is up", { pool, endpoint, reason });
      events.publish(status === "degraded" ? "endpoint.degraded" : "endpoint.up", { pool, endpoint, reason });
    }
  }

  /** Takes over what its agent wants, as it stands; undefined for one without. True when its weight has changed. */
  agentStands(name: string, agent: AgentView | undefined): boolean {
    const standing = this.#standings.get(name);
    if (standing === undefined) return false;
    standing.agentState = agent?.state ?? "ready";
    standing.agentPercent = agent?.weightPercent ?? 100;
    this.#setState(standing);
    return this.#storeWeight(standing);
  }

  /** Its agent says something else than before, or cannot be heard any more. True when its weight has changed. */
  agentChanged(name: string, agent: AgentView): boolean {
    const standing = this.#standings.get(name);
    if (standing === undefined) return false;
    this.tell("endpoint.agent", standing.place.pool, standing.place.id, `its agent ${describeAgent(agent)}`);
    return this.agentStands(name, agent);
  }

  /** An operator wants it to be used: its failures are forgotten. */
  trust(name: string): void {
    const standing = this.#standings.get(name);
    if (standing !== undefined && this.#holds.forget(name)) this.#trusted(standing, "by an operator");
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
      hold: this.#holds.hold(name),
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
    this.#holds.close();
  }

  #begin(place: EndpointPlace, weight: number, isFirst: boolean): Standing {
    this.#end(place.name);
    const standing = beginStanding(place, weight, isFirst, this.#options.clock.now());
    this.#standings.set(place.name, standing);
    return standing;
  }

  #end(name: string): void {
    this.#drains.end(name);
    this.#slowStarts.end(name);
    this.#holds.forget(name);
    this.#standings.delete(name);
  }

  /** Its pool may have other settings now. */
  #keepUp(standing: Standing): void {
    const { name, row, config } = standing.place;
    if (this.#holds.forgetUnless(name, dampingOf(config))) this.#trusted(standing, "the settings have changed");
    if (standing.status !== "degraded" || canDegrade(config.health)) return;
    standing.status = "healthy";
    this.#options.tables.endpoints.setDegraded(row, false);
  }

  /** What the file or an operator wants. */
  #want(standing: Standing, wanted: AdminState): void {
    standing.wanted = wanted;
    this.#setState(standing);
    if (wanted !== "maintenance") return;
    // Checks begin anew when it comes back; until the first has passed it is not picked.
    standing.status = "checking";
    this.#options.tables.endpoints.setHealthy(standing.place.row, false);
    this.#options.tables.endpoints.setDegraded(standing.place.row, false);
  }

  #setState(standing: Standing): void {
    const state = stronger(standing.wanted, standing.agentState);
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
    else onLeaving(pool, id, "all");
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

  /** It was up and is down: once too often perhaps. */
  #damp(standing: Standing): void {
    const { pool, id: endpoint, name, row, config } = standing.place;
    const damping = dampingOf(config);
    if (damping === false) return;
    const isNew = this.#holds.wentDown(name, damping, () =>
      this.#trusted(standing, "it has not failed for long enough"),
    );
    if (!isNew) return;
    this.#options.tables.endpoints.setHeld(row, true);
    const reason = this.#holds.hold(name)?.reason ?? "";
    this.#options.log.warn("endpoint is held back", { pool, endpoint, reason });
    this.#options.events.publish("endpoint.held", { pool, endpoint, reason });
  }

  #trusted(standing: Standing, reason: string): void {
    const { pool, id, row } = standing.place;
    this.#options.tables.endpoints.setHeld(row, false);
    this.tell("endpoint.trusted", pool, id, reason);
    this.#warmUp(standing);
  }

  #warmUp(standing: Standing): void {
    const { name, pool, config } = standing.place;
    if (!isUp(standing.status) || standing.ejection !== undefined || standing.state !== "ready") return;
    if (this.#holds.isHeld(name)) return;
    const { startsInFull } = standing;
    standing.startsInFull = false;
    if (startsInFull) return;
    const isKeyed = algorithms[config.balance.algorithm].keyed;
    this.#slowStarts.begin(name, slowStartOptions(config.slowStart), isKeyed ? KEYED_STEPS : STEPS, () => {
      if (this.#storeWeight(standing) && isKeyed) this.#options.onWeights(pool);
    });
  }

  /** True when that is not what was there. */
  #storeWeight({ place, weight, agentPercent }: Standing): boolean {
    const { endpoints } = this.#options.tables;
    const counts = countedWeight(place.config, weight, agentPercent, this.#slowStarts.ageMs(place.name));
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
