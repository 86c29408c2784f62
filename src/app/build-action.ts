/** What the snapshots of HTTP and TCP listeners are both built from. */
import { EvenkeelError } from "../base/errors.ts";
import { hashString } from "../base/hash.ts";
import { NetworkSet, parseNetwork } from "../base/ip.ts";
import type { Random } from "../base/random.ts";
import { keyText } from "../http/request-key.ts";
import type { RouteConfig } from "../http/schema.ts";
import type { TcpListenerConfig } from "../listeners/schema.ts";
import type { Pool, SorryAnswer } from "../pools/pool.ts";
import type { RequestView } from "../routing/request-view.ts";
import type { RespondConfig } from "../routing/schema.ts";
import { compileSplit } from "../routing/split.ts";

/** Below every route of the file: where a listener's own `pool` takes what nothing else matched. */
export const LAST_PRIORITY = Number.NEGATIVE_INFINITY;

/** The name of the route that a listener's `pool` stands for, in logs and metrics. */
export function defaultRouteName(listener: string): string {
  return `${listener}-default`;
}

/** Shares what a route matched between pools, by the weights of its split. */
export function buildSplit(
  split: NonNullable<RouteConfig["split"]>,
  pools: ReadonlyMap<string, Pool>,
  random: Random,
): (request: RequestView) => Pool {
  const { key } = split;
  const parts = split.pools.map((part) => poolNamed(part.pool, pools));
  const compiled = compileSplit(
    split.pools.map((part) => part.weight),
    random,
  );
  return (request) => {
    const text = key === undefined ? undefined : keyText(key, request);
    return parts[compiled.pick(text === undefined ? undefined : hashString(text))] as Pool;
  };
}

export function poolNamed(name: string, pools: ReadonlyMap<string, Pool>): Pool {
  const pool = pools.get(name);
  if (pool === undefined) throw new EvenkeelError(`there is no pool named ${name}`);
  return pool;
}

/** An answer that is always the same, ready to be sent. */
export function buildFixedAnswer({ status, body, headers }: RespondConfig): SorryAnswer {
  const typed = Object.keys(headers).some((header) => header.toLowerCase() === "content-type");
  const lines = Object.entries(typed ? headers : { "Content-Type": "text/plain; charset=utf-8", ...headers });
  return { status, headers: lines.map(([header, value]) => `${header}: ${value}\r\n`).join(""), body };
}

export function buildProxyProtocol(
  config: TcpListenerConfig["proxyProtocol"],
): { from: NetworkSet; timeoutMs: number } | undefined {
  return config === undefined ? undefined : { from: networkSet(config.from), timeoutMs: config.timeout };
}

/** Throws an EvenkeelError for what is not a network. */
export function networkSet(texts: readonly string[]): NetworkSet {
  return new NetworkSet(
    texts.map((text) => {
      const network = parseNetwork(text);
      if (network === undefined) throw new EvenkeelError(`${text} is not an address or network such as 10.0.0.0/8`);
      return network;
    }),
  );
}
