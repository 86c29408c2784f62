/** Certificates with their keys, checked before they are used: a bad one must not get as far as a client. */
import { createPrivateKey, type KeyObject, X509Certificate } from "node:crypto";
import { EvenkeelError } from "../base/errors.ts";
import { at, PlacedError } from "../base/place.ts";
import { parseAlternativeNames, serverNames } from "./subject-names.ts";

export type KeyType = "ecdsa" | "ed25519" | "rsa";

/** What to load, and what to call it in messages. */
export interface CertificateSource {
  /** The chain: the server's own certificate first, then those that issued it, in order. */
  readonly certificatePem: string;
  readonly keyPem: string;
  /** A file, or words such as `ACME certificate for a.test`. */
  readonly certificateFrom: string;
  readonly keyFrom: string;
  readonly passphrase?: string;
}

/** A checked chain with its key. Plain data: it can be sent to another process. */
export interface Certificate {
  readonly certificatePem: string;
  /** PKCS #8, not encrypted. A secret: never in logs or in answers. */
  readonly keyPem: string;
  readonly from: string;
  /** DNS names and wildcards in lower case, and IP addresses, from the subject alternative names. */
  readonly names: readonly string[];
  readonly subject: string;
  readonly issuer: string;
  readonly keyType: KeyType;
  readonly notBeforeMs: number;
  /** The first of all certificates in the chain to expire. */
  readonly notAfterMs: number;
  /** SHA-256 of the server's own certificate, in lower case hexadecimal digits. */
  readonly fingerprint256: string;
  readonly serialNumber: string;
  readonly certificatesInChain: number;
}

export interface CertificateWarning {
  readonly code: "expired" | "not-yet-valid" | "no-names";
  readonly message: string;
}

const PEM_BLOCK = /-----BEGIN ([A-Z0-9 ]+)-----[\s\S]*?-----END \1-----/g;
const CURVES = new Set(["prime256v1", "secp384r1"]);
const LEAST_RSA_BITS = 2_048;
const MOST_CERTIFICATES = 10;

/**
 * Reads a chain and its key. Throws an EvenkeelError placed at `certificate` or `key` that names the file, what was found
 * and what to do about it: nothing readable, an encrypted key without its passphrase, a kind of key that is not supported, a key of another certificate, a
 * chain out of order. Whether it is valid today is for `certificateWarnings` to say.
 */
export function loadCertificate(source: CertificateSource): Certificate {
  const chain = at(["certificate"], () => readChain(source));
  const leaf = chain[0] as X509Certificate;
  const key = at(["key"], () => readKey(source));
  const keyType = at(["key"], () => keyTypeOf(key, source.keyFrom));
  checkKey(chain, key, source);
  at(["certificate"], () => checkOrder(chain, source.certificateFrom));
  return {
    certificatePem: chain
      .map((certificate) => certificate.toString().trimEnd())
      .join("\n")
      .concat("\n"),
    keyPem: key.export({ type: "pkcs8", format: "pem" }).toString(),
    from: source.certificateFrom,
    names: serverNames(parseAlternativeNames(leaf.subjectAltName)),
    subject: leaf.subject,
    issuer: leaf.issuer,
    keyType,
    notBeforeMs: Date.parse(leaf.validFrom),
    notAfterMs: Math.min(...chain.map((certificate) => Date.parse(certificate.validTo))),
    fingerprint256: leaf.fingerprint256.replaceAll(":", "").toLowerCase(),
    serialNumber: leaf.serialNumber,
    certificatesInChain: chain.length,
  };
}

/** What is wrong with a certificate that can be served all the same. */
export function certificateWarnings(certificate: Certificate, nowMs: number): CertificateWarning[] {
  const { from, names, notBeforeMs, notAfterMs } = certificate;
  const warnings: CertificateWarning[] = [];
  if (nowMs > notAfterMs)
    warnings.push({ code: "expired", message: `${from}: expired on ${day(notAfterMs)}; clients will refuse it` });
  if (nowMs < notBeforeMs)
    warnings.push({
      code: "not-yet-valid",
      message: `${from}: not valid before ${day(notBeforeMs)}; clients will refuse it, or this machine's clock is wrong`,
    });
  if (names.length === 0)
    warnings.push({
      code: "no-names",
      message: `${from}: has no DNS name or IP address among its subject alternative names; clients will refuse it`,
    });
  return warnings;
}

/** All certificates of a PEM text, such as a file of authorities. Throws an EvenkeelError when one is broken or none is there. */
export function readCertificates(pem: string, from: string): X509Certificate[] {
  const blocks = [...pem.matchAll(PEM_BLOCK)].filter(([, label]) => label === "CERTIFICATE");
  if (blocks.length === 0) throw new EvenkeelError(`${from}: no certificate in it; ${whatIsThere(pem, "CERTIFICATE")}`);
  return blocks.map(([text], index) => {
    try {
      return new X509Certificate(text);
    } catch {
      throw new EvenkeelError(`${from}: certificate ${index + 1} of ${blocks.length} is damaged; copy the file again`);
    }
  });
}

function readChain(source: CertificateSource): X509Certificate[] {
  const chain = readCertificates(source.certificatePem, source.certificateFrom);
  if (chain.length > MOST_CERTIFICATES)
    throw new EvenkeelError(
      `${source.certificateFrom}: ${chain.length} certificates; a chain has ${MOST_CERTIFICATES} at most. Is this a file of authorities?`,
    );
  return chain;
}

function readKey({ keyPem, keyFrom, passphrase }: CertificateSource): KeyObject {
  const block = [...keyPem.matchAll(PEM_BLOCK)].find(([, label]) => label?.endsWith("PRIVATE KEY"))?.[0];
  if (block === undefined)
    throw new EvenkeelError(`${keyFrom}: no private key in it; ${whatIsThere(keyPem, "PRIVATE KEY")}`);
  try {
    return createPrivateKey(passphrase === undefined ? block : { key: block, passphrase });
  } catch (error) {
    const { code } = error as { code?: string };
    if (code === "ERR_MISSING_PASSPHRASE" || (passphrase === undefined && block.includes("ENCRYPTED")))
      throw new EvenkeelError(
        `${keyFrom}: the key is encrypted; give its passphrase, or decrypt it with \`openssl pkey -in FILE -out FILE.new\``,
      );
    if (passphrase !== undefined && block.includes("ENCRYPTED"))
      throw new EvenkeelError(`${keyFrom}: the passphrase does not open this key`);
    throw new EvenkeelError(`${keyFrom}: the private key is damaged or of an unknown kind; copy the file again`);
  }
}

function keyTypeOf(key: KeyObject, from: string): KeyType {
  const { asymmetricKeyType: type, asymmetricKeyDetails: details } = key;
  const wanted = "use RSA of 2048 bits or more, ECDSA on P-256 or P-384, or Ed25519";
  if (type === "ed25519") return "ed25519";
  if (type === "rsa") {
    const bits = details?.modulusLength ?? 0;
    if (bits < LEAST_RSA_BITS) throw new EvenkeelError(`${from}: an RSA key of ${bits} bits; ${wanted}`);
    return "rsa";
  }
  if (type === "ec") {
    const curve = details?.namedCurve ?? "an unknown curve";
    if (!CURVES.has(curve)) throw new EvenkeelError(`${from}: an ECDSA key on ${curve}; ${wanted}`);
    return "ecdsa";
  }
  throw new EvenkeelError(`${from}: a key of type ${type ?? "unknown"}; ${wanted}`);
}

function checkKey(chain: readonly X509Certificate[], key: KeyObject, source: CertificateSource): void {
  const owner = chain.findIndex((certificate) => certificate.checkPrivateKey(key));
  if (owner === 0) return;
  const { certificateFrom, keyFrom } = source;
  if (owner > 0)
    throw new PlacedError(
      ["certificate"],
      `${certificateFrom}: the key in ${keyFrom} belongs to certificate ${owner + 1} of ${chain.length}; put the server's own certificate first`,
    );
  throw new PlacedError(
    ["key"],
    `${keyFrom}: the key does not belong to the certificate in ${certificateFrom} (${chain[0]?.subject.replaceAll("\n", ", ")}); the two files are not of one pair`,
  );
}

function checkOrder(chain: readonly X509Certificate[], from: string): void {
  for (let index = 1; index < chain.length; index++) {
    const [certificate, issuer] = [chain[index - 1], chain[index]] as [X509Certificate, X509Certificate];
    if (certificate.checkIssued(issuer)) continue;
    throw new EvenkeelError(
      `${from}: certificate ${index + 1} (${oneLine(issuer.subject)}) did not issue certificate ${index} (issued by ${oneLine(certificate.issuer)}); put each certificate directly behind the one it issued`,
    );
  }
}

/** What a file has in place of what was looked for. */
export function whatIsThere(pem: string, wanted: string): string {
  const labels = [...new Set([...pem.matchAll(PEM_BLOCK)].map(([, label]) => label))];
  const found =
    labels.length === 0 ? (pem.trim() === "" ? "it is empty" : "it is not PEM") : `it has ${labels.join(", ")}`;
  return `${found}, expected a PEM block that begins with -----BEGIN ${wanted}-----`;
}

function oneLine(name: string): string {
  return name.replaceAll("\n", ", ") || "no name";
}

function day(epochMs: number): string {
  return new Date(epochMs).toISOString().slice(0, 10);
}
