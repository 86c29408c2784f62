/** Nobody reads what evenkeel says: no reason to stop serving, nor to go on when it is told to stop. */
import { afterEach, expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { endAll, eventually, freePort, RunningProgram, temporaryFolder } from "../support/process.ts";

const MAIN = join(import.meta.dir, "..", "..", "src", "cli", "main.ts");

afterEach(endAll);

test("standard error and standard output whose reader has gone", async () => {
  const port = await freePort();
  const file = join(temporaryFolder(), "evenkeel.json");
  const config = (body: string): string =>
    JSON.stringify({
      workers: 2,
      listeners: { web: { address: `127.0.0.1:${port}` } },
      routes: [{ respond: { body } }],
      accessLog: { path: "stdout" },
      admin: false,
    });
  writeFileSync(file, config("before"));
  // `true` reads nothing and ends: what is written from then on is EPIPE.
  const program = new RunningProgram([
    "bash",
    "-c",
    `exec ${process.execPath} ${MAIN} run -c ${file} > >(true) 2> >(true)`,
  ]);
  const ask = async (): Promise<string> =>
    fetch(`http://127.0.0.1:${port}/`, { headers: { Connection: "close" } }).then(
      (response) => response.text(),
      () => "nobody",
    );
  await eventually(async () => (await ask()) === "before", "it to serve");
  writeFileSync(file, config("after"));
  program.signal("SIGHUP");
  await eventually(async () => (await ask()) === "after", "the reload");
  for (let count = 0; count < 20; count++) expect(await ask()).toBe("after");
  program.signal("SIGTERM");
  expect(await program.ending(10_000)).toBe(0);
}, 40_000);
