/** A filter: one step applied to requests on their way in and to answers on their way out. */
import type { z } from "zod";
import type { ErrorCode } from "../base/errors.ts";
import type { TlsView } from "../transport/origin.ts";

/** What a filter may know of the exchange. */
export interface FilterContext {
  readonly method: string;
  readonly host: string;
  readonly path: string;
  readonly query: string;
  readonly clientIp: string;
  /** Undefined when the client does not use TLS. */
  readonly tls: TlsView | undefined;
  readonly requestId: string;
  readonly route: string;
  /** "" until an endpoint is picked. */
  readonly endpoint: string;
  header(name: string): string | undefined;
}

/** Changes to the request that the endpoint gets. Recorded, and applied when the head is written. */
export interface RequestEdits {
  /** Path and query. */
  setTarget(target: string): void;
  setHost(host: string): void;
  setHeader(name: string, value: string): void;
  addHeader(name: string, value: string): void;
  removeHeader(name: string): void;
}

/** Changes to the answer that the client gets. */
export interface ResponseEdits {
  readonly status: number;
  setHeader(name: string, value: string): void;
  addHeader(name: string, value: string): void;
  removeHeader(name: string): void;
}

/** Undefined: go on. Otherwise answer now with this error. */
export type Verdict = undefined | { readonly code: ErrorCode };

export interface Filter {
  onRequest?(context: FilterContext, edits: RequestEdits): Verdict;
  onResponse?(context: FilterContext, edits: ResponseEdits): void;
}

export interface FilterDefinition<Schema extends z.ZodType = z.ZodType> {
  readonly summary: string;
  readonly options: Schema;
  /** Cold: parses and compiles. Throws an EvenkeelError for what the schema cannot check. */
  build(options: z.output<Schema>): Filter;
}

/** Identity function that gives a definition its types. */
export function defineFilter<Schema extends z.ZodType>(definition: FilterDefinition<Schema>): FilterDefinition<Schema> {
  return definition;
}
