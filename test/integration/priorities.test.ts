/** Who goes first when not all can be served: requests by their importance, in the queue of a pool. Over real sockets. */
import { afterEach, describe, expect, test } from "bun:test";
import { connect } from "node:net";
import { FakeClock } from "../../src/base/fake-clock.ts";
import type { ConfigInput } from "../../src/config/schema.ts";
import { POOL } from "../../src/observability/metrics-table.ts";
import { type Balancer, startBalancer } from "../support/balancer.ts";
import { GET, ok, one, type PoolInput, reasons, stopAll, use } from "../support/exchange-fixture.ts";
import { eventually } from "../support/process.ts";
import { type RawAnswer, sendRaw, statusOf } from "../support/raw-client.ts";
import { type EndpointSocket, response, startRawEndpoint } from "../support/raw-endpoint.ts";

afterEach(stopAll);

interface Setting {
  readonly clock: FakeClock;
  readonly balancer: Balancer;
  /** The paths that the endpoint has been asked for. */
  readonly served: string[];
  readonly answer: () => void;
  /** Sends a request, and waits until it waits. */
  readonly come: (path: string, header?: string) => Promise<{ answer: Promise<RawAnswer> }>;
}

/** An endpoint that takes one request at a time, and has one. */
async function setUp(pool: Partial<PoolInput> = {}, more: Partial<ConfigInput> = {}): Promise<Setting> {
  const clock = new FakeClock();
  const served: string[] = [];
  const held: EndpointSocket[] = [];
  const endpoint = use(
    startRawEndpoint((socket, _all, piece) => {
      served.push(/^GET (\S+)/.exec(piece)?.[1] ?? "");
      held.push(socket);
    }),
  );
  const app: PoolInput = {
    endpoints: [{ address: endpoint.address, maxConnections: 1 }],
    ...pool,
    queue: { priorityHeader: "X-Priority", ...pool.queue },
  };
  const config: ConfigInput = {
    listeners: { web: { address: "127.0.0.1:0", pool: "app" } },
    ...more,
    pools: { app, ...more.pools },
  };
  const balancer = use(startBalancer(config, { clock, timers: clock }));
  const queued = (): number => balancer.tables.metrics.read("pool", 0, POOL.queued);
  void sendRaw(balancer.port, GET, one);
  await eventually(() => served.length === 1, "the first request");
  const come = async (path: string, header = ""): Promise<{ answer: Promise<RawAnswer> }> => {
    const before = queued();
    const answer = sendRaw(balancer.port, `GET ${path} HTTP/1.1\r\nHost: a\r\n${header}\r\n`, one);
    await eventually(() => queued() > before, `${path} waiting`);
    return { answer };
  };
  return { clock, balancer, served, answer: () => held.shift()?.write(response("ok")), come };
}

const priority = (text: string): string => `X-Priority: ${text}\r\n`;
const waiting = ({ tables }: Balancer): number => tables.metrics.read("pool", 0, POOL.waiting);

async function serveAll({ balancer, served, answer }: Setting, expected: readonly string[]): Promise<void> {
  for (let index = 0; index < expected.length; index++) {
    answer();
    await eventually(() => served.length === index + 2, `request ${index}`);
  }
  answer();
  expect(served.slice(1)).toEqual([...expected]);
  await eventually(() => balancer.inFlight() === 0, "nothing in flight");
  expect(waiting(balancer)).toBe(0);
}

test("the more important go first, whatever else the header says is normal", async () => {
  const setting = await setUp();
  const { come } = setting;
  await come("/low", priority("low"));
  await come("/normal-1");
  await come("/normal-2", priority("urgent!"));
  await come("/critical", priority("Critical"));
  await come("/high", priority("high"));
  await serveAll(setting, ["/critical", "/high", "/normal-1", "/normal-2", "/low"]);
});

test("without the setting all are alike", async () => {
  const setting = await setUp({ queue: { priorityHeader: undefined } } as Partial<PoolInput>);
  await setting.come("/low", priority("low"));
  await setting.come("/critical", priority("critical"));
  await serveAll(setting, ["/low", "/critical"]);
});

test("what the route says goes before what the client says", async () => {
  const routes: ConfigInput["routes"] = [
    { match: { pathPrefix: "/batch" }, pool: "app", importance: "low" },
    { match: { pathPrefix: "/pay" }, pool: "app", importance: "critical" },
  ];
  const setting = await setUp({}, { routes });
  await setting.come("/batch", priority("critical"));
  await setting.come("/page");
  await setting.come("/pay", priority("low"));
  await serveAll(setting, ["/pay", "/page", "/batch"]);
});

describe("a full queue", () => {
  test("one that is less important makes room, and is told when to come again", async () => {
    const setting = await setUp({ queue: { size: 2 } });
    const { balancer, come } = setting;
    const low = await come("/low", priority("low"));
    await come("/normal");
    const { answer } = low;
    await come("/high", priority("high"));
    const { text } = await answer;
    expect([statusOf(text), text]).toEqual([503, expect.stringContaining("(E_QUEUE_FULL)")]);
    expect(text).toContain("Retry-After: 5\r\n");
    expect([waiting(balancer), reasons(balancer)]).toEqual([2, ["E_QUEUE_FULL"]]);
    await serveAll(setting, ["/high", "/normal"]);
  });

  test("one that is as important as the others does not", async () => {
    const setting = await setUp({ queue: { size: 2 } });
    const { balancer, come } = setting;
    await come("/high", priority("high"));
    await come("/normal");
    expect(statusOf((await sendRaw(balancer.port, GET, one)).text)).toBe(503);
    await serveAll(setting, ["/high", "/normal"]);
  });

  test("by the limit of the pool: the same, and nothing stays counted", async () => {
    const setting = await setUp({ limits: { pending: 2 } });
    const { balancer, come } = setting;
    const counters = balancer.tables.resilience.pools(0);
    const pending = (): number => counters.usage.read(counters.limits(0));
    const { answer } = await come("/low", priority("low"));
    await come("/normal");
    await come("/critical", priority("critical"));
    expect(statusOf((await answer).text)).toBe(503);
    expect(pending()).toBe(2);
    expect(statusOf((await sendRaw(balancer.port, GET, one)).text)).toBe(503);
    await serveAll(setting, ["/critical", "/normal"]);
    expect(pending()).toBe(0);
  });

  test("whoever is displaced goes to the fallback pool, where there is one", async () => {
    const other = ok();
    const setting = await setUp(
      { queue: { size: 1 }, fallback: "other" },
      { pools: { other: { endpoints: [other.address] } } },
    );
    const { answer } = await setting.come("/low", priority("low"));
    await setting.come("/high", priority("high"));
    expect(statusOf((await answer).text)).toBe(200);
    expect(other.received.join("")).toStartWith("GET /low ");
    await serveAll(setting, ["/high"]);
  });

  test("the next request of a client that was displaced finds its own place", async () => {
    const setting = await setUp({ queue: { size: 1 } });
    const { balancer, served } = setting;
    const socket = connect({ port: balancer.port, host: "127.0.0.1" });
    use({ stop: () => socket.destroy() });
    let text = "";
    socket.on("data", (bytes) => {
      text += bytes.toString("latin1");
    });
    socket.write(
      `GET /low HTTP/1.1\r\nHost: a\r\n${priority("low")}\r\nGET /critical HTTP/1.1\r\nHost: a\r\n${priority("critical")}\r\n`,
    );
    await eventually(() => waiting(balancer) === 1, "the first one waiting");
    // Makes room for itself, but the one that was sent behind is read at once and is more important still.
    const { text: refused } = await sendRaw(
      balancer.port,
      `GET /high HTTP/1.1\r\nHost: a\r\n${priority("high")}\r\n`,
      one,
    );
    expect([statusOf(refused), statusOf(text), waiting(balancer)]).toEqual([503, 503, 1]);
    await serveAll(setting, ["/critical"]);
    expect(served).toEqual(["/", "/critical"]);
    await eventually(() => text.endsWith("ok"), "the second answer");
  });
});

test("nobody waits for longer than the queue's time, however unimportant", async () => {
  const setting = await setUp({ queue: { timeout: "1s" } });
  const { answer } = await setting.come("/low", priority("low"));
  setting.clock.advance(500);
  await setting.come("/critical", priority("critical"));
  setting.clock.advance(510);
  const { text } = await answer;
  expect([statusOf(text), text]).toEqual([503, expect.stringContaining("E_QUEUE_TIMEOUT")]);
  await serveAll(setting, ["/critical"]);
});

test("when the balancer itself is overloaded, what the route says counts, too", async () => {
  const clock = new FakeClock();
  // Any worker has more memory than this: everything but critical requests is shed.
  const loadShedding = { memoryFrom: "1B", memoryFull: "2B", priorityHeader: "X-Priority" };
  const config: ConfigInput = {
    listeners: { web: { address: "127.0.0.1:0", pool: "app", loadShedding } },
    routes: [
      { match: { pathPrefix: "/pay" }, pool: "app", importance: "critical" },
      { match: { pathPrefix: "/batch" }, pool: "app", importance: "low" },
    ],
    pools: { app: { endpoints: [ok().address] } },
  };
  const balancer = use(startBalancer(config, { clock, timers: clock }));
  clock.advance(100);
  const ask = async (path: string, header = ""): Promise<number> =>
    statusOf((await sendRaw(balancer.port, `GET ${path} HTTP/1.1\r\nHost: a\r\n${header}\r\n`, one)).text);
  expect([await ask("/pay"), await ask("/batch", priority("critical")), await ask("/page")]).toEqual([200, 503, 503]);
  expect(await ask("/page", priority("critical"))).toBe(200);
});
