import { describe, expect, test } from "bun:test";
import { FakeClock } from "../base/fake-clock.ts";
import { type Log, silentLog } from "../observability/log.ts";
import { type Certificate, loadCertificate } from "./certificate.ts";
import { ExpiryWarnings } from "./expiry-warnings.ts";
import { createSelfSigned } from "./self-signed.ts";

const DAY_MS = 86_400_000;

function certificate(clock: FakeClock, lifetimeDays: number): Certificate {
  const from = "cert.pem";
  const loaded = loadCertificate({
    ...createSelfSigned(["a.test"], clock.wallNow()),
    certificateFrom: from,
    keyFrom: from,
  });
  return { ...loaded, notBeforeMs: clock.wallNow(), notAfterMs: clock.wallNow() + lifetimeDays * DAY_MS };
}

function recorder(clock: FakeClock): { log: Log; said: string[] } {
  const said: string[] = [];
  const startMs = clock.wallNow();
  const at = (level: string) => (message: string) =>
    void said.push(`day ${Math.floor((clock.wallNow() - startMs) / DAY_MS)} ${level}: ${message}`);
  return { log: { ...silentLog, warn: at("warn"), error: at("error") }, said };
}

describe("warnings before a certificate expires", () => {
  test("come once at each threshold, and once when it is too late", () => {
    const clock = new FakeClock();
    const { log, said } = recorder(clock);
    const warnings = new ExpiryWarnings({ clock, timers: clock, log });
    warnings.watch([certificate(clock, 90)]);
    clock.advance(100 * DAY_MS);
    expect(said).toEqual([
      "day 60 warn: a certificate expires in 30 days",
      "day 76 warn: a certificate expires in 14 days",
      "day 83 warn: a certificate expires in 7 days",
      "day 89 warn: a certificate expires in less than a day",
      "day 90 error: a certificate has expired; clients refuse it",
    ]);
    warnings.close();
    expect(clock.waiting).toBe(0);
  });

  test("a certificate for days is not warned of from its first hour", () => {
    const clock = new FakeClock();
    const { log, said } = recorder(clock);
    const warnings = new ExpiryWarnings({ clock, timers: clock, log });
    warnings.watch([certificate(clock, 6)]);
    clock.advance(5.5 * DAY_MS);
    expect(said).toEqual(["day 5 warn: a certificate expires in less than a day"]);
    warnings.close();
  });

  test("a reload says nothing twice; a renewed certificate is new", () => {
    const clock = new FakeClock();
    const { log, said } = recorder(clock);
    const warnings = new ExpiryWarnings({ clock, timers: clock, log });
    const old = certificate(clock, 90);
    clock.advance(80 * DAY_MS);
    warnings.watch([old]);
    warnings.watch([old]);
    expect(said).toEqual(["day 80 warn: a certificate expires in 10 days"]);
    warnings.watch([certificate(clock, 90)]);
    clock.advance(20 * DAY_MS);
    expect(said).toHaveLength(1);
    warnings.close();
  });
});
