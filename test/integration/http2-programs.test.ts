/** HTTP/2 programs from Debian in front of nginx: curl, nghttp and h2load, in the clear and over TLS. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import type { ConfigInput } from "../../src/config/schema.ts";
import { type Balancer, startBalancer } from "../support/balancer.ts";
import { type NodeEndpoint, node, startNodeEndpoint } from "../support/node-peer.ts";
import { endAll, RunningProgram, temporaryFolder } from "../support/process.ts";

const BODY_BYTES = 300_000;
const LISTENERS = [
  { name: "in the clear", scheme: "http", tls: {}, curl: "--http2-prior-knowledge" },
  { name: "over TLS", scheme: "https", tls: { tls: { certificates: ["self-signed"] } }, curl: "--http2" },
] as const;

const missing = ["curl", "nghttp", "h2load"].filter((program) => Bun.which(program) === null);
if (missing.length > 0 || node === null) console.log(`skipped: not installed: ${[...missing, "node"].join(", ")}`);
else for (const listener of LISTENERS) describe(`HTTP/2 ${listener.name}`, () => suite(listener));

function suite({ scheme, tls, curl }: (typeof LISTENERS)[number]): void {
  let endpoint: NodeEndpoint;
  let balancer: Balancer;
  let file = "";

  beforeAll(async () => {
    endpoint = await startNodeEndpoint();
    balancer = startBalancer({
      listeners: { web: { address: "127.0.0.1:0", pool: "app", ...tls } },
      pools: { app: { endpoints: [endpoint.address] } },
      routes: [{ match: {}, pool: "app", maxBodySize: "0B" }],
    } as unknown as ConfigInput);
    file = join(temporaryFolder(), "body");
    writeFileSync(file, Buffer.alloc(BODY_BYTES, "abc"));
  });
  afterAll(async () => {
    for (let look = 0; look < 400 && balancer.inFlight() + balancer.openConnections() > 0; look++) await Bun.sleep(5);
    const left = [balancer.inFlight(), balancer.openConnections()];
    await balancer.stop();
    await endpoint.stop();
    await endAll();
    expect(left).toEqual([0, 0]);
  });

  const url = (path: string): string => `${scheme}://127.0.0.1:${balancer.port}${path}`;

  async function run(...command: readonly string[]): Promise<string> {
    const program = new RunningProgram(command);
    expect(await program.ending(60_000)).toBe(0);
    await program.outputEnded;
    return program.stdout;
  }

  test("curl: GET, HEAD, upload, download, trailers, interim answers", async () => {
    const ask = (...parameters: readonly string[]): Promise<string> => run("curl", "-sk", curl, ...parameters);
    expect(await ask("-o", "/dev/null", "-w", "%{http_version} %{http_code}", url("/"))).toBe("2 200");
    expect(await ask("-I", url("/"))).toStartWith("HTTP/2 200 \r\n");
    const seen = JSON.parse(await ask("-T", file, url("/"))) as { length: number; hash: string };
    const hash = createHash("sha256").update(Buffer.alloc(BODY_BYTES, "abc")).digest("hex");
    expect(seen).toMatchObject({ length: BODY_BYTES, hash, method: "PUT" });
    const unsaid = JSON.parse(await ask("-H", "content-length:", "--data-binary", `@${file}`, url("/"))) as typeof seen;
    expect(unsaid).toMatchObject({ length: BODY_BYTES, hash });
    expect(await ask("-o", "/dev/null", "-w", "%{size_download}", url("/large?bytes=3000000"))).toBe("3000000");
    expect(await ask("-i", url("/trailers"))).toContain("onetwox-sum: 3\r\n");
    expect(await ask("-i", url("/hints"))).toMatch(/^HTTP\/2 103 [\s\S]*HTTP\/2 102 [\s\S]*HTTP\/2 200 /);
  });

  test("nghttp: many requests in one go, with its tree of priorities", async () => {
    const urls = Array.from({ length: 20 }, (_, index) => url(`/?n=${index}`));
    const answers = (await run("nghttp", "--no-verify-peer", ...urls)).split(/(?<=\})(?=\{)/);
    expect(answers.map((text) => (JSON.parse(text) as { url: string }).url).sort()).toEqual(
      urls.map((_, index) => `/?n=${index}`).sort(),
    );
    expect(await run("nghttp", "--no-verify-peer", "-ns", "-p", "200", url("/"))).toContain(" 200 ");
  });

  const loads: readonly (readonly [string, number, ...string[]])[] = [
    ["GET", 4_000, "-c32", "-m10", "/"],
    ["GET with windows of 1 KiB", 300, "-c4", "-m10", "-w10", "-W10", "/large?bytes=20000"],
    ["POST", 400, "-c16", "-m10", "-d", "body", "/"],
    ["large answers", 60, "-c6", "-m5", "/large?bytes=1000000"],
    ["more streams than are allowed", 1_000, "-c2", "-m500", "/"],
  ];
  for (const [name, count, ...parameters] of loads) {
    test(`h2load: ${count} of ${name}, and none fails`, async () => {
      const path = parameters.at(-1) as string;
      const options = parameters.slice(0, -1).map((option) => (option === "body" ? file : option));
      const output = await run("h2load", "-t1", `-n${count}`, ...options, url(path));
      expect(output).toContain(
        `${count} total, ${count} started, ${count} done, ${count} succeeded, 0 failed, 0 errored, 0 timeout`,
      );
      expect(output).toContain(`status codes: ${count} 2xx`);
    }, 60_000);
  }
}
