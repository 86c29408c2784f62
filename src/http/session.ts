/**
 * The session of one exchange: read from the request, followed when an endpoint is picked, told to the client in the
 * answer. Only made where a pool has sessions.
 */
import type { Pool } from "../pools/pool.ts";
import { connectionKey, PoolSession } from "../pools/pool-session.ts";
import type { Head } from "../protocols/http1/head.ts";
import { changeCookie, setCookieValue, withSetCookieValue } from "../sessions/cookie-text.ts";
import type { PoolSessions, SessionHome } from "../sessions/pool-sessions.ts";
import { type CookieSessionsConfig, isCarried } from "../sessions/schema.ts";
import { looksLikeToken } from "../sessions/token.ts";
import type { Endpoint } from "../upstreams/endpoint.ts";
import type { Exchange, FollowedSession } from "./exchange.ts";

/** Between the mark of an endpoint and the value that the endpoint set. */
const PREFIX_END = "~";

/** Reads the session of a request, and goes on with `ready`: at once, or when a shared store has been asked. */
export function findSession(exchange: Exchange, pool: Pool, sessions: PoolSessions<Endpoint>, ready: () => void): void {
  const session = new ExchangeSession(exchange, pool, sessions);
  exchange.sessionInUse = session;
  const stopWaiting = session.lookUp(() => {
    exchange.stopWaiting = undefined;
    exchange.nowMs = exchange.context.clock.now();
    ready();
  });
  if (stopWaiting === undefined) return ready();
  exchange.client.pauseBody();
  exchange.stopWaiting = stopWaiting;
}

class ExchangeSession extends PoolSession implements FollowedSession {
  readonly #exchange: Exchange;

  constructor(exchange: Exchange, pool: Pool, sessions: PoolSessions<Endpoint>) {
    super(exchange, pool, sessions);
    this.#exchange = exchange;
    if (sessions.stateless) this.home = this.#readToken();
    else this.key = this.#readKey();
  }

  answered(head: Head): void {
    const endpoint = this.endpoint;
    const { config } = this.sessions;
    if (endpoint === undefined || !isCarried(config)) return;
    if (config.type === "header") {
      const value = config.learn ? head.get(this.sessions.name.toLowerCase()) : undefined;
      if (value !== undefined && value !== "") this.#learn(value, endpoint);
    } else if (config.mode === "insert") this.#insertCookie(config, endpoint);
    else this.#eachSetCookie(head, config, endpoint);
  }

  #readKey(): string | undefined {
    const { config, name } = this.sessions;
    if (!isCarried(config)) return connectionKey(config, this.#exchange);
    const value = config.type === "header" ? this.#exchange.header(name.toLowerCase()) : this.#exchange.cookie(name);
    return value === "" ? undefined : value;
  }

  #readToken(): SessionHome | undefined {
    const exchange = this.#exchange;
    const { config, name } = this.sessions;
    const value = exchange.cookie(name);
    if (value === undefined) return undefined;
    if (config.type !== "cookie" || config.mode !== "prefix") return this.sessions.read(value);
    const token = markOf(value);
    if (token === undefined) return undefined;
    this.#hideMark();
    return this.sessions.read(token);
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
    return changeCookie(cookies, this.sessions.name, (value) => {
      const mark = markOf(value);
      return mark === undefined ? value : value.slice(mark.length + PREFIX_END.length);
    });
  }

  #insertCookie(config: CookieSessionsConfig, endpoint: Endpoint): void {
    if (this.reached === "kept" && this.home?.stale !== true) return;
    if (this.reached === "") this.reached = "new";
    const { path = "/", domain, maxAge, httpOnly = true, secure = "auto", sameSite = "lax" } = config;
    let line = `Set-Cookie: ${this.sessions.name}=${this.sessions.issue(endpoint)}; Path=${path}`;
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
      const value = setCookieValue(line, this.sessions.name);
      // An empty value takes the cookie away.
      if (value === undefined || value === "") continue;
      if (config.mode === "learn") this.#learn(value, endpoint);
      else {
        if (this.reached === "") this.reached = "new";
        const mark = this.sessions.issue(endpoint);
        const marked = config.mode === "prefix" ? mark + PREFIX_END + value : mark;
        head.drop(field);
        this.#exchange.responseAppended += `Set-Cookie: ${withSetCookieValue(line, marked)}\r\n`;
      }
    }
  }

  #learn(value: string, endpoint: Endpoint): void {
    if (value === this.key && this.reached !== "") return;
    if (this.reached === "") this.reached = "new";
    this.remember(value, endpoint);
  }
}

const SAME_SITE = { lax: "Lax", strict: "Strict", none: "None" } as const;

/** The mark before a value, whoever signed it: endpoints never see one. */
function markOf(value: string): string | undefined {
  const end = value.indexOf(PREFIX_END);
  const mark = value.slice(0, Math.max(0, end));
  return looksLikeToken(mark) ? mark : undefined;
}
