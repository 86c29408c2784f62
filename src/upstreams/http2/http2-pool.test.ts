import { afterEach, describe, expect, test } from "bun:test";
import type { Socket } from "bun";
import { FakeClock } from "../../base/fake-clock.ts";
import { localRegion } from "../../base/shared-memory.ts";
import { ENDPOINT, MetricsTable, MetricsWriter } from "../../observability/metrics-table.ts";
import { FRAME, SETTING } from "../../protocols/http2/frames.ts";
import { DeadlineSweep } from "../../transport/deadlines.ts";
import { ConnectionPool } from "../connection-pool.ts";
import { connectionsSchema } from "../schema.ts";
import { Http2Pool } from "./http2-pool.ts";
import { FakeBorrower, FrameScript } from "./testing.ts";

const GET = "GET / HTTP/1.1\r\nHost: app.test\r\n\r\n";
const OK = [[":status", "200"]] as const;
const stops: (() => void)[] = [];
afterEach(() => {
  for (const stop of stops.splice(0)) stop();
});

interface Accepted {
  readonly socket: Socket<Accepted>;
  readonly script: FrameScript;
}

/** An endpoint that tells `settings` as soon as it is connected to, or nothing. */
function listen(settings: readonly number[] | undefined): { port: number; accepted: Accepted[] } {
  const accepted: Accepted[] = [];
  const listening = Bun.listen<Accepted>({
    hostname: "127.0.0.1",
    port: 0,
    socket: {
      open(socket) {
        socket.data = { socket, script: new FrameScript() };
        accepted.push(socket.data);
        if (settings !== undefined) socket.write(socket.data.script.settings(...settings));
      },
      data: (socket, bytes) => socket.data.script.receive(bytes),
      error() {},
    },
  });
  stops.push(() => listening.stop(true));
  return { port: listening.port, accepted };
}

function setUp(port: number) {
  const clock = new FakeClock();
  const sweep = new DeadlineSweep(clock, clock);
  const table = new MetricsTable(localRegion(MetricsTable.bytes(1)), 1);
  const metrics = table.writer(0);
  const cells = MetricsWriter.rowStart("endpoint", 0);
  const target = { host: "127.0.0.1", port, name: "app.test", tls: undefined };
  const config = connectionsSchema.parse({ protocol: "http2" });
  const context = { clock, sweep, metrics };
  const connections = new ConnectionPool(target, cells, config, context);
  const pool = new Http2Pool(connections, cells, context);
  const read = (field: number): number => table.read("endpoint", 0, field);
  stops.push(() => connections.retire());
  const begin = (): FakeBorrower => {
    const borrower = new FakeBorrower(GET);
    const channel = pool.take(borrower);
    if (channel === undefined) borrower.channel = pool.dial(borrower);
    else borrower.begin(channel);
    return borrower;
  };
  return { clock, sweep, connections, pool, begin, open: () => read(ENDPOINT.connectionsOpen) };
}

async function until(condition: () => boolean, what: string): Promise<void> {
  for (let look = 0; look < 2_000; look++) {
    if (condition()) return;
    await Bun.sleep(5);
  }
  throw new Error(`never happened: ${what}`);
}

const requests = ({ script }: Accepted): number => script.of(FRAME.headers).length;

describe("few connections for many exchanges", () => {
  test("all that come while it is being made share one", async () => {
    const { port, accepted } = listen([]);
    const { begin, open } = setUp(port);
    const borrowers = Array.from({ length: 100 }, begin);
    await until(() => accepted.length === 1 && requests(accepted[0] as Accepted) === 100, "100 requests");
    begin();
    await until(() => requests(accepted[0] as Accepted) === 101, "one more");
    expect([accepted.length, open(), borrowers.every(({ failed }) => failed === undefined)]).toEqual([1, 1, true]);
  });
  test("more than a hundred make another", async () => {
    const { port, accepted } = listen([]);
    const { begin } = setUp(port);
    Array.from({ length: 101 }, begin);
    await until(() => accepted.reduce((sum, one) => sum + requests(one), 0) === 101, "101 requests");
    expect(accepted.length).toBe(2);
  });
  test("as many as are needed when the endpoint takes few streams, and none is refused", async () => {
    const { port, accepted } = listen([SETTING.maxConcurrentStreams, 10]);
    const { begin } = setUp(port);
    const borrowers = Array.from({ length: 45 }, begin);
    await until(() => accepted.reduce((sum, one) => sum + requests(one), 0) === 45, "45 requests");
    expect(accepted.map(requests).sort((a, b) => b - a)).toEqual([10, 10, 10, 10, 5]);
    expect(borrowers.every(({ failed }) => failed === undefined)).toBe(true);
  });
  test("an endpoint that takes none at all is not asked again and again", async () => {
    const { port, accepted } = listen([SETTING.maxConcurrentStreams, 0]);
    const { begin } = setUp(port);
    const borrowers = [begin(), begin()];
    await until(() => borrowers.every(({ failed }) => failed === "E_UPSTREAM_REFUSED"), "a refusal");
    expect(accepted.length).toBe(1);
  });
});

describe("connections that cannot be made", () => {
  test("nobody listens", async () => {
    const { begin, sweep } = setUp(1);
    const borrowers = [begin(), begin()];
    await until(() => borrowers.every(({ failed }) => failed === "E_CONNECT_FAILED"), "a failure");
    expect(sweep.size).toBe(0);
  });
  test("no SETTINGS in time", async () => {
    const { port, accepted } = listen(undefined);
    const { begin, sweep, clock } = setUp(port);
    const borrower = begin();
    await until(() => accepted.length === 1, "a connection");
    clock.advance(3_100);
    expect([borrower.failed, sweep.size]).toEqual(["E_CONNECT_TIMEOUT", 0]);
  });
  test("whoever leaves meanwhile leaves nothing behind", async () => {
    const { port, accepted } = listen(undefined);
    const { begin, sweep, clock } = setUp(port);
    const [first, second] = [begin(), begin()];
    await until(() => accepted.length === 1, "a connection");
    first.release(false, clock.now());
    // The connection itself, and the second.
    expect(sweep.size).toBe(2);
    const { socket, script } = accepted[0] as Accepted;
    socket.write(script.settings());
    await until(() => requests(accepted[0] as Accepted) === 1, "the second request");
    expect([first.failed, second.failed]).toEqual([undefined, undefined]);
  });
});

describe("connections that end", () => {
  const served = async (settings: number[] = []) => {
    const { port, accepted } = listen(settings);
    const parts = setUp(port);
    const borrower = parts.begin();
    await until(() => accepted.length === 1 && requests(accepted[0] as Accepted) === 1, "a request");
    const { socket, script } = accepted[0] as Accepted;
    return { ...parts, borrower, accepted, socket, script };
  };
  test("idle for too long", async () => {
    const { clock, sweep, socket, script, borrower, open } = await served();
    socket.write(script.headers(1, OK, true));
    await until(() => borrower.closed === true, "the answer");
    expect([sweep.size, open()]).toEqual([1, 1]);
    clock.advance(55_100);
    await until(() => script.goodbye() === 0, "GOAWAY");
    expect([sweep.size, open()]).toEqual([0, 0]);
  });
  test("too old: the next exchange makes another, what runs goes on", async () => {
    const { clock, begin, accepted, borrower, socket, script } = await served();
    clock.advance(3_600_001);
    begin();
    await until(() => accepted.length === 2 && requests(accepted[1] as Accepted) === 1, "another connection");
    socket.write(Buffer.concat([script.headers(1, OK), script.data(1, "all", true)]));
    await until(() => borrower.text.includes("all") && script.goodbye() === 0, "the answer");
  });
  test("GOAWAY: the next exchange makes another", async () => {
    const { begin, accepted, socket, script, borrower } = await served();
    socket.write(script.goaway(0));
    await until(() => borrower.failed === "E_UPSTREAM_REFUSED", "the refusal");
    begin();
    await until(() => accepted.length === 2 && requests(accepted[1] as Accepted) === 1, "another connection");
  });
  test("the endpoint is no longer used: what runs goes on, then it closes", async () => {
    const { connections, socket, script, borrower, sweep, open } = await served();
    connections.retire();
    socket.write(Buffer.concat([script.headers(1, OK), script.data(1, "all", true)]));
    await until(() => borrower.text.includes("all") && script.goodbye() === 0, "the answer");
    expect([sweep.size, open()]).toEqual([0, 0]);
  });
  test("no longer used while it is being made: those that wait for it are served", async () => {
    const { port, accepted } = listen(undefined);
    const { begin, connections, sweep } = setUp(port);
    const borrower = begin();
    await until(() => accepted.length === 1, "a connection");
    connections.retire();
    const { socket, script } = accepted[0] as Accepted;
    socket.write(script.settings());
    await until(() => requests(accepted[0] as Accepted) === 1, "the request");
    socket.write(script.headers(1, OK, true));
    await until(() => borrower.closed === true && script.goodbye() === 0, "the answer");
    expect(sweep.size).toBe(0);
  });
  test("the endpoint drains and comes back: then connections are kept again", async () => {
    const { begin, connections, accepted, borrower, socket, script } = await served();
    let leaving = true;
    connections.isLeaving = () => leaving;
    connections.closeIdle();
    socket.write(script.headers(1, OK, true));
    await until(() => borrower.closed === true && script.goodbye() === 0, "the answer, then GOAWAY");
    leaving = false;
    const first = begin();
    await until(() => accepted.length === 2 && requests(accepted[1] as Accepted) === 1, "another connection");
    const { socket: another, script: next } = accepted[1] as Accepted;
    another.write(next.headers(1, OK, true));
    await until(() => first.closed === true, "its answer");
    begin();
    await until(() => requests(accepted[1] as Accepted) === 2, "a second exchange on it");
    expect(accepted.length).toBe(2);
  });
  test("the endpoint is out of service: exchanges are told, streams are reset, GOAWAY", async () => {
    const { connections, borrower, script, sweep, open } = await served();
    connections.closeAll();
    expect(borrower.left).toBe(true);
    await until(() => script.of(FRAME.rstStream).length === 1 && script.goodbye() === 0, "RST_STREAM and GOAWAY");
    expect([sweep.size, open()]).toEqual([0, 0]);
  });
  test("out of service while it is being made: those that wait for it are told", async () => {
    const { port, accepted } = listen(undefined);
    const { begin, connections, sweep } = setUp(port);
    const borrower = begin();
    await until(() => accepted.length === 1, "a connection");
    connections.closeAll();
    expect([borrower.failed, sweep.size]).toEqual(["E_CONNECT_FAILED", 0]);
  });
  test("the endpoint dies with many exchanges on it", async () => {
    const { begin, socket, sweep, open, borrower, script } = await served();
    const others = Array.from({ length: 20 }, begin);
    await until(() => script.of(FRAME.headers).length === 21, "all requests");
    socket.terminate();
    await until(() => others.every(({ closed }) => closed === false), "all are told");
    expect([borrower.closed, sweep.size, open()]).toEqual([false, 0, 0]);
  });
});
