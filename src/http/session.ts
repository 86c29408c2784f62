/**
 * The session of one exchange: read from the request, followed when an endpoint is picked, told to the client in the
 * answer. Only made where a pool has sessions.
 */
import { POOL } from "../observability/metrics-table.ts";
import { takesSessions } from "../pools/pick-endpoint.ts";
import type { Pool } from "../pools/pool.ts";
import type { Head } from "../protocols/http1/head.ts";
import { changeCookie, setCookieValue, withSetCookieValue } from "../sessions/cookie-text.ts";
import type { PoolSessions, SessionHome } from "../sessions/pool-sessions.ts";
import { type CookieSessionsConfig, isCarried } from "../sessions/schema.ts";
import { looksLikeToken } from "../sessions/token.ts";
import type { Endpoint } from "../upstreams/endpoint.ts";
import type { Exchange, FollowedSession } from "./exchange.ts";

/** What became of a session with this request; "" when it has none. */
export type SessionOutcome = "" | "new" | "kept" | "moved" | "refused";

/** Between the mark of an endpoint and the value that the endpoint set. */
const PREFIX_END = "~";

const OUTCOME_FIELD = {
  new: POOL.sessionsNew,
  kept: POOL.sessionsKept,
  moved: POOL.sessionsMoved,
  refused: POOL.sessionsRefused,
} as const;

/** Reads the session of a request, and goes on with `ready`: at once, or when a shared store has been asked. */
export function findSession(exchange: Exchange, pool: Pool, sessions: PoolSessions<Endpoint>, ready: () => void): void {
  const session = new ExchangeSession(exchange, pool, sessions);
  exchange.sessionInUse = session;
  if (!session.isShared) return ready();
  const stopWaiting = session.findShared(() => {
    exchange.stopWaiting = undefined;
    exchange.nowMs = exchange.context.clock.now();
    ready();
  });
  if (stopWaiting === undefined) return ready();
  exchange.client.pauseBody();
  exchange.stopWaiting = stopWaiting;
}

class ExchangeSession implements FollowedSession {
  readonly #exchange: Exchange;
  readonly #pool: Pool;
  readonly #sessions: PoolSessions<Endpoint>;
  /** What the session goes by in the table; undefined when the request does not say. */
  readonly #key: string | undefined;
  #home: SessionHome | undefined;
  #endpoint: Endpoint | undefined;
  #outcome: SessionOutcome = "";

  constructor(exchange: Exchange, pool: Pool, sessions: PoolSessions<Endpoint>) {
    this.#exchange = exchange;
    this.#pool = pool;
    this.#sessions = sessions;
    if (sessions.stateless) this.#home = this.#readToken();
    else {
      this.#key = this.#readKey();
      if (this.#key !== undefined && sessions.store === undefined) this.#home = sessions.find(this.#key);
    }
  }

  get outcome(): SessionOutcome {
    return this.#exchange.failure === "E_SESSION_ENDPOINT" ? "refused" : this.#outcome;
  }

  /** It is to be looked up where other balancers do, too. */
  get isShared(): boolean {
    return this.#sessions.store !== undefined && this.#key !== undefined;
  }

  /** Undefined when the store cannot be asked; then what this balancer knows holds. */
  findShared(done: () => void): (() => void) | undefined {
    const key = this.#key as string;
    const stop = this.#sessions.findShared(key, (home, fellBack) => {
      this.#home = home;
      if (fellBack) this.#add(POOL.sessionFallbacks);
      done();
    });
    if (stop === undefined) {
      this.#home = this.#sessions.find(key);
      this.#add(POOL.sessionFallbacks);
    }
    return stop;
  }

  get preferred(): Endpoint | undefined {
    return this.#home === undefined ? undefined : this.#sessions.endpointOf(this.#home);
  }

  get lost(): boolean {
    if (!this.isBound) return false;
    const { preferred } = this;
    return preferred === undefined || !takesSessions(this.#pool.view, preferred);
  }

  goesTo(endpoint: Endpoint): void {
    this.#endpoint = endpoint;
    const { config } = this.#sessions;
    if (this.#home !== undefined) this.#outcome = endpoint === this.preferred ? "kept" : "moved";
    else if (this.#key !== undefined && !learns(config)) this.#outcome = "new";
    // At once: of several first requests at the same time, all but the first should find it.
    if (this.#outcome !== "kept" && this.#key !== undefined && !(learns(config) && this.#home === undefined))
      this.#remember(this.#key, endpoint);
  }

  answered(head: Head): void {
    const endpoint = this.#endpoint;
    const { config } = this.#sessions;
    if (endpoint === undefined || !isCarried(config)) return;
    if (config.type === "header") {
      const value = config.learn ? head.get(this.#sessions.name.toLowerCase()) : undefined;
      if (value !== undefined && value !== "") this.#learn(value, endpoint);
    } else if (config.mode === "insert") this.#insertCookie(config, endpoint);
    else this.#eachSetCookie(head, config, endpoint);
  }

  count(): void {
    const { outcome } = this;
    if (outcome !== "") this.#add(OUTCOME_FIELD[outcome]);
  }

  get isBound(): boolean {
    return this.#home !== undefined && this.#sessions.config.onFailure === "refuse";
  }

  #readKey(): string | undefined {
    const { config, name } = this.#sessions;
    if (config.type === "clientIp") return this.#exchange.clientIp;
    if (config.type === "clientCertificate") return this.#readCertificate();
    const value = config.type === "header" ? this.#exchange.header(name.toLowerCase()) : this.#exchange.cookie(name);
    return value === "" ? undefined : value;
  }

  /** Of one that is not verified, anybody could have made it. */
  #readCertificate(): string | undefined {
    const certificate = this.#exchange.tls?.clientCertificate;
    return certificate?.verified === true ? certificate.fingerprint256 : undefined;
  }

  #readToken(): SessionHome | undefined {
    const exchange = this.#exchange;
    const { config, name } = this.#sessions;
    const value = exchange.cookie(name);
    if (value === undefined) return undefined;
    if (config.type !== "cookie" || config.mode !== "prefix") return this.#sessions.read(value);
    const token = markOf(value);
    if (token === undefined) return undefined;
    this.#hideMark();
    return this.#sessions.read(token);
  }

  /** The endpoint gets its cookie as it has set it. */
  #hideMark(): void {
    const exchange = this.#exchange;
    const { head } = exchange;
    const field = head.find("cookie");
    if (head.isDropped(field)) {
      // By the pool that this one stands in for, or by the route.
      exchange.appended = exchange.appended.replace(/^(Cookie: )(.*)/gm, (_, name: string, line: string) => {
        return name + this.#withoutMark(line);
      });
      return;
    }
    const lines: string[] = [];
    for (let line = field; line >= 0; line = head.find("cookie", line + 1)) lines.push(head.value(line));
    head.dropNamed("cookie");
    exchange.appended += `Cookie: ${this.#withoutMark(lines.join("; "))}\r\n`;
  }

  #withoutMark(cookies: string): string {
    return changeCookie(cookies, this.#sessions.name, (value) => {
      const mark = markOf(value);
      return mark === undefined ? value : value.slice(mark.length + PREFIX_END.length);
    });
  }

  #insertCookie(config: CookieSessionsConfig, endpoint: Endpoint): void {
    if (this.#outcome === "kept" && this.#home?.stale !== true) return;
    if (this.#outcome === "") this.#outcome = "new";
    const { path = "/", domain, maxAge, httpOnly = true, secure = "auto", sameSite = "lax" } = config;
    let line = `Set-Cookie: ${this.#sessions.name}=${this.#sessions.issue(endpoint)}; Path=${path}`;
    if (domain !== undefined) line += `; Domain=${domain}`;
    if (maxAge !== undefined) line += `; Max-Age=${Math.floor(maxAge / 1_000)}`;
    if (httpOnly) line += "; HttpOnly";
    if (secure === "auto" ? this.#exchange.scheme === "https" : secure) line += "; Secure";
    line += `; SameSite=${SAME_SITE[sameSite]}\r\n`;
    if (config.private !== false) line += "Cache-Control: private\r\n";
    this.#exchange.responseAppended += line;
  }

  /** The cookie that the endpoint sets: marked with the endpoint, or remembered as its own. */
  #eachSetCookie(head: Head, config: CookieSessionsConfig, endpoint: Endpoint): void {
    for (let field = head.find("set-cookie"); field >= 0; field = head.find("set-cookie", field + 1)) {
      if (head.isDropped(field)) continue;
      const line = head.value(field);
      const value = setCookieValue(line, this.#sessions.name);
      // An empty value takes the cookie away.
      if (value === undefined || value === "") continue;
      if (config.mode === "learn") this.#learn(value, endpoint);
      else {
        if (this.#outcome === "") this.#outcome = "new";
        const mark = this.#sessions.issue(endpoint);
        const marked = config.mode === "prefix" ? mark + PREFIX_END + value : mark;
        head.drop(field);
        this.#exchange.responseAppended += `Set-Cookie: ${withSetCookieValue(line, marked)}\r\n`;
      }
    }
  }

  #learn(value: string, endpoint: Endpoint): void {
    if (value === this.#key && this.#outcome !== "") return;
    if (this.#outcome === "") this.#outcome = "new";
    this.#remember(value, endpoint);
  }

  #remember(key: string, endpoint: Endpoint): void {
    if (this.#sessions.remember(key, endpoint)) this.#add(POOL.sessionsDisplaced);
  }

  #add(field: number): void {
    this.#exchange.context.metrics.add(this.#pool.cells + field, 1);
  }
}

const SAME_SITE = { lax: "Lax", strict: "Strict", none: "None" } as const;

/** Whether only what endpoints have set counts as a session. */
function learns(config: PoolSessions<Endpoint>["config"]): boolean {
  return config.type === "cookie" ? config.mode === "learn" : config.type === "header" && config.learn;
}

/** The mark before a value, whoever signed it: endpoints never see one. */
function markOf(value: string): string | undefined {
  const end = value.indexOf(PREFIX_END);
  const mark = value.slice(0, Math.max(0, end));
  return looksLikeToken(mark) ? mark : undefined;
}
