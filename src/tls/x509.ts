/** Makes X.509 v3 certificates (RFC 5280) and PKCS #10 requests (RFC 2986) with ECDSA on P-256. */
import { createHash, createPublicKey, generateKeyPairSync, type KeyObject, randomBytes, sign } from "node:crypto";
import { parseIp } from "../base/ip.ts";
import {
  bitString,
  boolean,
  contextConstructed,
  contextPrimitive,
  type Der,
  integer,
  objectIdentifier,
  octetString,
  sequence,
  setOf,
  time,
  utf8String,
} from "./der.ts";

const OID = {
  ecdsaWithSha256: "1.2.840.10045.4.3.2",
  commonName: "2.5.4.3",
  extensionRequest: "1.2.840.113549.1.9.14",
  subjectKeyIdentifier: "2.5.29.14",
  keyUsage: "2.5.29.15",
  subjectAlternativeName: "2.5.29.17",
  basicConstraints: "2.5.29.19",
  extendedKeyUsage: "2.5.29.37",
  serverAuthentication: "1.3.6.1.5.5.7.3.1",
} as const;

const DNS_NAME = 2;
const IP_ADDRESS = 7;
/** RFC 5280, section 4.1.2.2 allows 20 bytes; the highest bit stays zero, so that it stays positive in 16. */
const SERIAL_BYTES = 16;

export interface CertificateRequest {
  /** DNS names, wildcards and IP addresses; the first is the common name as well. */
  readonly names: readonly string[];
  readonly key: KeyObject;
}

export interface SelfSignedRequest extends CertificateRequest {
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
  /** Beside those that every certificate of ours has. */
  readonly extensions?: readonly Der[];
}

export function generateKey(): KeyObject {
  return generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey;
}

/** PKCS #8 PEM, not encrypted. */
export function keyToPem(key: KeyObject): string {
  return key.export({ type: "pkcs8", format: "pem" }).toString();
}

/** A certificate for a server, signed by its own key. Not an authority: it can vouch for nothing else. */
export function buildSelfSigned(request: SelfSignedRequest): Der {
  const { names, key, notBeforeMs, notAfterMs, extensions = [] } = request;
  const publicKey = publicKeyInfo(key);
  const serial = randomBytes(SERIAL_BYTES);
  serial[0] = ((serial[0] as number) & 0x7f) | 0x40;
  const name = distinguishedName(names[0] ?? "");
  const version3 = contextConstructed(0, integer(Uint8Array.of(2)));
  const body = sequence(
    version3,
    integer(serial),
    sequence(objectIdentifier(OID.ecdsaWithSha256)),
    name,
    sequence(time(notBeforeMs), time(notAfterMs)),
    name,
    publicKey,
    contextConstructed(
      3,
      sequence(
        extension(OID.basicConstraints, true, sequence()),
        extension(OID.keyUsage, true, bitString(Uint8Array.of(0x80), 7)),
        extension(OID.extendedKeyUsage, false, sequence(objectIdentifier(OID.serverAuthentication))),
        extension(OID.subjectKeyIdentifier, false, octetString(createHash("sha1").update(publicKey).digest())),
        subjectAlternativeNames(names),
        ...extensions,
      ),
    ),
  );
  return signed(body, key);
}

/** What an authority is asked with for a certificate over `names` and the public half of `key`. */
export function buildSigningRequest({ names, key }: CertificateRequest): Der {
  const attribute = sequence(objectIdentifier(OID.extensionRequest), setOf(sequence(subjectAlternativeNames(names))));
  // The names stand in the extension alone: an authority takes nothing else from a subject.
  return signed(
    sequence(integer(Uint8Array.of(0)), sequence(), publicKeyInfo(key), contextConstructed(0, attribute)),
    key,
  );
}

/** An extension; a `critical` one must be understood by whoever reads the certificate. */
export function extension(oid: string, critical: boolean, content: Der): Der {
  return sequence(objectIdentifier(oid), ...(critical ? [boolean(true)] : []), octetString(content));
}

function signed(body: Der, key: KeyObject): Der {
  return sequence(body, sequence(objectIdentifier(OID.ecdsaWithSha256)), bitString(sign("sha256", body, key)));
}

function publicKeyInfo(key: KeyObject): Der {
  return createPublicKey(key).export({ type: "spki", format: "der" });
}

function distinguishedName(commonName: string): Der {
  // RFC 5280, appendix A.1: a common name has 64 characters at most; the whole name stands among the alternative names.
  return sequence(setOf(sequence(objectIdentifier(OID.commonName), utf8String(commonName.slice(0, 64)))));
}

function subjectAlternativeNames(names: readonly string[]): Der {
  const entries = names.map((name) => {
    const address = addressBytes(name);
    return address === undefined
      ? contextPrimitive(DNS_NAME, Buffer.from(name, "latin1"))
      : contextPrimitive(IP_ADDRESS, address);
  });
  return extension(OID.subjectAlternativeName, false, sequence(...entries));
}

/** Four or sixteen bytes, or undefined for what is no IP address. */
function addressBytes(name: string): Uint8Array | undefined {
  const words = parseIp(name);
  if (words === undefined) return undefined;
  const bytes = new Uint8Array(words.length * 4);
  const view = new DataView(bytes.buffer);
  for (const [index, word] of words.entries()) view.setUint32(index * 4, word);
  return bytes;
}
