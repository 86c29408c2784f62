import { afterAll, afterEach, describe, expect, test } from "bun:test";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PidFile } from "./pid-file.ts";

const folder = mkdtempSync(join(tmpdir(), "evenkeel-pid-"));
const path = join(folder, "evenkeel.pid");
const file = new PidFile(path);
afterEach(() => rmSync(path, { force: true }));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** Runs until its input ends. */
function startProcess(command: string[]): { pid: number; end(): Promise<unknown> } {
  const child = Bun.spawn(command, { stdin: "pipe", stdout: "ignore", stderr: "ignore" });
  return {
    pid: child.pid,
    end: () => {
      child.kill("SIGKILL");
      return child.exited;
    },
  };
}

describe("the pid file", () => {
  test("names this process, and is removed", () => {
    file.check(undefined);
    file.write();
    expect(readFileSync(path, "utf8")).toBe(`${process.pid}\n`);
    file.check(undefined);
    file.remove();
    expect(existsSync(path)).toBe(false);
  });

  test("of another that is running is refused, until that has ended; unless it is to be replaced", async () => {
    const other = startProcess([process.execPath, "-e", "await Bun.stdin.text()"]);
    writeFileSync(path, `${other.pid}\n`);
    expect(() => file.check(undefined)).toThrow(`names process ${other.pid}`);
    file.check(other.pid);
    file.remove();
    expect(existsSync(path)).toBe(true);
    await other.end();
    file.check(undefined);
  });

  test("may name a number that another program has got meanwhile", async () => {
    const other = startProcess(["cat"]);
    writeFileSync(path, `${other.pid}\n`);
    file.check(undefined);
    await other.end();
  });

  test.each(["", "nonsense", "-1", "0", "1e3"])("says nothing with %j in it", (text) => {
    writeFileSync(path, text);
    file.check(undefined);
  });

  test("that cannot be written is told", () =>
    expect(() => new PidFile(join(folder, "none", "x.pid")).write()).toThrow("cannot write the pid file"));

  test("there is none without a path", () => {
    const none = new PidFile(undefined);
    none.check(undefined);
    none.write();
    none.remove();
  });
});
