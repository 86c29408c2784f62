/**
 * When parts of a configuration do not fit the schema, the rest is checked all the same, so that everything wrong is
 * told in one go. What does not fit is left out; where something must stand, something harmless takes its place.
 */
import type { z } from "zod";
import type { Path } from "../base/place.ts";
import { routeSchema } from "../http/schema.ts";
import { listenerSchema } from "../listeners/schema.ts";
import { poolSchema } from "../pools/schema.ts";
import { locateIssues } from "./issues.ts";
import { type Config, configSchema } from "./schema.ts";

export interface Salvaged {
  readonly config: Config;
  /**
   * Whether what stands at this path, or something in it, was left out: what is found there means nothing. For example a
   * route seems to do nothing when the key that says what it does is misspelt.
   */
  isReplaced(path: Path): boolean;
}

/** Leaving something out may show that the next thing does not fit either; this often at most. */
const MAX_ROUNDS = 8;
/** Of TEST-NET-1 (RFC 5737): stands for an endpoint that cannot be read. */
const STAND_IN_ENDPOINT = "192.0.2.1:1";

export function salvage(value: unknown): Salvaged {
  const written = isObject(value) ? value : {};
  const dropped: Path[] = [];
  const part = <Output>(schema: z.ZodType<Output>, item: unknown, standIn: object, ...path: Path): Output => {
    const result = withoutMisfits(schema, item, standIn);
    for (const inside of result.dropped) dropped.push([...path, ...inside]);
    return result.output;
  };
  const listeners = entries(written["listeners"]).map(([name, item], index) => {
    const standIn = { address: `127.0.0.1:${index + 1}` };
    return [name, part(listenerSchema, item, standIn, "listeners", name)] as const;
  });
  const pools = entries(written["pools"]).map(
    ([name, item]) => [name, part(poolSchema, item, { endpoints: [STAND_IN_ENDPOINT] }, "pools", name)] as const,
  );
  const routes = (Array.isArray(written["routes"]) ? written["routes"] : []).map((item, index) =>
    part(routeSchema, item, {}, "routes", index),
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
  if (listeners.length === 0) dropped.push(["listeners"]);
  return { config, isReplaced: (path) => dropped.some((other) => isPrefix(other, path) || isPrefix(path, other)) };
}

/** Parses `item` without what does not fit, with what `standIn` has for keys that must be there. */
function withoutMisfits<Output>(
  schema: z.ZodType<Output>,
  item: unknown,
  standIn: object,
): { output: Output; dropped: Path[] } {
  const dropped: Path[] = [];
  let rest: unknown = structuredClone(item);
  for (let round = 0; round < MAX_ROUNDS; round++) {
    const result = schema.safeParse(rest);
    if (result.success) return { output: result.data, dropped };
    if (!isObject(rest)) break;
    const misfits = locateIssues(result.error.issues);
    if (misfits.some((path) => path.length === 0)) break;
    for (const path of misfits) dropped.push(drop(rest, path));
    rest = { ...standIn, ...rest };
  }
  return { output: schema.parse(standIn), dropped: [[]] };
}

/** Takes out what stands at `path`, or what it is part of where nothing can be taken out. Returns what was. */
function drop(root: Record<string, unknown>, path: Path): Path {
  const holders: unknown[] = [root];
  for (const part of path.slice(0, -1)) holders.push((holders.at(-1) as Record<string, unknown> | undefined)?.[part]);
  for (let depth = path.length - 1; depth > 0; depth--) {
    const holder = holders[depth];
    const key = path[depth] as string;
    if (isObject(holder) && Object.hasOwn(holder, key)) {
      delete holder[key];
      return path.slice(0, depth + 1);
    }
    // The others of a list must keep their places, by which they are told.
    if (Array.isArray(holder) && path[0] === "endpoints" && depth === 1) {
      holder[Number(key)] = STAND_IN_ENDPOINT;
      return path.slice(0, depth + 1);
    }
  }
  delete root[path[0] as string];
  return path.slice(0, 1);
}

function isPrefix(short: Path, long: Path): boolean {
  return short.length <= long.length && short.every((part, index) => part === long[index]);
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function entries(value: unknown): [string, unknown][] {
  return isObject(value) ? Object.entries(value) : [];
}
