/** What metrics tell of certificates, in labels that stay few and short however many certificates there are. */
import type { CertificateSample } from "../observability/prometheus.ts";
import type { Certificate } from "../tls/certificate.ts";

const MAX_NAMES = 3;
/** Per listener; the first ones count, as in its configuration. */
const MAX_CERTIFICATES = 500;

/** One for each listener, names and kind of key; where several would be the same, the one that expires first. */
export function certificateSamples(byListener: Readonly<Record<string, readonly Certificate[]>>): CertificateSample[] {
  return Object.entries(byListener).flatMap(([listener, certificates]) => {
    const samples = new Map<string, CertificateSample>();
    for (const { names, keyType, notAfterMs } of certificates.slice(0, MAX_CERTIFICATES)) {
      const shown = shorten(names);
      const known = samples.get(`${keyType} ${shown}`);
      if (known === undefined || notAfterMs < known.notAfterMs)
        samples.set(`${keyType} ${shown}`, { listener, names: shown, key: keyType, notAfterMs });
    }
    return [...samples.values()];
  });
}

function shorten(names: readonly string[]): string {
  const more = names.length - MAX_NAMES;
  return names.slice(0, MAX_NAMES).join(" ") + (more > 0 ? ` +${more}` : "");
}
