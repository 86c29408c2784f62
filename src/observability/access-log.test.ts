import { afterAll, describe, expect, test } from "bun:test";
import { existsSync, mkdtempSync, readFileSync, renameSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { type AccessRecord, compileFormat } from "./access-format.ts";
import { AccessLog, checkLogPath, type WriteBatch } from "./access-log.ts";

const record: AccessRecord = {
  startedWallMs: Date.UTC(2026, 0, 2, 3, 4, 5, 678),
  clientIp: "192.0.2.1",
  clientPort: 4711,
  listener: "web",
  route: "api",
  pool: "app",
  endpoint: "10.0.0.1:80",
  method: "GET",
  target: "/a?b=c",
  host: "example.com",
  protocol: "HTTP/1.1",
  status: 200,
  bytesIn: 100,
  bytesOut: 2_000,
  bodyBytesOut: 1_800,
  attempts: 1,
  connectMs: 0.5,
  firstByteMs: 1.25,
  totalMs: 2.0004,
  reason: "",
  requestId: "id-1",
  userAgent: "curl/8",
  referer: "",
  tls: undefined,
};

const folder = mkdtempSync(join(tmpdir(), "evenkeel-access-log-"));
afterAll(() => rmSync(folder, { recursive: true }));

describe("formats", () => {
  test("json", () => {
    expect(JSON.parse(compileFormat("json")(record))).toEqual({
      time: "2026-01-02T03:04:05.678Z",
      client: "192.0.2.1",
      clientPort: 4711,
      listener: "web",
      route: "api",
      pool: "app",
      endpoint: "10.0.0.1:80",
      method: "GET",
      host: "example.com",
      target: "/a?b=c",
      protocol: "HTTP/1.1",
      status: 200,
      bytesIn: 100,
      bytesOut: 2_000,
      attempts: 1,
      connectMs: 0.5,
      firstByteMs: 1.25,
      durationMs: 2,
      reason: "",
      requestId: "id-1",
      userAgent: "curl/8",
    });
  });
  test("combined", () =>
    expect(compileFormat("combined")(record)).toBe(
      '192.0.2.1 - - [02/Jan/2026:03:04:05 +0000] "GET /a?b=c HTTP/1.1" 200 1800 "-" "curl/8"\n',
    ));
  test("a template; what is empty is a dash", () =>
    expect(compileFormat("{client} {path} {status} {reason} [{duration}]")(record)).toBe("192.0.2.1 /a 200 - [2]\n"));
  test("an unknown placeholder is told", () => expect(() => compileFormat("{clinet}")).toThrow("{clinet}"));

  test("whatever clients send, a line is one line of valid JSON", () =>
    fc.assert(
      fc.property(fc.string({ unit: "binary" }), fc.string({ unit: "binary" }), (target, userAgent) => {
        const line = compileFormat("json")({ ...record, target, userAgent });
        expect(line.indexOf("\n")).toBe(line.length - 1);
        const parsed = JSON.parse(line);
        if (target.length <= 2_048) expect(parsed.target).toBe(target);
        const plain = compileFormat("combined")({ ...record, target, userAgent });
        expect(plain).toMatch(/^[\x20-\x7e]*\n$/);
      }),
      { numRuns: 500 },
    ));
  test("what is very long is cut", () =>
    expect(compileFormat("{target}")({ ...record, target: "a".repeat(100_000) }).length).toBeLessThan(2_100));
});

describe("the log", () => {
  test("writes lines when flushed, in order", async () => {
    const path = join(folder, "order.log");
    const log = new AccessLog({ path, format: "{status}" });
    for (const status of [200, 404, 500]) log.write({ ...record, status });
    log.flush();
    log.write({ ...record, status: 201 });
    await log.close();
    expect(readFileSync(path, "utf8")).toBe("200\n404\n500\n201\n");
  });

  test("goes on in a new file after reopening, and loses nothing", async () => {
    const path = join(folder, "rotated.log");
    const log = new AccessLog({ path, format: "{status}" });
    log.write({ ...record, status: 1 });
    log.flush();
    renameSync(path, `${path}.1`);
    log.write({ ...record, status: 2 });
    log.reopen();
    log.write({ ...record, status: 3 });
    await log.close();
    expect(readFileSync(`${path}.1`, "utf8") + readFileSync(path, "utf8")).toBe("1\n2\n3\n");
  });

  test("where it cannot be written is told, when opening and before", () => {
    const none = join(folder, "none", "access.log");
    const refused = [
      { path: none, says: `path: ${none}: its folder is not there; make it, for the user evenkeel runs as` },
      { path: folder, says: `path: ${folder}: a folder; give the path of a file` },
      { path: "/dev/null/access.log", says: "path: /dev/null/access.log: cannot be opened (ENOTDIR)" },
    ];
    for (const { path, says } of refused) {
      expect(() => new AccessLog({ path, format: "json" })).toThrow(says);
      expect(() => checkLogPath({ path, format: "json" })).toThrow(says);
    }
    const fresh = join(folder, "fresh.log");
    for (const path of [fresh, "stdout", "stderr"]) checkLogPath({ path, format: "json" });
    expect(existsSync(fresh)).toBe(false);
  });

  test("a disk that does not answer costs lines, not memory", () => {
    const held: (() => void)[] = [];
    const never: WriteBatch = (_descriptor, batch, done) => void held.push(() => done(null, batch.length));
    const log = new AccessLog({ path: join(folder, "slow.log"), format: "json" }, never);
    for (let line = 0; line < 60_000; line++) log.write(record);
    expect(log.dropped).toBeGreaterThan(10_000);
    expect(held).toHaveLength(1);
    while (held.length > 0) held.shift()?.();
    const before = log.dropped;
    log.write(record);
    expect(log.dropped).toBe(before);
  });

  test("a full disk is counted, and writing goes on when there is room again", async () => {
    let full = true;
    const written: string[] = [];
    const disk: WriteBatch = (_descriptor, batch, done) => {
      if (full) return done(new Error("ENOSPC"), 0);
      written.push(batch.toString());
      done(null, batch.length);
    };
    const log = new AccessLog({ path: join(folder, "full.log"), format: "{status}" }, disk);
    log.write(record);
    log.write(record);
    log.flush();
    expect(log.dropped).toBe(2);
    full = false;
    log.write({ ...record, status: 7 });
    await log.close();
    expect(written).toEqual(["7\n"]);
  });

  test("a short write goes on where it stopped", async () => {
    let text = "";
    const stingy: WriteBatch = (_descriptor, batch, done) => {
      text += batch.toString("latin1", 0, 3);
      done(null, Math.min(3, batch.length));
    };
    const log = new AccessLog({ path: join(folder, "short.log"), format: "{status}{client}" }, stingy);
    log.write(record);
    log.write(record);
    await log.close();
    expect(text).toBe("200192.0.2.1\n200192.0.2.1\n");
  });
});
