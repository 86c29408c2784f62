/** The access log as a file that others put aside. */
import { afterEach, expect, test } from "bun:test";
import { existsSync, mkdtempSync, readFileSync, renameSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
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
