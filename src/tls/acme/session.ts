/** Talks to an ACME server: its directory, nonces, signed requests, the account (RFC 8555, sections 6 and 7.1 to 7.3). */
import type { KeyObject } from "node:crypto";
import { z } from "zod";
import type { Clock, Timers } from "../../base/clock.ts";
import { type PublicJwk, publicJwk, signBinding, signJws, thumbprint } from "./jws.ts";
import { pause } from "./pause.ts";
import { AcmeError, parseProblem, refusal } from "./problem.ts";
import type { AcmeResponse, AcmeTransport } from "./transport.ts";

const MAX_NONCE_RETRIES = 10;
const MAX_NONCES = 16;
const FIRST_POLL_MS = 500;
const LONGEST_POLL_MS = 10_000;
const POLL_FOR_MS = 180_000;

const directorySchema = z.object({
  newNonce: z.url(),
  newAccount: z.url(),
  newOrder: z.url(),
  meta: z
    .object({ termsOfService: z.string().optional(), externalAccountRequired: z.boolean().optional() })
    .default({}),
});

export type Directory = z.output<typeof directorySchema>;

export interface AccountTerms {
  readonly email?: string | undefined;
  readonly acceptTerms: boolean;
  readonly externalAccount?: { readonly keyId: string; readonly key: string } | undefined;
}

export interface SessionOptions {
  readonly directoryUrl: string;
  readonly transport: AcmeTransport;
  readonly clock: Clock;
  readonly timers: Timers;
  /** ECDSA on P-256. */
  readonly accountKey: KeyObject;
  readonly signal: AbortSignal;
}

export class AcmeSession {
  readonly #options: SessionOptions;
  readonly #jwk: PublicJwk;
  readonly #nonces: string[] = [];
  #directory: Directory | undefined;
  #accountUrl: string | undefined;

  constructor(options: SessionOptions) {
    this.#options = options;
    this.#jwk = publicJwk(options.accountKey);
  }

  /** What answers the challenge `token` (RFC 8555, section 8.1). */
  keyAuthorization(token: string): string {
    return `${token}.${thumbprint(this.#jwk)}`;
  }

  async directory(): Promise<Directory> {
    if (this.#directory !== undefined) return this.#directory;
    const url = this.#options.directoryUrl;
    const response = await this.#options.transport({ method: "GET", url }, this.#options.signal);
    if (response.status !== 200)
      throw refusal(url, parseProblem(response.body), response.status, this.#retryAfter(response));
    this.#directory = parseBody(directorySchema, response.body, url);
    return this.#directory;
  }

  /** Goes on with an account that was made before. */
  useAccount(url: string): void {
    this.#accountUrl = url;
  }

  /** Makes an account for the key, or finds the one it has, and returns its address. Throws an AcmeError. */
  async createAccount({ email, acceptTerms, externalAccount }: AccountTerms): Promise<string> {
    const { newAccount, meta } = await this.directory();
    if (!acceptTerms && meta.termsOfService !== undefined)
      throw new AcmeError(
        `account: the authority wants its terms to be accepted; read ${meta.termsOfService} and set acceptTerms: true`,
        { kind: "termsNotAccepted" },
      );
    if (externalAccount === undefined && meta.externalAccountRequired === true)
      throw new AcmeError("account: the authority wants an account made with it before; set externalAccount", {
        kind: "externalAccountRequired",
      });
    const payload = {
      termsOfServiceAgreed: acceptTerms,
      ...(email !== undefined && { contact: [`mailto:${email}`] }),
      ...(externalAccount !== undefined && {
        externalAccountBinding: signBinding(externalAccount.keyId, externalAccount.key, newAccount, this.#jwk),
      }),
    };
    const response = await this.#signed("account", newAccount, payload, { jwk: this.#jwk });
    const url = response.header("location");
    if (url === undefined) throw new AcmeError("account: the answer has no address of it", { kind: "malformed" });
    this.#accountUrl = url;
    return url;
  }

  /** A signed POST, or a POST-as-GET when there is no payload. `action` begins messages. Throws an AcmeError. */
  post(action: string, url: string, payload?: unknown, accept?: string): Promise<AcmeResponse> {
    if (this.#accountUrl === undefined) throw new AcmeError(`${action}: there is no account`, { kind: "malformed" });
    return this.#signed(action, url, payload, { kid: this.#accountUrl }, accept);
  }

  /** As `post`, with the body read by `schema`. */
  async read<Schema extends z.ZodType>(
    schema: Schema,
    action: string,
    url: string,
    payload?: unknown,
  ): Promise<z.output<Schema>> {
    return parseBody(schema, (await this.post(action, url, payload)).body, action);
  }

  /** Reads `url` again and again, as often as the server wants, until `isDone`. Throws an AcmeError after three minutes. */
  async poll<Schema extends z.ZodType>(
    schema: Schema,
    action: string,
    url: string,
    isDone: (body: z.output<Schema>) => boolean,
  ): Promise<z.output<Schema>> {
    const { clock, timers, signal } = this.#options;
    const until = clock.now() + POLL_FOR_MS;
    for (let delayMs = FIRST_POLL_MS; ; delayMs = Math.min(LONGEST_POLL_MS, delayMs * 2)) {
      const response = await this.post(action, url);
      const body = parseBody(schema, response.body, action);
      if (isDone(body)) return body;
      const waitMs = Math.min(this.#retryAfter(response) ?? delayMs, until - clock.now());
      if (waitMs <= 0)
        throw new AcmeError(`${action}: the authority has not decided within ${POLL_FOR_MS / 1_000} s`, {
          kind: "timeout",
        });
      await pause(timers, waitMs, signal);
    }
  }

  async #signed(
    action: string,
    url: string,
    payload: unknown,
    identity: Readonly<Record<string, string | PublicJwk>>,
    accept?: string,
  ): Promise<AcmeResponse> {
    const { transport, accountKey, signal } = this.#options;
    for (let attempt = 0; ; attempt++) {
      const nonce = this.#nonces.pop() ?? (await this.#freshNonce());
      const body = signJws({ ...identity, nonce, url }, payload, accountKey);
      const response = await transport({ method: "POST", url, body, ...(accept !== undefined && { accept }) }, signal);
      this.#keepNonce(response);
      if (response.status >= 200 && response.status < 300) return response;
      const error = refusal(action, parseProblem(response.body), response.status, this.#retryAfter(response));
      // A nonce may be too old for no fault of ours; the answer brought a new one (RFC 8555, section 6.5).
      if (error.kind !== "badNonce" || attempt === MAX_NONCE_RETRIES) throw error;
    }
  }

  async #freshNonce(): Promise<string> {
    const { newNonce } = await this.directory();
    const response = await this.#options.transport({ method: "HEAD", url: newNonce }, this.#options.signal);
    const nonce = response.header("replay-nonce");
    if (nonce === undefined)
      throw new AcmeError(`${newNonce}: the authority gave no nonce (status ${response.status})`, {
        kind: "malformed",
        status: response.status,
        retryAfterMs: this.#retryAfter(response),
      });
    return nonce;
  }

  #keepNonce(response: AcmeResponse): void {
    const nonce = response.header("replay-nonce");
    if (nonce !== undefined && this.#nonces.length < MAX_NONCES) this.#nonces.push(nonce);
  }

  /** Seconds or a date (RFC 9110, section 10.2.3). */
  #retryAfter(response: AcmeResponse): number | undefined {
    const text = response.header("retry-after");
    if (text === undefined) return undefined;
    if (/^\d{1,9}$/.test(text)) return Number(text) * 1_000;
    const at = Date.parse(text);
    return Number.isNaN(at) ? undefined : Math.max(0, at - this.#options.clock.wallNow());
  }
}

function parseBody<Schema extends z.ZodType>(schema: Schema, body: string, action: string): z.output<Schema> {
  try {
    return schema.parse(JSON.parse(body));
  } catch {
    throw new AcmeError(`${action}: the authority's answer is not what RFC 8555 describes`, { kind: "malformed" });
  }
}
