/** How important a request is, for what has to choose: load shedding and the queues of pools. */
import { PRIORITIES, type Priority } from "../resilience/load-shedding.ts";
import type { RequestView } from "../routing/request-view.ts";

/**
 * What its route says, else what its header says (in lower case; undefined where none is believed), else normal. The route goes
 * first: a client must not be able to make more of itself than that.
 */
export function priorityOf(
  request: Pick<RequestView, "header">,
  routes: Priority | undefined,
  header: string | undefined,
): Priority {
  if (routes !== undefined) return routes;
  const told = header === undefined ? undefined : request.header(header)?.toLowerCase();
  return isPriority(told) ? told : "normal";
}

function isPriority(text: string | undefined): text is Priority {
  return (PRIORITIES as readonly (string | undefined)[]).includes(text);
}
