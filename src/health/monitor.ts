/**
 * Checks all endpoints, each on its own clock, and says when one may be used and when not. What it knows of an endpoint is
 * kept by pool and address, over reloads too, as long as the way it is checked stays the same.
 */
import type { Clock, Timer, Timers } from "../base/clock.ts";
import type { Random } from "../base/random.ts";
import { type CheckResult, HealthState, type HealthStatus } from "./health-state.ts";
import type { ProbeContext, ProbeResult, ProbeTarget, ProbeWay } from "./probes/definition.ts";
import { probeEndpoint } from "./probes/registry.ts";
import type { HealthConfig } from "./schema.ts";

type ActiveCheck = Exclude<HealthConfig, false>;

/** Checks under way at the same time; more wait their turn. */
const MAX_PROBES = 64;
const JITTER = 0.1;

export interface CheckedEndpoint {
  readonly id: string;
  readonly host: string;
  readonly port: number;
  /** What its address says, before it is resolved. */
  readonly name: string;
}

export interface HealthChange {
  readonly pool: string;
  readonly id: string;
  readonly status: HealthStatus;
  readonly reason: string;
}

export interface EndpointHealth extends HealthChange {
  readonly sinceMs: number;
  readonly lastLatencyMs: number;
  /** Its last checks, the oldest first. */
  readonly history: readonly CheckResult[];
}

export interface HealthMonitorOptions {
  readonly clock: Clock;
  readonly timers: Timers;
  readonly random: Random;
  /** PATH for commands. */
  readonly path: string;
  readonly onChange: (change: HealthChange) => void;
  /** Stands in for the real probes in tests. */
  readonly probe?: (target: ProbeTarget, config: ActiveCheck, context: ProbeContext) => Promise<ProbeResult>;
}

interface Checked {
  readonly pool: string;
  readonly endpoint: CheckedEndpoint;
  readonly config: ActiveCheck;
  readonly way: ProbeWay;
  readonly state: HealthState;
  timer: Timer | undefined;
  gone: boolean;
}

export class HealthMonitor {
  readonly #options: HealthMonitorOptions;
  readonly #pools = new Map<string, { configText: string; checked: Map<string, Checked> }>();
  readonly #waiting: Checked[] = [];
  #running = 0;

  constructor(options: HealthMonitorOptions) {
    this.#options = options;
  }

  /** Checks these endpoints of a pool from now on, and no others of it. */
  setPool(pool: string, config: HealthConfig, endpoints: readonly CheckedEndpoint[], way: ProbeWay = {}): void {
    const configText = JSON.stringify([config, way.preface?.toString("latin1"), way.tls?.fingerprint, way.http2]);
    const before = this.#pools.get(pool);
    const kept = before?.configText === configText ? before.checked : new Map<string, Checked>();
    if (before !== undefined && kept !== before.checked)
      for (const checked of before.checked.values()) this.#forget(checked);
    const checked = new Map<string, Checked>();
    this.#pools.set(pool, { configText, checked });
    for (const endpoint of endpoints) {
      const known = kept.get(endpoint.id);
      kept.delete(endpoint.id);
      if (config === false) this.#options.onChange({ pool, id: endpoint.id, status: "healthy", reason: "not checked" });
      else checked.set(endpoint.id, known ?? this.#begin(pool, endpoint, config, way));
    }
    for (const gone of kept.values()) this.#forget(gone);
  }

  removePool(pool: string): void {
    for (const checked of this.#pools.get(pool)?.checked.values() ?? []) this.#forget(checked);
    this.#pools.delete(pool);
  }

  /** Undefined for an endpoint that is not checked. */
  status(pool: string, id: string): EndpointHealth | undefined {
    const checked = this.#pools.get(pool)?.checked.get(id);
    if (checked === undefined) return undefined;
    const { status, reason, sinceMs, history } = checked.state;
    return { pool, id, status, reason, sinceMs, lastLatencyMs: history.at(-1)?.latencyMs ?? -1, history };
  }

  /** When its last check passed; undefined when that one failed, or there was none. */
  lastPassedMs(pool: string, id: string): number | undefined {
    const last = this.#pools.get(pool)?.checked.get(id)?.state.history.at(-1);
    return last?.passed === true ? last.atMs : undefined;
  }

  close(): void {
    for (const pool of [...this.#pools.keys()]) this.removePool(pool);
    this.#waiting.length = 0;
  }

  #begin(pool: string, endpoint: CheckedEndpoint, config: ActiveCheck, way: ProbeWay): Checked {
    const state = new HealthState(this.#options.clock.now());
    const checked: Checked = { pool, endpoint, config, way, state, timer: undefined, gone: false };
    this.#check(checked);
    return checked;
  }

  #forget(checked: Checked): void {
    checked.gone = true;
    checked.timer?.stop();
    checked.timer = undefined;
  }

  #check(checked: Checked): void {
    checked.timer = undefined;
    if (this.#running >= MAX_PROBES) {
      this.#waiting.push(checked);
      return;
    }
    this.#running++;
    void this.#probe(checked).finally(() => {
      this.#running--;
      let next = this.#waiting.shift();
      while (next?.gone === true) next = this.#waiting.shift();
      if (next !== undefined) this.#check(next);
    });
  }

  async #probe(checked: Checked): Promise<void> {
    const { clock, timers, path, probe = probeEndpoint, onChange } = this.#options;
    const { pool, endpoint, config, way, state } = checked;
    const startedMs = clock.now();
    const { host, name } = endpoint;
    // A port of its own is for checks alone: nobody speaks the PROXY protocol there.
    const preface = config.port === undefined ? way.preface : undefined;
    const tls = "tls" in config && config.tls === false ? undefined : way.tls;
    const target = { ...way, pool, host, name, port: config.port ?? endpoint.port, preface, tls };
    const reason = await probe(target, config, { timers, path });
    if (checked.gone) return;
    const now = clock.now();
    const result = { passed: reason === undefined, reason: reason ?? "", latencyMs: now - startedMs, atMs: now };
    if (state.record(result, config)) onChange({ pool, id: endpoint.id, status: state.status, reason: state.reason });
    const interval = state.inTransition ? Math.min(config.transitionInterval, config.interval) : config.interval;
    const jitter = 1 + JITTER * (2 * this.#options.random.next() - 1);
    checked.timer = timers.after(interval * jitter, () => this.#check(checked));
  }
}
