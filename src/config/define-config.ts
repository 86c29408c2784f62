/** The entry of the package: configuration in TypeScript, checked while it is written. */
import type { ConfigInput } from "./schema.ts";

export type { ConfigInput } from "./schema.ts";

/** `export default defineConfig({ listeners: ..., pools: ... })`. Returns what it is given. */
export function defineConfig(config: ConfigInput): ConfigInput {
  return config;
}
