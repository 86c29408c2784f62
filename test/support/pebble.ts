/** A real ACME authority (pebble) on loopback, with a name server that leads every name to 127.0.0.1. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createSelfSigned } from "../../src/tls/self-signed.ts";
import { freePort } from "./free-port.ts";

export interface Pebble {
  readonly directoryUrl: string;
  /** PEM of the certificate its API shows. */
  readonly caPem: string;
  /** PEM of the root under which it issues. */
  rootPem(): Promise<string>;
  stop(): Promise<void>;
}

export interface PebbleOptions {
  /** Where it looks for answers. */
  readonly httpPort: number;
  readonly tlsPort: number;
  /** Kept over a restart when given. */
  readonly port?: number;
  readonly externalAccount?: { readonly keyId: string; readonly key: string };
}

export function hasPebble(): boolean {
  return Bun.which("pebble") !== null && Bun.which("pebble-challtestsrv") !== null;
}

export async function startPebble(options: PebbleOptions): Promise<Pebble> {
  const folder = mkdtempSync(join(tmpdir(), "evenkeel-pebble-"));
  const [port, managementPort, dnsPort, dnsManagementPort] = [
    options.port ?? (await freePort()),
    await freePort(),
    await freePort(),
    await freePort(),
  ];
  const { certificatePem, keyPem } = createSelfSigned(["localhost", "127.0.0.1"], Date.now());
  const [certificate, privateKey, config] = ["api.pem", "api.key", "pebble.json"].map((name) => join(folder, name)) as [
    string,
    string,
    string,
  ];
  writeFileSync(certificate, certificatePem);
  writeFileSync(privateKey, keyPem);
  writeFileSync(
    config,
    JSON.stringify({ pebble: { ...settings(options, port, managementPort), certificate, privateKey } }),
  );
  const flags = ["-http01", "", "-https01", "", "-tlsalpn01", "", "-defaultIPv6", ""];
  const names = Bun.spawn(
    [
      "pebble-challtestsrv",
      "-dns01",
      `127.0.0.1:${dnsPort}`,
      "-management",
      `127.0.0.1:${dnsManagementPort}`,
      ...flags,
    ],
    { stdout: "ignore", stderr: "ignore" },
  );
  const authority = Bun.spawn(["pebble", "-config", config, "-dnsserver", `127.0.0.1:${dnsPort}`], {
    env: { ...process.env, PEBBLE_VA_NOSLEEP: "1", PEBBLE_WFE_NONCEREJECT: "20", PEBBLE_AUTHZREUSE: "0" },
    stdout: "ignore",
    stderr: "ignore",
  });
  const directoryUrl = `https://127.0.0.1:${port}/dir`;
  const stop = async (): Promise<void> => {
    authority.kill();
    names.kill();
    await Promise.all([authority.exited, names.exited]);
    rmSync(folder, { recursive: true, force: true });
  };
  try {
    await untilAnswering(directoryUrl, certificatePem);
  } catch (error) {
    await stop();
    throw error;
  }
  return {
    directoryUrl,
    caPem: certificatePem,
    rootPem: async () =>
      (await fetch(`https://127.0.0.1:${managementPort}/roots/0`, { tls: { ca: certificatePem } })).text(),
    stop,
  };
}

function settings({ httpPort, tlsPort, externalAccount }: PebbleOptions, port: number, managementPort: number): object {
  return {
    listenAddress: `127.0.0.1:${port}`,
    managementListenAddress: `127.0.0.1:${managementPort}`,
    httpPort,
    tlsPort,
    externalAccountBindingRequired: externalAccount !== undefined,
    ...(externalAccount !== undefined && { externalAccountMACKeys: { [externalAccount.keyId]: externalAccount.key } }),
  };
}

async function untilAnswering(url: string, ca: string): Promise<void> {
  for (let attempt = 0; attempt < 200; attempt++) {
    try {
      if ((await fetch(url, { tls: { ca } })).ok) return;
    } catch {
      await Bun.sleep(50);
    }
  }
  throw new Error(`pebble does not answer at ${url}`);
}
