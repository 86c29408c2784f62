/**
 * The mark that a client carries: which endpoint its session is on and when it was given, signed. It names the endpoint by
 * a keyed hash, so that it tells nobody anything about addresses, and holds in every balancer with the same secret.
 *
 * 24 bytes as 32 characters of base64url: version, seconds since 1970 (4), hash of the endpoint (6), HMAC-SHA256 of these
 * cut to 13 bytes.
 */
import { timingSafeEqual } from "node:crypto";

const VERSION = 1;
const ISSUED = 1;
const TAG = 5;
const MAC = 11;
const TOKEN_BYTES = 24;
const TAG_BYTES = 6;
const TOKEN_LENGTH = 32;
/** The version, 1, makes the first letter and four bits of the second. */
const TOKEN = /^A[Q-Za-f][A-Za-z0-9_-]{30}$/;

/** What a valid token says. */
export interface ReadToken {
  /** Which secret it was signed with; 0 is the one that signs now. */
  readonly secret: number;
  /** Keyed hash of the endpoint: see `tagOf`. */
  readonly tag: number;
  /** Seconds since 1970. */
  readonly issuedS: number;
}

interface Keys {
  readonly mac: Buffer;
  readonly endpoint: Buffer;
}

export class SessionTokens {
  readonly #keys: readonly Keys[];
  readonly #bytes = Buffer.alloc(TOKEN_BYTES);

  /** `scope` (pool and cookie) goes into the keys: a token of one is nothing in another. The first secret signs. */
  constructor(secrets: readonly (string | Uint8Array)[], scope: string) {
    this.#keys = secrets.map((secret) => ({
      mac: hmac(secret, `evenkeel session token\0${scope}`),
      endpoint: hmac(secret, `evenkeel session endpoint\0${scope}`),
    }));
  }

  get secrets(): number {
    return this.#keys.length;
  }

  /** The keyed hash of an endpoint's id, 48 bits. Two endpoints of a pool never share one in practice. */
  tagOf(endpoint: string, secret: number): number {
    return hmac(this.#keys[secret]!.endpoint, endpoint).readUIntBE(0, TAG_BYTES);
  }

  issue(tag: number, issuedS: number): string {
    const bytes = this.#bytes;
    bytes[0] = VERSION;
    bytes.writeUInt32BE(issuedS >>> 0, ISSUED);
    bytes.writeUIntBE(tag, TAG, TAG_BYTES);
    this.#mac(0).copy(bytes, MAC, 0, TOKEN_BYTES - MAC);
    return bytes.toString("base64url");
  }

  /** Undefined for whatever was not issued with one of the secrets. */
  read(text: string): ReadToken | undefined {
    if (!looksLikeToken(text)) return undefined;
    const bytes = this.#bytes;
    const given = Buffer.from(text, "base64url");
    given.copy(bytes);
    const mac = given.subarray(MAC);
    for (let secret = 0; secret < this.#keys.length; secret++) {
      if (!timingSafeEqual(this.#mac(secret).subarray(0, TOKEN_BYTES - MAC), mac)) continue;
      return { secret, tag: given.readUIntBE(TAG, TAG_BYTES), issuedS: given.readUInt32BE(ISSUED) };
    }
    return undefined;
  }

  #mac(secret: number): Buffer {
    return hmac(this.#keys[secret]!.mac, this.#bytes.subarray(0, MAC));
  }
}

/** Whether it has the form of a token, signed by whomever. */
export function looksLikeToken(text: string): boolean {
  return text.length === TOKEN_LENGTH && TOKEN.test(text);
}

function hmac(key: string | Uint8Array, data: string | Uint8Array): Buffer {
  return new Bun.CryptoHasher("sha256", key).update(data).digest();
}
