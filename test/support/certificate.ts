/** Certificates for tests, made by openssl. */
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

export interface TestCertificate {
  readonly cert: string;
  readonly key: string;
}

const made = new Map<string, TestCertificate>();

/** A self-signed certificate (ECDSA P-256) for these names; the same one when asked again. */
export function makeCertificate(...names: readonly string[]): TestCertificate {
  const known = made.get(names.join());
  if (known !== undefined) return known;
  const folder = mkdtempSync(join(tmpdir(), "evenkeel-certificate-"));
  try {
    const alternatives = names.map((name) => (/^[\d.]+$|:/.test(name) ? `IP:${name}` : `DNS:${name}`)).join(",");
    const curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"];
    const files = ["-keyout", join(folder, "key.pem"), "-out", join(folder, "cert.pem")];
    const subject = ["-subj", `/CN=${names[0]}`, "-addext", `subjectAltName=${alternatives}`];
    const { status, stderr } = spawnSync("openssl", [
      "req",
      "-x509",
      ...curve,
      "-nodes",
      "-days",
      "30",
      ...files,
      ...subject,
    ]);
    if (status !== 0) throw new Error(`openssl: ${stderr}`);
    const certificate = {
      cert: readFileSync(join(folder, "cert.pem"), "utf8"),
      key: readFileSync(join(folder, "key.pem"), "utf8"),
    };
    made.set(names.join(), certificate);
    return certificate;
  } finally {
    rmSync(folder, { recursive: true });
  }
}
