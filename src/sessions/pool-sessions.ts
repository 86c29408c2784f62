/**
 * The sessions of one pool, as one worker sees them: what a request carries on one side, the endpoint it belongs to on the
 * other. Stateless sessions are read from a token; others are looked up in the shared table, and in a store that several
 * balancers share, when there is one.
 */
import type { Clock } from "../base/clock.ts";
import { DEFAULT_TTL_MS, isCarried, isStateless, type SessionsConfig } from "./schema.ts";
import type { SessionKey, SessionTable } from "./session-table.ts";
import type { SharedStore } from "./shared-store.ts";
import { SessionTokens } from "./token.ts";

export interface SessionEndpoint {
  readonly id: string;
  /** May be sent requests of sessions that it has: healthy, even when it is to get no new ones. */
  readonly acceptsSessions: boolean;
}

/** Where a session that was found belongs. */
export interface SessionHome {
  /** Of an endpoint, which may be gone. */
  readonly tag: number;
  /** The secret that the tag is made with. */
  readonly secret: number;
  /** The client should get its cookie anew: it is old, or signed with a secret on its way out. */
  readonly stale: boolean;
}

export interface PoolSessionsOptions {
  readonly pool: string;
  readonly table: SessionTable;
  readonly store: SharedStore | undefined;
  readonly clock: Clock;
}

/** Tags in the table are 48 bits of SHA-256, as those of tokens are of an HMAC. */
const TAG_BYTES = 6;
const STORE_KEY_BYTES = 16;

export class PoolSessions<E extends SessionEndpoint> {
  readonly config: SessionsConfig;
  /** Name of the cookie or header; "" when sessions go by neither. */
  readonly name: string;
  readonly store: SharedStore | undefined;
  readonly #options: PoolSessionsOptions;
  readonly #tokens: SessionTokens | undefined;
  readonly #ttlMs: number;
  /** Endpoints by tag, for each secret; one map when there are no secrets. */
  #endpoints: ReadonlyMap<number, E>[] = [];

  constructor(config: SessionsConfig, options: PoolSessionsOptions) {
    const { pool, table, store } = options;
    this.config = config;
    this.#options = options;
    this.store = store;
    this.name = isCarried(config) ? (config.name ?? `evenkeel-${pool}`) : "";
    this.#ttlMs = config.ttl ?? DEFAULT_TTL_MS;
    if (isStateless(config)) this.#tokens = new SessionTokens(config.secret ?? [table.secret], `${pool}\0${this.name}`);
  }

  get stateless(): boolean {
    return this.#tokens !== undefined;
  }

  /** Whether only what endpoints have set counts as a session. */
  get learns(): boolean {
    const { config } = this;
    return config.type === "cookie" ? config.mode === "learn" : config.type === "header" && config.learn;
  }

  /** The pool's endpoints have changed. */
  replaceEndpoints(endpoints: readonly E[]): void {
    const secrets = this.#tokens?.secrets ?? 1;
    this.#endpoints = Array.from(
      { length: secrets },
      (_, secret) => new Map(endpoints.map((endpoint) => [this.#tagOf(endpoint, secret), endpoint])),
    );
  }

  /** The endpoint of a session; undefined when it is not in the pool any more. */
  endpointOf(home: SessionHome): E | undefined {
    return this.#endpoints[home.secret]?.get(home.tag);
  }

  /** What a token says; undefined for one that is not ours, or too old. */
  read(text: string): SessionHome | undefined {
    const token = this.#tokens?.read(text);
    if (token === undefined) return undefined;
    const maxAgeS = this.#maxAgeS;
    const ageS = this.#nowS - token.issuedS;
    if (ageS > maxAgeS) return undefined;
    return { tag: token.tag, secret: token.secret, stale: token.secret !== 0 || ageS > maxAgeS / 2 };
  }

  /** A token for a session on `endpoint`, from now on. */
  issue(endpoint: E): string {
    return this.#tokens?.issue(this.#tagOf(endpoint, 0), this.#nowS) ?? "";
  }

  /** Looks the session up in the memory of this balancer. */
  find(text: string): SessionHome | undefined {
    return homeOf(this.#findLocal(this.#digest(text)));
  }

  /**
   * Looks it up where all balancers do; in this one's memory when that does not answer, of which `fellBack` is told.
   * Returns how to stop waiting; undefined when the store cannot be asked now.
   */
  findShared(text: string, done: (home: SessionHome | undefined, fellBack: boolean) => void): (() => void) | undefined {
    const digest = this.#digest(text);
    return this.store?.find(storeKey(digest), this.#ttlMs, (tag) => {
      const known = this.#findLocal(digest);
      if (tag === undefined) return done(homeOf(known), true);
      // Each side makes up for what the other has lost: a store that came back empty, a balancer that is new.
      if (tag < 0 && known >= 0) this.store?.put(storeKey(digest), known, this.#ttlMs);
      else if (tag >= 0 && tag !== known) this.#putLocal(digest, tag);
      done(homeOf(tag < 0 ? known : tag), false);
    });
  }

  /** From now on the session is on `endpoint`. True when another one had to make room for it. */
  remember(text: string, endpoint: E): boolean {
    const digest = this.#digest(text);
    const tag = this.#tagOf(endpoint, 0);
    this.store?.put(storeKey(digest), tag, this.#ttlMs);
    return this.#putLocal(digest, tag);
  }

  #findLocal(digest: Buffer): number {
    return this.#options.table.find(tableKey(digest), this.#nowS, this.#ttlMs / 1_000);
  }

  #putLocal(digest: Buffer, tag: number): boolean {
    return this.#options.table.put(tableKey(digest), tag, this.#nowS, this.#ttlMs / 1_000);
  }

  #tagOf(endpoint: E, secret: number): number {
    if (this.#tokens !== undefined) return this.#tokens.tagOf(endpoint.id, secret);
    return sha256(`endpoint\0${endpoint.id}`).readUIntBE(0, TAG_BYTES);
  }

  /** The ids of applications' sessions are secrets: neither memory nor a store holds them as they are. */
  #digest(text: string): Buffer {
    return sha256(`session\0${this.#options.pool}\0${this.name}\0${text}`);
  }

  get #nowS(): number {
    return Math.floor(this.#options.clock.wallNow() / 1_000);
  }

  get #maxAgeS(): number {
    const { config } = this;
    return config.type === "cookie" && config.maxAge !== undefined ? config.maxAge / 1_000 : Number.POSITIVE_INFINITY;
  }
}

function homeOf(tag: number): SessionHome | undefined {
  return tag < 0 ? undefined : { tag, secret: 0, stale: false };
}

function tableKey(digest: Buffer): SessionKey {
  return { high: digest.readInt32BE(0), low: digest.readInt32BE(4) };
}

function storeKey(digest: Buffer): string {
  return digest.toString("hex", 0, STORE_KEY_BYTES);
}

function sha256(text: string): Buffer {
  return new Bun.CryptoHasher("sha256").update(text).digest();
}
