/** HTTP/2 clients that others have written, in the clear and over TLS, in front of Node's HTTP server. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import type { ConfigInput } from "../../src/config/schema.ts";
import { type Balancer, startBalancer } from "../support/balancer.ts";
import { type NodeEndpoint, node, runNode, startNodeEndpoint } from "../support/node-peer.ts";

interface Answer {
  readonly status: number;
  readonly interim: readonly Record<string, unknown>[];
  readonly headers: Readonly<Record<string, unknown>>;
  readonly trailers: Readonly<Record<string, unknown>>;
  readonly body: string;
  readonly length: number;
  readonly hash: string;
  readonly code: number;
  readonly error?: string;
}

interface Seen {
  readonly method: string;
  readonly url: string;
  readonly headers: readonly string[];
  readonly trailers: readonly string[];
  readonly length: number;
  readonly hash: string;
}

const LISTENERS = {
  "in the clear": { scheme: "http", tls: {} },
  "over TLS": { scheme: "https", tls: { tls: { certificates: ["self-signed"] } } },
} as const;

if (node === null) console.log("skipped: node is not installed");
else
  for (const [name, { scheme, tls }] of Object.entries(LISTENERS)) describe(`HTTP/2 ${name}`, () => suite(scheme, tls));

function suite(scheme: "http" | "https", tls: object): void {
  let endpoint: NodeEndpoint;
  let balancer: Balancer;
  let config: ConfigInput;

  beforeAll(async () => {
    endpoint = await startNodeEndpoint();
  });
  afterAll(() => endpoint.stop());
  beforeEach(async () => {
    config = {
      listeners: { web: { address: "127.0.0.1:0", pool: "app", ...tls } },
      pools: { app: { endpoints: [endpoint.address] } },
      routes: [{ match: {}, pool: "app", maxBodySize: "0B" }],
    } as ConfigInput;
    balancer = startBalancer(config);
    await endpoint.events();
  });
  afterEach(async () => {
    await settled();
    expect([balancer.inFlight(), balancer.openConnections()]).toEqual([0, 0]);
    await balancer.stop();
  });

  async function settled(): Promise<void> {
    for (let look = 0; look < 400 && balancer.inFlight() + balancer.openConnections() > 0; look++) await Bun.sleep(5);
  }
  const run = <Result = Answer>(scenario: string): Promise<Result> =>
    runNode<Result>("http2-scenarios.mjs", scenario, `${scheme}://127.0.0.1:${balancer.port}`);
  const seen = ({ body }: Answer): Seen => JSON.parse(body) as Seen;
  const header = ({ headers }: Seen, wanted: string): string | undefined =>
    headers[headers.findIndex((text, index) => index % 2 === 0 && text.toLowerCase() === wanted) + 1];

  test("a request arrives as HTTP/1.1, with what endpoints are told of it", async () => {
    const answer = await run("get");
    const request = seen(answer);
    expect([answer.status, request.method, request.url]).toEqual([200, "GET", "/x?y=1"]);
    const authority = `127.0.0.1:${balancer.port}`;
    expect(
      ["host", "x-one", "te", "via", "x-forwarded-proto", "x-forwarded-host"].map((field) => header(request, field)),
    ).toEqual([authority, "1", "trailers", "2.0 evenkeel", scheme, authority]);
    expect(request.headers.some((text) => text.startsWith(":"))).toBe(false);
    expect(
      Object.keys(answer.headers).filter((field) => /^(connection|keep-alive|transfer-encoding)$/.test(field)),
    ).toEqual([]);
  });

  test("trailers go both ways", async () => {
    const { up, down } = await run<{ up: Answer; down: Answer }>("trailers");
    expect(seen(up).trailers).toEqual(["x-sum", "5"]);
    expect(seen(up).length).toBe(5);
    expect([down.body, down.trailers]).toEqual(["onetwo", { "x-sum": "3", "x-other": "a b" }]);
  });

  test("interim answers: 103, 102, 100", async () => {
    const { status, body, interim } = await run("hints");
    expect([status, body]).toEqual([200, "hinted"]);
    expect(interim.map((fields) => [fields[":status"], fields["link"]])).toEqual([
      [103, "</a.css>; rel=preload"],
      [102, undefined],
    ]);
    expect(await run<unknown>("continue")).toEqual({ continued: true, status: 200 });
  });

  test("answers without a body: HEAD, 204, 304, 205", async () => {
    const [head, none, unchanged, empty] = await run<Answer[]>("statuses");
    expect(Number(head?.headers["content-length"])).toBeGreaterThan(0);
    expect([head, none, unchanged, empty].map((answer) => [answer?.status, answer?.length, answer?.code])).toEqual([
      [200, 0, 0],
      [204, 0, 0],
      [304, 0, 0],
      [205, 0, 0],
    ]);
    expect(none?.headers["content-length"]).toBeUndefined();
  });

  test("300 of them on one connection", async () => expect(await run<number[]>("bodiless")).toEqual([200]));

  test("1,000 requests, 100 at a time: each gets its own answer", async () => {
    expect(await run<string[]>("many")).toEqual([]);
  }, 20_000);

  test("large uploads, with and without a length, one and many at once", async () => {
    const one = await run("upload");
    expect([seen(one).length, seen(one).hash]).toEqual([24 * 1_048_576, hashOf(24 * 1_048_576)]);
    expect(seen(await run("upload with a length")).hash).toBe(hashOf(8 * 1_048_576));
    const all = await run<Answer[]>("uploads");
    expect(all.map((answer) => seen(answer).hash)).toEqual(all.map((_, index) => hashOf(1_000_000 + index)));
  }, 30_000);

  test("large downloads, one and many at once, and to a slow reader", async () => {
    expect((await run("download")).hash).toBe(hashOf(25_000_000));
    const all = await run<Answer[]>("downloads");
    expect(all.map(({ hash }) => hash)).toEqual(all.map((_, index) => hashOf(2_000_000 + index)));
    expect((await run("slow reader")).hash).toBe(hashOf(8_000_000));
  }, 30_000);

  test("an answer that comes before the end of its request is whole", async () => {
    const { status, body } = await run("early answer");
    expect([status, body]).toEqual([413, "full"]);
  });

  test("CONNECT is refused, OPTIONS * and cookies arrive", async () => {
    expect((await run("connect")).status).toBe(405);
    expect([seen(await run("asterisk")).method, seen(await run("asterisk")).url]).toEqual(["OPTIONS", "*"]);
    expect(header(seen(await run("cookies")), "cookie")).toBe("a=1; b=2; c=3");
    expect(await run<number>("priorities")).toBe(200);
  });

  test("an answer that is cut off is no answer", async () => {
    const { status, code, error } = await run("cut");
    expect([status, code, error]).toEqual([200, 2, "ERR_HTTP2_STREAM_ERROR"]);
  });

  for (const way of ["upload", "download"]) {
    test(`a cancelled ${way} ends at the endpoint, too, and nothing else does`, async () => {
      expect(await run<number>(way === "upload" ? "cancel an upload" : "cancel a download")).toBe(200);
      await settled();
      expect((await endpoint.events()).filter((event) => event.startsWith("aborted"))).toEqual([
        way === "upload" ? "aborted /never?upload" : "aborted /begin?download",
      ]);
    });
  }

  test("connections that are told to end lose nothing: limit of requests, reload, drain", async () => {
    const limited = structuredClone(config) as { listeners: Record<string, { maxRequestsPerConnection: number }> };
    (limited.listeners["web"] as { maxRequestsPerConnection: number }).maxRequestsPerConnection = 20;
    balancer.reload(limited as ConfigInput);
    const asking = run<{ answered: boolean; sessions: number; failures: string[] }>("keep asking");
    for (let round = 0; round < 10; round++) {
      await Bun.sleep(150);
      balancer.reload((round % 2 === 0 ? config : limited) as ConfigInput);
    }
    balancer.dataPath.drain(false);
    const { answered, sessions, failures } = await asking;
    expect([answered, failures]).toEqual([true, []]);
    expect(sessions).toBeGreaterThan(1);
  }, 20_000);
}

/** Of what the endpoint and the client send as a body of this size. */
function hashOf(bytes: number): string {
  const hash = createHash("sha256");
  for (let left = bytes; left > 0; ) {
    const piece = Buffer.alloc(Math.min(left, 65_536), left % 251);
    left -= piece.length;
    hash.update(piece);
  }
  return hash.digest("hex");
}
