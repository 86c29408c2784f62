/** Refuses requests by their importance while this worker is overloaded. */
import { type LoadShedder, PRIORITIES, type Priority } from "../resilience/load-shedding.ts";
import type { RequestView } from "../routing/request-view.ts";

/** Of a listener that sheds load. */
export interface Shedding {
  readonly shedder: LoadShedder;
  /** The header that says how important a request is, in lower case; undefined where all are alike. */
  readonly header: string | undefined;
}

export function isShed(request: Pick<RequestView, "header">, { shedder, header }: Shedding): boolean {
  if (shedder.pressure === 0) return false;
  const told = header === undefined ? undefined : request.header(header)?.toLowerCase();
  return !shedder.admits(isPriority(told) ? told : "normal");
}

function isPriority(text: string | undefined): text is Priority {
  return (PRIORITIES as readonly (string | undefined)[]).includes(text);
}
