/** Every command as users start it: what it prints, and the exit code that scripts rely on. */
import { afterEach, expect, test } from "bun:test";
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createSelfSigned } from "../../src/tls/self-signed.ts";
import { runCommand, startCommand } from "../support/evenkeel.ts";
import {
  endAll,
  eventually,
  freePort,
  havePrograms,
  isRunning,
  type RunningProgram,
  temporaryFolder,
} from "../support/process.ts";

const TIMEOUT_MS = 60_000;
const GOOD =
  'listeners:\n  web: { address: "127.0.0.1:8080", pool: app }\npools:\n  app: { endpoints: [127.0.0.1:1] }\n';
const BAD = 'listeners:\n  web: { address: "127.0.0.1:8080", pol: app }\npools:\n  app: { endpoints: [127.0.0.1:1] }\n';
const COMMANDS = ["run", "check", "proxy", "demo", "schema", "version", "completion"];

afterEach(endAll);

function configFile(text: string): string {
  const file = join(temporaryFolder(), "evenkeel.yaml");
  writeFileSync(file, text);
  return file;
}

test(
  "run: a wrong configuration is told with its place, and exits 78",
  async () => {
    const { code, stderr } = await runCommand("run", "-c", configFile(BAD));
    expect(code).toBe(78);
    expect(stderr).toContain("evenkeel.yaml:2:");
    expect(stderr).toContain("pool");
  },
  TIMEOUT_MS,
);

test(
  "run: a file that is not there exits 78 and is named",
  async () => {
    const file = join(temporaryFolder(), "none.yaml");
    const { code, stderr } = await runCommand("run", "-c", file);
    expect(code).toBe(78);
    expect(stderr).toContain(file);
  },
  TIMEOUT_MS,
);

test(
  "run: an address that somebody else has exits 1 and says how to find them",
  async () => {
    const other = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data() {} } });
    try {
      const { code, stderr } = await runCommand("run", "-c", configFile(GOOD.replace("8080", String(other.port))));
      expect(code).toBe(1);
      expect(stderr).toContain("already in use");
      expect(stderr).toContain(`sport = :${other.port}`);
    } finally {
      other.stop(true);
    }
  },
  TIMEOUT_MS,
);

test(
  "run: a second evenkeel gets neither the address, nor the admin address, nor the pid file of the first",
  async () => {
    const [port, adminPort, freeOne, freeTwo] = await Promise.all([freePort(), freePort(), freePort(), freePort()]);
    const config = (listen: number, admin: number) =>
      configFile(`${GOOD.replace("8080", String(listen))}admin: { address: "127.0.0.1:${admin}" }\nworkers: 2\n`);
    const pidFile = join(temporaryFolder(), "evenkeel.pid");
    const first = startCommand("run", "-c", config(port, adminPort), "--pid-file", pidFile);
    await whenReady(first, adminPort);
    const refusals = [
      { args: ["-c", config(port, freeOne)], says: `listeners.web: 127.0.0.1:${port}: cannot listen` },
      { args: ["-c", config(freeTwo, adminPort)], says: `admin: 127.0.0.1:${adminPort}: cannot listen` },
      { args: ["-c", config(freeTwo, freeOne), "--pid-file", pidFile], says: `names process ${first.pid}` },
    ];
    for (const { args, says } of refusals) {
      const second = await runCommand("run", ...args);
      expect(second.code).toBe(1);
      expect(second.stderr).toContain(says);
      if (says.includes("listen")) expect(second.stderr).toContain("ss -ltnp");
      expect(readFileSync(pidFile, "utf8")).toBe(`${first.pid}\n`);
    }
    // Its successor is not a second one: it gets all three.
    first.signal("SIGUSR2");
    expect(await first.ending()).toBe(0);
    const successor = Number(readFileSync(pidFile, "utf8"));
    expect(successor).not.toBe(first.pid);
    await whenReady(first, adminPort);
    process.kill(successor, "SIGTERM");
    await eventually(() => !isRunning(successor), "the successor to end");
    expect(existsSync(pidFile)).toBe(false);
  },
  TIMEOUT_MS,
);

test(
  "check: 0 for a good file, 1 for a wrong one",
  async () => {
    const good = await runCommand("check", "-c", configFile(GOOD));
    expect(good.code).toBe(0);
    expect(good.stdout).toContain("is good");
    const bad = await runCommand("check", "-c", configFile(BAD));
    expect(bad.code).toBe(1);
    expect(bad.stderr).toContain("1 error");
    expect((await runCommand("-t", "-c", configFile(GOOD))).code).toBe(0);
    expect((await runCommand("check", "-c", join(temporaryFolder(), "none.yaml"))).code).toBe(1);
  },
  TIMEOUT_MS,
);

test(
  "check --json: one JSON value, with the place of every problem",
  async () => {
    const good = await runCommand("check", "--json", "-c", configFile(GOOD));
    expect(JSON.parse(good.stdout)).toMatchObject({ ok: true, problems: [] });
    const bad = await runCommand("check", "--json", "-c", configFile(BAD));
    expect(bad.code).toBe(1);
    const { ok, problems } = JSON.parse(bad.stdout) as { ok: boolean; problems: { line: number; severity: string }[] };
    expect(ok).toBe(false);
    expect(problems).toHaveLength(1);
    expect(problems[0]).toMatchObject({ line: 2, severity: "error" });
  },
  TIMEOUT_MS,
);

/** A folder with two certificates, their keys and a configuration that uses one of them on both sides. */
function tlsFolder(change: (text: string) => string = (text) => text): { folder: string; file: string } {
  const folder = temporaryFolder();
  for (const name of ["site", "other"]) {
    const { certificatePem, keyPem } = createSelfSigned([`${name}.test`], Date.now());
    writeFileSync(join(folder, `${name}.pem`), certificatePem);
    writeFileSync(join(folder, `${name}.key`), keyPem);
  }
  const file = join(folder, "evenkeel.yaml");
  writeFileSync(file, change(GOOD_TLS).replaceAll("FOLDER", folder));
  return { folder, file };
}

const GOOD_TLS = `listeners:
  web:
    address: "127.0.0.1:0"
    pool: app
    tls:
      certificates:
        - certificate: FOLDER/site.pem
          key: FOLDER/site.key
      ciphers: [ECDHE-ECDSA-AES128-GCM-SHA256]
      clientAuthentication:
        mode: require
        ca: FOLDER/other.pem
pools:
  app:
    endpoints: [127.0.0.1:1]
    connections:
      tls:
        ca: FOLDER/other.pem
accessLog:
  path: FOLDER/access.log
`;

test(
  "check: what a good file names is read, nothing is made and nobody is asked",
  async () => {
    const { folder, file } = tlsFolder();
    let connections = 0;
    const endpoint = Bun.listen({
      hostname: "127.0.0.1",
      port: 0,
      socket: { data() {}, open: () => void connections++ },
    });
    writeFileSync(file, readFileSync(file, "utf8").replace("127.0.0.1:1]", `127.0.0.1:${endpoint.port}]`));
    const before = readdirSync(folder);
    const good = await runCommand("check", "-c", file);
    endpoint.stop(true);
    expect(good.stderr).toBe("");
    expect(good.stdout).toContain("is good");
    expect(good.code).toBe(0);
    expect(readdirSync(folder)).toEqual(before);
    expect(connections).toBe(0);
  },
  TIMEOUT_MS,
);

const TLS = "listeners.web.tls";
const AUTHORITY = "clientAuthentication.ca";
test.each([
  ["/site.pem", "/none.pem", 7, `${TLS}.certificates[0].certificate`, "FOLDER/none.pem: no such file"],
  ["/site.key", "/other.key", 8, `${TLS}.certificates[0].key`, "FOLDER/other.key: the key does not belong to"],
  ["AES128-GCM", "AES128-GMC", 9, `${TLS}.ciphers[0]`, "ECDHE-ECDSA-AES128-GMC-SHA256 is not a cipher"],
  ["/other.pem\npools", "/none.pem\npools", 12, `${TLS}.${AUTHORITY}`, "FOLDER/none.pem: no such file"],
  ["/other.pem\naccess", "/none.pem\naccess", 18, "pools.app.connections.tls.ca", "FOLDER/none.pem: no such file"],
  ["/access.log", "/none/access.log", 20, "accessLog.path", "FOLDER/none/access.log: its folder is not there"],
])(
  "check and run: %p, written as %p, is told with its line and its key",
  async (right, wrong, line, path, reason) => {
    const { folder, file } = tlsFolder((text) => `${text.replace(right, wrong)}workers: 1\nadmin: false\n`);
    const says = reason.replace("FOLDER", folder);
    const check = await runCommand("check", "-c", file);
    expect(check.code).toBe(1);
    expect(check.stderr).toContain(`${file}:${line}:`);
    expect(check.stderr).toContain(`: error: ${path}: ${says}`);
    expect(check.stderr).toContain("1 error");
    expect(check.stdout).toBe("");
    const json = await runCommand("check", "--json", "-c", file);
    expect(json.code).toBe(1);
    const message = expect.stringContaining(says);
    const problems = [{ severity: "error", file, line, path, message }];
    expect(JSON.parse(json.stdout)).toMatchObject({ ok: false, problems });
    const run = await runCommand("run", "-c", file);
    expect(run.code).toBe(1);
    expect(run.stderr).toContain(`reason="${path}: ${says}`);
  },
  TIMEOUT_MS,
);

test.each([
  { args: [] },
  { args: ["fly"] },
  { args: ["check", "--nonsense"] },
  { args: ["proxy"] },
  { args: ["completion", "tcsh"] },
  { args: ["proxy", "--balance", "best", "127.0.0.1:1"] },
])(
  "wrong usage exits 2 and says how to get help: $args",
  async ({ args }) => {
    const { code, stdout, stderr } = await runCommand(...args);
    expect(code).toBe(2);
    expect(stderr).toContain("help");
    expect(stdout).toBe("");
  },
  TIMEOUT_MS,
);

test.each([
  { args: ["rnu"], says: ["unknown command rnu; did you mean run?"] },
  { args: ["frobnicate"], says: ["unknown command frobnicate\n"] },
  {
    args: ["proxy", "--workers", "x", "nonsense"],
    says: ['--workers: expected "auto" or a number, found "x"', "nonsense: expected an address with a port"],
  },
  { args: ["proxy", "--listen", "8080", "127.0.0.1:1"], says: ["--listen: expected an address", 'write ":8080"'] },
  { args: ["proxy", "--health-path", "x", "127.0.0.1:1"], says: ["--health-path: expected a path"] },
])(
  "wrong usage is told in the words of the command line: $args",
  async ({ args, says }) => {
    const { code, stderr } = await runCommand(...args);
    expect(code).toBe(2);
    for (const text of says) expect(stderr).toContain(text);
  },
  TIMEOUT_MS,
);

test(
  "every command has help with what it does, and is listed",
  async () => {
    const { code, stdout } = await runCommand("--help");
    expect(code).toBe(0);
    const listed = [...stdout.matchAll(/^ {2}([a-z]+)(?: .*)? {2}\S/gm)].map(([, name]) => name);
    for (const name of COMMANDS) expect(listed).toContain(name);
    const helps = await Promise.all(COMMANDS.map((name) => runCommand(name, "--help")));
    for (const [index, help] of helps.entries()) {
      expect(help.code).toBe(0);
      expect(help.stdout).toContain(`Usage: evenkeel ${COMMANDS[index]}`);
      expect(help.stderr).toBe("");
    }
  },
  TIMEOUT_MS,
);

test(
  "version and schema print what programs can read",
  async () => {
    const version = await runCommand("version", "--json");
    expect(JSON.parse(version.stdout)).toMatchObject({ evenkeel: expect.any(String), bun: Bun.version });
    expect((await runCommand("version")).stdout).toStartWith("evenkeel ");
    expect((await runCommand("--version")).code).toBe(0);
    const schema = await runCommand("schema");
    expect(schema.code).toBe(0);
    expect(Object.keys((JSON.parse(schema.stdout) as { properties: object }).properties)).toContain("listeners");
  },
  TIMEOUT_MS,
);

if (havePrograms("bash")) {
  test(
    "completion bash is a script that completes the commands",
    async () => {
      const { code, stdout } = await runCommand("completion", "bash");
      expect(code).toBe(0);
      const file = configFile(stdout);
      expect(Bun.spawnSync(["bash", "-n", file]).exitCode).toBe(0);
      const asked = `source ${file}; COMP_WORDS=(evenkeel c); COMP_CWORD=1; _evenkeel; echo "\${COMPREPLY[@]}"`;
      const completed = Bun.spawnSync(["bash", "-c", asked]);
      expect(completed.stdout.toString().trim().split(" ").sort()).toEqual(["check", "completion"]);
    },
    TIMEOUT_MS,
  );
}

function startNamed(name: string): { url: string; stop(): Promise<void> } {
  const server = Bun.serve({ hostname: "127.0.0.1", port: 0, fetch: () => new Response(name) });
  return { url: `http://127.0.0.1:${server.port}`, stop: () => server.stop(true) };
}

test(
  "proxy balances over the endpoints on its command line",
  async () => {
    const endpoints = ["one", "two"].map(startNamed);
    const [port, adminPort] = [await freePort(), await freePort()];
    const admin = ["--admin", `127.0.0.1:${adminPort}`, "--balance", "round-robin"];
    const proxy = startCommand("proxy", "--listen", `127.0.0.1:${port}`, ...admin, ...endpoints.map(({ url }) => url));
    await whenReady(proxy, adminPort);
    const answers: string[] = [];
    for (let count = 0; count < 10; count++) answers.push(await (await fetch(`http://127.0.0.1:${port}/`)).text());
    expect(answers.filter((text) => text === "one")).toHaveLength(5);
    expect(answers.filter((text) => text === "two")).toHaveLength(5);
    await proxy.says('"GET /" 200', 10);
    proxy.signal("SIGTERM");
    expect(await proxy.ending()).toBe(0);
    await Promise.all(endpoints.map((endpoint) => endpoint.stop()));
  },
  TIMEOUT_MS,
);

test(
  "demo serves, says what to try, and leaves nothing behind on Ctrl-C",
  async () => {
    const [port, adminPort] = [await freePort(), await freePort()];
    const addresses = ["--listen", `127.0.0.1:${port}`, "--admin", `127.0.0.1:${adminPort}`];
    const demo = startCommand("demo", ...addresses);
    await whenReady(demo, adminPort);
    await demo.says("Ctrl-C");
    const file = /\S+evenkeel-demo-\S+evenkeel\.yaml/.exec(demo.stdout)?.[0] ?? "";
    expect(existsSync(file)).toBe(true);
    const colours = new Set<string>();
    for (let count = 0; count < 6; count++) colours.add(await (await fetch(`http://127.0.0.1:${port}/`)).text());
    expect([...colours].sort()).toEqual(["hello from blue\n", "hello from green\n", "hello from red\n"]);
    demo.signal("SIGINT");
    expect(await demo.ending()).toBe(0);
    expect(existsSync(file)).toBe(false);
  },
  TIMEOUT_MS,
);

function whenReady(program: RunningProgram, adminPort: number): Promise<void> {
  const isReady = () =>
    fetch(`http://127.0.0.1:${adminPort}/readyz`).then(
      ({ ok }) => ok,
      () => false,
    );
  return eventually(isReady, () => `readiness of ${program.describe()}`);
}
