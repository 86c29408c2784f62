import type { HstsConfig } from "./schema.ts";

/** The value of Strict-Transport-Security (RFC 6797, section 6.1), or undefined when it is not to be sent. */
export function strictTransportSecurity(config: HstsConfig | false): string | undefined {
  if (config === false) return undefined;
  const { maxAge, includeSubDomains, preload } = config;
  const parts = [`max-age=${Math.floor(maxAge / 1_000)}`];
  if (includeSubDomains) parts.push("includeSubDomains");
  if (preload) parts.push("preload");
  return parts.join("; ");
}
