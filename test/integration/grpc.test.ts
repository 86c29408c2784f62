/** gRPC through the balancer: its own client and server on both ends. */
import { afterEach, beforeAll, describe, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { type Balancer, startBalancer } from "../support/balancer.ts";
import { GrpcClient, type GrpcServer, node, startGrpcServer } from "../support/grpc-peers.ts";
import { createAuthority, hasOpenssl, type IssuedPair, type TestAuthority } from "../support/openssl.ts";

const STATUS = { ok: 0, cancelled: 1, deadline: 4, notFound: 5, unimplemented: 12, internal: 13, unavailable: 14 };

if (node === null) console.log("skipped: node is not installed");
else if (!hasOpenssl()) console.log("skipped: openssl is not installed");
else {
  const stops: (() => Promise<unknown>)[] = [];
  let authority: TestAuthority;
  let pair: IssuedPair;
  beforeAll(() => {
    authority = createAuthority();
    pair = authority.issue("grpc", "DNS:grpc.test,IP:127.0.0.1");
    return () => authority.remove();
  });
  afterEach(async () => {
    for (const stop of stops.splice(0).reverse()) await stop();
  });

  const client = (): GrpcClient => {
    const started = new GrpcClient();
    stops.push(() => started.stop());
    return started;
  };
  const server = async (name: string, tls?: IssuedPair): Promise<GrpcServer> => {
    const started = await startGrpcServer(name, tls);
    stops.push(() => started.kill());
    return started;
  };
  const balancer = (endpoints: readonly string[], options: { tls?: boolean; request?: string } = {}): Balancer => {
    const { certificatePath, keyPath } = pair;
    const started = startBalancer({
      listeners: {
        web: {
          address: ":80",
          ...(options.tls === true && { tls: { certificates: [{ certificate: certificatePath, key: keyPath }] } }),
        },
      },
      routes: [
        {
          match: { pathPrefix: "/test.Echo" },
          pool: "app",
          ...(options.request !== undefined && { timeouts: { request: options.request } }),
        },
      ],
      pools: {
        app: {
          balance: "round-robin",
          endpoints: [...endpoints],
          connections: {
            protocol: "http2",
            ...(options.tls === true && { tls: { ca: authority.caPath, serverName: "grpc.test" } }),
          },
        },
      },
    } as never);
    stops.push(() => started.stop());
    return started;
  };
  const hash = (bytes: Buffer): string => createHash("sha256").update(bytes).digest("hex");

  for (const tls of [false, true]) {
    describe(tls ? "over TLS on both sides" : "in clear text", () => {
      const setUp = async () => {
        const one = await server("one", tls ? pair : undefined);
        const started = balancer([one.address], { tls });
        const target = {
          address: `127.0.0.1:${started.port}`,
          ...(tls && { caPath: authority.caPath, name: "grpc.test" }),
        };
        return { caller: client(), target, started };
      };
      test("the four kinds of calls, metadata and trailers", async () => {
        const { caller, target, started } = await setUp();
        const metadata = { "x-echo": "hello", "x-echo-bin": "AP8B" };
        const unary = await caller.call(target, { method: "Unary", messages: ["one"], metadata });
        expect(unary).toMatchObject({ code: STATUS.ok, messages: ["one"] });
        expect(unary.initial).toMatchObject({ "x-server": ["one"], "x-echo": ["hello"], "x-echo-bin": ["AP8B"] });
        expect(unary.trailing).toMatchObject({ "x-trailer": ["one"] });
        const sum = hash(Buffer.from("abc"));
        const upload = await caller.call(target, { method: "Client", messages: ["a", "b", "c"] });
        expect(upload).toMatchObject({ code: STATUS.ok, messages: [`3 ${sum}`], trailing: { "x-trailer": ["one"] } });
        const asked = JSON.stringify({ count: 200, size: 500 });
        const download = await caller.call(target, { method: "Server", messages: [asked] });
        expect([download.code, download.messages.length]).toEqual([STATUS.ok, 200]);
        expect(download.trailing).toMatchObject({ "x-trailer": ["one"] });
        const both = await caller.call(target, { method: "Bidi", messages: ["x", "y", "z"] });
        expect(both).toMatchObject({ code: STATUS.ok, messages: ["x", "y", "z"] });
        expect(started.inFlight()).toBe(0);
      });
      test("large messages both ways, compressed ones untouched", async () => {
        const { caller, target } = await setUp();
        const size = 9_000_000;
        const expected = hash(Buffer.alloc(size, 7));
        const large = await caller.call(target, { method: "Unary", size });
        expect([large.code, large.messages, large.hashes]).toEqual([STATUS.ok, [String(size)], [expected]]);
        const gzip = await caller.call(target, { method: "Unary", size, gzip: true });
        expect([gzip.code, gzip.hashes]).toEqual([STATUS.ok, [expected]]);
      });
    });
  }

  test("errors come as the server has made them, with their details", async () => {
    const one = await server("one");
    const started = balancer([one.address]);
    const outcome = await client().call({ address: `127.0.0.1:${started.port}` }, { method: "Fail", messages: ["x"] });
    expect(outcome).toMatchObject({ code: STATUS.notFound, details: "no such thing: ä 100%" });
    expect(outcome.trailing["grpc-status-details-bin"]).toEqual([
      Buffer.from([8, 5, 18, 2, 0xc3, 0xa4]).toString("base64"),
    ]);
    const nothing = await client().call({ address: `127.0.0.1:${started.port}` }, { method: "Nothing" });
    expect(nothing.code).toBe(STATUS.unimplemented);
  });

  const seen = async (caller: GrpcClient, address: string): Promise<{ cancelled: number; deadlines: unknown[] }> =>
    JSON.parse((await caller.call({ address }, { method: "Seen", messages: ["?"] })).messages[0] ?? "{}");
  const until = async (check: () => Promise<boolean> | boolean, what: string): Promise<void> => {
    for (let look = 0; look < 400; look++) {
      if (await check()) return;
      await Bun.sleep(25);
    }
    throw new Error(`never happened: ${what}`);
  };

  test("a call that is cancelled is cancelled at the server, and nothing stays", async () => {
    const one = await server("one");
    const started = balancer([one.address]);
    const caller = client();
    const target = { address: `127.0.0.1:${started.port}` };
    const outcome = await caller.call(target, { method: "Hang", messages: ["x"], cancelAfter: 1 });
    expect(outcome.code).toBe(STATUS.cancelled);
    await until(async () => (await seen(caller, one.address)).cancelled === 1, "the server is told");
    await until(() => started.inFlight() === 0, "nothing in flight");
  });

  test("a deadline in the middle of a stream ends the call at the server too", async () => {
    const one = await server("one");
    const started = balancer([one.address]);
    const caller = client();
    const target = { address: `127.0.0.1:${started.port}` };
    const outcome = await caller.call(target, { method: "Hang", messages: ["x"], deadlineMs: 300 });
    expect([outcome.code, outcome.messages]).toEqual([STATUS.deadline, ["begun"]]);
    await until(async () => (await seen(caller, one.address)).cancelled === 1, "the server is told");
    await until(() => started.inFlight() === 0, "nothing in flight");
  });

  test("calls of one channel are shared evenly", async () => {
    const servers = [await server("one"), await server("two")];
    const started = balancer(servers.map(({ address }) => address));
    const caller = client();
    const target = { address: `127.0.0.1:${started.port}` };
    const outcomes = await Promise.all(
      Array.from({ length: 200 }, (_, index) => caller.call(target, { method: "Unary", messages: [`${index}`] })),
    );
    expect(outcomes.every(({ code }, index) => code === STATUS.ok && outcomes[index]?.messages[0] === `${index}`)).toBe(
      true,
    );
    const names = outcomes.map(({ initial }) => initial["x-server"]?.[0]);
    expect([names.filter((name) => name === "one").length, names.filter((name) => name === "two").length]).toEqual([
      100, 100,
    ]);
    expect(started.openConnections()).toBe(1);
  });

  test("a server that is killed in the middle of calls: they end at once, the next go to the other", async () => {
    const [one, two] = [await server("one"), await server("two")];
    const started = balancer([one.address, two.address]);
    const caller = client();
    const target = { address: `127.0.0.1:${started.port}` };
    const calls = Array.from({ length: 4 }, () => caller.call(target, { method: "Hang", messages: ["x"] }));
    await until(() => started.inFlight() === 4, "four calls");
    await until(async () => (await seen(caller, one.address)).deadlines.length === 2, "two at the first server");
    await one.kill();
    const first = await Promise.race(calls);
    expect([STATUS.internal, STATUS.unavailable]).toContain(first.code);
    const next = await Promise.all(
      Array.from({ length: 10 }, () => caller.call(target, { method: "Unary", messages: ["again"] })),
    );
    expect(next.map(({ code }) => code)).toEqual(Array.from({ length: 10 }, () => STATUS.ok));
    expect(new Set(next.map(({ initial }) => initial["x-server"]?.[0]))).toEqual(new Set(["two"]));
  });

  describe("our own errors are answers of gRPC", () => {
    test("no endpoint, and one that nobody listens at", async () => {
      const one = await server("one");
      const started = balancer([one.address]);
      const caller = client();
      const target = { address: `127.0.0.1:${started.port}` };
      started.setEligible("app", 0, false);
      const none = await caller.call(target, { method: "Unary", messages: ["x"] });
      expect([none.code, none.details]).toEqual([
        STATUS.unavailable,
        "No endpoint is available for this request. (E_NO_ENDPOINT)",
      ]);
      started.setEligible("app", 0, true);
      await one.kill();
      const gone = await caller.call(target, { method: "Unary", messages: ["x"] });
      expect([gone.code, gone.details]).toEqual([
        STATUS.unavailable,
        "The endpoint refused the connection or could not be reached. (E_CONNECT_FAILED)",
      ]);
    });
    test("the time that the route allows", async () => {
      const silent = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data() {} } });
      stops.push(async () => silent.stop(true));
      const started = balancer([`127.0.0.1:${silent.port}`]);
      const outcome = await client().call(
        { address: `127.0.0.1:${started.port}` },
        { method: "Unary", messages: ["x"], deadlineMs: 200 },
      );
      expect(outcome.code).toBe(STATUS.deadline);
      await until(() => started.inFlight() === 0, "nothing in flight");
    });
  });
}
