import { describe, expect, test } from "bun:test";
import { existsSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { AcmeStore } from "./store.ts";

const DIRECTORY = "https://ca.test/dir";

describe("the store", () => {
  test("is closed to others, and says what is damaged", () => {
    const parent = mkdtempSync(join(tmpdir(), "evenkeel-store-"));
    const folder = join(parent, "deep", "acme");
    const store = new AcmeStore(folder);
    const account = { directory: DIRECTORY, url: `${DIRECTORY}/1`, keyPem: "key" };
    store.writeAccount(account);
    store.writeAccount({ ...account, url: `${DIRECTORY}/2` });
    expect(store.readAccount(DIRECTORY)?.url).toBe(`${DIRECTORY}/2`);
    expect(store.readAccount("https://other.test/dir")).toBeUndefined();
    const [file, ...others] = readdirSync(join(folder, "accounts"));
    expect(others).toEqual([]);
    const path = join(folder, "accounts", file as string);
    expect(statSync(path).mode & 0o777).toBe(0o600);
    expect(statSync(folder).mode & 0o777).toBe(0o700);
    writeFileSync(path, "{");
    expect(() => store.readAccount(DIRECTORY)).toThrow(`${path}: the ACME account is damaged`);
    writeFileSync(join(parent, "file"), "");
    expect(() => new AcmeStore(join(parent, "file", "acme"))).toThrow("cannot keep ACME accounts and keys there");
    rmSync(parent, { recursive: true });
    expect(() => store.writeAccount(account)).toThrow("cannot be written");
    expect(existsSync(parent)).toBe(false);
  });

  test("certificates go by their set of names, and names cannot lead out of the folder", () => {
    const folder = mkdtempSync(join(tmpdir(), "evenkeel-store-"));
    const store = new AcmeStore(folder);
    const path = store.certificatePath(DIRECTORY, ["a.test", "b.test"]);
    expect(store.certificatePath(DIRECTORY, ["a.test"])).not.toBe(path);
    expect(store.certificatePath("https://other.test", ["a.test", "b.test"])).not.toBe(path);
    store.writeCertificate(DIRECTORY, ["a.test", "b.test"], "pem");
    expect(store.readCertificate(DIRECTORY, ["a.test", "b.test"])).toBe("pem");
    expect(store.readCertificate(DIRECTORY, ["b.test", "a.test"])).toBe("pem");
    expect(dirname(store.certificatePath(DIRECTORY, ["../../../etc/x"]))).toBe(join(folder, "certificates"));
    rmSync(folder, { recursive: true });
  });
});
