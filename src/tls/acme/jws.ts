/** JSON Web Signatures as ACME wants them (RFC 7515 flattened, RFC 8555 section 6.2): ES256 for accounts, HS256 for bindings. */
import { createHash, createHmac, createPublicKey, type KeyObject, sign } from "node:crypto";

/** Members in the order of RFC 7638: their JSON is what a thumbprint is made of. */
export interface PublicJwk {
  readonly crv: string;
  readonly kty: string;
  readonly x: string;
  readonly y: string;
}

export type ProtectedHeader = Readonly<Record<string, string | PublicJwk>>;

/** The public half of an ECDSA key on P-256. */
export function publicJwk(key: KeyObject): PublicJwk {
  const { crv = "", kty = "", x = "", y = "" } = createPublicKey(key).export({ format: "jwk" }) as Partial<PublicJwk>;
  return { crv, kty, x, y };
}

/** RFC 7638, base64url. */
export function thumbprint(jwk: PublicJwk): string {
  return createHash("sha256").update(JSON.stringify(jwk)).digest("base64url");
}

/** `payload` undefined is the empty one of a POST-as-GET (RFC 8555, section 6.3). */
export function signJws(header: ProtectedHeader, payload: unknown, key: KeyObject): string {
  return flattened({ alg: "ES256", ...header }, payload, (input) =>
    sign("sha256", input, { key, dsaEncoding: "ieee-p1363" }),
  );
}

/** Binds the account `jwk` to one the authority knows already (RFC 8555, section 7.3.4). `secret` is base64url. */
export function signBinding(keyId: string, secret: string, url: string, jwk: PublicJwk): unknown {
  const hmac = (input: Uint8Array): Uint8Array =>
    createHmac("sha256", Buffer.from(secret, "base64url")).update(input).digest();
  return JSON.parse(flattened({ alg: "HS256", kid: keyId, url }, jwk, hmac));
}

function flattened(header: ProtectedHeader, payload: unknown, signer: (input: Uint8Array) => Uint8Array): string {
  const protectedPart = encode(JSON.stringify(header));
  const payloadPart = payload === undefined ? "" : encode(JSON.stringify(payload));
  const signature = Buffer.from(signer(Buffer.from(`${protectedPart}.${payloadPart}`))).toString("base64url");
  return JSON.stringify({ protected: protectedPart, payload: payloadPart, signature });
}

function encode(text: string): string {
  return Buffer.from(text).toString("base64url");
}
