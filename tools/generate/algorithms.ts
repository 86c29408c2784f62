import { z } from "zod";
import { algorithms, DEFAULT_ALGORITHM } from "../../src/balancing/registry.ts";
import { optionRows } from "./configuration.ts";

export function algorithmsPage(): string {
  let page =
    "# Balancing algorithms\n\nGenerated from the registry. `balance: <name>`, or `balance: { algorithm: <name>, ... }` with options.\n";
  page += `The default is \`${DEFAULT_ALGORITHM}\`.\n\n| name | picks | cost | key | weights |\n|---|---|---|---|---|\n`;
  for (const [name, { summary, cost, keyed, weighted }] of Object.entries(algorithms)) {
    page += `| \`${name}\` | ${summary} | ${cost} | ${keyed ? "yes" : "no"} | ${weighted ? "yes" : "no"} |\n`;
  }
  for (const [name, { options }] of Object.entries(algorithms)) {
    const rows = optionRows(z.toJSONSchema(options, { io: "input", unrepresentable: "any" }) as never);
    if (rows !== "") page += `\n## Options of ${name}\n\n${rows}`;
  }
  return page;
}
