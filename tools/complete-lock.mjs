// Completes package-lock.json after `npm install` ran on a machine whose registry mirror carries one platform only:
// npm then leaves the other platforms' optional packages out, and `npm ci` refuses the file. Each missing entry is
// written from its parent's exact version, its platform read off its name, so that every platform installs the same.
import { readFileSync, writeFileSync } from "node:fs";

const FILE = new URL("../package-lock.json", import.meta.url);
const SYSTEMS = {
  android: "android",
  darwin: "darwin",
  freebsd: "freebsd",
  linux: "linux",
  openharmony: "openharmony",
  win32: "win32",
  windows: "win32",
};
const PROCESSORS = {
  x64: "x64",
  arm64: "arm64",
  aarch64: "arm64",
  ia32: "ia32",
  arm: "arm",
  ppc64: "ppc64",
  riscv64: "riscv64",
  s390x: "s390x",
};

const lock = JSON.parse(readFileSync(FILE, "utf8"));
let added = 0;
for (const parent of Object.values(lock.packages)) {
  for (const [name, version] of Object.entries(parent.optionalDependencies ?? {})) {
    const key = `node_modules/${name}`;
    if (lock.packages[key] !== undefined || !/^\d/.test(version)) continue;
    const words = name.split(/[/-]/);
    const os = words.map((word) => SYSTEMS[word]).find((word) => word !== undefined);
    const cpu = words.map((word) => PROCESSORS[word]).find((word) => word !== undefined);
    if (os === undefined || cpu === undefined) throw new Error(`cannot tell the platform of ${name} from its name`);
    lock.packages[key] = { version, cpu: [cpu], ...(parent.dev ? { dev: true } : {}), optional: true, os: [os] };
    added++;
  }
}
lock.packages = Object.fromEntries(Object.entries(lock.packages).sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0)));
writeFileSync(FILE, `${JSON.stringify(lock, null, 2)}\n`);
console.log(`package-lock.json: ${added} entries added`);
