/** What a new configuration changes, by name: for the log of a reload. */
import type { Config } from "./schema.ts";

/** Lines such as `pools: added b, changed a`; empty when nothing changes. */
export function diffConfigs(before: Config, after: Config): string[] {
  const lines: string[] = [];
  const compare = (
    what: string,
    old: Readonly<Record<string, unknown>>,
    now: Readonly<Record<string, unknown>>,
  ): void => {
    const added = Object.keys(now).filter((name) => !(name in old));
    const removed = Object.keys(old).filter((name) => !(name in now));
    const changed = Object.keys(now).filter(
      (name) => name in old && JSON.stringify(now[name]) !== JSON.stringify(old[name]),
    );
    const parts = [part("added", added), part("removed", removed), part("changed", changed)].filter(
      (text) => text !== "",
    );
    if (parts.length > 0) lines.push(`${what}: ${parts.join(", ")}`);
  };
  compare("listeners", before.listeners, after.listeners);
  compare("routes", byName(before), byName(after));
  compare("pools", before.pools, after.pools);
  const settings = ({ listeners: _listeners, routes: _routes, pools: _pools, ...rest }: Config) => rest;
  compare("settings", settings(before), settings(after));
  return lines;
}

function part(verb: string, names: readonly string[]): string {
  if (names.length === 0) return "";
  const shown = names.length > 8 ? `${names.slice(0, 8).join(" ")} and ${names.length - 8} more` : names.join(" ");
  return `${verb} ${shown}`;
}

function byName(config: Config): Record<string, unknown> {
  return Object.fromEntries(config.routes.map((route, index) => [route.name ?? `route-${index + 1}`, route]));
}
