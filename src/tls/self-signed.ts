/** A certificate for development, made when evenkeel starts: browsers warn, but everything else of TLS is as it will be. */

import { toPem } from "./der.ts";
import { buildSelfSigned, generateKey, keyToPem } from "./x509.ts";

const DAY_MS = 86_400_000;
const VALID_DAYS = 90;
/** Clocks of the machines around may be a little behind. */
const BACKDATED_MS = 3_600_000;

export const DEFAULT_SELF_SIGNED_NAMES: readonly string[] = ["localhost", "127.0.0.1", "::1"];

/** PEM texts of a certificate and its key. */
export interface PemPair {
  readonly certificatePem: string;
  readonly keyPem: string;
}

/** For `names` (DNS names, wildcards, IP addresses), ECDSA on P-256, valid for 90 days from an hour before `nowMs`. */
export function createSelfSigned(names: readonly string[], nowMs: number): PemPair {
  const key = generateKey();
  const certificate = buildSelfSigned({
    names: names.length === 0 ? DEFAULT_SELF_SIGNED_NAMES : names,
    key,
    notBeforeMs: nowMs - BACKDATED_MS,
    notAfterMs: nowMs - BACKDATED_MS + VALID_DAYS * DAY_MS,
  });
  return { certificatePem: toPem("CERTIFICATE", certificate), keyPem: keyToPem(key) };
}
