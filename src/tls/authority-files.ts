/** Files of those who issue certificates: the authorities to trust, and what they have revoked. */
import { atEach } from "../base/place.ts";
import { readCertificates } from "./certificate.ts";
import { readPemFile } from "./certificate-files.ts";
import { checkRevocationList } from "./secure-context.ts";

/**
 * The authorities in these files, as one PEM text. Throws an EvenkeelError placed at the file that is wrong: also for one
 * without a certificate, which the runtime would take for leave to trust somebody else.
 */
export function readAuthorities(paths: readonly string[]): string {
  return readAll(paths, readCertificates);
}

/** The revocation lists in these files, as one PEM text. Throws an EvenkeelError placed at the file that is wrong. */
export function readRevocationLists(paths: readonly string[]): string {
  return readAll(paths, checkRevocationList);
}

function readAll(paths: readonly string[], check: (pem: string, from: string) => unknown): string {
  const texts = atEach(paths, (path) => {
    const pem = readPemFile(path);
    check(pem, path);
    return pem;
  });
  return texts.join("\n");
}
