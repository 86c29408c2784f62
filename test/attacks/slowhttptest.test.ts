/** The real slowhttptest in its four modes against a real process with two workers, while others go on as usual. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { MIB, netEndpoint, writeMuch } from "./harness.ts";
import { type RunningProcess, startProcess } from "./process.ts";

const PROBE_INTERVAL_MS = 25;
const SECONDS = 10;
/** Large enough that the kernel does not take it all; what it takes it keeps, so there are fewer who read slowly. */
const ANSWER = 6 * MIB;

const MODES: [name: string, options: string][] = [
  ["slow headers (-H)", "-H -c 500 -r 250 -i 1"],
  ["slow bodies (-B)", "-B -c 500 -r 250 -i 3 -s 8192"],
  ["ranges (-R)", "-R -c 500 -r 250 -a 1 -b 3000"],
  ["slow reading (-X)", "-X -c 100 -r 50 -n 1 -z 8 -w 256 -y 512 -k 1"],
];

const program = Bun.which("slowhttptest");
if (program === null) console.log("skipped: slow attacks, slowhttptest is not installed");
else attack(program);

function attack(slowhttptest: string): void {
  let balancer: RunningProcess;
  let stopEndpoint = (): void => {};

  beforeAll(async () => {
    const endpoint = await netEndpoint((socket) => {
      socket.on("data", (bytes: Buffer) => {
        const text = bytes.toString("latin1");
        // A slow body never ends, so its request has no answer.
        if (!text.includes("\r\n\r\n") || text.startsWith("POST")) return;
        const size = text.startsWith("GET /large") ? ANSWER : 2;
        socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${size}\r\n\r\n`);
        if (!text.startsWith("HEAD")) writeMuch(socket, size);
      });
    }, "kept");
    stopEndpoint = endpoint.stop;
    const timeouts = { header: "2s", body: "2s", write: "2s", idle: "2s" };
    balancer = await startProcess([endpoint.address], { timeouts }, { workers: 2 });
  }, 30_000);

  afterAll(async () => {
    await balancer.stop();
    stopEndpoint();
  });

  test.each(MODES)(
    "%s: others are served throughout, and the slow are closed",
    async (_name, options) => {
      const url = `http://127.0.0.1:${balancer.port}/${options.startsWith("-X") ? "large" : ""}`;
      const common = `-l ${SECONDS} -p 3 -u ${url}`;
      const child = Bun.spawn([slowhttptest, ...options.split(" "), ...common.split(" ")], {
        stdout: "pipe",
        stderr: "pipe",
      });
      const output = new Response(child.stdout).text();
      const isRunning = (): boolean => child.exitCode === null;
      const watched = watch(balancer, isRunning);
      const statuses = await probe(balancer.port, isRunning);
      const text = Bun.stripANSI(await output);

      expect(statuses.length).toBeGreaterThan(20);
      expect(statuses.filter((status) => status !== 200)).toEqual([]);
      const { most, fell } = await watched;
      // Range requests are answered at once; the others really held their connections.
      if (!options.startsWith("-R")) expect(most).toBeGreaterThan(50);
      // It ends early when it finds all its connections closed; reading slowly, it does not come to find out.
      expect(fell || /Exit status:\s+No open connections left/.test(text)).toBe(true);
      expect(text).not.toMatch(/service available:\s+NO/);
      for (let tries = 0; tries < 50 && (await openConnections(balancer)) > 0; tries++) await Bun.sleep(100);
      expect(await openConnections(balancer)).toBe(0);
    },
    (SECONDS + 20) * 1_000,
  );
}

/** Asks again and again on new connections; the statuses, 0 for no answer. */
async function probe(port: number, goesOn: () => boolean): Promise<number[]> {
  const statuses: number[] = [];
  while (goesOn()) {
    try {
      const answer = await fetch(`http://127.0.0.1:${port}/`, {
        headers: { Connection: "close" },
        signal: AbortSignal.timeout(3_000),
      });
      await answer.text();
      statuses.push(answer.status);
    } catch {
      statuses.push(0);
    }
    await Bun.sleep(PROBE_INTERVAL_MS);
  }
  return statuses;
}

function openConnections(balancer: RunningProcess): Promise<number> {
  return balancer.metric("evenkeel_listener_connections_open");
}

/** The most connections that were open, and whether all but the probe's were closed while the attack was going on. */
async function watch(balancer: RunningProcess, goesOn: () => boolean): Promise<{ most: number; fell: boolean }> {
  let most = 0;
  let fell = false;
  while (goesOn()) {
    const open = await openConnections(balancer);
    most = Math.max(most, open);
    fell = most > 50 && open <= 2 && goesOn();
    await Bun.sleep(200);
  }
  return { most, fell };
}
