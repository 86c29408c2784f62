/**
 * Checks all endpoints, each on its own clock, and says when one may be used and when not. What it knows of an endpoint is
 * kept by pool and address, over reloads too, as long as the way it is checked stays the same; what its agent has said holds
 * for as long as there is an agent.
 */
import type { Clock, Timer, Timers } from "../base/clock.ts";
import type { Random } from "../base/random.ts";
import { AgentState, type AgentView, describeAgent } from "./agent-state.ts";
import type { AgentWord } from "./agent-word.ts";
import { type CheckResult, HealthState, type HealthStatus } from "./health-state.ts";
import { ProbeTurns } from "./probe-turns.ts";
import type { ProbeAnswer, ProbeContext, ProbeResult, ProbeTarget, ProbeWay } from "./probes/definition.ts";
import { probeEndpoint } from "./probes/registry.ts";
import { type AgentQuestion, type HealthConfig, hasAgent } from "./schema.ts";

type ActiveCheck = Exclude<HealthConfig, false>;

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

/** An agent says something else than before, or cannot be heard any more. */
export interface AgentChange {
  readonly pool: string;
  readonly id: string;
  readonly agent: AgentView;
}

export interface EndpointHealth extends HealthChange {
  readonly sinceMs: number;
  readonly lastLatencyMs: number;
  /** Its last checks, the oldest first. */
  readonly history: readonly CheckResult[];
  /** Undefined when it has none. */
  readonly agent: AgentView | undefined;
}

export interface HealthMonitorOptions {
  readonly clock: Clock;
  readonly timers: Timers;
  readonly random: Random;
  /** PATH for commands. */
  readonly path: string;
  readonly onChange: (change: HealthChange) => void;
  readonly onAgent?: (change: AgentChange) => void;
  /** Stands in for the real probes in tests. */
  readonly probe?: (
    target: ProbeTarget,
    config: ActiveCheck | AgentQuestion,
    context: ProbeContext,
  ) => Promise<ProbeResult>;
}

interface Checked {
  readonly pool: string;
  readonly endpoint: CheckedEndpoint;
  readonly config: ActiveCheck;
  readonly way: ProbeWay;
  readonly state: HealthState;
  readonly agent: AgentState | undefined;
  /** What was told of it last. */
  told: HealthStatus;
  timer: Timer | undefined;
  agentTimer: Timer | undefined;
  gone: boolean;
}

export class HealthMonitor {
  readonly #options: HealthMonitorOptions;
  readonly #pools = new Map<string, { configText: string; checked: Map<string, Checked> }>();
  readonly #turns = new ProbeTurns();

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
      else {
        const agent = hasAgent(config) ? before?.checked.get(endpoint.id)?.agent : undefined;
        checked.set(endpoint.id, known ?? this.#begin(pool, endpoint, config, way, agent));
      }
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
    const { agent, state } = checked;
    const { history } = state;
    return { pool, id, ...verdictOf(checked), lastLatencyMs: history.at(-1)?.latencyMs ?? -1, history, agent };
  }

  /** When its last check passed; undefined when that one failed, or there was none. */
  lastPassedMs(pool: string, id: string): number | undefined {
    const last = this.#pools.get(pool)?.checked.get(id)?.state.history.at(-1);
    return last?.passed === true ? last.atMs : undefined;
  }

  close(): void {
    for (const pool of [...this.#pools.keys()]) this.removePool(pool);
    this.#turns.clear();
  }

  #begin(
    pool: string,
    endpoint: CheckedEndpoint,
    config: ActiveCheck,
    way: ProbeWay,
    known: AgentState | undefined,
  ): Checked {
    const now = this.#options.clock.now();
    const checked: Checked = {
      pool,
      endpoint,
      config,
      way,
      state: new HealthState(now),
      agent: known ?? (hasAgent(config) ? new AgentState(now) : undefined),
      told: "checking",
      timer: undefined,
      agentTimer: undefined,
      gone: false,
    };
    this.#check(checked);
    if (config.type !== "agent" && config.agent !== undefined) this.#ask(checked);
    return checked;
  }

  #forget(checked: Checked): void {
    checked.gone = true;
    checked.timer?.stop();
    checked.agentTimer?.stop();
    checked.timer = undefined;
    checked.agentTimer = undefined;
  }

  #check(checked: Checked): void {
    checked.timer = undefined;
    this.#turns.take({ isGone: () => checked.gone, run: () => this.#probe(checked) });
  }

  async #probe(checked: Checked): Promise<void> {
    const { clock, timers } = this.#options;
    const { config, way, state } = checked;
    const startedMs = clock.now();
    const tls = "tls" in config && config.tls === false ? undefined : way.tls;
    const answer = await this.#answerTo(checked, config, config.port, tls);
    if (checked.gone) return;
    state.record(resultOf(answer, startedMs, clock.now()), config);
    if (answer.word !== undefined) this.#heard(checked, answer.word);
    else if (config.type === "agent") this.#lost(checked, answer.failed ?? "");
    this.#tell(checked);
    const interval = state.inTransition ? Math.min(config.transitionInterval, config.interval) : config.interval;
    // While it still gets requests, it is looked at as soon as usual, whatever it asks for.
    const pauseMs = state.status === "unhealthy" ? (answer.retryAfterMs ?? 0) : 0;
    checked.timer = timers.after(Math.max(pauseMs, this.#varied(interval)), () => this.#check(checked));
  }

  /** Asks the agent beside the check. */
  #ask(checked: Checked): void {
    checked.agentTimer = undefined;
    this.#turns.take({ isGone: () => checked.gone, run: () => this.#askNow(checked) });
  }

  async #askNow(checked: Checked): Promise<void> {
    const { config } = checked;
    if (config.type === "agent" || config.agent === undefined) return;
    const { port, interval, send, timeout } = config.agent;
    const answer = await this.#answerTo(checked, { type: "agent", send, timeout }, port, undefined);
    if (checked.gone) return;
    if (answer.word !== undefined) this.#heard(checked, answer.word);
    else this.#lost(checked, answer.failed ?? "");
    this.#tell(checked);
    checked.agentTimer = this.#options.timers.after(this.#varied(interval), () => this.#ask(checked));
  }

  async #answerTo(
    { pool, endpoint, way }: Checked,
    config: ActiveCheck | AgentQuestion,
    port: number | undefined,
    tls: ProbeWay["tls"],
  ): Promise<ProbeAnswer> {
    const { timers, path, probe = probeEndpoint } = this.#options;
    const { host, name } = endpoint;
    // A port of its own is for checks alone: nobody speaks the PROXY protocol there.
    const preface = port === undefined ? way.preface : undefined;
    const target = { ...way, pool, host, name, port: port ?? endpoint.port, preface, tls };
    const result = await probe(target, config, { timers, path });
    return typeof result === "object" ? result : { failed: result };
  }

  #heard(checked: Checked, word: AgentWord): void {
    const { agent } = checked;
    if (agent?.hear(word, this.#options.clock.now()) === true) this.#tellAgent(checked, agent);
  }

  #lost(checked: Checked, problem: string): void {
    const { agent } = checked;
    if (agent?.lose(problem) === true) this.#tellAgent(checked, agent);
  }

  #tellAgent({ pool, endpoint }: Checked, agent: AgentView): void {
    this.#options.onAgent?.({ pool, id: endpoint.id, agent });
  }

  #tell(checked: Checked): void {
    const { status, reason } = verdictOf(checked);
    if (status === checked.told) return;
    checked.told = status;
    this.#options.onChange({ pool: checked.pool, id: checked.endpoint.id, status, reason });
  }

  #varied(ms: number): number {
    return ms * (1 + JITTER * (2 * this.#options.random.next() - 1));
  }
}

/** What checks say; unless the agent says that it is down, or may be about to say that it wants to be left alone. */
function verdictOf({ config, state, agent }: Checked): { status: HealthStatus; reason: string; sinceMs: number } {
  const { status, reason, sinceMs } = state;
  if (agent === undefined || !state.isUp) return { status, reason, sinceMs };
  const isAsked = agent.heardMs !== undefined || agent.problem !== "";
  if (!isAsked && config.type !== "agent" && config.agent !== undefined)
    return { status: "checking", reason: "its agent has not answered yet", sinceMs };
  if (agent.isUp) return { status, reason, sinceMs };
  return { status: "unhealthy", reason: `its agent ${describeAgent(agent)}`, sinceMs: agent.sinceMs };
}

function resultOf({ failed, degraded, word }: ProbeAnswer, startedMs: number, atMs: number): CheckResult {
  const said = word === undefined ? "" : `its agent says ${word.text}${word.reason === "" ? "" : `: ${word.reason}`}`;
  const reason = failed ?? degraded ?? said;
  const passed = failed === undefined;
  return { passed, degraded: degraded !== undefined, reason, latencyMs: atMs - startedMs, atMs };
}
