/** DNS through a UDP listener: dnsmasq as the endpoints, dig and dnsperf as the clients. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { LISTENER } from "../../src/observability/metrics-table.ts";
import { type Balancer, startBalancer } from "../support/balancer.ts";
import { freePort } from "../support/process.ts";
import { eventually } from "../support/tcp.ts";

const missing = ["dnsmasq", "dig", "dnsperf"].filter((program) => Bun.which(program) === null);
if (missing.length > 0) console.log(`skipped: DNS needs ${missing.join(", ")}`);
else describe("DNS", scenarios);

const QUERIES = 2_000;

function scenarios(): void {
  const folder = mkdtempSync(join(tmpdir(), "evenkeel-dns-"));
  const servers: Bun.Subprocess[] = [];
  let balancer: Balancer;

  beforeAll(async () => {
    const ports: number[] = [];
    for (const server of ["192.0.2.1", "192.0.2.2"]) {
      // It listens by TCP as well: not a port that an outgoing connection may have.
      const port = await freePort();
      ports.push(port);
      servers.push(startServer(port, server));
    }
    for (const port of ports) await answering(port);
    balancer = startBalancer({
      listeners: { dns: { address: "127.0.0.1:0", protocol: "udp", pool: "dns", responses: 1 } },
      pools: { dns: { endpoints: ports.map((port) => `127.0.0.1:${port}`), balance: "round-robin" } },
    });
  }, 20_000);

  afterAll(async () => {
    await balancer?.stop();
    for (const server of servers) server.kill("SIGKILL");
    await Promise.all(servers.map((server) => server.exited));
    rmSync(folder, { recursive: true });
  });

  test("dig gets answers of both servers", async () => {
    const answers = new Set<string>();
    for (let query = 0; query < 4; query++) answers.add(await dig(balancer.port, "name.test"));
    expect(answers).toEqual(new Set(["192.0.2.1", "192.0.2.2"]));
  });

  test("an answer of more than 512 bytes arrives whole", async () => {
    const text = await dig(balancer.port, "long.test", "TXT", "+bufsize=4096");
    expect(text.replace(/[" ]/g, "").length).toBe(800);
  });

  test(`dnsperf gets ${QUERIES} answers, none is lost and no flow is left`, async () => {
    const file = join(folder, "queries");
    writeFileSync(file, "name.test A\nother.test A\n".repeat(QUERIES / 2));
    const args = ["-s", "127.0.0.1", "-p", String(balancer.port), "-d", file, "-n", "1", "-c", "8", "-q", "20"];
    const child = Bun.spawn(["dnsperf", ...args, "-t", "5"], { stdout: "pipe", stderr: "pipe" });
    const output = await new Response(child.stdout).text();
    expect(await child.exited).toBe(0);
    expect(output).toMatch(new RegExp(`Queries completed:\\s+${QUERIES} \\(100\\.00%\\)`));
    expect(output).toMatch(new RegExp(`NOERROR ${QUERIES} `));
    await eventually(() => balancer.openConnections() === 0 && balancer.inFlight() === 0, "no flow left");
    expect(balancer.tables.metrics.read("listener", 0, LISTENER.datagramsDropped)).toBe(0);
  }, 30_000);

  /** Answers every name below `test.` with its own address. */
  function startServer(port: number, address: string): Bun.Subprocess {
    const long = Array.from({ length: 4 }, () => "x".repeat(200)).join(",");
    const config = ["no-resolv", "no-hosts", "bind-interfaces", "listen-address=127.0.0.1", `port=${port}`];
    config.push(
      `address=/test/${address}`,
      `txt-record=long.test,${long}`,
      `pid-file=${join(folder, `${port}.pid`)}`,
      "edns-packet-max=4096",
    );
    const file = join(folder, `dnsmasq-${port}.conf`);
    writeFileSync(file, config.join("\n"));
    const user = process.getuid?.() === 0 ? ["--user=root", "--group=root"] : [];
    return Bun.spawn(["dnsmasq", "--keep-in-foreground", `--conf-file=${file}`, ...user], {
      stdio: ["ignore", "ignore", "ignore"],
    });
  }
}

async function answering(port: number): Promise<void> {
  for (let look = 0; look < 100; look++) {
    if ((await dig(port, "name.test")).startsWith("192.0.2.")) return;
    await Bun.sleep(50);
  }
  throw new Error("dnsmasq does not answer");
}

async function dig(port: number, name: string, ...more: readonly string[]): Promise<string> {
  const args = ["@127.0.0.1", "-p", String(port), "+short", "+tries=1", "+time=2", "+ignore", name, ...more];
  const child = Bun.spawn(["dig", ...args], { stdout: "pipe", stderr: "ignore" });
  const output = await new Response(child.stdout).text();
  await child.exited;
  return output.trim();
}
