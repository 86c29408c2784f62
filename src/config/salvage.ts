/**
 * When parts of a configuration do not fit the schema, the rest is checked all the same, so that everything wrong is
 * told in one go. What does not fit is replaced by something harmless of the same name.
 */
import type { z } from "zod";
import { routeSchema } from "../http/schema.ts";
import { listenerSchema } from "../listeners/schema.ts";
import { poolSchema } from "../pools/schema.ts";
import type { Path } from "./problems.ts";
import { type Config, configSchema } from "./schema.ts";

export interface Salvaged {
  readonly config: Config;
  /** Whether what stands at this path was replaced: what is found there means nothing. */
  isReplaced(path: Path): boolean;
}

export function salvage(value: unknown): Salvaged {
  const written = isObject(value) ? value : {};
  const replaced = new Set<string>();
  const part = <Output>(schema: z.ZodType<Output>, item: unknown, standIn: unknown, ...path: Path): Output => {
    const result = schema.safeParse(item);
    if (result.success) return result.data;
    replaced.add(JSON.stringify(path));
    return schema.parse(standIn);
  };
  const listeners = entries(written["listeners"]).map(([name, item], index) => {
    const address = `127.0.0.1:${index + 1}`;
    const usable =
      isObject(item) && typeof item["address"] === "string" && item["address"] !== "" ? item["address"] : address;
    return [name, part(listenerSchema, item, { address: usable }, "listeners", name)] as const;
  });
  const pools = entries(written["pools"]).map(
    ([name, item]) => [name, part(poolSchema, item, { endpoints: ["127.0.0.1:1"] }, "pools", name)] as const,
  );
  const routes = (Array.isArray(written["routes"]) ? written["routes"] : []).map((item, index) =>
    part(routeSchema, item, { respond: {} }, "routes", index),
  );
  const { shape } = configSchema;
  const config: Config = {
    ...configSchema.parse({ listeners: {} }),
    listeners: Object.fromEntries(listeners),
    pools: Object.fromEntries(pools),
    routes,
    acme: written["acme"] === undefined ? undefined : part(shape.acme, written["acme"], { acceptTerms: true }, "acme"),
    admin: part(shape.admin, written["admin"], {}, "admin"),
    accessLog: part(shape.accessLog, written["accessLog"], {}, "accessLog"),
  };
  if (listeners.length === 0) replaced.add(JSON.stringify(["listeners"]));
  return {
    config,
    isReplaced: (path) => path.some((_, index) => replaced.has(JSON.stringify(path.slice(0, index + 1)))),
  };
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function entries(value: unknown): [string, unknown][] {
  return isObject(value) ? Object.entries(value) : [];
}
