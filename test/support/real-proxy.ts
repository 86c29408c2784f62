/** Real HAProxy and nginx on sockets that are opened here: no port is guessed, and nobody has to wait for a start. */
import { closeSync, existsSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { closeDescriptor, openListeningSocket, portOf } from "../../src/transport/listening-socket.ts";

export const haproxy = Bun.which("haproxy", { PATH: `${process.env["PATH"]}:/usr/sbin` });
export const nginx = Bun.which("nginx", { PATH: `${process.env["PATH"]}:/usr/sbin` });
const STREAM_MODULE = "/usr/lib/nginx/modules/ngx_stream_module.so";
export const nginxStreamModule = existsSync(STREAM_MODULE) ? STREAM_MODULE : undefined;
/** The first descriptor behind those of standard input, output and error. */
const FIRST_DESCRIPTOR = 3;

export interface RealProxy {
  /** Of the sockets, in the order of the hosts given. */
  readonly ports: readonly number[];
  stop(): Promise<void>;
}

/** `config` is told the folder for files, and how to name each socket in `bind`. */
export function startHaproxy(hosts: readonly string[], config: (binds: string[], folder: string) => string): RealProxy {
  return start(hosts, (_ports, folder) => {
    const file = join(folder, "haproxy.cfg");
    const binds = hosts.map((_, index) => `fd@${FIRST_DESCRIPTOR + index}`);
    writeFileSync(file, config(binds, folder));
    return { command: [haproxy as string, "-db", "-f", file], environment: {} };
  });
}

/** `config` is told the ports, to be named in `listen` with the hosts. */
export function startNginx(hosts: readonly string[], config: (ports: number[], folder: string) => string): RealProxy {
  return start(hosts, (ports, folder) => {
    const file = join(folder, "nginx.conf");
    const common = `daemon off; worker_processes 1; pid ${folder}/pid; error_log stderr warn;\n`;
    writeFileSync(file, common + config(ports, folder));
    const descriptors = hosts.map((_, index) => `${FIRST_DESCRIPTOR + index};`).join("");
    // The variable by which a running nginx hands its sockets to a new one.
    return { command: [nginx as string, "-p", folder, "-c", file], environment: { NGINX: descriptors } };
  });
}

function start(
  hosts: readonly string[],
  prepare: (ports: number[], folder: string) => { command: string[]; environment: Record<string, string> },
): RealProxy {
  const folder = mkdtempSync(join(tmpdir(), "evenkeel-peer-"));
  const descriptors = hosts.map((host) => openListeningSocket(host, 0));
  const ports = descriptors.map(portOf);
  const { command, environment } = prepare(ports, folder);
  const output = openSync(join(folder, "output"), "w");
  const child = Bun.spawn(command, {
    stdio: ["ignore", output, output, ...descriptors],
    env: { PATH: process.env["PATH"], ...environment },
  });
  closeSync(output);
  // The child has its own copies now; with ours open, a dead child would look like a silent one.
  for (const descriptor of descriptors) closeDescriptor(descriptor);
  return {
    ports,
    stop: async () => {
      if (child.exitCode !== null || child.signalCode !== null)
        console.log(`${command[0]} ended by itself:\n${readFileSync(join(folder, "output"), "utf8")}`);
      // Not SIGKILL: nginx has a process for the work, which it ends itself.
      child.kill("SIGTERM");
      await child.exited;
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** A key and a certificate of its own signature, in one file; false when there is no openssl. */
export function makeCertificate(file: string, commonName: string): boolean {
  if (Bun.which("openssl") === null) return false;
  const result = Bun.spawnSync(
    [
      ...["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", `/CN=${commonName}`],
      ...["-keyout", `${file}.key`, "-out", `${file}.crt`],
    ],
    { stderr: "ignore" },
  );
  if (result.exitCode !== 0) return false;
  writeFileSync(file, readFileSync(`${file}.key`, "utf8") + readFileSync(`${file}.crt`, "utf8"));
  return true;
}
