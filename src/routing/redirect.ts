/** The Location of a redirect, put together from a template. */
import { EvenkeelError } from "../base/errors.ts";
import type { RequestView } from "./request-view.ts";

/** Compiles `to`. Throws an EvenkeelError for a placeholder that does not exist. */
export function compileRedirect(to: string): (request: RequestView) => string {
  const parts = to.split(/(\{[^}]*\})/);
  const fill = parts.map((part) => (part.startsWith("{") ? placeholder(part, to) : () => part));
  return (request) => safe(fill.map((write) => write(request)).join(""));
}

function placeholder(part: string, template: string): (request: RequestView) => string {
  switch (part) {
    case "{scheme}":
      return (request) => request.scheme;
    case "{host}":
      return (request) => request.host;
    case "{path}":
      return (request) => request.path;
    case "{query}":
      return (request) => (request.query === "" ? "" : `?${request.query}`);
    default:
      throw new EvenkeelError(`${part} in ${template}: expected {scheme}, {host}, {path} or {query}`);
  }
}

/** A location of `//evil.example` would leave this site although the template stays on it. */
function safe(location: string): string {
  return location.replace(/^[/\\]{2,}/, "/").replace(/[^\x21-\x7e]/g, "");
}
