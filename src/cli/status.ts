import type { Command } from "commander";
import type { EndpointView, PoolView, SharingView } from "../admin/api-types.ts";
import { AdminClient, type AdminOptions, reporting, withAdmin } from "./admin-client.ts";
import { ageText, columns, endpointText } from "./endpoint-text.ts";

interface StatusOptions extends AdminOptions {
  readonly json?: boolean;
}

export function addStatus(program: Command): void {
  withAdmin(program.command("status [pool] [endpoint]"))
    .description("show pools and endpoints, and why an endpoint is not used; of one endpoint everything")
    .option("--json", "print it as JSON")
    .action((pool: string | undefined, endpoint: string | undefined, options: StatusOptions) =>
      reporting(async () => {
        const client = new AdminClient(options);
        const print = (view: unknown, text: () => string): void =>
          console.log(options.json === true ? JSON.stringify(view, null, 2) : text());
        if (pool !== undefined && endpoint !== undefined) {
          const view = await client.endpoint(pool, endpoint);
          return print(view, () => endpointText(view, Date.now()));
        }
        const pools = await client.pools(pool);
        print(pools, () => pools.map((view) => poolText(view, Date.now())).join("\n\n"));
      }),
    );
}

const HEADINGS = ["ENDPOINT", "STATE", "HEALTH", "SINCE", "WEIGHT", "IN FLIGHT", "REQUESTS", "REASON"];

function poolText(view: PoolView, now: number): string {
  const { name, algorithm, endpointCount, usable, degraded, blockedBy, inFlight, waiting, endpoints, sharing } = view;
  const spared = degraded === 0 ? "" : ` (${degraded} degraded)`;
  const blocked = blockedBy.length === 0 ? "" : `, blocked: it requires ${blockedBy.join(" and ")}`;
  const shared = sharing === null ? "" : `, ${sharingText(sharing)}`;
  const summary = `${name}  ${algorithm}  ${usable} of ${endpointCount} usable${spared}, ${inFlight} in flight, ${waiting} waiting${blocked}${shared}`;
  return [summary, ...columns([HEADINGS, ...endpoints.map((endpoint) => row(endpoint, now))])].join("\n");
}

function sharingText({ balancers, heard }: SharingView): string {
  return heard ? `limits shared by ${balancers}` : "limits not shared now: redis does not answer";
}

function row(endpoint: EndpointView, now: number): string[] {
  const { state, health, since, weight, effectiveWeight, inFlight, requests, reason, tier, drainLeftMs } = endpoint;
  const { agent, usable } = endpoint;
  const notes = [
    reason,
    // What stands against it by its agent says so itself.
    ...(agent !== null && agent.problem !== "" && usable ? [`its agent is not heard: ${agent.problem}`] : []),
    ...(drainLeftMs !== null && drainLeftMs > 0 ? [`${ageText(drainLeftMs)} left`] : []),
    ...(tier > 0 ? [`tier ${tier}`] : []),
    ...(endpoint.origin === "operator" ? ["added while running"] : []),
  ];
  return [
    endpoint.endpoint,
    state,
    health,
    ageText(now - Date.parse(since)),
    effectiveWeight === weight ? String(weight) : `${effectiveWeight} of ${weight}`,
    String(inFlight),
    String(requests),
    notes.join(", "),
  ];
}
