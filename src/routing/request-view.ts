import type { TlsView } from "../transport/origin.ts";

/** What routing, keys and filters see of a request, whatever protocol it came by. Reading what is not needed costs nothing. */
export interface RequestView {
  /** Undefined when the client does not use TLS, or when nobody has looked. */
  readonly tls: TlsView | undefined;
  readonly method: string;
  /** `http` or `https`: the listener's, or what a trusted proxy says of the client's connection; "" where there is none. */
  readonly scheme: string;
  /** Lower case, without port; "" when absent. */
  readonly host: string;
  /** As sent, up to the "?"; never decoded. */
  readonly path: string;
  /** Behind the "?"; "" when there is none. */
  readonly query: string;
  /** The client's address, trusted proxies considered. */
  readonly clientIp: string;
  /** By lower-case name; several lines are joined with ", ". */
  header(name: string): string | undefined;
  cookie(name: string): string | undefined;
  /** The first of this name, percent-decoded. */
  queryParameter(name: string): string | undefined;
}
