/** All kinds of checks, by the `type` they have in the configuration. */
import type { AgentQuestion, HealthConfig } from "../schema.ts";
import { agentProbe } from "./agent.ts";
import { commandProbe } from "./command.ts";
import type { Probe, ProbeContext, ProbeResult, ProbeTarget } from "./definition.ts";
import { grpcProbe } from "./grpc.ts";
import { httpProbe } from "./http.ts";
import { tcpProbe } from "./tcp.ts";
import { udpProbe } from "./udp.ts";

type ActiveCheck = Exclude<HealthConfig, false>;

const probes: { readonly [Type in ActiveCheck["type"]]: Probe<Extract<ActiveCheck, { type: Type }>> } = {
  http: httpProbe,
  tcp: tcpProbe,
  udp: udpProbe,
  grpc: grpcProbe,
  command: commandProbe,
  agent: agentProbe,
};

export function probeEndpoint(
  target: ProbeTarget,
  config: ActiveCheck | AgentQuestion,
  context: ProbeContext,
): Promise<ProbeResult> {
  return (probes[config.type] as Probe<ActiveCheck | AgentQuestion>)(target, config, context);
}
