/** What tests of hedged requests share: two endpoints that answer when they are told to, and a look at all that is counted. */
import { expect } from "bun:test";
import { FakeClock } from "../../src/base/fake-clock.ts";
import { ENDPOINT, POOL } from "../../src/observability/metrics-table.ts";
import { type Balancer, startBalancer } from "./balancer.ts";
import { GET, one, type PoolInput, use } from "./exchange-fixture.ts";
import { eventually } from "./process.ts";
import { type RawAnswer, sendRaw, statusOf } from "./raw-client.ts";
import { type EndpointSocket, type RawEndpoint, response, startRawEndpoint } from "./raw-endpoint.ts";

/** What answers take at the 95th percentile, as far as the balancer is concerned. */
export const DELAY_MS = 50;
export const HEDGING = { minimumVolume: 1, minDelay: `${DELAY_MS}ms`, maxDelay: `${DELAY_MS}ms` };

/** Answers `/warm` at once; keeps everything else until the test answers it. */
export class Held {
  readonly endpoint: RawEndpoint;
  readonly waiting: EndpointSocket[] = [];
  requests = 0;

  constructor(name: string) {
    this.endpoint = use(
      startRawEndpoint((socket, _all, piece) => {
        if (piece.startsWith("GET /warm")) return socket.write(response(name));
        if (/^[A-Z]+ \//.test(piece)) this.requests++;
        this.waiting.push(socket);
      }),
    );
  }

  get address(): string {
    return this.endpoint.address;
  }

  answer(text: string): void {
    for (const socket of this.waiting.splice(0)) socket.write(text);
  }
}

export interface Setting {
  readonly clock: FakeClock;
  readonly balancer: Balancer;
  readonly first: Held;
  readonly second: Held;
}

/** Two endpoints, of which `first` gets first tries, and a pool that knows how long answers take. */
export async function setUp(pool: Partial<PoolInput> = {}, more: object = {}): Promise<Setting> {
  const clock = new FakeClock();
  const [first, second] = [new Held("first"), new Held("second")];
  const endpoints = [first.address, second.address];
  const balancer = use(
    startBalancer(
      {
        listeners: { web: { address: "127.0.0.1:0", pool: "app" } },
        pools: { app: { endpoints, balance: "first", hedging: HEDGING, limits: { retries: 10 }, ...pool } },
        ...more,
      },
      { clock, timers: clock },
    ),
  );
  await warmUp(balancer, clock);
  return { clock, balancer, first, second };
}

export async function warmUp(balancer: Balancer, clock: FakeClock): Promise<void> {
  expect(statusOf((await sendRaw(balancer.port, "GET /warm HTTP/1.1\r\nHost: a\r\n\r\n", one)).text)).toBe(200);
  // The estimate is made anew some times a second.
  clock.advance(100);
}

/** A request that both endpoints have, and neither has answered. */
export async function both(
  { clock, balancer, first, second }: Setting,
  request = GET,
): Promise<{ answer: Promise<RawAnswer> }> {
  const answer = sendRaw(balancer.port, request, one);
  await eventually(() => first.waiting.length === 1, "the first request");
  clock.advance(DELAY_MS);
  await eventually(() => second.waiting.length === 1, "the second request");
  expect([balancer.inFlight(), underWay(balancer), retriesInUse(balancer)]).toEqual([2, 1, 1]);
  return { answer };
}

export const count = ({ tables }: Balancer, field: keyof typeof POOL): number =>
  tables.metrics.read("pool", 0, POOL[field]);
export const hedges = (balancer: Balancer): number[] => [count(balancer, "hedges"), count(balancer, "hedgesWon")];

/** Retries that the budget counts now. */
export function underWay({ tables }: Balancer): number {
  const counters = tables.resilience.pools(0);
  return counters.usage.read(counters.retries(0));
}

/** Retries that the limits count now. */
export function retriesInUse({ tables }: Balancer): number {
  const counters = tables.resilience.pools(0);
  return counters.usage.read(counters.limits(0) + 2);
}

export const openTo = ({ tables }: Balancer, row: number): number =>
  tables.metrics.read("endpoint", row, ENDPOINT.connectionsOpen);

export async function allGivenBack(balancer: Balancer): Promise<void> {
  await eventually(() => balancer.inFlight() === 0, "nothing in flight");
  await eventually(() => underWay(balancer) === 0 && retriesInUse(balancer) === 0, "no retry under way");
}

/** Nothing more happens: the second endpoint would have been asked by now. */
export async function nothingAsked({ clock, second }: Setting): Promise<void> {
  for (let step = 0; step < 10; step++) {
    clock.advance(DELAY_MS);
    await Bun.sleep(1);
  }
  expect(second.requests).toBe(0);
}
