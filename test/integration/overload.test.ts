/** More than can be served: what is refused, in which order, and with which reason. Over real sockets, on the fake clock. */
import { afterEach, describe, expect, test } from "bun:test";
import { FakeClock } from "../../src/base/fake-clock.ts";
import { type Balancer, startBalancer } from "../support/balancer.ts";
import { GET, ok, one, reasons, serve, settle, stopAll, use } from "../support/exchange-fixture.ts";
import { sendRaw, statusOf } from "../support/raw-client.ts";
import { type EndpointSocket, response, startRawEndpoint } from "../support/raw-endpoint.ts";

afterEach(stopAll);

function holding() {
  const held: EndpointSocket[] = [];
  return { held, address: use(startRawEndpoint((socket) => void held.push(socket))).address };
}

/** What adaptive concurrency counts as in flight. */
function adaptive({ tables }: Balancer): number {
  const counters = tables.resilience.pools(0);
  return counters.usage.read(counters.adaptive(0));
}

test("adaptive concurrency: beyond the limit requests are refused; slow answers make it smaller", async () => {
  const clock = new FakeClock();
  const { held, address } = holding();
  const limits = { initialLimit: 8, minLimit: 2, maxLimit: 8, queueSize: 1, window: "1s", minimumSamples: 4 };
  const balancer = serve([address], { adaptiveConcurrency: limits }, {}, clock);
  /** Ten come at once; those that are let in are answered after `latencyMs`. How many were. */
  const round = async (latencyMs: number): Promise<number> => {
    const answers = Array.from({ length: 10 }, () => sendRaw(balancer.port, GET, one));
    await settle();
    const letIn = held.length;
    clock.advance(latencyMs);
    for (const socket of held.splice(0)) socket.write(response("ok"));
    const statuses = (await Promise.all(answers)).map(({ text }) => statusOf(text));
    expect(statuses.filter((status) => status === 200).length).toBe(letIn);
    clock.advance(1_000);
    return letIn;
  };
  expect(await round(100)).toBe(8);
  expect(reasons(balancer)).toEqual(["E_POOL_OVERLOADED", "E_POOL_OVERLOADED"]);
  for (let index = 0; index < 3; index++) await round(100);
  for (let index = 0; index < 8; index++) await round(2_000);
  expect(await round(2_000)).toBeLessThan(7);
  expect(adaptive(balancer)).toBe(0);
});

test("a queue that never gets empty serves the newest and lets the oldest go", async () => {
  const clock = new FakeClock();
  const { held, address } = holding();
  const balancer = serve(
    [{ address, maxConnections: 1 }],
    { queue: { codel: { target: "20ms", interval: "100ms" } } },
    {},
    clock,
  );
  const first = sendRaw(balancer.port, GET, one);
  await settle();
  const old = sendRaw(balancer.port, GET, one);
  await settle();
  clock.advance(95);
  const young = sendRaw(balancer.port, GET, one);
  await settle();
  // The queue has not been empty for 100 ms: nobody waits for longer than 20 any more.
  clock.advance(15);
  expect(statusOf((await old).text)).toBe(503);
  expect(reasons(balancer)).toEqual(["E_QUEUE_TIMEOUT"]);
  held.shift()?.write(response("ok"));
  expect(statusOf((await first).text)).toBe(200);
  await settle();
  held.shift()?.write(response("ok"));
  expect(statusOf((await young).text)).toBe(200);
  expect(balancer.inFlight()).toBe(0);
});

describe("load shedding", () => {
  test("refuses by importance, and only while there is pressure", async () => {
    const clock = new FakeClock();
    const config = {
      listeners: {
        web: {
          address: "127.0.0.1:0",
          pool: "app",
          // Any worker has more memory than this: everything but critical requests is shed.
          loadShedding: { memoryFrom: "1B", memoryFull: "2B", priorityHeader: "X-Priority" },
        },
      },
      pools: { app: { endpoints: [ok().address] } },
    };
    const balancer = use(startBalancer(config, { clock, timers: clock }));
    const ask = async (priority: string): Promise<number> =>
      statusOf(
        (await sendRaw(balancer.port, `GET / HTTP/1.1\r\nHost: a\r\nX-Priority: ${priority}\r\n\r\n`, one)).text,
      );
    expect(await ask("low")).toBe(200);
    clock.advance(100);
    expect([await ask("low"), await ask("whatever"), await ask("high"), await ask("Critical")]).toEqual([
      503, 503, 503, 200,
    ]);
    const { text } = await sendRaw(balancer.port, GET, one);
    expect(text).toContain("Retry-After: 5\r\n");
    expect(reasons(balancer)).toEqual(Array.from({ length: 4 }, () => "E_OVERLOADED"));
  });
});
