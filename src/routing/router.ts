/**
 * Finds the route of a request. Routes are sorted once, by priority, then by how specific they are, and laid out so that
 * a lookup goes by host and by the path's segments: ten thousand routes cost little more than ten.
 */
import { type Condition, compileConditions, normalHost, normalPrefix, pathRegexCondition } from "./conditions.ts";
import { isUnusualPath, normalPath } from "./paths.ts";
import type { RequestView } from "./request-view.ts";
import type { MatchConfig } from "./schema.ts";

export interface RouteEntry<Target> {
  readonly match: MatchConfig;
  readonly priority: number;
  readonly target: Target;
}

/** The path means different routes to different readers: such a request is refused. */
export const AMBIGUOUS = Symbol("ambiguous");

export interface Router<Target> {
  match(request: RequestView): Target | undefined | typeof AMBIGUOUS;
}

/** One host and one path of one route. `rank` is its place in the order of precedence, lower first. */
interface Candidate<Target> {
  rank: number;
  readonly target: Target;
  readonly conditions: readonly Condition[] | null;
  readonly host: string;
  readonly kind: "exact" | "prefix" | "regex" | "any";
  readonly path: string;
  readonly priority: number;
  readonly order: number;
}

class PathTable<Target> {
  readonly exact = new Map<string, Candidate<Target>[]>();
  readonly prefixes = new Map<string, Candidate<Target>[]>();
  readonly others: Candidate<Target>[] = [];
  /** No prefix has more segments than this, so no path needs to be cut more often. */
  maxSegments = 0;

  add(candidate: Candidate<Target>): void {
    if (candidate.kind === "exact") append(this.exact, candidate.path, candidate);
    else if (candidate.kind === "prefix") {
      append(this.prefixes, candidate.path, candidate);
      this.maxSegments = Math.max(this.maxSegments, candidate.path.split("/").length - 1);
    } else this.others.push(candidate);
  }
}

/** Compiles routes. Throws an EvenkeelError for conditions that cannot be compiled. */
export function compileRoutes<Target>(routes: readonly RouteEntry<Target>[]): Router<Target> {
  const candidates = routes.flatMap((route, order) => expand(route, order));
  candidates.sort(precedence);
  candidates.forEach((candidate, rank) => {
    candidate.rank = rank;
  });
  const first = candidates[0];
  if (
    candidates.length === 1 &&
    first !== undefined &&
    first.host === "" &&
    first.kind === "any" &&
    first.conditions === null
  ) {
    const { target } = first;
    return { match: () => target };
  }
  return new CompiledRouter(candidates);
}

class CompiledRouter<Target> implements Router<Target> {
  readonly #hosts = new Map<string, PathTable<Target>>();
  /** By what follows the `*`: `.example.com`. */
  readonly #wildcards = new Map<string, PathTable<Target>>();
  readonly #anyHost = new PathTable<Target>();
  readonly #usesHost: boolean;
  readonly #usesPath: boolean;

  constructor(candidates: readonly Candidate<Target>[]) {
    for (const candidate of candidates) this.#tableFor(candidate.host).add(candidate);
    this.#usesHost = this.#hosts.size > 0 || this.#wildcards.size > 0;
    this.#usesPath = candidates.some((candidate) => candidate.kind !== "any" || candidate.conditions !== null);
  }

  match(request: RequestView): Target | undefined | typeof AMBIGUOUS {
    const host = this.#usesHost ? request.host : "";
    if (!this.#usesPath) return this.#find(request, host, "")?.target;
    const { path } = request;
    const found = this.#find(request, host, path)?.target;
    // An endpoint may read `/public/..%2fadmin` as `/admin`. That is refused only where it would make a difference here.
    if (isUnusualPath(path) && this.#find(request, host, normalPath(path))?.target !== found) return AMBIGUOUS;
    return found;
  }

  #find(request: RequestView, host: string, path: string): Candidate<Target> | undefined {
    let best = this.#findInTable(this.#anyHost, request, path, undefined);
    if (!this.#usesHost) return best;
    const exact = this.#hosts.get(host);
    if (exact !== undefined) best = this.#findInTable(exact, request, path, best);
    if (this.#wildcards.size > 0) {
      for (let dot = host.indexOf("."); dot >= 0; dot = host.indexOf(".", dot + 1)) {
        const table = dot > 0 ? this.#wildcards.get(host.slice(dot)) : undefined;
        if (table !== undefined) best = this.#findInTable(table, request, path, best);
      }
    }
    return best;
  }

  #findInTable(
    table: PathTable<Target>,
    request: RequestView,
    path: string,
    before: Candidate<Target> | undefined,
  ): Candidate<Target> | undefined {
    let best = before;
    if (table.exact.size > 0) best = better(table.exact.get(path), request, path, best);
    if (table.prefixes.size > 0) {
      best = better(table.prefixes.get(""), request, path, best);
      let end = 0;
      for (let segment = 0; segment < table.maxSegments && end < path.length; segment++) {
        end = path.indexOf("/", end + 1);
        if (end < 0) end = path.length;
        best = better(table.prefixes.get(path.slice(0, end)), request, path, best);
      }
    }
    return better(table.others, request, path, best);
  }

  #tableFor(host: string): PathTable<Target> {
    if (host === "") return this.#anyHost;
    const tables = host.startsWith("*.") ? this.#wildcards : this.#hosts;
    const key = host.startsWith("*.") ? host.slice(1) : host;
    const table = tables.get(key) ?? new PathTable<Target>();
    tables.set(key, table);
    return table;
  }
}

/** The first of `list` whose conditions hold, if it goes before `best`. Lists are in order of rank. */
function better<Target>(
  list: readonly Candidate<Target>[] | undefined,
  request: RequestView,
  path: string,
  best: Candidate<Target> | undefined,
): Candidate<Target> | undefined {
  if (list === undefined) return best;
  for (const candidate of list) {
    if (best !== undefined && best.rank < candidate.rank) return best;
    if (candidate.conditions === null || holds(candidate.conditions, request, path)) return candidate;
  }
  return best;
}

function holds(conditions: readonly Condition[], request: RequestView, path: string): boolean {
  for (const condition of conditions) if (!condition(request, path)) return false;
  return true;
}

/** One candidate for each host and path that a route names. */
function expand<Target>({ match, priority, target }: RouteEntry<Target>, order: number): Candidate<Target>[] {
  const shared = compileConditions(match);
  const hosts = match.host?.map(normalHost) ?? [""];
  const paths: { kind: Candidate<Target>["kind"]; path: string }[] = [
    ...(match.path ?? []).map((path) => ({ kind: "exact" as const, path })),
    ...(match.pathPrefix ?? []).map((path) => ({ kind: "prefix" as const, path: normalPrefix(path) })),
    ...(match.pathRegex ?? []).map((path) => ({ kind: "regex" as const, path })),
  ];
  if (paths.length === 0) paths.push({ kind: "any", path: "" });
  return hosts.flatMap((host) =>
    paths.map(({ kind, path }) => {
      const conditions = kind === "regex" ? [pathRegexCondition(path), ...shared] : shared;
      return {
        rank: 0,
        target,
        conditions: conditions.length === 0 ? null : conditions,
        host,
        kind,
        path,
        priority,
        order,
      };
    }),
  );
}

const KIND_ORDER = { exact: 0, prefix: 1, regex: 2, any: 3 } as const;

function precedence<Target>(a: Candidate<Target>, b: Candidate<Target>): number {
  return (
    b.priority - a.priority ||
    hostOrder(a.host) - hostOrder(b.host) ||
    b.host.length - a.host.length ||
    KIND_ORDER[a.kind] - KIND_ORDER[b.kind] ||
    (a.kind === "prefix" ? b.path.length - a.path.length : 0) ||
    (b.conditions?.length ?? 0) - (a.conditions?.length ?? 0) ||
    a.order - b.order
  );
}

function hostOrder(host: string): number {
  return host === "" ? 2 : host.startsWith("*.") ? 1 : 0;
}

function append<Value>(map: Map<string, Value[]>, key: string, value: Value): void {
  const list = map.get(key);
  if (list === undefined) map.set(key, [value]);
  else list.push(value);
}
