/** A small authority and certificates of every kind, made by openssl: an opinion independent of ours. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

export interface IssuedPair {
  readonly certificatePem: string;
  readonly keyPem: string;
  readonly certificatePath: string;
  readonly keyPath: string;
}

export interface TestAuthority {
  readonly folder: string;
  readonly caPem: string;
  readonly caPath: string;
  /** `names` as openssl has them: `DNS:a.test,IP:10.0.0.1`. */
  issue(name: string, names: string, kind?: KeyKind): IssuedPair;
  /** Revokes these, and returns the list as PEM. */
  revoke(...pairs: readonly IssuedPair[]): string;
  remove(): void;
}

export type KeyKind = "p256" | "p384" | "rsa" | "ed25519";

const KEY_OPTIONS: Readonly<Record<KeyKind, readonly string[]>> = {
  p256: ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"],
  p384: ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384"],
  rsa: ["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"],
  ed25519: ["-algorithm", "ED25519"],
};

export function hasOpenssl(): boolean {
  return Bun.which("openssl") !== null;
}

/** Runs openssl and returns what it prints. Throws with its complaints when it fails. */
export function openssl(args: readonly string[], cwd?: string): string {
  const result = Bun.spawnSync(["openssl", ...args], {
    stdout: "pipe",
    stderr: "pipe",
    ...(cwd !== undefined && { cwd }),
  });
  if (result.exitCode !== 0) throw new Error(`openssl ${args.join(" ")}: ${result.stderr}`);
  return result.stdout.toString();
}

export function createAuthority(): TestAuthority {
  const folder = mkdtempSync(join(tmpdir(), "evenkeel-ca-"));
  const run = (...args: readonly string[]): string => openssl(args, folder);
  writeFileSync(join(folder, "index.txt"), "");
  writeFileSync(join(folder, "crlnumber"), "01\n");
  const database =
    "[ca]\ndefault_ca=d\n[d]\ndatabase=index.txt\ncrlnumber=crlnumber\ndefault_md=sha256\ndefault_crl_days=30\n";
  writeFileSync(join(folder, "ca.cnf"), database);
  run("genpkey", ...KEY_OPTIONS.p256, "-out", "ca.key");
  const uses = ["-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign,cRLSign"];
  run("req", "-x509", "-key", "ca.key", "-out", "ca.pem", "-days", "30", "-subj", "/CN=test authority", ...uses);
  return {
    folder,
    caPem: readFileSync(join(folder, "ca.pem"), "utf8"),
    caPath: join(folder, "ca.pem"),
    issue(name, names, kind = "p256") {
      run("genpkey", ...KEY_OPTIONS[kind], "-out", `${name}.key`);
      run("req", "-new", "-key", `${name}.key`, "-subj", `/O=Example/CN=${name}`, "-out", `${name}.csr`);
      writeFileSync(join(folder, `${name}.ext`), names === "" ? "" : `subjectAltName=${names}\n`);
      const signer = ["-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "20"];
      run("x509", "-req", "-in", `${name}.csr`, ...signer, "-extfile", `${name}.ext`, "-out", `${name}.pem`);
      return readPair(folder, name);
    },
    revoke(...pairs) {
      const ca = ["ca", "-config", "ca.cnf", "-cert", "ca.pem", "-keyfile", "ca.key"];
      for (const { certificatePath } of pairs) run(...ca, "-revoke", certificatePath);
      run(...ca, "-gencrl", "-out", "ca.crl");
      return readFileSync(join(folder, "ca.crl"), "utf8");
    },
    remove: () => rmSync(folder, { recursive: true, force: true }),
  };
}

function readPair(folder: string, name: string): IssuedPair {
  const [certificatePath, keyPath] = [join(folder, `${name}.pem`), join(folder, `${name}.key`)];
  return {
    certificatePem: readFileSync(certificatePath, "utf8"),
    keyPem: readFileSync(keyPath, "utf8"),
    certificatePath,
    keyPath,
  };
}
