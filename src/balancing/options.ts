/** Pieces that several algorithms share. */
import { z } from "zod";
import type { BalancedEndpoint } from "./definition.ts";

export const noOptions = z.strictObject({});

/** Whether an endpoint may be picked now by this exchange. */
export function isOpen<E extends BalancedEndpoint>(endpoint: E, tried: readonly E[] | undefined): boolean {
  return endpoint.eligible && endpoint.weight > 0 && (tried === undefined || !tried.includes(endpoint));
}

/** In the order of their identities: what maps keys must not depend on the order in which endpoints were written down. */
export function inOrderOfId<E extends BalancedEndpoint>(endpoints: readonly E[]): readonly E[] {
  return [...endpoints].sort((a, b) => (a.id < b.id ? -1 : a.id > b.id ? 1 : 0));
}

/** Busier for its weight: compares a.active / a.weight with b.active / b.weight without dividing. */
export function load<E extends BalancedEndpoint>(a: E, b: E): number {
  return a.active * b.weight - b.active * a.weight;
}
