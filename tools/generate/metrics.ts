import { METRICS } from "../../src/observability/metrics-catalog.ts";

export function metricsPage(): string {
  let page =
    "# Metrics\n\nGenerated from the catalogue. Served by the admin listener at `/metrics`; counters are sums over all workers.\n\n";
  page += "| metric | type | labels | meaning |\n|---|---|---|---|\n";
  for (const [name, { type, labels, help }] of Object.entries(METRICS)) {
    page += `| \`${name}\` | ${type} | ${labels.map((label) => `\`${label}\``).join(", ")} | ${help} |\n`;
  }
  return page;
}
