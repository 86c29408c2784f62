/** Pieces that several algorithms share. */
import { z } from "zod";
import type { BalancedEndpoint } from "./definition.ts";

export const noOptions = z.strictObject({});

/** Whether an endpoint may be picked now by this exchange. */
export function isOpen<E extends BalancedEndpoint>(endpoint: E, tried: readonly E[] | undefined): boolean {
  return endpoint.eligible && endpoint.weight > 0 && (tried === undefined || !tried.includes(endpoint));
}

/** Busier for its weight: compares a.active / a.weight with b.active / b.weight without dividing. */
export function load<E extends BalancedEndpoint>(a: E, b: E): number {
  return a.active * b.weight - b.active * a.weight;
}
