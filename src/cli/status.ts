import type { Command } from "commander";
import type { EndpointView, PoolView } from "../admin/api-types.ts";
import { AdminClient, type AdminOptions, reporting, withAdmin } from "./admin-client.ts";

interface StatusOptions extends AdminOptions {
  readonly json?: boolean;
}

export function addStatus(program: Command): void {
  withAdmin(program.command("status [pool]"))
    .description("show pools and endpoints, and why an endpoint is not used")
    .option("--json", "print it as JSON")
    .action((pool: string | undefined, options: StatusOptions) =>
      reporting(async () => {
        const pools = await new AdminClient(options).pools(pool);
        if (options.json === true) console.log(JSON.stringify(pools, null, 2));
        else console.log(pools.map((view) => poolText(view, Date.now())).join("\n\n"));
      }),
    );
}

const HEADINGS = ["ENDPOINT", "STATE", "HEALTH", "SINCE", "WEIGHT", "IN FLIGHT", "REQUESTS", "REASON"];

function poolText(
  { name, algorithm, endpointCount, usable, inFlight, waiting, endpoints }: PoolView,
  now: number,
): string {
  const summary = `${name}  ${algorithm}  ${usable} of ${endpointCount} usable, ${inFlight} in flight, ${waiting} waiting`;
  return [summary, ...table([HEADINGS, ...endpoints.map((endpoint) => row(endpoint, now))])].join("\n");
}

function row(endpoint: EndpointView, now: number): string[] {
  const { state, health, since, weight, effectiveWeight, inFlight, requests, reason, tier, drainLeftMs } = endpoint;
  const notes = [
    reason,
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

function table(rows: readonly (readonly string[])[]): string[] {
  const widths = HEADINGS.map((_, column) => Math.max(...rows.map((cells) => (cells[column] ?? "").length)));
  return rows.map((cells) => `  ${cells.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join("  ")}`.trimEnd());
}

/** The two largest units: `3d4h`, `5m2s`, `7s`. */
export function ageText(milliseconds: number): string {
  const seconds = Math.max(0, Math.round(milliseconds / 1_000));
  const parts: [number, string][] = [
    [Math.floor(seconds / 86_400), "d"],
    [Math.floor(seconds / 3_600) % 24, "h"],
    [Math.floor(seconds / 60) % 60, "m"],
    [seconds % 60, "s"],
  ];
  const first = parts.findIndex(([count]) => count > 0);
  if (first < 0) return "0s";
  return parts
    .slice(first, first + 2)
    .filter(([count]) => count > 0)
    .map(([count, unit]) => `${count}${unit}`)
    .join("");
}
