/** Taking endpoints out and in again while clients are served, with the whole program and its commands. */
import { afterEach, expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import type { ConfigInput } from "../../src/config/schema.ts";
import { type Evenkeel, runCommand, startCommand, startEvenkeel } from "../support/evenkeel.ts";
import { type NginxEndpoint, startNginx, wrk } from "../support/peers.ts";
import { endAll, eventually, freePort, havePrograms, temporaryFolder } from "../support/process.ts";

const TIMEOUT_MS = 90_000;
const ATTEMPTS = "evenkeel_endpoint_attempts_total";

afterEach(endAll);

function balancing(port: number, endpoints: readonly NginxEndpoint[], more: Partial<ConfigInput> = {}): ConfigInput {
  return {
    workers: 2,
    listeners: { web: { address: `127.0.0.1:${port}`, pool: "app" } },
    pools: {
      app: {
        endpoints: endpoints.map(({ address }) => address),
        health: { type: "http", interval: "300ms", transitionInterval: "100ms" },
      },
    },
    ...more,
  };
}

const command = (evenkeel: Evenkeel, ...args: readonly string[]) =>
  runCommand(...args, "--admin", `127.0.0.1:${evenkeel.adminPort}`);

/** Restarts the nginx that listens on EVENKEEL_PORT, and returns once the new one answers. */
function restartScript(endpoints: readonly NginxEndpoint[]): string {
  const script = join(temporaryFolder(), "restart.sh");
  const folders = endpoints.map(({ port, folder }) => `  ${port}) folder=${folder} ;;`).join("\n");
  writeFileSync(
    script,
    `PATH="$PATH:/usr/sbin"
case "$EVENKEEL_PORT" in
${folders}
esac
pid=$(cat "$folder/nginx.pid")
kill -QUIT "$pid"
while [ -e "/proc/$pid" ] && ! grep -q '^State:.Z' "/proc/$pid/status" 2> /dev/null; do sleep 0.05; done
nginx -p "$folder" -e stderr -c "$folder/nginx.conf" > /dev/null 2>&1 &
until grep -qv "^$pid$" "$folder/nginx.pid" 2> /dev/null; do sleep 0.05; done
`,
  );
  return script;
}

if (havePrograms("nginx", "wrk")) {
  test(
    "draining an endpoint under load fails no request, and it can be ended after that",
    async () => {
      const endpoints = await startNginx(3);
      const port = await freePort();
      const evenkeel = await startEvenkeel(balancing(port, endpoints));
      const [leaving] = endpoints as [NginxEndpoint];
      const load = wrk(`http://127.0.0.1:${port}/`, { connections: 32, seconds: 6 });
      await eventually(async () => (await evenkeel.metrics()).sum(ATTEMPTS) > 500, "load");
      const drained = await command(evenkeel, "drain", "app", leaving.address, "--wait");
      expect([drained.code, drained.stdout]).toEqual([0, `${leaving.address} is drained\n`]);
      const label = `endpoint="${leaving.address}"`;
      const before = (await evenkeel.metrics()).sum(ATTEMPTS, label);
      expect(before).toBeGreaterThan(0);
      await leaving.crash();
      const status = await command(evenkeel, "status", "app");
      expect(status.stdout).toContain("2 of 3 usable");
      const figures = await load;
      expect([figures.badAnswers, figures.socketErrors]).toEqual([0, 0]);
      const metrics = await evenkeel.metrics();
      expect(metrics.sum(ATTEMPTS, label)).toBe(before);
      expect(metrics.sum("evenkeel_pool_retries_total")).toBe(0);
      console.log(`${figures.requests} requests, none failed, while an endpoint was drained and ended`);
    },
    TIMEOUT_MS,
  );

  test(
    "a rolling restart of three endpoints under load fails no request",
    async () => {
      const endpoints = await startNginx(3);
      const port = await freePort();
      const evenkeel = await startEvenkeel(balancing(port, endpoints));
      const events = startCommand("events", "--since", "0", "--admin", `127.0.0.1:${evenkeel.adminPort}`);
      let isOver = false;
      const figures: { requests: number; badAnswers: number; socketErrors: number }[] = [];
      const loads = (async () => {
        while (!isOver) figures.push(await wrk(`http://127.0.0.1:${port}/`, { connections: 32, seconds: 3 }));
      })();
      await eventually(async () => (await evenkeel.metrics()).sum(ATTEMPTS) > 500, "load");
      const rolled = await command(evenkeel, "roll", "app", "--command", `sh ${restartScript(endpoints)}`);
      isOver = true;
      await loads;
      expect([rolled.code, rolled.stderr]).toEqual([0, ""]);
      for (const { address } of endpoints) expect(rolled.stdout).toContain(`${address} is back`);
      const sum = (field: keyof (typeof figures)[number]) => figures.reduce((all, one) => all + one[field], 0);
      expect([sum("badAnswers"), sum("socketErrors")]).toEqual([0, 0]);
      expect((await evenkeel.metrics()).sum("evenkeel_pool_retries_total")).toBe(0);
      await eventually(() => events.count("from drain to ready") === 3, "the events of all three");
      console.log(`${sum("requests")} requests, none failed, while three endpoints were restarted`);
    },
    TIMEOUT_MS,
  );

  test(
    "what was decided while running survives a reload and a killed worker",
    async () => {
      const endpoints = await startNginx(3);
      const port = await freePort();
      const config = balancing(port, endpoints);
      const evenkeel = await startEvenkeel(config);
      const [drained, heavy] = endpoints as [NginxEndpoint, NginxEndpoint];
      expect((await command(evenkeel, "drain", "app", drained.address)).code).toBe(0);
      expect((await command(evenkeel, "weight", "app", heavy.address, "5")).code).toBe(0);
      const isKept = async () => {
        const [pool] = JSON.parse((await command(evenkeel, "status", "app", "--json")).stdout);
        const shown = pool.endpoints.map(({ state, weight }: { state: string; weight: number }) => [state, weight]);
        expect(shown).toEqual([
          ["drain", 1],
          ["ready", 5],
          ["ready", 1],
        ]);
        const before = (await evenkeel.metrics()).sum(ATTEMPTS, `endpoint="${drained.address}"`);
        const { badAnswers, socketErrors } = await wrk(`http://127.0.0.1:${port}/`, { connections: 8, seconds: 1 });
        expect([badAnswers, socketErrors]).toEqual([0, 0]);
        expect((await evenkeel.metrics()).sum(ATTEMPTS, `endpoint="${drained.address}"`)).toBe(before);
      };
      await isKept();
      expect(await evenkeel.reload({ ...config, log: { level: "debug" } })).toBeTrue();
      await isKept();
      const [victim] = evenkeel.workers() as [number];
      process.kill(victim, "SIGKILL");
      await eventually(() => evenkeel.workers().length === 2 && !evenkeel.workers().includes(victim), "another worker");
      await evenkeel.says("a worker ended");
      await isKept();
      expect((await command(evenkeel, "enable", "app", drained.address)).code).toBe(0);
      await eventually(async () => {
        await wrk(`http://127.0.0.1:${port}/`, { connections: 8, seconds: 1 });
        return (await evenkeel.metrics()).sum("evenkeel_endpoint_eligible") === 3;
      }, "the endpoint to be back");
    },
    TIMEOUT_MS,
  );

  test(
    "a roll stops at the first failure, and where nobody else could serve",
    async () => {
      const endpoints = await startNginx(2);
      const evenkeel = await startEvenkeel(balancing(await freePort(), endpoints));
      const [first, second] = endpoints as [NginxEndpoint, NginxEndpoint];
      const failed = await command(evenkeel, "roll", "app", "--command", "exit 3");
      expect([failed.code, failed.stderr]).toEqual([
        1,
        `evenkeel: the command failed with exit code 3; ${first.address} is left in maintenance\n`,
      ]);
      const alone = await command(evenkeel, "roll", "app", "--command", "true");
      expect(alone.code).toBe(1);
      expect(alone.stdout).toContain(`${first.address} is passed over: it is in state maintenance`);
      expect(alone.stderr).toContain(`${second.address} is left as it is: no other endpoint of app is usable`);
      expect((await command(evenkeel, "enable", "app", first.address)).code).toBe(0);
      await eventually(async () => (await evenkeel.metrics()).sum("evenkeel_endpoint_eligible") === 2, "both");
      await second.crash();
      const unwell = await command(evenkeel, "roll", "app", "--command", "true", "--timeout", "1s");
      expect(unwell.code).toBe(1);
    },
    TIMEOUT_MS,
  );
}

test(
  "the commands say what is wrong with how they are used",
  async () => {
    const nobody = `127.0.0.1:${await freePort()}`;
    const cases: [string[], number, string][] = [
      [["weight", "app", "127.0.0.1:1", "heavy", "--admin", nobody], 2, "expected a whole number"],
      [["weight", "app", "127.0.0.1:1", "1001", "--admin", nobody], 2, "from 0 to 1000"],
      [["drain", "app"], 2, "missing required argument"],
      [["add", "app", "127.0.0.1:1", "--tier", "10"], 2, "from 0 to 9"],
      [["add", "app", "127.0.0.1:1", "--state", "off"], 2, "ready, drain, maintenance"],
      [["roll", "app"], 2, "--command"],
      [["events", "--since", "now"], 2, "number of an event"],
      [["status", "--admin", nobody], 1, `cannot reach evenkeel at ${nobody}`],
      [["status", "--admin", "/nowhere/admin.sock"], 1, "cannot reach evenkeel at /nowhere/admin.sock"],
    ];
    for (const [args, code, text] of cases) {
      const ended = await runCommand(...args);
      expect([args, ended.code]).toEqual([args, code]);
      expect(ended.stderr).toContain(text);
    }
  },
  TIMEOUT_MS,
);
