/** The access log as a file that others put aside. */
import { afterEach, expect, test } from "bun:test";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { silentLog } from "../../src/observability/log.ts";
import { type Balancer, startBalancer } from "../support/balancer.ts";
import { eventually } from "../support/process.ts";

const stops: (() => unknown)[] = [];
afterEach(async () => {
  for (const stop of stops.splice(0).reverse()) await stop();
});

async function ask({ port }: Balancer): Promise<void> {
  await (await fetch(`http://127.0.0.1:${port}/`)).text();
}

test("a log that is rotated between the two halves of a reload is written to the new file", async () => {
  const folder = mkdtempSync(join(tmpdir(), "evenkeel-log-"));
  stops.push(() => rmSync(folder, { recursive: true }));
  const [path, aside] = [join(folder, "access.log"), join(folder, "access.log.1")];
  const config = {
    listeners: { web: { address: "127.0.0.1:0" } },
    routes: [{ respond: { status: 200, body: "here" } }],
  };
  const balancer = startBalancer(config);
  stops.push(() => balancer.stop());
  balancer.prepare({ ...config, accessLog: { path, format: "{status}" } });
  expect(existsSync(path)).toBe(true);
  renameSync(path, aside);
  balancer.dataPath.reopenLogs();
  balancer.dataPath.commit();
  await ask(balancer);
  await eventually(() => existsSync(path) && readFileSync(path, "utf8") === "200\n", "the line in the new file");
  expect(readFileSync(aside, "utf8")).toBe("");
});

test("a log that cannot be reopened goes on in the old file, and requests are answered", async () => {
  const folder = mkdtempSync(join(tmpdir(), "evenkeel-log-"));
  stops.push(() => rmSync(folder, { recursive: true }));
  const [logs, aside] = [join(folder, "logs"), join(folder, "aside")];
  mkdirSync(logs);
  const errors: unknown[] = [];
  const balancer = startBalancer(
    {
      listeners: { web: { address: "127.0.0.1:0" } },
      routes: [{ respond: { status: 200, body: "here" } }],
      accessLog: { path: join(logs, "access.log"), format: "{status}" },
    },
    { log: { ...silentLog, error: (_message, fields) => void errors.push(fields?.["reason"]) } },
  );
  stops.push(() => balancer.stop());
  renameSync(logs, aside);
  balancer.dataPath.reopenLogs();
  await ask(balancer);
  expect(errors).toEqual([expect.stringContaining("its folder is not there")]);
  const old = join(aside, "access.log");
  await eventually(() => readFileSync(old, "utf8") === "200\n", "the line in the old file");
});
