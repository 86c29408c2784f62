/** Answers to an authority that wants to see that a name is ours (RFC 8555 section 8.3, RFC 8737). */
import { createHash } from "node:crypto";
import { loadCertificate } from "../certificate.ts";
import { octetString, toPem } from "../der.ts";
import { createServerContext, DEFAULT_SERVER_SETTINGS, type NativeContext } from "../secure-context.ts";
import { normalizeHostName } from "../subject-names.ts";
import { buildSelfSigned, extension, generateKey, keyToPem } from "../x509.ts";

export type ChallengeType = "http-01" | "tls-alpn-01";

/** Plain data: it can be sent to another process. */
export interface Challenge {
  readonly type: ChallengeType;
  /** The DNS name in question. */
  readonly name: string;
  readonly token: string;
  readonly keyAuthorization: string;
}

/** Whoever can make clients see the answers. A promise is waited for before the authority is told to look. */
export interface ChallengeResponder {
  present(challenge: Challenge): Promise<void> | void;
  withdraw(challenge: Challenge): Promise<void> | void;
}

/** The protocol that an authority offers (ALPN) when it comes to check; alone, so that no client is mistaken for it. */
export const ACME_TLS_PROTOCOL = "acme-tls/1";

const HTTP_PREFIX = "/.well-known/acme-challenge/";
const TOKEN = /^[A-Za-z0-9_-]{1,256}$/;
const ACME_IDENTIFIER = "1.3.6.1.5.5.7.1.31";
const HOUR_MS = 3_600_000;

/** The challenges that are open now, looked up by those who serve. One in every process that has listeners. */
export class ChallengeTable implements ChallengeResponder {
  readonly #wallNow: () => number;
  readonly #byToken = new Map<string, Challenge>();
  readonly #byName = new Map<string, { readonly challenge: Challenge; context: NativeContext | undefined }>();

  /** `wallNow` gives milliseconds since the Unix epoch. */
  constructor(wallNow: () => number) {
    this.#wallNow = wallNow;
  }

  present(challenge: Challenge): void {
    if (challenge.type === "http-01") this.#byToken.set(challenge.token, challenge);
    else this.#byName.set(challenge.name, { challenge, context: undefined });
  }

  withdraw({ type, name, token }: Challenge): void {
    if (type === "http-01") this.#byToken.delete(token);
    else if (this.#byName.get(name)?.challenge.token === token) this.#byName.delete(name);
  }

  /** Makes these the open ones, and no others. */
  replace(challenges: readonly Challenge[]): void {
    this.#byToken.clear();
    const before = new Map(this.#byName);
    this.#byName.clear();
    for (const challenge of challenges) {
      this.present(challenge);
      const known = before.get(challenge.name);
      if (known?.challenge.token === challenge.token) this.#byName.set(challenge.name, known);
    }
  }

  /** Answers that are wanted over HTTP; zero nearly always, so that requests need not be looked at. */
  get openHttp(): number {
    return this.#byToken.size;
  }

  get openTls(): number {
    return this.#byName.size;
  }

  /** The body for a GET of `path`, to be sent as `application/octet-stream`; undefined when it is no open challenge. */
  httpAnswer(path: string): string | undefined {
    if (!path.startsWith(HTTP_PREFIX)) return undefined;
    const token = path.slice(HTTP_PREFIX.length);
    return TOKEN.test(token) ? this.#byToken.get(token)?.keyAuthorization : undefined;
  }

  /** For a client that offers `acme-tls/1` and nothing else, and asks for `serverName`. */
  tlsContext(serverName: string): NativeContext | undefined {
    const open = this.#byName.get(normalizeHostName(serverName));
    if (open === undefined) return undefined;
    open.context ??= this.#createContext(open.challenge);
    return open.context;
  }

  #createContext({ name, keyAuthorization }: Challenge): NativeContext {
    const key = generateKey();
    const digest = octetString(createHash("sha256").update(keyAuthorization).digest());
    const nowMs = this.#wallNow();
    const certificate = buildSelfSigned({
      names: [name],
      key,
      notBeforeMs: nowMs - HOUR_MS,
      notAfterMs: nowMs + HOUR_MS,
      extensions: [extension(ACME_IDENTIFIER, true, digest)],
    });
    const from = `challenge for ${name}`;
    const pair = { certificatePem: toPem("CERTIFICATE", certificate), keyPem: keyToPem(key) };
    const loaded = loadCertificate({ ...pair, certificateFrom: from, keyFrom: from });
    return createServerContext([loaded], { ...DEFAULT_SERVER_SETTINGS, sessionTickets: false });
  }
}
