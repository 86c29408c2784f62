// `npm test`: installs what tests need, runs the gates, then every test file in a process of its own, and counts.
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { findBun, installDependencies } from "./run.mjs";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");
const FILE_TIMEOUT_MS = 240_000;

installDependencies();
installPackages();

const total = { passed: 0, failed: 0, skipped: 0 };
const reports = mkdtempSync(join(tmpdir(), "evenkeel-test-"));
const bun = findBun();

console.log("gates");
add(
  run([join(root, "tools", "check.ts"), "--without-tests"], "gates")
    ? { passed: 1, failed: 0, skipped: 0 }
    : { passed: 0, failed: 1, skipped: 0 },
);

// Quick tests share a process; those that start processes of their own get one each, so that a crash loses only itself.
const unit = find(join(root, "src"), /\.test\.ts$/);
add(test("unit", unit));
for (const folder of ["test", "examples"]) {
  for (const file of find(join(root, folder), /\.(test|scenario\.test|fuzz\.test)\.ts$/))
    add(test(relative(root, file), [file]));
}
rmSync(reports, { recursive: true, force: true });

const skipped = total.skipped > 0 ? `, ${total.skipped} skipped` : "";
if (total.skipped > 0 && process.env.CI === "true") {
  console.log("in CI nothing may be skipped");
  total.failed += total.skipped;
}
console.log(`${total.passed} passed, ${total.failed} failed${skipped}`);
process.exitCode = total.failed === 0 && total.passed > 0 ? 0 : 1;

function add(counts) {
  for (const key of Object.keys(total)) total[key] += counts[key];
}

/** Runs test files and counts from the report, which is exact; a run that ends without one counts as a failure. */
function test(name, files) {
  const report = join(reports, `${name.replaceAll(/[^a-z0-9]/gi, "-")}.xml`);
  const finished = run(
    ["test", "--timeout", "60000", "--reporter=junit", `--reporter-outfile=${report}`, ...files],
    name,
  );
  const xml = existsSync(report) ? readFileSync(report, "utf8") : "";
  const suites = /<testsuites [^>]*tests="(\d+)"[^>]*failures="(\d+)"[^>]*skipped="(\d+)"/.exec(xml);
  if (suites === null) return { passed: 0, failed: 1, skipped: 0 };
  const [tests, failures, skips] = suites.slice(1).map(Number);
  const failed = failures === 0 && !finished ? 1 : failures;
  return { passed: tests - failures - skips, failed, skipped: skips };
}

function run(args, name) {
  const started = Date.now();
  const result = spawnSync(bun, args, {
    cwd: root,
    encoding: "utf8",
    timeout: FILE_TIMEOUT_MS,
    killSignal: "SIGKILL",
    maxBuffer: 256 * 1_048_576,
  });
  const good = result.status === 0;
  console.log(`  ${good ? "ok  " : "FAIL"} ${name} (${((Date.now() - started) / 1_000).toFixed(1)} s)`);
  const output = `${result.stdout}${result.stderr}`;
  const skips = output.split("\n").filter((line) => line.startsWith("skipped:"));
  if (!good)
    console.log(
      output
        .split("\n")
        .filter((line) => !line.startsWith("(pass)"))
        .join("\n"),
    );
  else if (skips.length > 0) console.log(skips.join("\n"));
  if (result.error !== undefined) console.log(`  ${name}: ${result.error.message}`);
  return good;
}

function find(folder, pattern) {
  if (!existsSync(folder)) return [];
  return readdirSync(folder, { recursive: true })
    .map((name) => join(folder, String(name)))
    .filter((file) => pattern.test(file) && !file.includes("node_modules"))
    .sort();
}

/** The real peers that tests talk to, when this is Debian and we may install them. */
function installPackages() {
  if (process.getuid?.() !== 0 || !existsSync("/etc/debian_version")) {
    console.log(
      "not root on Debian: tests that need nginx, haproxy, wrk or slowhttptest are skipped where those are missing",
    );
    return;
  }
  const wanted = readFileSync(join(root, "tools", "debian-packages.txt"), "utf8")
    .trim()
    .split("\n");
  const missing = wanted.filter((name) => spawnSync("dpkg", ["-s", name], { stdio: "ignore" }).status !== 0);
  if (missing.length === 0) return;
  console.log(`installing ${missing.join(" ")}`);
  const env = { ...process.env, DEBIAN_FRONTEND: "noninteractive" };
  spawnSync("apt-get", ["update", "-qq"], { stdio: "ignore", env });
  const { status } = spawnSync("apt-get", ["install", "-y", "-qq", "--no-install-recommends", ...missing], {
    stdio: ["ignore", "ignore", "inherit"],
    env,
  });
  if (status !== 0) console.log("some packages could not be installed; tests that need them are skipped");
}
