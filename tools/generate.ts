/** `npm run generate`: writes the reference pages from the code. With `--check` it says which ones are stale. */
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { configJsonSchema } from "../src/config/known-keys.ts";
import { algorithmsPage } from "./generate/algorithms.ts";
import { configurationPage } from "./generate/configuration.ts";
import { errorsPage } from "./generate/errors.ts";
import { metricsPage } from "./generate/metrics.ts";

const folder = join(import.meta.dir, "..", "docs", "reference");
const pages: Record<string, string> = {
  "config.schema.json": `${JSON.stringify(configJsonSchema(), null, 2)}\n`,
  "configuration.md": configurationPage(),
  "algorithms.md": algorithmsPage(),
  "errors.md": errorsPage(),
  "metrics.md": metricsPage(),
};

let stale = 0;
for (const [name, text] of Object.entries(pages)) {
  const path = join(folder, name);
  if (existsSync(path) && readFileSync(path, "utf8") === text) continue;
  if (process.argv.includes("--check")) {
    console.error(`docs/reference/${name} is stale: run npm run generate`);
    stale++;
  } else writeFileSync(path, text);
}
process.exit(stale === 0 ? 0 : 1);
