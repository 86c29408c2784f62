/** Refuses requests by their importance while this worker is overloaded. */
import type { LoadShedder, Priority } from "../resilience/load-shedding.ts";
import type { RequestView } from "../routing/request-view.ts";
import { priorityOf } from "./priority.ts";

/** Of a listener that sheds load. */
export interface Shedding {
  readonly shedder: LoadShedder;
  /** The header that says how important a request is, in lower case; undefined where all are alike. */
  readonly header: string | undefined;
}

/** `importance` is what its route says. */
export function isShed(
  request: Pick<RequestView, "header">,
  importance: Priority | undefined,
  { shedder, header }: Shedding,
): boolean {
  return shedder.pressure > 0 && !shedder.admits(priorityOf(request, importance, header));
}
