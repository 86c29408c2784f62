/** What evenkeel.yaml says, asked by real gRPC calls. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { type ServiceError, status } from "@grpc/grpc-js";
import { connect, type GreeterClient } from "./client.ts";
import { type RunningExample, startExample } from "./start.ts";

let example: RunningExample;
let client: GreeterClient;

beforeAll(async () => {
  example = await startExample({ ports: "free", quiet: true });
  client = connect(example.address);
}, 30_000);

afterAll(async () => {
  client.close();
  await example.stop();
});

const servers = async (calls: number): Promise<string[]> =>
  (await Promise.all(Array.from({ length: calls }, () => client.hello("you")))).map((text) => text.slice(-9));

async function untilServedBy(names: readonly string[]): Promise<void> {
  for (let series = 0; series < 200; series++) {
    const seen = [...new Set(await servers(8))].sort();
    if (Bun.deepEquals(seen, [...names])) return;
    await Bun.sleep(50);
  }
  throw new Error(`calls were never served by just ${names.join(" and ")}`);
}

test("calls of one channel are shared over both servers", async () => {
  const names = await servers(40);
  for (const name of ["greeter-1", "greeter-2"]) {
    expect(names.filter((served) => served === name).length).toBeGreaterThan(10);
  }
});

test("streams stay with the server they began with", async () => {
  const lines = await client.countdown(100);
  expect(lines).toHaveLength(100);
  expect(new Set(lines.map((line) => line.slice(-9))).size).toBe(1);
  const answers = await client.chat(["one", "two", "three"]);
  expect(answers.map((line) => line.slice(9))).toEqual([": one", ": two", ": three"]);
});

test("a server that says it is not serving gets no calls, until it is well again", async () => {
  const sick = (await client.hello("be sick")).slice(-9);
  const other = sick === "greeter-1" ? "greeter-2" : "greeter-1";
  await untilServedBy([other]);
  await client.hello("be sick");
  for (let tries = 0; ; tries++) {
    const failure = await client.hello("you").then(
      () => undefined,
      (error: ServiceError) => error,
    );
    if (failure !== undefined) {
      expect(failure.code).toBe(status.UNAVAILABLE);
      expect(failure.details).toContain("E_NO_ENDPOINT");
      break;
    }
    expect(tries).toBeLessThan(400);
    await Bun.sleep(25);
  }
});
