/** What pools have to do with one another: each must exist, none may lead back to itself, all should be of use. */
import type { Path } from "../base/place.ts";
import { suggest } from "../base/suggest.ts";
import { formatDuration } from "../base/units.ts";
import type { Config } from "./schema.ts";

type Report = (path: Path, message: string, hint?: string) => void;

/** A balancer must have been silent for so many intervals to be forgotten. */
const INTERVALS = 4;

export function checkPoolRelations(config: Config, error: Report, warn: Report): void {
  checkFallbacks(config, error);
  checkRequired(config, error);
  checkSharedLimits(config, error, warn);
  checkUnusedPools(config, warn);
}

function checkFallbacks({ pools }: Config, error: Report): void {
  for (const [name, { fallback }] of Object.entries(pools)) {
    if (fallback === undefined) continue;
    const path = ["pools", name, "fallback"];
    checkPoolName({ pools }, fallback, path, error);
    const passed = [name];
    for (let next: string | undefined = fallback; next !== undefined; next = pools[next]?.fallback) {
      if (next === name) error(path, `leads back to itself: ${[...passed, next].join(", ")}`);
      if (passed.includes(next)) break;
      passed.push(next);
    }
  }
}

function checkRequired({ pools }: Config, error: Report): void {
  for (const [name, { requires }] of Object.entries(pools)) {
    for (const [index, required] of requires.entries()) {
      const path = ["pools", name, "requires", index];
      checkPoolName({ pools }, required, path, error);
      if (required === name) {
        error(path, "requires itself");
        continue;
      }
      const way = wayTo(pools, name, required, new Set());
      if (way !== undefined)
        error(path, `requires itself in the end: ${[name, ...way].join(", ")}`, "leave out one of them");
    }
  }
}

/** The pools from `from` to `to`, by what each requires; undefined when none leads there. */
function wayTo(pools: Config["pools"], to: string, from: string, seen: Set<string>): readonly string[] | undefined {
  if (from === to) return [to];
  if (seen.has(from)) return undefined;
  seen.add(from);
  for (const next of pools[from]?.requires ?? []) {
    const way = wayTo(pools, to, next, seen);
    if (way !== undefined) return [from, ...way];
  }
  return undefined;
}

function checkUnusedPools(config: Config, warn: Report): void {
  const used = new Set<string | undefined>([
    ...Object.values(config.listeners).map((listener) => listener.pool),
    ...Object.values(config.pools).flatMap((pool) => [pool.fallback, ...pool.requires]),
    ...config.routes.flatMap((route) => [route.pool, ...(route.split?.pools.map((part) => part.pool) ?? [])]),
  ]);
  for (const name of Object.keys(config.pools))
    if (!used.has(name)) warn(["pools", name], "no listener and no route uses this pool");
}

/** What is shared must be there: a pool without limits has nothing to share. */
function checkSharedLimits({ sharedLimits, pools }: Config, error: Report, warn: Report): void {
  if (sharedLimits === undefined) return;
  const { interval, forgetAfter } = sharedLimits;
  if (forgetAfter < INTERVALS * interval)
    error(
      ["sharedLimits", "interval"],
      `is more than a quarter of forgetAfter (${formatDuration(forgetAfter)}): an answer that is late would be taken for an end`,
      `set forgetAfter: ${formatDuration(INTERVALS * interval)}`,
    );
  const isLimited = (name: string): boolean => {
    const { limits, endpoints = [] } = pools[name] ?? {};
    return (
      Object.values(limits ?? {}).some((limit) => limit > 0) ||
      endpoints.some(({ maxConnections }) => maxConnections > 0)
    );
  };
  for (const [index, name] of (sharedLimits.pools ?? []).entries()) {
    const path = ["sharedLimits", "pools", index];
    checkPoolName({ pools }, name, path, error);
    if (Object.hasOwn(pools, name) && !isLimited(name))
      warn(path, `pool ${name} has no limit to share: neither \`limits\` nor an endpoint with \`maxConnections\``);
  }
  if (sharedLimits.pools === undefined && !Object.keys(pools).some(isLimited))
    warn(["sharedLimits"], "no pool has a limit to share: neither `limits` nor an endpoint with `maxConnections`");
}

export function checkPoolName(config: Pick<Config, "pools">, name: string, path: Path, error: Report): void {
  if (Object.hasOwn(config.pools, name)) return;
  const names = Object.keys(config.pools);
  error(
    path,
    `there is no pool named ${name}`,
    didYouMean(name, names) ?? (names.length === 0 ? "add it below pools" : `there are: ${names.join(", ")}`),
  );
}

export function didYouMean(name: string, known: readonly string[]): string | undefined {
  const near = suggest(name, known);
  return near === undefined ? undefined : `did you mean ${near}?`;
}
