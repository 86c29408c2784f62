import { afterAll, describe, expect, test } from "bun:test";
import type { ApiBackend } from "./api.ts";
import { startAdmin } from "./server.ts";

let reason = "";
let emptyPools: string[] = [];
const admin = startAdmin(
  { host: "127.0.0.1", port: 0 },
  {
    metrics: () => "evenkeel_up 1\n",
    notReady: () => reason,
    poolsWithoutEndpoint: () => emptyPools,
    api: {} as ApiBackend,
  },
);
afterAll(() => admin.stop());
const at = (path: string) => `http://127.0.0.1:${admin.port}${path}`;

describe("the admin listener", () => {
  test("serves metrics in Prometheus' format", async () => {
    const response = await fetch(at("/metrics"));
    expect(response.headers.get("content-type")).toStartWith("text/plain; version=0.0.4");
    expect(await response.text()).toBe("evenkeel_up 1\n");
  });
  test("is alive", async () => expect((await fetch(at("/healthz"))).status).toBe(200));
  test("is ready, or says why not", async () => {
    expect((await fetch(at("/readyz"))).status).toBe(200);
    reason = "draining";
    const response = await fetch(at("/readyz"));
    expect(response.status).toBe(503);
    expect(await response.text()).toBe("not ready: draining\n");
    reason = "";
  });
  test("is ready whatever becomes of pools, and says which have no endpoint", async () => {
    const ask = async () => {
      const response = await fetch(at("/readyz"));
      return `${response.status} ${await response.text()}`;
    };
    expect(await ask()).toBe("200 ready\n");
    emptyPools = ["app", "api"];
    expect(await ask()).toBe("200 ready\npools without a usable endpoint: 2 (app api)\n");
    emptyPools = Array.from({ length: 9 }, (_, index) => `p${index}`);
    expect(await ask()).toBe("200 ready\npools without a usable endpoint: 9 (p0 p1 p2 p3 p4 p5 p6 p7 ...)\n");
    emptyPools = [];
  });
  test("lists what there is", async () => expect(await (await fetch(at("/"))).text()).toContain("/metrics"));
  test("404 for what there is not", async () => expect((await fetch(at("/x"))).status).toBe(404));
  test("405 for what would change something", async () =>
    expect((await fetch(at("/metrics"), { method: "POST" })).status).toBe(405));
  test("a page with a name of its own cannot reach it", async () =>
    expect((await fetch(at("/metrics"), { headers: { Host: "evil.example" } })).status).toBe(403));
});
