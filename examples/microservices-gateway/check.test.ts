/** Every rule of evenkeel.yaml, asked over real HTTP. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { request } from "node:http";
import { type RunningExample, startExample } from "./start.ts";

let example: RunningExample;
let gateway = "";

beforeAll(async () => {
  example = await startExample({ ports: "free", quiet: true });
  gateway = `http://127.0.0.1:${example.gatewayPort}`;
}, 30_000);

afterAll(() => example.stop());

const ask = (path: string, headers: Record<string, string> = {}): Promise<Response> =>
  fetch(`${gateway}${path}`, { headers });
const page = async (headers: Record<string, string> = {}): Promise<string> => (await ask("/", headers)).text();

const IPHONE = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 Mobile/15E148";
const DESKTOP = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0";
const MOBILE_PAGE = "web site, mobile edition\n";
const CANARY_PAGE = "web site, canary edition\n";

interface ApiAnswer {
  readonly instance: string;
  readonly path: string;
  readonly client: string;
  readonly requestId: string;
}

async function askApi(path: string): Promise<ApiAnswer> {
  const response = await ask(path);
  expect(response.status).toBe(200);
  return (await response.json()) as ApiAnswer;
}

/** Asks until every answer of a series comes from `instances`, in any order; health checks take their second. */
async function untilServedBy(instances: readonly string[]): Promise<void> {
  for (let series = 0; series < 200; series++) {
    const answers = await Promise.all(Array.from({ length: 8 }, () => askApi("/api/orders")));
    const seen = [...new Set(answers.map(({ instance }) => instance))].sort();
    if (Bun.deepEquals(seen, [...instances])) return;
    await Bun.sleep(50);
  }
  throw new Error(`requests were never served by just ${instances.join(" and ")}`);
}

test("/api goes to both instances, without its prefix, and they learn who asks", async () => {
  await untilServedBy(["api-1", "api-2"]);
  const answer = await askApi("/api/orders/7?full=1");
  expect(answer.path).toBe("/orders/7");
  expect(answer.client).toBe("127.0.0.1");
  expect(answer.requestId).toMatch(/^[0-9a-f-]{36}$/);
});

test("a path that only begins like /api is not the API's", async () => {
  expect(await (await ask("/apix", { "User-Agent": DESKTOP })).text()).toStartWith("web site");
});

test("a body above the route's limit is refused", async () => {
  const response = await fetch(`${gateway}/api/orders`, { method: "POST", body: "x".repeat(1_048_577) });
  expect(response.status).toBe(413);
});

test("/static comes with Cache-Control, and is read-only", async () => {
  const response = await ask("/static/style.css");
  expect(response.status).toBe(200);
  expect(response.headers.get("cache-control")).toBe("public, max-age=3600");
  expect(response.headers.get("content-type")).toBe("text/css");
  expect(await response.text()).toContain("sans-serif");
  expect((await ask("/static/none")).status).toBe(404);
  const post = await fetch(`${gateway}/static/style.css`, { method: "POST", headers: { "User-Agent": IPHONE } });
  expect(await post.text()).toBe(MOBILE_PAGE);
});

test("/admin is for private networks only", async () => {
  expect(await (await ask("/admin/users")).text()).toBe("admin area, /admin/users\n");
  for (const inside of ["10.1.2.3", "172.31.255.255", "192.168.0.9"]) {
    expect((await ask("/admin", { "X-Forwarded-For": inside })).status).toBe(200);
  }
  for (const outside of ["203.0.113.7", "172.32.0.1", "2001:db8::1", "10.1.2.3, 203.0.113.7"]) {
    const response = await ask("/admin/users", { "X-Forwarded-For": outside });
    expect(response.status).toBe(403);
    expect(await response.text()).toContain("private networks");
  }
});

test.each(["/static/..%2fadmin", "/static/%2e%2e/admin", "//admin"])(
  "%s is no way around the rule for /admin",
  async (path) => {
    const response = await rawGet(path, { headers: { "X-Forwarded-For": "203.0.113.7", "User-Agent": DESKTOP } });
    expect(response.body).not.toContain("admin area");
    expect([400, 403]).toContain(response.status);
  },
);

// Another address of this machine is somebody else to the gateway; only Linux has it without being asked.
test.skipIf(process.platform !== "linux")("nobody but the trusted proxy can claim to come from inside", async () => {
  const response = await rawGet("/admin", { localAddress: "127.0.0.2", headers: { "X-Forwarded-For": "10.1.2.3" } });
  expect(response.status).toBe(403);
});

test("phones get the mobile edition", async () => {
  expect(await page({ "User-Agent": IPHONE })).toBe(MOBILE_PAGE);
  expect(await page({ "User-Agent": DESKTOP })).not.toBe(MOBILE_PAGE);
});

test("the tester's cookie leads to the new version, on a phone too", async () => {
  for (let count = 0; count < 10; count++) {
    expect(await page({ Cookie: "theme=dark; canary=always" })).toBe(CANARY_PAGE);
  }
  expect(await page({ Cookie: "canary=always", "User-Agent": IPHONE })).toBe(CANARY_PAGE);
  expect(await page({ Cookie: "canary=never", "User-Agent": IPHONE })).toBe(MOBILE_PAGE);
});

test("one visitor in ten sees the new version, and goes on seeing it", async () => {
  const visitors = Array.from({ length: 500 }, (_, index) => `visitor-${index}`);
  const ask = (): Promise<string[]> => Promise.all(visitors.map((name) => page({ Cookie: `visitor=${name}` })));
  const first = await ask();
  const share = first.filter((text) => text === CANARY_PAGE).length / visitors.length;
  expect(share).toBeGreaterThan(0.06);
  expect(share).toBeLessThan(0.14);
  expect(await ask()).toEqual(first);
});

test("a new visitor is given a cookie, a known one is not", async () => {
  expect((await ask("/")).headers.get("set-cookie")).toStartWith("visitor=");
  expect((await ask("/", { Cookie: "visitor=7" })).headers.get("set-cookie")).toBeNull();
});

test("an API instance without its database gets no requests until it has it back", async () => {
  const database = `http://127.0.0.1:${example.servicePort("api-2")}/database`;
  await fetch(database, { method: "PUT", body: "down" });
  await untilServedBy(["api-1"]);
  await fetch(database, { method: "PUT", body: "up" });
  await untilServedBy(["api-1", "api-2"]);
});

test("when an API instance ends, no request fails", async () => {
  await example.stopService("api-1");
  await untilServedBy(["api-2"]);
});

interface RawAnswer {
  readonly status: number;
  readonly body: string;
}

/** A GET whose path is sent as it stands; `fetch` would tidy it up. */
function rawGet(path: string, options: { headers: Record<string, string>; localAddress?: string }): Promise<RawAnswer> {
  return new Promise((resolve, reject) => {
    const { gatewayPort: port } = example;
    const sent = request({ host: "127.0.0.1", port, path, agent: false, ...options }, (response) => {
      let body = "";
      response.on("data", (piece: Buffer) => {
        body += piece.toString();
      });
      response.on("end", () => resolve({ status: response.statusCode ?? 0, body }));
    });
    sent.on("error", reject);
    sent.end();
  });
}
