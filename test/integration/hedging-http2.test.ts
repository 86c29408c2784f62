/** Hedged requests where one side or the other speaks HTTP/2. Over real sockets. */
import { afterEach, describe, expect, test } from "bun:test";
import { FakeClock } from "../../src/base/fake-clock.ts";
import { FRAME, H2_ERROR } from "../../src/protocols/http2/frames.ts";
import { FrameScript } from "../../src/upstreams/http2/testing.ts";
import { startBalancer } from "../support/balancer.ts";
import { GET, one, reasons, stopAll, use } from "../support/exchange-fixture.ts";
import {
  allGivenBack,
  DELAY_MS,
  HEDGING,
  hedges,
  openTo,
  type Setting,
  setUp,
  underWay,
} from "../support/hedge-fixture.ts";
import { ALL, data, END, FrameClient, headers, leaveAll, POST, rstStream } from "../support/http2-client.ts";
import { eventually } from "../support/process.ts";
import { sendRaw, statusOf } from "../support/raw-client.ts";
import { response } from "../support/raw-endpoint.ts";

afterEach(stopAll);

describe("clients of HTTP/2", () => {
  afterEach(leaveAll);
  /** A PUT on stream 1 that both endpoints have. */
  const put = async ({ balancer, clock, first, second }: Setting): Promise<FrameClient> => {
    const client = await FrameClient.open(balancer.port);
    const fields = [[":method", "PUT"] as const, ...POST.slice(1), ["content-length", "5"] as const];
    client.send(headers(1, fields, ALL), data(1, "he"), data(1, "llo", END));
    for (const { endpoint } of [first, second]) {
      await eventually(() => endpoint.received.join("").endsWith("hello"), "the request");
      clock.advance(DELAY_MS);
    }
    expect([balancer.inFlight(), underWay(balancer)]).toEqual([2, 1]);
    return client;
  };

  test("get the first answer, too", async () => {
    const setting = await setUp();
    const client = await put(setting);
    setting.second.answer(response("quick"));
    await client.until(() => client.isDone(1));
    expect([client.answer(1).status, client.answer(1).body.toString()]).toEqual([200, "quick"]);
    await allGivenBack(setting.balancer);
  });

  test("may reset the stream while both run", async () => {
    const setting = await setUp();
    const client = await put(setting);
    client.send(rstStream(1, H2_ERROR.cancel));
    await allGivenBack(setting.balancer);
    await eventually(() => openTo(setting.balancer, 0) + openTo(setting.balancer, 1) === 0, "both closed");
    expect(reasons(setting.balancer)).toEqual(["E_CLIENT_CLOSED"]);
  });
});

test("HTTP/2 endpoints: the slow stream is reset with CANCEL, its connection stays", async () => {
  const scripts: { script: FrameScript; write: (bytes: Buffer) => void }[] = [];
  const start = () => {
    const listening = Bun.listen<{ script: FrameScript }>({
      hostname: "127.0.0.1",
      port: 0,
      socket: {
        open(socket) {
          socket.data = { script: new FrameScript() };
          scripts.push({ script: socket.data.script, write: (bytes) => void socket.write(bytes) });
          socket.write(socket.data.script.settings());
        },
        data: (socket, bytes) => socket.data.script.receive(bytes),
        error() {},
      },
    });
    use({ stop: () => listening.stop(true) });
    return `127.0.0.1:${listening.port}`;
  };
  const clock = new FakeClock();
  const app = {
    endpoints: [start(), start()],
    balance: "first" as const,
    connections: { protocol: "http2" as const },
    hedging: HEDGING,
    limits: {},
  };
  const balancer = use(
    startBalancer(
      { listeners: { web: { address: "127.0.0.1:0", pool: "app" } }, pools: { app } },
      { clock, timers: clock },
    ),
  );
  const requests = (at: number): number => scripts[at]?.script.of(FRAME.headers).length ?? 0;
  const ok = [[":status", "200"]] as const;
  const warm = sendRaw(balancer.port, GET, one);
  await eventually(() => requests(0) === 1, "the first request of all");
  scripts[0]?.write(scripts[0].script.headers(1, ok, true));
  expect(statusOf((await warm).text)).toBe(200);
  clock.advance(100);
  for (const winner of [1, 0]) {
    const [before, beside] = [requests(0), requests(1)];
    const answer = sendRaw(balancer.port, GET, one);
    await eventually(() => requests(0) === before + 1, "the first request");
    clock.advance(DELAY_MS);
    await eventually(() => requests(1) === beside + 1, "the second request");
    expect([balancer.inFlight(), underWay(balancer)]).toEqual([2, 1]);
    const streams = [2 * before + 1, 2 * beside + 1];
    const { script, write } = scripts[winner] as (typeof scripts)[number];
    write(script.headers(streams[winner] as number, ok, true));
    expect(statusOf((await answer).text)).toBe(200);
    await allGivenBack(balancer);
    const loser = 1 - winner;
    const reset = (): number | undefined => scripts[loser]?.script.reset(streams[loser] as number);
    await eventually(() => reset() !== undefined, "the reset");
    expect(reset()).toBe(H2_ERROR.cancel);
    expect([openTo(balancer, 0), openTo(balancer, 1)]).toEqual([1, 1]);
  }
  expect(hedges(balancer)).toEqual([2, 1]);
});
