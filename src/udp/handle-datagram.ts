/**
 * The life of a flow, in the order it happens: a datagram of a client that is not known yet begins one, a route and an
 * endpoint are found for it, answers come back, and it ends with its last answer, with silence, or because its endpoint
 * is gone. Start reading here; flows.ts calls it for what clients send, and flow.ts for what endpoints do.
 */
import { ERRORS, type ErrorCode } from "../base/errors.ts";
import { hashString } from "../base/hash.ts";
import { ENDPOINT, LISTENER, POOL, ROUTE } from "../observability/metrics-table.ts";
import { pickEndpoint } from "../pools/pick-endpoint.ts";
import type { Pool } from "../pools/pool.ts";
import { AMBIGUOUS } from "../routing/router.ts";
import { NO_WAY } from "../transport/datagram-socket.ts";
import { closeDescriptor } from "../transport/listening-socket.ts";
import type { Endpoint } from "../upstreams/endpoint.ts";
import { Flow, type FlowOrigin, type FlowOwner, Leg } from "./flow.ts";
import { openSocketTo } from "./open-socket.ts";
import { clientView } from "./view.ts";

/** The flow of a client that is not known yet; undefined when there is no place for it or no endpoint. */
export function beginFlow(flows: FlowOwner, origin: FlowOrigin): Flow | undefined {
  const { settings, context, table } = flows;
  const { metrics } = context;
  if (flows.draining) return undefined;
  if (!table.hasRoom(origin.clientAddress, settings.maxFlows, settings.maxFlowsPerClient)) {
    metrics.add(settings.cells + LISTENER.rejected, 1);
    metrics.countReason("E_TOO_MANY_CONNECTIONS");
    return undefined;
  }
  const view = clientView(origin.ip);
  const route = settings.router.match(view);
  if (route === undefined || route === AMBIGUOUS) {
    metrics.countReason("E_NO_ROUTE");
    return undefined;
  }
  const pool = route.choose(view);
  const flow = new Flow(flows, origin, route, pool, keyOf(pool, origin.ip), flows.nowMs);
  flow.leg = openLeg(flow);
  if (flow.leg === undefined) return undefined;
  table.add(flow);
  context.sweep.add(flow);
  metrics.add(settings.cells + LISTENER.connections, 1);
  metrics.add(settings.cells + LISTENER.open, 1);
  return flow;
}

/** The socket for the next datagram of a flow whose datagrams are balanced one by one. */
export function legFor(flow: Flow): Leg | undefined {
  // The first one was picked when the flow began.
  if (flow.datagramsIn === 0) return flow.leg;
  flow.leg = openLeg(flow);
  return flow.leg;
}

/** Picks an endpoint and counts the flow in on it; undefined, and counted, when there is none. */
function openLeg(flow: Flow): Leg | undefined {
  const { flows, poolInUse: pool } = flow;
  const { metrics } = flows.context;
  const endpoint = pick(flow);
  if (endpoint === undefined) {
    metrics.add(pool.cells + POOL.refused, 1);
    metrics.countReason("E_NO_ENDPOINT");
    return undefined;
  }
  const known = flow.legs?.get(endpoint);
  if (known !== undefined) {
    endpoint.release();
    return known;
  }
  const descriptor = openSocketTo(endpoint);
  if (descriptor < 0) {
    endpoint.release();
    refuseLeg(flow, endpoint, descriptor === NO_WAY);
    return undefined;
  }
  const leg = new Leg(flow, endpoint, descriptor, flows.nowMs);
  flows.engine.loop.watch(descriptor, leg);
  flow.legs?.set(endpoint, leg);
  flow.attempts++;
  flow.endpoint = endpoint.id;
  metrics.add(endpoint.cells + ENDPOINT.attempts, 1);
  metrics.add(endpoint.cells + ENDPOINT.connectionsOpened, 1);
  metrics.add(endpoint.cells + ENDPOINT.connectionsOpen, 1);
  return leg;
}

function refuseLeg({ flows, settings }: Flow, endpoint: Endpoint, isUnreachable: boolean): void {
  const { metrics } = flows.context;
  if (isUnreachable) {
    flows.unreachable.mark(endpoint, flows.nowMs);
    metrics.add(endpoint.cells + ENDPOINT.failures, 1);
    metrics.countReason("E_CONNECT_FAILED");
    return;
  }
  metrics.add(settings.cells + LISTENER.rejected, 1);
  metrics.countReason("E_TOO_MANY_CONNECTIONS");
}

function pick({ flows, poolInUse: pool, key }: Flow): Endpoint | undefined {
  const avoided = flows.unreachable.list(flows.nowMs);
  const endpoint = pickEndpoint(pool.view, key, avoided);
  // Better one that was not there a moment ago than none.
  return endpoint === undefined && avoided !== undefined ? pickEndpoint(pool.view, key, undefined) : endpoint;
}

function keyOf({ key }: Pool, clientIp: string): number {
  if (key === undefined) return 0;
  return hashString(typeof key === "object" && "constant" in key ? key.constant : clientIp);
}

/** Answers have come and are on their way to the client. */
export function answered(leg: Leg): void {
  const { flow } = leg;
  const { flows } = flow;
  const nowMs = flows.context.clock.now();
  if (leg.firstByteMs < 0) {
    leg.firstByteMs = nowMs - leg.startedMs;
    if (flow.firstByteMs < 0) flow.firstByteMs = nowMs - flow.startedMs;
    flows.context.metrics.observe(leg.endpoint.cells + ENDPOINT.firstByte, leg.firstByteMs);
    flows.unreachable.clear(leg.endpoint);
  }
  flow.deadlineMs = nowMs + flow.settings.idleMs;
  if (flow.isAnswered) finish(flow);
}

/** Nobody is at the endpoint's port. The client's next datagram begins anew, elsewhere. */
export function fail(leg: Leg): void {
  const { flow, endpoint } = leg;
  if (leg.closed) return;
  flow.flows.unreachable.mark(endpoint, flow.flows.context.clock.now());
  if (flow.legs === undefined) {
    flow.failure ??= "E_CONNECT_FAILED";
    return finish(flow);
  }
  closeLeg(leg, true);
  flow.legs.delete(endpoint);
}

/** Ends what a flow has with an endpoint that is taken out of service. */
export function leaveEndpoint(flow: Flow, endpoint: Endpoint): void {
  const leg = flow.legs === undefined ? flow.leg : flow.legs.get(endpoint);
  if (leg?.endpoint !== endpoint) return;
  if (flow.legs === undefined) return finish(flow);
  closeLeg(leg, false);
  flow.legs.delete(endpoint);
}

/** Nothing was sent either way for as long as that is allowed: the usual end. */
export function expire(flow: Flow): void {
  if (flow.settings.responses > 0 && !flow.isAnswered) flow.failure ??= "E_RESPONSE_TIMEOUT";
  finish(flow);
}

/** The end of every flow: counted, logged, and what it held given back. Safe to call again. */
export function finish(flow: Flow): void {
  if (flow.finished) return;
  flow.finished = true;
  const { flows, failure, matched, settings } = flow;
  const { metrics, sweep, clock, accessLog } = flows.context;
  flows.table.remove(flow);
  sweep.remove(flow);
  const failed = failure !== undefined && ERRORS[failure as ErrorCode].source === "upstream";
  for (const leg of flow.legs?.values() ?? []) closeLeg(leg, failed);
  if (flow.legs === undefined && flow.leg !== undefined) closeLeg(flow.leg, failed);
  flow.totalMs = clock.now() - flow.startedMs;
  metrics.add(settings.cells + LISTENER.open, -1);
  metrics.add(settings.cells + LISTENER.requests, 1);
  metrics.add(matched.cells + ROUTE.statusClass, 1);
  metrics.observe(matched.cells + ROUTE.duration, flow.totalMs);
  if (failure !== undefined) metrics.countReason(failure);
  accessLog?.write(flow);
  flows.flowEnded();
}

/** Gives the endpoint's place back, once. */
function closeLeg(leg: Leg, failed: boolean): void {
  if (leg.closed) return;
  leg.closed = true;
  const { flow, endpoint, descriptor } = leg;
  const { metrics, clock } = flow.flows.context;
  flow.flows.engine.loop.unwatch(descriptor);
  closeDescriptor(descriptor);
  metrics.add(endpoint.cells + ENDPOINT.connectionsOpen, -1);
  if (failed) metrics.add(endpoint.cells + ENDPOINT.failures, 1);
  // How long a flow lasts says nothing of its endpoint; how long the first answer took does.
  if (failed || leg.firstByteMs >= 0) {
    const latencyMs = leg.firstByteMs < 0 ? clock.now() - leg.startedMs : leg.firstByteMs;
    flow.poolInUse.view.observers?.get(endpoint)?.onRelease?.(endpoint, latencyMs, failed);
  }
  endpoint.release();
  if (flow.poolInUse.queue.length > 0) flow.poolInUse.queue.wake();
}
