/** Everything about one endpoint, as `evenkeel status POOL ENDPOINT` prints it. */
import type { AgentApiView, EndpointView } from "../admin/api-types.ts";

export function endpointText(view: EndpointView, now: number): string {
  const { endpoint, pool, usable, since, checks, changes } = view;
  const age = (time: string): string => `${ageText(now - Date.parse(time))} ago`;
  const head = `${endpoint} of ${pool} is ${usable ? "usable" : "not usable"}, for ${ageText(now - Date.parse(since))}: ${view.reason}`;
  const checkRows = checks.map((check) => {
    const verdict = check.passed ? (check.degraded ? "degraded" : "passed") : "failed";
    return [age(check.time), verdict, `${check.latencyMs} ms`, check.reason];
  });
  const changeRows = changes.map(({ time, type, reason }) => [age(time), type, reason]);
  return [
    head,
    ...columns(facts(view, now)),
    "",
    `last checks${checkRows.length === 0 ? ": none" : ""}`,
    ...columns(checkRows),
    "",
    `last changes${changeRows.length === 0 ? ": none" : ""}`,
    ...columns(changeRows),
  ].join("\n");
}

function facts(view: EndpointView, now: number): string[][] {
  const { against, state, health, healthReason, agent, weight, effectiveWeight, tier, drainLeftMs } = view;
  const { inFlight, requests, failures, maxConnections, elsewhere } = view;
  const drains = drainLeftMs === null ? "" : `, ${ageText(drainLeftMs)} left for what is under way`;
  const others = elsewhere > 0 ? ` (${elsewhere} for other balancers)` : "";
  const most = maxConnections > 0 ? ` of ${maxConnections}${others}` : "";
  return [
    ...against.map((reason, index) => [index === 0 ? "against it" : "", reason]),
    ["state", `${state}${drains}`],
    ["health", `${health}: ${healthReason}`],
    ...(agent === null ? [] : [["agent", agentText(agent, now)]]),
    ...(view.circuit === null ? [] : [["circuit", view.circuit]]),
    ["weight", effectiveWeight === weight ? String(weight) : `${effectiveWeight} of ${weight}`],
    ["tier", String(tier)],
    ["requests", `${inFlight}${most} in flight, ${requests} begun, ${failures} failed`],
    ["from", view.origin === "operator" ? "an operator, while running" : "the configuration"],
  ];
}

function agentText({ says, reason, state, up, weightPercent, heard, problem }: AgentApiView, now: number): string {
  if (heard === null) return problem === "" ? "not heard yet" : `never heard: ${problem}`;
  const words = `${says}${reason === "" ? "" : ` (${reason})`}, ${ageText(now - Date.parse(heard))} ago`;
  const held = `holds: ${state}, ${up ? "up" : "down"}, ${weightPercent}% of its weight`;
  return problem === "" ? `${words}; ${held}` : `not heard: ${problem}; last words ${words}; ${held}`;
}

/** Lines of cells, each column as wide as its widest. */
export function columns(rows: readonly (readonly string[])[]): string[] {
  const count = Math.max(0, ...rows.map((cells) => cells.length));
  const widths = Array.from({ length: count }, (_, column) =>
    Math.max(...rows.map((cells) => (cells[column] ?? "").length)),
  );
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
