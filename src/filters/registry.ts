/** The filters, in the order in which they are applied: a route's keys say which, this table says when. */
import type { Filter, FilterDefinition } from "./definition.ts";
import { requestHeaders, responseHeaders } from "./header-edits.ts";
import { rewrite } from "./rewrite.ts";

export const filters = {
  rewrite,
  requestHeaders,
  responseHeaders,
} as const satisfies Record<string, FilterDefinition>;

export interface CompiledFilters {
  /** Null when there are none, so that a route without filters pays one comparison. */
  readonly request: readonly Filter[] | null;
  readonly response: readonly Filter[] | null;
}

/** Builds the filters that a route's settings ask for. Throws an EvenkeelError that names the key. */
export function compileFilters(settings: Readonly<Partial<Record<keyof typeof filters, unknown>>>): CompiledFilters {
  const built: Filter[] = [];
  for (const [key, definition] of Object.entries(filters)) {
    const options = settings[key as keyof typeof filters];
    if (options !== undefined) built.push((definition as FilterDefinition).build(options));
  }
  const request = built.filter((filter) => filter.onRequest !== undefined);
  const response = built.filter((filter) => filter.onResponse !== undefined);
  return { request: request.length === 0 ? null : request, response: response.length === 0 ? null : response };
}
