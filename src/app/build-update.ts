/** From a configuration to what workers are told of it: everything that is counted has its row in the shared tables. */
import { at } from "../base/place.ts";
import type { Config } from "../config/schema.ts";
import { defaultRouteName } from "./build-action.ts";
import type { WorkerUpdate } from "./data-path.ts";
import type { Rows } from "./rows.ts";

export interface UpdateParts extends Pick<WorkerUpdate, "generation" | "certificates" | "endpoints"> {
  /** Rows by kind and name. */
  readonly rows: Readonly<Record<"listener" | "route" | "pool", Pick<Rows, "take">>>;
}

/** Throws an EvenkeelError placed at what there is too much of. */
export function buildUpdate(config: Config, { rows, ...parts }: UpdateParts): WorkerUpdate {
  const take = (kind: keyof typeof rows, place: string, names: readonly string[]) =>
    at([place], () => Object.fromEntries(names.map((name) => [name, rows[kind].take(name)])));
  const routes = config.routes.map((route, index) => route.name ?? `route-${index + 1}`);
  const defaults = Object.entries(config.listeners).flatMap(([name, { pool }]) =>
    pool === undefined ? [] : [defaultRouteName(name)],
  );
  return {
    ...parts,
    config,
    rows: {
      listeners: take("listener", "listeners", Object.keys(config.listeners)),
      routes: take("route", "routes", [...routes, ...defaults]),
      pools: take("pool", "pools", Object.keys(config.pools)),
    },
  };
}
