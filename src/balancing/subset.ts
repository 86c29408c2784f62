/**
 * Deterministic subsets: of very many endpoints, each client (a worker of a balancer) talks to some only, so that neither
 * side has to keep connections to all of the other. Every client finds its own by itself, from its number.
 *
 * The endpoints lie on a ring, ordered by a hash of their identity; the clients stand on it at equal distances, and each
 * takes the next `size` from where it stands. So the numbers of clients that endpoints have differ by one at most, and an
 * endpoint that comes or goes changes one member of a subset at most. (Where they are shuffled and dealt out instead, as in
 * the book, one more or less deals them all anew.) Cost: O(n log n) when endpoints change.
 * Sources: Site Reliability Engineering, chapter 20; Finagle's deterministic aperture.
 */
import { hashString } from "../base/hash.ts";

/** Different from the rings that keys are mapped on. */
const SEED = 0x5e7;

/** Which of how many clients in front of the same endpoints this one is. */
export interface SubsetClient {
  readonly number: number;
  readonly clients: number;
}

/** Numbers the workers of several instances; those of one instance stand far apart, so that its end thins out all alike. */
export function subsetClient(worker: number, workers: number, instance: number, instances: number): SubsetClient {
  return { number: worker * instances + instance, clients: workers * instances };
}

/** How many endpoints each client takes: never so few that an endpoint is left without any client. */
export function subsetSize(endpoints: number, size: number, { clients }: SubsetClient): number {
  return Math.min(endpoints, Math.max(size, Math.ceil(endpoints / clients)));
}

/** The endpoints in the order in which this client takes them, the same whatever order they were written in. */
export function inOrderOfSubset<E extends { readonly id: string }>(
  endpoints: readonly E[],
  { number, clients }: SubsetClient,
): readonly E[] {
  const ring = endpoints.map((endpoint) => ({ endpoint, hash: hashString(endpoint.id, SEED) }));
  ring.sort((a, b) => a.hash - b.hash || (a.endpoint.id < b.endpoint.id ? -1 : 1));
  const start = Math.floor(((number % clients) * ring.length) / clients);
  return [...ring.slice(start), ...ring.slice(0, start)].map(({ endpoint }) => endpoint);
}
