import { describe, expect, test } from "bun:test";
import { type Certificate, loadCertificate } from "../tls/certificate.ts";
import { createSelfSigned } from "../tls/self-signed.ts";
import { certificateSamples } from "./certificate-samples.ts";

function certificate(names: readonly string[], notAfterMs: number): Certificate {
  const pair = createSelfSigned(names, Date.UTC(2026, 0, 1));
  return { ...loadCertificate({ ...pair, certificateFrom: "test", keyFrom: "test" }), notAfterMs };
}

describe("what metrics tell of certificates", () => {
  test("one for each listener, names and kind of key", () => {
    const one = certificate(["a.test", "b.test"], 2_000);
    expect(certificateSamples({ web: [one], api: [one, certificate(["c.test"], 3_000)], none: [] })).toEqual([
      { listener: "web", names: "a.test b.test", key: "ecdsa", notAfterMs: 2_000 },
      { listener: "api", names: "a.test b.test", key: "ecdsa", notAfterMs: 2_000 },
      { listener: "api", names: "c.test", key: "ecdsa", notAfterMs: 3_000 },
    ]);
  });

  test("many names are cut short; of those that look the same the first to expire is told", () => {
    const names = ["a.test", "b.test", "c.test", "d.test", "e.test"];
    const samples = certificateSamples({ web: [certificate(names, 5_000), certificate(names, 4_000)] });
    expect(samples).toEqual([{ listener: "web", names: "a.test b.test c.test +2", key: "ecdsa", notAfterMs: 4_000 }]);
  });

  test("there is a bound for certificates by the thousand", () => {
    const common = certificate(["a.test"], 1_000);
    const many = Array.from({ length: 2_000 }, (_, index) => ({ ...common, names: [`${index}.test`] }));
    expect(certificateSamples({ web: many })).toHaveLength(500);
  });
});
