/** Endpoints that fail are left alone for a while, and pools have bounds. Over real sockets, on the fake clock. */
import { afterEach, describe, expect, test } from "bun:test";
import { connect } from "node:net";
import { OutlierWatch } from "../../src/app/outlier-watch.ts";
import { FakeClock } from "../../src/base/fake-clock.ts";
import { seededRandom } from "../../src/base/random.ts";
import { configSchema } from "../../src/config/schema.ts";
import { silentLog } from "../../src/observability/log.ts";
import { POOL } from "../../src/observability/metrics-table.ts";
import { breakerStateIn } from "../../src/resilience/circuit-breaker.ts";
import type { Balancer } from "../support/balancer.ts";
import {
  deadAddress,
  GET,
  ok,
  one,
  type PoolInput,
  reasons,
  serve,
  settle,
  stopAll,
  use,
} from "../support/exchange-fixture.ts";
import { sendRaw, statusOf } from "../support/raw-client.ts";
import { type EndpointSocket, type RawEndpoint, response, startRawEndpoint } from "../support/raw-endpoint.ts";
import { startSupervised } from "../support/supervised.ts";

afterEach(stopAll);

interface Moody {
  readonly endpoint: RawEndpoint;
  answer: string;
  requests: number;
}

/** Answers whatever it is told to. */
function moody(answer: string): Moody {
  const self: Moody = {
    answer,
    requests: 0,
    endpoint: use(
      startRawEndpoint((socket, _all, piece) => {
        if (!piece.endsWith("\r\n\r\n")) return;
        self.requests++;
        socket.write(self.answer);
      }),
    ),
  };
  return self;
}

const broken = "HTTP/1.1 500 Broken\r\nContent-Length: 0\r\n\r\n";

async function statuses(balancer: Balancer, count: number): Promise<number[]> {
  const seen: number[] = [];
  for (let index = 0; index < count; index++) seen.push(statusOf((await sendRaw(balancer.port, GET, one)).text));
  return seen;
}

describe("the circuit of an endpoint", () => {
  const circuitBreaker = { consecutiveFailures: 3, openFor: "10s", trials: 2 };

  test("opens after failures in a row; the others get its share; trials close it", async () => {
    const clock = new FakeClock();
    const sick = moody(broken);
    const balancer = serve([sick.endpoint.address, ok().address], { balance: "first", circuitBreaker }, {}, clock);
    expect(await statuses(balancer, 6)).toEqual([500, 500, 500, 200, 200, 200]);
    expect(sick.requests).toBe(3);
    const state = (): string => breakerStateIn(balancer.tables.resilience.endpointBreaker(0));
    expect(state()).toBe("open");
    expect(balancer.tables.metrics.read("pool", 0, POOL.circuitsOpened)).toBe(1);

    clock.advance(10_000);
    expect(await statuses(balancer, 3)).toEqual([500, 200, 200]);
    expect([state(), sick.requests]).toEqual(["open", 4]);

    sick.answer = response("ok");
    clock.advance(10_000);
    await statuses(balancer, 2);
    expect([state(), sick.requests]).toEqual(["closed", 6]);
    expect(balancer.inFlight()).toBe(0);
  });

  test("when all are open: 503 at once, with the reason", async () => {
    const clock = new FakeClock();
    const sick = moody(broken);
    const balancer = serve([sick.endpoint.address], { circuitBreaker }, {}, clock);
    expect(await statuses(balancer, 4)).toEqual([500, 500, 500, 503]);
    expect(reasons(balancer)).toEqual(["E_CIRCUIT_OPEN"]);
    expect(sick.requests).toBe(3);
  });

  test("a client that leaves gives its trial back", async () => {
    const clock = new FakeClock();
    const sick = moody(broken);
    const balancer = serve([sick.endpoint.address], { circuitBreaker }, {}, clock);
    await statuses(balancer, 3);
    sick.answer = "";
    clock.advance(10_000);
    const leaving = [0, 1].map(() => connect({ port: balancer.port, host: "127.0.0.1" }));
    for (const socket of leaving) socket.write(GET);
    await settle();
    expect(await statuses(balancer, 1)).toEqual([503]);
    for (const socket of leaving) socket.resetAndDestroy();
    await settle();
    sick.answer = response("ok");
    expect(await statuses(balancer, 3)).toEqual([200, 200, 200]);
  });

  test("connections that are refused count, and are tried elsewhere", async () => {
    const balancer = serve([deadAddress(), ok().address], { balance: "first", circuitBreaker }, {}, new FakeClock());
    expect(await statuses(balancer, 6)).toEqual([200, 200, 200, 200, 200, 200]);
    expect(balancer.tables.metrics.read("pool", 0, POOL.retries)).toBe(3);
  });
});

describe("the circuit of a pool", () => {
  test("is about what clients get in the end", async () => {
    const clock = new FakeClock();
    const [first, second] = [moody(broken), moody(broken)];
    const balancer = serve(
      [first.endpoint.address, second.endpoint.address],
      {
        balance: "first",
        retry: { on: [500] },
        circuitBreaker: { scope: "pool", consecutiveFailures: 2, openFor: "5s", trials: 1 },
      },
      {},
      clock,
    );
    second.answer = response("ok");
    expect(await statuses(balancer, 3)).toEqual([200, 200, 200]);
    second.answer = broken;
    expect(await statuses(balancer, 3)).toEqual([500, 500, 503]);
    expect(reasons(balancer)).toEqual(["E_CIRCUIT_OPEN"]);
    second.answer = response("ok");
    clock.advance(5_000);
    expect(await statuses(balancer, 2)).toEqual([200, 200]);
  });
});

describe("limits of a pool", () => {
  function holding(): { endpoint: RawEndpoint; held: EndpointSocket[] } {
    const held: EndpointSocket[] = [];
    return { endpoint: use(startRawEndpoint((socket) => void held.push(socket))), held };
  }

  async function release(held: EndpointSocket[]): Promise<void> {
    while (held.length > 0) {
      held.shift()?.write(response("ok"));
      await settle();
    }
  }

  async function outcome(pool: Partial<PoolInput>, maxConnections: number, requests: number) {
    const { endpoint, held } = holding();
    const balancer = serve([{ address: endpoint.address, maxConnections }], pool, {}, new FakeClock());
    const answers = Array.from({ length: requests }, () => sendRaw(balancer.port, GET, one));
    await settle();
    await release(held);
    const texts = (await Promise.all(answers)).map(({ text }) => text);
    return { balancer, served: texts.filter((text) => statusOf(text) === 200).length, refused: reasons(balancer) };
  }

  test("active: what goes beyond is refused, and the count comes back to nothing", async () => {
    const { balancer, served, refused } = await outcome({ limits: { active: 3 } }, 0, 5);
    expect([served, refused]).toEqual([3, ["E_POOL_FULL", "E_POOL_FULL"]]);
    const counters = balancer.tables.resilience.pools(0);
    expect(counters.usage.read(counters.limits(0) + 1)).toBe(0);
    expect(await outcome({ limits: { active: 3 } }, 0, 3)).toMatchObject({ served: 3, refused: [] });
  });

  test("pending: those who wait", async () => {
    const { balancer, served, refused } = await outcome({ limits: { pending: 2 } }, 1, 5);
    expect([served, refused]).toEqual([3, ["E_QUEUE_FULL", "E_QUEUE_FULL"]]);
    const counters = balancer.tables.resilience.pools(0);
    expect(counters.usage.read(counters.limits(0))).toBe(0);
  });

  test("retries, also those that are free of the budget", async () => {
    const clock = new FakeClock();
    const backoff = { base: "1s", max: "1s" };
    const balancer = serve(
      [deadAddress(), ok().address],
      { balance: "first", limits: { retries: 1 }, retry: { backoff } },
      {},
      clock,
    );
    const answers = [0, 1, 2].map(() => sendRaw(balancer.port, GET, one));
    await settle();
    clock.advance(1_000);
    const seen = (await Promise.all(answers)).map(({ text }) => statusOf(text));
    expect(seen.sort((a, b) => a - b)).toEqual([200, 502, 502]);
    const counters = balancer.tables.resilience.pools(0);
    expect(counters.usage.read(counters.limits(0) + 2)).toBe(0);
  });
});

describe("outlier detection", () => {
  function watch(balancer: Balancer, pool: PoolInput, clock: FakeClock): OutlierWatch {
    const { tables } = balancer;
    const options = { clock, timers: clock, random: seededRandom(1), log: silentLog, tables };
    const outliers = new OutlierWatch({ ...options, lastPassedMs: () => undefined, onChange() {} });
    const config = configSchema.parse({ listeners: {}, pools: { app: pool } }).pools["app"];
    outliers.setPool(
      "app",
      config,
      pool.endpoints.map((endpoint, row) => ({ id: String(endpoint), row })),
    );
    return use(Object.assign(outliers, { stop: () => outliers.close() }));
  }

  test("an endpoint that answers with errors is left alone, comes back, and is left alone for longer", async () => {
    const clock = new FakeClock();
    const sick = moody(broken);
    const pool: PoolInput = {
      endpoints: [sick.endpoint.address, ok().address],
      balance: "first",
      health: false,
      outlierDetection: { consecutiveServerErrors: 3, ejectionJitter: "0s", baseEjection: "10s" },
    };
    const balancer = serve(pool.endpoints, pool, {}, clock);
    watch(balancer, pool, clock);
    expect(await statuses(balancer, 3)).toEqual([500, 500, 500]);
    clock.advance(250);
    expect(await statuses(balancer, 5)).toEqual([200, 200, 200, 200, 200]);
    clock.advance(10_250);
    expect(await statuses(balancer, 3)).toEqual([500, 500, 500]);
    clock.advance(15_000);
    expect(await statuses(balancer, 2)).toEqual([200, 200]);
    clock.advance(6_000);
    sick.answer = response("well again");
    await statuses(balancer, 4);
    expect(sick.requests).toBe(10);
  });

  test("takes an endpoint out with the last failure in a row that it is allowed, not a moment later", async () => {
    const sick = moody(broken);
    const endpoints = [sick.endpoint.address, ok().address];
    const outlierDetection = { consecutiveServerErrors: 3, ejectionJitter: "0s" };
    const { port, supervisor } = use(
      await startSupervised({
        workers: 0,
        listeners: { web: { address: "127.0.0.1:0", pool: "app" } },
        pools: { app: { endpoints, balance: "first", health: false, outlierDetection } },
      }),
    );
    const answers: number[] = [];
    for (let count = 0; count < 8; count++) answers.push(statusOf((await sendRaw(port, GET, one)).text));
    expect(answers).toEqual([500, 500, 500, 200, 200, 200, 200, 200]);
    expect(supervisor.watches.outliers.ejections()).toEqual([{ pool: "app", reason: "server-errors", count: 1 }]);
  });

  test("what clients do to themselves does not count", async () => {
    const clock = new FakeClock();
    const silent = moody("");
    const pool: PoolInput = { endpoints: [silent.endpoint.address, ok().address], outlierDetection: {} };
    const balancer = serve(pool.endpoints, { ...pool, balance: "first" }, {}, clock);
    const call = "GET / HTTP/1.1\r\nHost: a\r\nTE: trailers\r\ngrpc-timeout: 100m\r\n\r\n";
    for (let index = 0; index < 4; index++) {
      const answer = sendRaw(balancer.port, call, one);
      await settle();
      clock.advance(300);
      expect(statusOf((await answer).text)).toBe(504);
      const leaving = connect({ port: balancer.port, host: "127.0.0.1" });
      leaving.write(GET);
      await settle();
      leaving.resetAndDestroy();
      await settle();
    }
    expect(silent.requests).toBe(8);
    expect(balancer.tables.resilience.outliers.streak(0, "timeouts")).toBe(0);
  });
});
