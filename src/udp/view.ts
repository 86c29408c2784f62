/** A client as routes see it: of a request's properties it has the address alone. */
import type { RequestView } from "../routing/request-view.ts";

export function clientView(clientIp: string): RequestView {
  return {
    method: "",
    scheme: "",
    host: "",
    path: "",
    query: "",
    clientIp,
    tls: undefined,
    header: nothing,
    cookie: nothing,
    queryParameter: nothing,
  };
}

function nothing(): undefined {
  return undefined;
}
