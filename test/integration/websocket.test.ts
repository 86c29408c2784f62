/** WebSockets with `ws` on both ends: over HTTP/1.1 and over streams of HTTP/2 (RFC 8441), in the clear and over TLS. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import type { ConfigInput } from "../../src/config/schema.ts";
import { startProcess } from "../attacks/process.ts";
import { type Balancer, startBalancer } from "../support/balancer.ts";
import { type NodeEndpoint, node, runNode, startNode, startNodeEndpoint } from "../support/node-peer.ts";
import { startRawEndpoint } from "../support/raw-endpoint.ts";

const TLS = { tls: { certificates: ["self-signed"] } } as const;
const WAYS = [
  { name: "over HTTP/1.1", version: "1", scheme: "http", tls: {} },
  { name: "over HTTP/1.1 and TLS", version: "1", scheme: "https", tls: TLS },
  { name: "over HTTP/2", version: "2", scheme: "http", tls: {} },
  { name: "over HTTP/2 and TLS", version: "2", scheme: "https", tls: TLS },
] as const;

interface Farewell {
  readonly echoed: boolean;
  readonly code: number;
  readonly reason: string;
}

if (node === null) console.log("skipped: node is not installed");
else for (const way of WAYS) describe(`WebSocket ${way.name}`, () => suite(way));

function suite({ version, scheme, tls }: (typeof WAYS)[number]): void {
  let endpoint: NodeEndpoint;
  let balancer: Balancer;
  let stopped = false;
  /** Knows no WebSockets: answers with the status that the path asks for. */
  const plain = startRawEndpoint((socket, _all, piece) => {
    const status = /^GET \/plain\/(\d+)/.exec(piece)?.[1] ?? "200";
    socket.write(`HTTP/1.1 ${status} Answer\r\n${status === "204" ? "" : "Content-Length: 0\r\n"}\r\n`);
  });

  beforeAll(async () => {
    endpoint = await startNodeEndpoint();
  });
  afterAll(async () => {
    plain.stop();
    await endpoint.stop();
  });
  beforeEach(async () => {
    balancer = startBalancer(configWith());
    stopped = false;
    await endpoint.events();
  });
  afterEach(async () => {
    if (stopped) return;
    for (let look = 0; look < 400 && balancer.inFlight() + balancer.openConnections() > 0; look++) await Bun.sleep(5);
    expect([balancer.inFlight(), balancer.openConnections()]).toEqual([0, 0]);
    await balancer.stop();
  });

  function configWith(timeouts: { tunnel?: string } = {}, more: readonly object[] = []): ConfigInput {
    return {
      listeners: { web: { address: "127.0.0.1:0", pool: "app", ...tls } },
      pools: { app: { endpoints: [endpoint.address] }, plain: { endpoints: [plain.address] } },
      routes: [
        { match: { path: "/fixed" }, respond: { status: 200, body: "fixed" } },
        { match: { pathPrefix: "/plain" }, pool: "plain" },
        { match: {}, pool: "app", timeouts },
        ...more,
      ],
    } as unknown as ConfigInput;
  }
  const origin = (): string => `${scheme}://127.0.0.1:${balancer.port}`;
  const run = <Result>(scenario: string): Promise<Result> =>
    runNode<Result>("websocket-scenarios.mjs", scenario, version, origin());

  test("messages of all sizes, fragments, pings, subprotocol, extensions and close codes pass untouched", async () => {
    const { extensions, ...rest } = await run<Record<string, unknown>>("messages");
    expect(rest).toEqual({
      protocol: "chat.v2",
      text: "grüße",
      sizes: [0, 1, 125, 126, 65_535, 65_536, 1_048_576, 3_000_000],
      fragments: "part 0 part 1 part 2 part 3 part 4 ",
      ponged: "ours",
      pinged: "hello",
      code: 4_002,
      reason: "done",
    });
    const deflate = version === "1" ? "permessage-deflate" : "";
    expect(String(extensions)).toBe(deflate);
    const events = await endpoint.events();
    expect(events).toEqual([
      `open /ws?x=1 ${deflate} chat.v2`,
      "ping ours",
      ...(events.includes("pong hello") ? ["pong hello"] : []),
      "close 4002 done",
    ]);
  }, 20_000);

  test("a close by the endpoint arrives with its code", async () => {
    expect(await run<unknown>("closed by the endpoint")).toEqual([4_001, "as you wish"]);
  });

  test("what is no upgrade does not open a tunnel", async () => {
    const codes = await run<number[]>("refused");
    expect(codes).toEqual(version === "1" ? [200, 204, 403, 200, 400] : [502, 502, 403, 501, 400]);
  });

  test("50 at once", async () => expect(await run<number>("many")).toBe(1_000), 20_000);

  test("a client that is gone ends it at the endpoint", async () => {
    expect(await run<string>("abandoned")).toBe("gone");
    for (let look = 0; look < 200 && balancer.inFlight() > 0; look++) await Bun.sleep(5);
    expect(await endpoint.events()).toContain("close 1006 ");
  });

  test("silence ends it at its own timeout", async () => {
    balancer.reload(configWith({ tunnel: "500ms" }));
    expect(await run<unknown>("idle")).toEqual(["one", 1_006]);
  });

  test("it lives through reloads", async () => {
    const { begun, result } = startNode<Farewell>("websocket-scenarios.mjs", "stay", version, origin());
    await begun;
    for (let round = 0; round < 5; round++) {
      balancer.reload(configWith({}, [{ match: { path: `/more-${round}` }, pool: "app" }]));
      await Bun.sleep(20);
    }
    expect(balancer.inFlight()).toBe(1);
    await balancer.stop();
    stopped = true;
    expect(await result).toEqual({ echoed: true, code: 1_001, reason: "" });
  });

  test("when there is no time left, both ends are told 1001", async () => {
    const { begun, result } = startNode<Farewell>("websocket-scenarios.mjs", "stay", version, origin());
    await begun;
    await Bun.sleep(100);
    balancer.dataPath.drain(false);
    await Bun.sleep(100);
    await balancer.stop();
    stopped = true;
    expect(await result).toEqual({ echoed: true, code: 1_001, reason: "" });
    for (let look = 0; look < 100; look++) {
      const events = await endpoint.events();
      const close = events.find((event) => event.startsWith("close"));
      if (close !== undefined) return expect(close).toBe("close 1001 ");
      await Bun.sleep(10);
    }
    throw new Error("the endpoint was not told");
  });

  test("a real process that stops says so, too", async () => {
    const running = await startProcess([plain.address], tls as object, {
      workers: 1,
      shutdown: { drainTimeout: "300ms" },
      pools: { app: { endpoints: [plain.address] }, sockets: { endpoints: [endpoint.address] } },
      routes: [{ match: { path: "/ws" }, pool: "sockets" }],
    });
    const url = `${scheme}://127.0.0.1:${running.port}`;
    const { begun, result } = startNode<Farewell>("websocket-scenarios.mjs", "stay", version, url);
    await begun;
    await running.stop();
    expect(await result).toEqual({ echoed: true, code: 1_001, reason: "" });
    for (let look = 0; look < 100; look++) {
      if ((await endpoint.events()).includes("close 1001 ")) return;
      await Bun.sleep(10);
    }
    throw new Error("the endpoint was not told");
  }, 30_000);
}
