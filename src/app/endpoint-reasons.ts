/** Why an endpoint is not used, in the order in which one wants to hear of it. */
import { type AgentView, describeAgent } from "../health/agent-state.ts";
import type { EndpointStatus } from "./endpoint-status.ts";
import { describeMissing } from "./required-pools.ts";

export interface ReasonAgainst {
  readonly reason: string;
  readonly sinceMs: number;
}

/** Everything that stands against it now. `missing`: pools that its own requires and that have nothing usable. */
export function reasonsAgainst(endpoint: EndpointStatus, missing: readonly string[]): ReasonAgainst[] {
  const { state, status, reason, sinceMs, stateSinceMs, weight, agent, ejection, hold } = endpoint;
  const found: ReasonAgainst[] = [];
  if (state === "maintenance") return [{ reason: "in maintenance", sinceMs: stateSinceMs }];
  if (status === "checking" || status === "unhealthy") found.push({ reason, sinceMs });
  if (state === "drain") found.push({ reason: draining(endpoint), sinceMs: stateSinceMs });
  if (agent !== undefined) found.push(...wishesOf(agent));
  if (ejection !== undefined) found.push({ reason: `ejected: ${ejection.reason}`, sinceMs: ejection.sinceMs });
  if (hold !== undefined) found.push(hold);
  if (weight === 0) found.push({ reason: "its weight is 0", sinceMs });
  if (missing.length > 0) found.push({ reason: `its pool is blocked: ${describeMissing(missing)}`, sinceMs });
  return found;
}

function draining({ drainLeftMs }: EndpointStatus): string {
  return drainLeftMs === 0 ? "drained: its time is over" : "draining";
}

/** That it says it is down is the verdict of its checks already. */
function wishesOf(agent: AgentView): ReasonAgainst[] {
  const { state, weightPercent, sinceMs } = agent;
  if (state === "ready" && weightPercent > 0) return [];
  const what = { drain: "drained", maintenance: "put into maintenance", ready: "left without weight" }[state];
  return [{ reason: `${what} by its agent, which ${describeAgent(agent)}`, sinceMs }];
}
