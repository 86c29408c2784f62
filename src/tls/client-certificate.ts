/** Who a client is, from the certificate it has shown in the handshake (mutual TLS). */
import { type AlternativeName, parseAlternativeNames } from "./subject-names.ts";

export interface ClientCertificate {
  /** Verified against the listener's authorities and revocation lists, and valid now. Nothing below is to be believed without. */
  readonly verified: boolean;
  /** Why not, as the runtime calls it: `CERT_REVOKED`, `DEPTH_ZERO_SELF_SIGNED_CERT`, ...; empty when verified. */
  readonly failure: string;
  /** RFC 4514: the most specific part first, `CN=app,O=Example`. */
  readonly subject: string;
  readonly alternativeNames: readonly AlternativeName[];
  /** SHA-256 in lower case hexadecimal digits. */
  readonly fingerprint256: string;
  readonly serialNumber: string;
}

/** What of a TLS socket is needed here; the runtime's own type does not know all of it. */
export interface AuthenticatedSocket {
  readonly authorized: boolean;
  getAuthorizationError(): { readonly code?: string } | null | undefined;
  getPeerX509Certificate(): PeerCertificate | undefined;
}

interface PeerCertificate {
  readonly subject: string;
  readonly subjectAltName: string | undefined;
  readonly fingerprint256: string;
  readonly serialNumber: string;
}

/**
 * To be called in the `handshake` handler or later; undefined when the client has shown none. With `require` the runtime
 * closes after that handler when the certificate is not good, and no data arrives; with `request` the connection goes on.
 */
export function clientCertificateOf(socket: AuthenticatedSocket): ClientCertificate | undefined {
  const certificate = socket.getPeerX509Certificate();
  if (certificate === undefined || certificate === null) return undefined;
  return {
    verified: socket.authorized,
    failure: socket.authorized ? "" : (socket.getAuthorizationError()?.code ?? "UNKNOWN"),
    subject: certificate.subject.split("\n").map(escapePart).reverse().join(","),
    alternativeNames: parseAlternativeNames(certificate.subjectAltName),
    fingerprint256: certificate.fingerprint256.replaceAll(":", "").toLowerCase(),
    serialNumber: certificate.serialNumber,
  };
}

/** The runtime writes one part a line, already escaped but for control characters, which must not get into a header. */
function escapePart(part: string): string {
  return part.replace(/[^\x20-\x7e]/g, (character) =>
    [...Buffer.from(character)].map((byte) => `\\${byte.toString(16).padStart(2, "0").toUpperCase()}`).join(""),
  );
}
