/** A connection as routes see it: of a request's properties it has the client and, in TLS, the name that was asked for. */
import type { RequestView } from "../routing/request-view.ts";
import type { TlsView } from "../transport/origin.ts";

export function connectionView(clientIp: string, tls: TlsView | undefined): RequestView {
  return {
    method: "",
    scheme: "",
    host: tls?.serverName ?? "",
    path: "",
    query: "",
    clientIp,
    tls,
    header: nothing,
    cookie: nothing,
    queryParameter: nothing,
  };
}

function nothing(): undefined {
  return undefined;
}
