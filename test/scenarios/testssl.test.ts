/** What testssl.sh, an opinion independent of ours, finds about a listener that runs with the defaults. */
import { afterEach, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { startEvenkeel } from "../support/evenkeel.ts";
import { endAll, freePort, havePrograms, RunningProgram, temporaryFolder } from "../support/process.ts";

interface Finding {
  readonly id: string;
  readonly severity: "OK" | "INFO" | "LOW" | "MEDIUM" | "HIGH" | "CRITICAL" | "WARN" | "FATAL" | "DEBUG";
  readonly finding: string;
}

/** What it says of the certificate, which has no authority. */
const OF_THE_TEST = /^(cert_chain_of_trust|cert_trust|cert_revocation|cert_caIssuers)/;
const CHECKS = ["--protocols", "--server-defaults", "--server-preference", "--headers", "--fs"];
const WEAKNESSES = ["--heartbleed", "--ccs-injection", "--ticketbleed", "--renegotiation", "--crime", "--poodle"];
const OLD = [
  "--tls-fallback",
  "--sweet32",
  "--freak",
  "--drown",
  "--logjam",
  "--beast",
  "--lucky13",
  "--rc4",
  "--robot",
];
const LIMIT_MS = 85_000;

if (havePrograms("testssl", "openssl")) {
  afterEach(endAll);

  test("testssl.sh finds nothing above LOW", async () => {
    const folder = temporaryFolder();
    const port = await freePort();
    // Those are a site's own affair.
    const headers = { "Content-Security-Policy": "default-src 'self'", "X-Content-Type-Options": "nosniff" };
    await startEvenkeel({
      workers: 1,
      listeners: {
        web: { address: `127.0.0.1:${port}`, tls: { certificates: [{ selfSigned: {} }], hsts: { maxAge: "365d" } } },
      },
      routes: [{ respond: { body: "ok", headers } }],
    });
    const output = join(folder, "findings.json");
    const quiet = ["--quiet", "--color", "0", "--warnings", "batch", "--nodns", "none"];
    const scan = new RunningProgram(
      ["testssl", ...quiet, "--jsonfile", output, ...CHECKS, ...WEAKNESSES, ...OLD, `127.0.0.1:${port}`],
      { environment: { CONNECT_TIMEOUT: "5", OPENSSL_TIMEOUT: "5" } },
    );
    await scan.ending(LIMIT_MS);

    const findings = JSON.parse(readFileSync(output, "utf8")) as Finding[];
    const bad = findings.filter(
      ({ id, severity }) => /^(MEDIUM|HIGH|CRITICAL|FATAL)$/.test(severity) && !OF_THE_TEST.test(id),
    );
    expect(bad).toEqual([]);
    console.log(
      `testssl.sh: ${findings.length} findings, ${findings.filter(({ severity }) => severity === "LOW").length} of them LOW`,
    );
    const of = (id: string): string | undefined => findings.find((finding) => finding.id === id)?.severity;
    expect(findings.length).toBeGreaterThan(50);
    expect([of("SSLv3"), of("TLS1"), of("TLS1_3"), of("heartbleed")]).toEqual(["OK", "INFO", "OK", "OK"]);
  }, 100_000);
}
