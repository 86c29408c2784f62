/**
 * A session on its way through a pool: found by its key, followed to its endpoint, remembered. What its key is, and
 * whether that comes in a cookie or is an address, is the matter of whoever has it.
 */
import type { ErrorCode } from "../base/errors.ts";
import { type MetricsWriter, POOL } from "../observability/metrics-table.ts";
import type { PoolSessions, SessionHome } from "../sessions/pool-sessions.ts";
import type { SessionsConfig } from "../sessions/schema.ts";
import type { TlsView } from "../transport/origin.ts";
import type { Endpoint } from "../upstreams/endpoint.ts";
import { takesSessions } from "./pick-endpoint.ts";
import type { Pool } from "./pool.ts";

/** What became of a session; "" when there is none. */
export type SessionOutcome = "" | "new" | "kept" | "moved" | "refused";

/** The exchange or connection that belongs to the session. */
export interface SessionUser {
  readonly context: { readonly metrics: MetricsWriter };
  readonly failure: ErrorCode | undefined;
}

const OUTCOME_FIELD = {
  new: POOL.sessionsNew,
  kept: POOL.sessionsKept,
  moved: POOL.sessionsMoved,
  refused: POOL.sessionsRefused,
} as const;

export class PoolSession {
  protected readonly sessions: PoolSessions<Endpoint>;
  /** What it goes by in the table; undefined when nothing says who the client is. */
  protected key: string | undefined;
  protected home: SessionHome | undefined;
  protected endpoint: Endpoint | undefined;
  protected reached: SessionOutcome = "";
  readonly #user: SessionUser;
  readonly #pool: Pool;

  constructor(user: SessionUser, pool: Pool, sessions: PoolSessions<Endpoint>, key?: string) {
    this.key = key;
    this.#user = user;
    this.#pool = pool;
    this.sessions = sessions;
  }

  get outcome(): SessionOutcome {
    return this.#user.failure === "E_SESSION_ENDPOINT" ? "refused" : this.reached;
  }

  /** The endpoint it belongs to, while that is in the pool. */
  get preferred(): Endpoint | undefined {
    return this.home === undefined ? undefined : this.sessions.endpointOf(this.home);
  }

  /** It goes to `preferred` or nowhere. */
  get isBound(): boolean {
    return this.home !== undefined && this.sessions.config.onFailure === "refuse";
  }

  /** Its endpoint is not there, and no other may take its place. */
  get lost(): boolean {
    if (!this.isBound) return false;
    const { preferred } = this;
    return preferred === undefined || !takesSessions(this.#pool.view, preferred);
  }

  /**
   * Looks up where it belongs: at once, or, where other balancers know as well, until `found` is called. Then how to stop
   * waiting is returned.
   */
  lookUp(found: () => void): (() => void) | undefined {
    const { key, sessions } = this;
    if (key === undefined) return undefined;
    if (sessions.store !== undefined) {
      const stop = sessions.findShared(key, (home, fellBack) => {
        this.home = home;
        if (fellBack) this.#add(POOL.sessionFallbacks);
        found();
      });
      if (stop !== undefined) return stop;
      this.#add(POOL.sessionFallbacks);
    }
    this.home = sessions.find(key);
    return undefined;
  }

  /** An attempt on `endpoint` begins. */
  goesTo(endpoint: Endpoint): void {
    this.endpoint = endpoint;
    if (this.home !== undefined) this.reached = endpoint === this.preferred ? "kept" : "moved";
    else if (this.key === undefined || this.sessions.learns) return;
    else this.reached = "new";
    // At once: of several first requests at the same time, all but the first should find it.
    if (this.reached !== "kept" && this.key !== undefined) this.remember(this.key, endpoint);
  }

  /** A connection of it has ended, perhaps after long: it lives on as if that had just begun. */
  renew(): void {
    const { key, endpoint, sessions } = this;
    if (key === undefined || endpoint === undefined) return;
    // By now it may be elsewhere, and stays there.
    const keep = (home: SessionHome | undefined): void => {
      if (home === undefined) this.remember(key, endpoint);
    };
    if (sessions.findShared(key, keep) === undefined) keep(sessions.find(key));
  }

  /** It is known what has become of it: to be called once. */
  count(): void {
    const { outcome } = this;
    if (outcome !== "") this.#add(OUTCOME_FIELD[outcome]);
  }

  protected remember(key: string, endpoint: Endpoint): void {
    if (this.sessions.remember(key, endpoint)) this.#add(POOL.sessionsDisplaced);
  }

  #add(field: number): void {
    this.#user.context.metrics.add(this.#pool.cells + field, 1);
  }
}

/** Who the client is by its connection, for sessions that go by nothing else; undefined when that does not say. */
export function connectionKey(
  { type }: SessionsConfig,
  from: { readonly clientIp: string; readonly tls: TlsView | undefined },
): string | undefined {
  if (type !== "clientCertificate") return from.clientIp;
  const certificate = from.tls?.clientCertificate;
  // Of one that is not verified, anybody could have made it.
  return certificate?.verified === true ? certificate.fingerprint256 : undefined;
}
