/**
 * The balancers as a library: `import { ringHash } from "evenkeel/balancing"`. Each function takes endpoints (plain
 * objects with an `id`) and options, and returns something that picks among them.
 */
import { systemClock } from "../base/clock.ts";
import { EvenkeelError } from "../base/errors.ts";
import { hashString } from "../base/hash.ts";
import { systemRandom } from "../base/random.ts";
import type { AlgorithmDefinition, BuildContext } from "./definition.ts";
import { algorithms } from "./registry.ts";

/** Anything with an identity. What is left out counts as: weight 1, eligible, nothing in flight. May change while in use. */
export interface LibraryEndpoint {
  readonly id: string;
  weight?: number;
  eligible?: boolean;
  active?: number;
}

export interface Picker<E extends LibraryEndpoint> {
  /** Keyed algorithms need a key; others ignore it. Endpoints in `tried` are passed over. */
  pick(key?: string | number, tried?: readonly E[]): E | undefined;
  /** Tells the latency-aware algorithms how an endpoint did. */
  release(endpoint: E, latencyMs: number, failed?: boolean): void;
}

type Make = <E extends LibraryEndpoint>(
  endpoints: readonly E[],
  options?: Readonly<Record<string, unknown>>,
  context?: Partial<BuildContext>,
) => Picker<E>;

class View<E extends LibraryEndpoint> {
  readonly endpoint: E;

  constructor(endpoint: E) {
    this.endpoint = endpoint;
  }

  get id(): string {
    return this.endpoint.id;
  }

  get weight(): number {
    return this.endpoint.weight ?? 1;
  }

  get eligible(): boolean {
    return this.endpoint.eligible ?? true;
  }

  get active(): number {
    return this.endpoint.active ?? 0;
  }
}

function library(definition: AlgorithmDefinition): Make {
  return (endpoints, options = {}, context = {}) => {
    const parsed = definition.options.safeParse(options);
    if (!parsed.success)
      throw new EvenkeelError(
        parsed.error.issues
          .map(({ path, message }) => (path.length === 0 ? message : `${path.join(".")}: ${message}`))
          .join("; "),
      );
    const views = new Map(endpoints.map((endpoint) => [endpoint, new View(endpoint)]));
    const balancer = definition.build([...views.values()], parsed.data, {
      random: systemRandom,
      clock: systemClock,
      ...context,
    });
    return {
      pick(key, tried) {
        const hash = typeof key === "string" ? hashString(key) : (key ?? 0) >>> 0;
        const passedOver = tried?.flatMap((endpoint) => views.get(endpoint) ?? []);
        return (balancer.pick(hash, passedOver) as View<(typeof endpoints)[number]> | undefined)?.endpoint;
      },
      release(endpoint, latencyMs, failed = false) {
        const view = views.get(endpoint);
        if (view !== undefined) balancer.onRelease?.(view, latencyMs, failed);
      },
    };
  };
}

export const roundRobin = library(algorithms["round-robin"]);
export const weightedRoundRobin = library(algorithms["weighted-round-robin"]);
export const random = library(algorithms.random);
export const powerOfTwoChoices = library(algorithms["power-of-two-choices"]);
export const leastConnections = library(algorithms["least-connections"]);
export const leastResponseTime = library(algorithms["least-response-time"]);
export const peakEwma = library(algorithms["peak-ewma"]);
export const ipHash = library(algorithms["ip-hash"]);
export const ringHash = library(algorithms["ring-hash"]);
export const maglev = library(algorithms.maglev);
export const rendezvous = library(algorithms.rendezvous);
export const first = library(algorithms.first);
