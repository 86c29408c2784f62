// Runs the project's own Bun on a file, and installs what is missing first. Plain Node: it must work on a fresh clone.
import { spawn, spawnSync } from "node:child_process";
import { existsSync, readdirSync, statSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");

/** Installs the dependencies when they are missing or older than the lock file. */
export function installDependencies() {
  const marker = join(root, "node_modules", ".package-lock.json");
  const lock = join(root, "package-lock.json");
  if (existsSync(marker) && statSync(marker).mtimeMs >= statSync(lock).mtimeMs) return;
  console.error("installing dependencies (npm ci)...");
  const { status } = spawnSync("npm", ["ci", "--no-audit", "--no-fund", "--loglevel=error"], {
    cwd: root,
    stdio: ["ignore", 2, 2],
  });
  if (status !== 0) {
    console.error("npm ci failed; see above");
    process.exit(1);
  }
}

/** The Bun that package.json pins. Its package puts it in place by an install script, which npm may have been told not to run. */
export function findBun() {
  const linked = join(root, "node_modules", "bun", "bin", "bun.exe");
  if (existsSync(linked) && spawnSync(linked, ["--version"]).status === 0) return linked;
  const platforms = join(root, "node_modules", "@oven");
  for (const name of existsSync(platforms) ? readdirSync(platforms) : []) {
    const binary = join(platforms, name, "bin", "bun");
    if (existsSync(binary)) return binary;
  }
  console.error("the bun package is not installed; run npm ci");
  return process.exit(1);
}

/** Runs Bun with these arguments, hands signals on, and resolves to its exit code. */
export function runBun(args, options = {}) {
  const child = spawn(findBun(), args, { stdio: "inherit", ...options });
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1", "SIGUSR2", "SIGQUIT"]) {
    process.on(signal, () => child.kill(signal));
  }
  return new Promise((resolve) => {
    child.on("exit", (code, signal) => resolve(signal === null ? code : 1));
  });
}

if (import.meta.url === pathToFileURL(process.argv[1]).href) {
  installDependencies();
  process.exitCode = await runBun([join(root, process.argv[2]), ...process.argv.slice(3)]);
}
