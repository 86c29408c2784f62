import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { FakeClock } from "../../base/fake-clock.ts";
import { seededRandom } from "../../base/random.ts";
import { silentLog } from "../../observability/log.ts";
import { createSelfSigned, type PemPair } from "../self-signed.ts";
import { AcmeManager, type AcmeManagerOptions } from "./manager.ts";
import { AcmeError } from "./problem.ts";
import { AcmeStore } from "./store.ts";
import type { AcmeTransport } from "./transport.ts";

const DIRECTORY = "https://ca.test/dir";
const MINUTE_MS = 60_000;
const HOUR_MS = 3_600_000;
const DAY_MS = 86_400_000;

interface OpenOrder {
  readonly names: readonly string[];
  issue(pair?: PemPair): Promise<void>;
  fail(error: Error): Promise<void>;
}

describe("certificates that are got and renewed", () => {
  let folder: string;
  let clock: FakeClock;
  let orders: OpenOrder[];
  let accounts: number;
  let got: string[];
  let managers: AcmeManager[];

  beforeEach(() => {
    folder = join(mkdtempSync(join(tmpdir(), "evenkeel-manager-")), "acme");
    clock = new FakeClock();
    [orders, got, managers, accounts] = [[], [], [], 0];
  });

  afterEach(() => {
    for (const manager of managers) manager.close();
    expect(clock.waiting).toBe(0);
    rmSync(join(folder, ".."), { recursive: true, force: true });
  });

  function start(changes: Partial<AcmeManagerOptions> = {}): AcmeManager {
    const manager = new AcmeManager({
      directoryUrl: DIRECTORY,
      transport: authority,
      store: new AcmeStore(folder),
      responder: { present() {}, withdraw() {} },
      clock,
      timers: clock,
      random: seededRandom(7),
      log: silentLog,
      maxOrders: 2,
      acceptTerms: true,
      onCertificate: (names) => got.push(names.join(" ")),
      obtain: (_session, names) =>
        new Promise((resolve, reject) => {
          const remove = (): void => void orders.splice(orders.indexOf(order), 1);
          const order: OpenOrder = {
            names,
            issue: (pair = createSelfSigned(names, clock.wallNow())) => {
              remove();
              resolve(pair);
              return settle();
            },
            fail: (error) => {
              remove();
              reject(error);
              return settle();
            },
          };
          orders.push(order);
        }),
      ...changes,
    });
    managers.push(manager);
    return manager;
  }

  const authority: AcmeTransport = async ({ url }) => {
    const urls = { newNonce: `${DIRECTORY}/nonce`, newAccount: `${DIRECTORY}/account`, newOrder: `${DIRECTORY}/order` };
    if (url === urls.newAccount) accounts++;
    const headers: Record<string, string> = { "replay-nonce": "n", location: `${DIRECTORY}/account/1` };
    return { status: 200, header: (name) => headers[name], body: JSON.stringify(urls) };
  };

  const request = (...names: string[]) => ({ names, challenge: "http-01" as const });
  const begin = async (): Promise<void> => {
    clock.advance(0);
    await settle();
  };

  test("no more orders at once than allowed, with one account for all", async () => {
    const manager = start();
    manager.setRequests(["a", "b", "c", "d"].map((name) => request(`${name}.test`)));
    await begin();
    expect(orders.map(({ names }) => names[0])).toEqual(["a.test", "b.test"]);
    expect(manager.states().map(({ phase }) => phase)).toEqual(["ordering", "ordering", "queued", "queued"]);
    await orders[0]?.issue();
    expect(orders.map(({ names }) => names[0])).toEqual(["b.test", "c.test"]);
    for (let left = 3; left > 0; left--) await orders[0]?.issue();
    expect(got).toEqual(["a.test", "b.test", "c.test", "d.test"]);
    expect(accounts).toBe(1);
  });

  test("renewal is tried at two thirds of the life, and until it works", async () => {
    const manager = start();
    manager.setRequests([request("a.test")]);
    await begin();
    await orders[0]?.issue();
    const certificate = manager.states()[0]?.certificate;
    const dueDays = ((manager.states()[0]?.nextOrderMs ?? 0) - (certificate?.notBeforeMs ?? 0)) / DAY_MS;
    expect(dueDays).toBeGreaterThan(57);
    expect(dueDays).toBeLessThanOrEqual(60);
    clock.advance(56 * DAY_MS);
    await settle();
    expect(orders).toHaveLength(0);
    clock.advance(4 * DAY_MS);
    await settle();
    expect(orders).toHaveLength(1);

    const waits: number[] = [];
    for (let attempt = 0; attempt < 12; attempt++) {
      await orders[0]?.fail(new AcmeError("down", { kind: "connection" }));
      const state = manager.states()[0];
      expect(state).toMatchObject({ failures: attempt + 1, lastError: "down", certificate });
      waits.push((state?.nextOrderMs ?? 0) - clock.wallNow());
      clock.advance(waits.at(-1) as number);
      await settle();
    }
    for (const [index, wait] of waits.entries()) {
      const expected = Math.min(6 * HOUR_MS, MINUTE_MS * 2 ** index);
      expect(wait).toBeGreaterThanOrEqual(expected * 0.75 - 1);
      expect(wait).toBeLessThanOrEqual(expected * 1.25 + 1);
    }
    await orders[0]?.issue();
    expect(manager.states()[0]).toMatchObject({ failures: 0, lastError: undefined });
    expect(got).toEqual(["a.test", "a.test"]);
  });

  test("a rate limit is respected", async () => {
    const manager = start();
    manager.setRequests([request("a.test")]);
    await begin();
    await orders[0]?.fail(new AcmeError("too many", { kind: "rateLimited", status: 429, retryAfterMs: 5 * HOUR_MS }));
    clock.advance(5 * HOUR_MS - 1);
    await settle();
    expect(orders).toHaveLength(0);
    clock.advance(1);
    await settle();
    expect(orders).toHaveLength(1);
  });

  test("an authority whose clock is behind is not asked without end", async () => {
    const manager = start();
    manager.setRequests([request("a.test")]);
    await begin();
    await orders[0]?.issue(createSelfSigned(["a.test"], clock.wallNow() - 80 * DAY_MS));
    clock.advance(HOUR_MS - 1);
    await settle();
    expect(orders).toHaveLength(0);
    clock.advance(1);
    await settle();
    expect(orders).toHaveLength(1);
  });

  test("what is stored is there at once after a restart; what is damaged is got anew", async () => {
    const first = start();
    first.setRequests([request("a.test", "b.test"), request("c.test")]);
    await begin();
    await orders[0]?.issue();
    await orders[0]?.issue();
    first.close();
    const [damaged] = readdirSync(join(folder, "certificates")).filter((name) => name.startsWith("c.test"));
    writeFileSync(join(folder, "certificates", damaged as string), "nonsense");
    got.length = 0;
    const second = start();
    second.setRequests([request("b.test", "a.test"), request("c.test")]);
    await begin();
    expect(orders.map(({ names }) => names)).toEqual([["c.test"]]);
    expect(accounts).toBe(1);
  });

  test("a certificate that lacks a name, or that is none, is not taken", async () => {
    const manager = start();
    manager.setRequests([request("a.test", "b.test")]);
    await begin();
    await orders[0]?.issue(createSelfSigned(["a.test"], clock.wallNow()));
    expect(manager.states()[0]?.lastError).toBe("order for a.test, b.test: the certificate lacks b.test");
    clock.advance(2 * MINUTE_MS);
    await settle();
    await orders[0]?.issue({ certificatePem: "hello", keyPem: createSelfSigned([], 0).keyPem });
    expect(manager.states()[0]?.lastError).toContain("no certificate in it");
    expect(got).toEqual([]);
  });

  test("requests that go away are forgotten, those that stay go on", async () => {
    const manager = start({ maxOrders: 1 });
    manager.setRequests([request("a.test"), request("b.test"), request("c.test")]);
    await begin();
    manager.setRequests([request("c.test")]);
    await orders[0]?.issue();
    expect(got).toEqual([]);
    expect(orders.map(({ names }) => names[0])).toEqual(["c.test"]);
    await orders[0]?.issue();
    expect(got).toEqual(["c.test"]);
    expect(manager.states()).toHaveLength(1);
  });

  test("a failing account is tried again, with the orders", async () => {
    let down = true;
    const transport: AcmeTransport = async (asked, signal) => {
      if (down) throw new AcmeError("no answer", { kind: "connection" });
      return authority(asked, signal);
    };
    const manager = start({ transport });
    manager.setRequests([request("a.test")]);
    await begin();
    expect(manager.states()[0]).toMatchObject({ failures: 1, lastError: "no answer" });
    down = false;
    clock.advance(2 * MINUTE_MS);
    await settle();
    await orders[0]?.issue();
    expect(got).toEqual(["a.test"]);
  });
});

/** Lets everything go on that does not wait for time. */
async function settle(): Promise<void> {
  for (let index = 0; index < 50; index++) await Promise.resolve();
}
