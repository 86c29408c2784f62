/** What TLS is spoken with, on both sides, in the words of the runtime. Contexts are made when a configuration is built. */
import { createHash } from "node:crypto";
import { createSecureContext, getCiphers, type SecureContextOptions } from "node:tls";
import { EvenkeelError } from "../base/errors.ts";
import { parseIp } from "../base/ip.ts";
import { at } from "../base/place.ts";
import { suggest } from "../base/suggest.ts";
import { type Certificate, whatIsThere } from "./certificate.ts";

export type TlsVersion = "1.2" | "1.3";
export type ClientAuthenticationMode = "off" | "request" | "require";

/**
 * Ciphers for TLS 1.2: forward secrecy and authenticated encryption only. Those of TLS 1.3 are all good, and the runtime
 * has no way to choose among them.
 */
export const DEFAULT_CIPHERS: readonly string[] = [
  "ECDHE-ECDSA-AES128-GCM-SHA256",
  "ECDHE-RSA-AES128-GCM-SHA256",
  "ECDHE-ECDSA-AES256-GCM-SHA384",
  "ECDHE-RSA-AES256-GCM-SHA384",
  "ECDHE-ECDSA-CHACHA20-POLY1305",
  "ECDHE-RSA-CHACHA20-POLY1305",
];

const CURVES = "X25519MLKEM768:X25519:P-256:P-384";
/** SSL_OP_NO_TICKET. */
const NO_TICKET = 1 << 14;
/** SSL_OP_CIPHER_SERVER_PREFERENCE: the order of our list counts, not that of the client's. */
const OUR_ORDER = 1 << 22;
const VERSION_NAME = { "1.2": "TLSv1.2", "1.3": "TLSv1.3" } as const;

/** How a listener speaks TLS, whatever the certificate. */
export interface ServerTlsSettings {
  readonly minVersion: TlsVersion;
  readonly maxVersion: TlsVersion;
  /** Names as OpenSSL has them, for TLS 1.2. */
  readonly ciphers: readonly string[];
  /** Lets a client come back without a full handshake. */
  readonly sessionTickets: boolean;
  readonly clientAuthentication: {
    readonly mode: ClientAuthenticationMode;
    /** PEM of the authorities that may issue client certificates. */
    readonly caPem?: string;
    /** PEM of revocation lists; with one, every authority in a client's chain needs its own. */
    readonly crlPem?: string;
  };
}

export const DEFAULT_SERVER_SETTINGS: ServerTlsSettings = {
  minVersion: "1.2",
  maxVersion: "1.3",
  ciphers: DEFAULT_CIPHERS,
  sessionTickets: true,
  clientAuthentication: { mode: "off" },
};

/** What the runtime's sockets take as `secureContext`, and what their `serverName` handler may return. Opaque. */
export interface NativeContext {
  readonly nativeContext?: never;
}

/**
 * Makes a context with one certificate, or several for clients that cannot take the first: they go by key, in the order
 * given. Without any it is for refusing: every handshake fails. Throws an EvenkeelError when the runtime does not take it.
 */
export function createServerContext(certificates: readonly Certificate[], settings: ServerTlsSettings): NativeContext {
  const { mode, caPem, crlPem } = settings.clientAuthentication;
  const options: SecureContextOptions & { requestCert: boolean; rejectUnauthorized: boolean } = {
    ...(certificates.length > 0 && {
      cert: certificates.map(({ certificatePem }) => certificatePem),
      key: certificates.map(({ keyPem }) => keyPem),
    }),
    ...(mode !== "off" && caPem !== undefined && { ca: caPem }),
    ...(mode !== "off" && crlPem !== undefined && { crl: crlPem }),
    ciphers: settings.ciphers.join(":"),
    ecdhCurve: CURVES,
    // The same in every context of a listener: a handshake whose context changes versions midway ends without an alert.
    minVersion: VERSION_NAME[settings.minVersion],
    maxVersion: VERSION_NAME[settings.maxVersion],
    secureOptions: OUR_ORDER | (settings.sessionTickets ? 0 : NO_TICKET),
    requestCert: mode !== "off",
    rejectUnauthorized: mode === "require",
  };
  return nativeContext(options, certificates.map(({ from }) => from).join(", ") || "TLS");
}

/** Text that differs when contexts of the two settings would differ. */
export function settingsFingerprint(settings: ServerTlsSettings): string {
  return createHash("sha256").update(JSON.stringify(settings)).digest("hex");
}

/** The part of `tls` in `Bun.listen` and `upgradeTLS` that is the same for every connection of a listener. */
export interface ServerTlsOptions {
  readonly secureContext: NativeContext;
  readonly requestCert: boolean;
  readonly rejectUnauthorized: boolean;
  readonly ALPNProtocols?: Buffer;
}

/** `protocols` in order of preference; a client that offers others only is refused, one that offers none is not. */
export function serverTlsOptions(
  defaultContext: NativeContext,
  settings: ServerTlsSettings,
  protocols: readonly string[],
): ServerTlsOptions {
  const { mode } = settings.clientAuthentication;
  return {
    secureContext: defaultContext,
    requestCert: mode !== "off",
    rejectUnauthorized: mode === "require",
    ...(protocols.length > 0 && { ALPNProtocols: encodeProtocols(protocols) }),
  };
}

/** How a pool speaks TLS with its endpoints. */
export interface ClientTlsSettings {
  readonly verify: boolean;
  /** The name sent as SNI and looked for in the endpoint's certificate; else the host of its address. */
  readonly serverName?: string | undefined;
  /** PEM of the authorities that are trusted, instead of the system's. */
  readonly caPem?: string | undefined;
  /** What the endpoint is shown when it asks. */
  readonly certificate?: Certificate | undefined;
  /** Offered in order of preference (ALPN); none when empty. */
  readonly protocols: readonly string[];
}

/** One for all connections of a pool: reading authorities for each would cost more than the handshake. */
export function createClientContext({ verify, caPem, certificate }: ClientTlsSettings): NativeContext {
  return nativeContext(
    {
      ...(caPem !== undefined && { ca: caPem }),
      ...(certificate !== undefined && { cert: certificate.certificatePem, key: certificate.keyPem }),
      ciphers: DEFAULT_CIPHERS.join(":"),
      ecdhCurve: CURVES,
      minVersion: VERSION_NAME["1.2"],
      rejectUnauthorized: verify,
    } as SecureContextOptions,
    certificate?.from ?? "TLS with endpoints",
  );
}

/** `tls` of `Bun.connect`. */
export interface ClientTlsOptions {
  readonly secureContext: NativeContext;
  readonly rejectUnauthorized: boolean;
  readonly servername: string;
  readonly ALPNProtocols?: Buffer;
}

/**
 * `host` is what the endpoint's address says, before it is resolved. An endpoint that cannot be verified gets no data: the
 * `handshake` handler is told why (see `endpointHandshakeFailure`), and the runtime closes. For an IP address no SNI is sent (RFC 6066, section 3), and the
 * certificate must have that address.
 */
export function clientTlsOptions(context: NativeContext, settings: ClientTlsSettings, host: string): ClientTlsOptions {
  const { verify, serverName = host, protocols } = settings;
  return {
    secureContext: context,
    rejectUnauthorized: verify,
    servername: parseIp(serverName) === undefined ? serverName : "",
    ...(protocols.length > 0 && { ALPNProtocols: encodeProtocols(protocols) }),
  };
}

/** What the runtime calls a handshake that was not completed; all else is about the certificate. */
const BROKEN_HANDSHAKE = new Set(["EPROTO", "ECONNRESET"]);

/**
 * Why a handshake with an endpoint failed, from what the `handshake` handler gets; undefined when it did not. The runtime
 * says `ok: false` of a certificate for another name also when nothing is to be verified, and goes on all the same.
 */
export function endpointHandshakeFailure(
  ok: boolean,
  error: { readonly code?: string } | null | undefined,
  verify: boolean,
): string | undefined {
  if (ok) return undefined;
  const code = error?.code ?? "EPROTO";
  return verify || BROKEN_HANDSHAKE.has(code) ? code : undefined;
}

/** RFC 7301, section 3.1: each name behind its length. The runtime reads no other form. */
export function encodeProtocols(protocols: readonly string[]): Buffer {
  return Buffer.concat(protocols.map((name) => Buffer.from([name.length, ...Buffer.from(name, "latin1")])));
}

/** Throws an EvenkeelError placed at the first of `ciphers` that the runtime does not know. */
export function checkCiphers(ciphers: readonly string[]): void {
  for (const [index, cipher] of ciphers.entries())
    at([index], () => {
      if (!isKnown(cipher)) throw new EvenkeelError(unknownCipher(cipher));
    });
}

function isKnown(cipher: string): boolean {
  try {
    createSecureContext({ ciphers: cipher });
    return true;
  } catch {
    return false;
  }
}

function unknownCipher(cipher: string): string {
  // Those of TLS 1.3 are in the list by names of their own.
  const known = getCiphers().map((name) => name.toUpperCase());
  const near = suggest(
    cipher,
    known.filter((name) => !name.startsWith("TLS_")),
  );
  const cure = near === undefined ? "leave `ciphers` out to have the best" : `did you mean ${near}?`;
  return `${cipher} is not a cipher of TLS 1.2 that is known here; ${cure}`;
}

/** Throws an EvenkeelError that names the file when what it has is not a list of revoked certificates that can be used. */
export function checkRevocationList(crlPem: string, from: string): void {
  if (!crlPem.includes("-----BEGIN X509 CRL-----"))
    throw new EvenkeelError(`${from}: no revocation list in it; ${whatIsThere(crlPem, "X509 CRL")}`);
  try {
    createSecureContext({ crl: crlPem });
  } catch {
    throw new EvenkeelError(`${from}: the revocation list is damaged; copy the file again`);
  }
}

function nativeContext(options: SecureContextOptions, what: string): NativeContext {
  try {
    return (createSecureContext(options) as unknown as { context: NativeContext }).context;
  } catch (error) {
    throw new EvenkeelError(`${what}: ${(error as Error).message}`);
  }
}
