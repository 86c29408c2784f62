import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { FakeClock } from "../base/fake-clock.ts";
import type { Fields, Log } from "../observability/log.ts";
import { CertificateFiles, type CertificatePaths, readPemFile } from "./certificate-files.ts";
import { createSelfSigned } from "./self-signed.ts";

interface Line {
  readonly level: string;
  readonly message: string;
  readonly fields: Fields;
}

describe("certificates in files", () => {
  let folder: string;
  let clock: FakeClock;
  let lines: Line[];
  let changes: number;
  let files: CertificateFiles;
  let paths: CertificatePaths;

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "evenkeel-files-"));
    clock = new FakeClock();
    lines = [];
    changes = 0;
    paths = { certificate: join(folder, "cert.pem"), key: join(folder, "key.pem") };
    const log =
      (level: string) =>
      (message: string, fields: Fields = {}) =>
        void lines.push({ level, message, fields });
    const all: Log = { debug: log("debug"), info: log("info"), warn: log("warn"), error: log("error") };
    files = new CertificateFiles({ clock, timers: clock, log: all, onChange: () => changes++ });
  });

  afterEach(() => {
    files.close();
    expect(clock.waiting).toBe(0);
    rmSync(folder, { recursive: true, force: true });
  });

  function put(names: readonly string[], { certificate = true, key = true } = {}): void {
    const pair = createSelfSigned(names, clock.wallNow());
    if (certificate) writeFileSync(paths.certificate, pair.certificatePem);
    if (key) writeFileSync(paths.key, pair.keyPem);
  }

  test("are read, and read again when they change", () => {
    put(["one.test"]);
    expect(files.setFiles([paths])[0]?.names).toEqual(["one.test"]);
    clock.advance(60_000);
    expect(changes).toBe(0);
    put(["two.test"]);
    expect(files.get(paths)?.names).toEqual(["one.test"]);
    clock.advance(5_000);
    expect(changes).toBe(1);
    expect(files.get(paths)?.names).toEqual(["two.test"]);
    expect(lines.map(({ message }) => message)).toEqual(["a certificate was reloaded"]);
  });

  test("a file that is put in place by renaming is seen; one that is only touched changes nothing", () => {
    put(["one.test"]);
    files.setFiles([paths]);
    const pair = createSelfSigned(["two.test"], clock.wallNow());
    writeFileSync(join(folder, "new.pem"), pair.certificatePem + pair.keyPem);
    renameSync(join(folder, "new.pem"), paths.certificate);
    writeFileSync(paths.key, pair.keyPem);
    expect(files.recheck()).toBe(true);
    expect(files.get(paths)?.names).toEqual(["two.test"]);
    writeFileSync(paths.key, pair.keyPem);
    expect(files.recheck()).toBe(false);
  });

  test("a change that does not hold up leaves the old one, with one warning; its completion counts", () => {
    put(["one.test"]);
    files.setFiles([paths]);
    const pair = createSelfSigned(["two.test"], clock.wallNow());
    writeFileSync(paths.key, pair.keyPem);
    clock.advance(60_000);
    expect(files.get(paths)?.names).toEqual(["one.test"]);
    expect(lines).toHaveLength(1);
    expect(lines[0]?.fields["reason"]).toContain("the two files are not of one pair");
    writeFileSync(paths.certificate, pair.certificatePem);
    clock.advance(5_000);
    expect(files.get(paths)?.names).toEqual(["two.test"]);
    rmSync(paths.key);
    clock.advance(5_000);
    expect(files.get(paths)?.names).toEqual(["two.test"]);
    expect(lines.at(-1)?.fields["reason"]).toBe(`key: ${paths.key}: no such file; give the path of a PEM file`);
    expect(changes).toBe(1);
  });

  test("a reload keeps what it has of a broken file, and refuses a new one", () => {
    put(["one.test"]);
    files.setFiles([paths]);
    const other = { certificate: join(folder, "other.pem"), key: paths.key };
    const place = ["listeners", "web", "tls", "certificates", 1];
    expect(() => files.setFiles([paths, { ...other, place }])).toThrow(
      `listeners.web.tls.certificates[1].certificate: ${other.certificate}: no such file`,
    );
    expect(files.get(other)).toBeUndefined();
    writeFileSync(paths.certificate, "nonsense");
    expect(files.setFiles([paths])[0]?.names).toEqual(["one.test"]);
    expect(files.setFiles([])).toEqual([]);
    expect(files.get(paths)).toBeUndefined();
  });

  test("one that has expired is served, with a warning", () => {
    put(["old.test"]);
    clock.advance(91 * 86_400_000);
    files.setFiles([paths]);
    expect(lines.map(({ level, message }) => `${level} ${message}`)).toEqual([
      `warn ${paths.certificate}: expired on 2026-03-31; clients will refuse it`,
    ]);
  });

  test("what cannot be a PEM file is refused", () => {
    expect(() => readPemFile(folder)).toThrow(`${folder}: a folder; give the path of a PEM file`);
    expect(() => readPemFile("none.pem")).toThrow(
      `none.pem: no such file in ${process.cwd()}, where evenkeel was started; give the path of a PEM file`,
    );
    writeFileSync(paths.certificate, Buffer.alloc(1_048_577));
    expect(() => readPemFile(paths.certificate)).toThrow("1048577 bytes; a PEM file here has 1 MiB at most");
  });
});
