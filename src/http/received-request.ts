/** What a client asks for: read from the head of its request, each part when it is first asked for. */
import { latin1 } from "../base/bytes.ts";
import type { Head } from "../protocols/http1/head.ts";
import { absoluteAuthority, type TargetForm, targetForm } from "../protocols/http1/inspect-request.ts";
import type { RequestView } from "../routing/request-view.ts";
import type { TlsView } from "../transport/origin.ts";
import type { ClientSide } from "./client-side.ts";
import type { HttpContext } from "./context.ts";
import { isRequestId, type RequestId, requestIdText } from "./request-id.ts";
import { findCookie, findQueryParameter } from "./request-parts.ts";
import type { ListenerSnapshot } from "./snapshot.ts";

export abstract class ReceivedRequest implements RequestView {
  readonly context: HttpContext;
  readonly settings: ListenerSnapshot;
  readonly client: ClientSide;
  /** Valid until the exchange is finished. */
  readonly head: Head;
  /** When its first byte arrived. */
  readonly startedMs: number;
  readonly form: TargetForm;
  #id: RequestId | string | undefined;
  #path: string | undefined;
  #query = "";
  #host: string | undefined;
  #clientIp: string | undefined;

  constructor(context: HttpContext, settings: ListenerSnapshot, client: ClientSide, head: Head, startedMs: number) {
    this.context = context;
    this.settings = settings;
    this.client = client;
    this.head = head;
    this.form = targetForm(head);
    this.startedMs = startedMs;
  }

  /** The address the connection came from. */
  get peerIp(): string {
    return this.client.ip;
  }

  get clientPort(): number {
    return this.client.port;
  }

  /** The peer is one of those whose forwarding headers are believed. */
  get fromTrustedProxy(): boolean {
    return this.settings.trustedProxies?.has(this.peerIp) ?? false;
  }

  get id(): RequestId | string {
    if (this.#id === undefined) {
      const sent = this.fromTrustedProxy ? this.head.get("x-request-id") : undefined;
      this.#id = sent !== undefined && isRequestId(sent) ? sent : this.context.requestIds.next(this.startedMs);
    }
    return this.#id;
  }

  get scheme(): string {
    if (!this.fromTrustedProxy) return this.settings.scheme;
    const told = this.head.get("x-forwarded-proto")?.toLowerCase();
    return told === "https" || told === "http" ? told : this.settings.scheme;
  }

  get tls(): TlsView | undefined {
    return this.client.origin.tls;
  }

  get method(): string {
    return latin1(this.head.bytes, this.head.start, this.head.methodEnd);
  }

  get isHeadRequest(): boolean {
    const { bytes, start, methodEnd } = this.head;
    return methodEnd - start === 4 && bytes[start] === 0x48 && this.method === "HEAD";
  }

  get path(): string {
    if (this.#path === undefined) this.#splitTarget();
    return this.#path as string;
  }

  get query(): string {
    if (this.#path === undefined) this.#splitTarget();
    return this.#query;
  }

  get host(): string {
    this.#host ??= this.authority.replace(/:\d*$/, "").toLowerCase();
    return this.#host;
  }

  /** Host and port as the client sent them. */
  get authority(): string {
    if (this.form === "absolute") {
      const range = absoluteAuthority(this.head);
      if (range !== undefined) return latin1(this.head.bytes, range.start, range.end);
    }
    return this.head.hostField < 0 ? "" : this.head.value(this.head.hostField);
  }

  /** The peer, or behind trusted proxies the last address that none of them vouches for as its own. */
  get clientIp(): string {
    this.#clientIp ??= this.#findClientIp();
    return this.#clientIp;
  }

  header(name: string): string | undefined {
    return this.head.get(name);
  }

  cookie(name: string): string | undefined {
    return findCookie(this.head.get("cookie"), name);
  }

  queryParameter(name: string): string | undefined {
    return findQueryParameter(this.query, name);
  }

  get requestId(): string {
    const { id } = this;
    return typeof id === "string" ? id : requestIdText(id);
  }

  get startedWallMs(): number {
    return this.context.clock.wallNow() - (this.context.clock.now() - this.startedMs);
  }

  get listener(): string {
    return this.settings.name;
  }

  get target(): string {
    return latin1(this.head.bytes, this.head.targetStart, this.head.targetEnd);
  }

  get userAgent(): string {
    return this.head.get("user-agent") ?? "";
  }

  get referer(): string {
    return this.head.get("referer") ?? "";
  }

  #splitTarget(): void {
    let target = this.target;
    if (this.form === "absolute") {
      const range = absoluteAuthority(this.head);
      target = range === undefined ? target : latin1(this.head.bytes, range.end, this.head.targetEnd);
      if (!target.startsWith("/")) target = `/${target}`;
    }
    const question = target.indexOf("?");
    this.#path = question < 0 ? target : target.slice(0, question);
    this.#query = question < 0 ? "" : target.slice(question + 1);
  }

  #findClientIp(): string {
    if (!this.fromTrustedProxy) return this.peerIp;
    const forwarded = this.head.get("x-forwarded-for");
    if (forwarded === undefined) return this.peerIp;
    const hops = forwarded.split(",");
    for (let index = hops.length - 1; index >= 0; index--) {
      const hop = parseHop((hops[index] as string).trim());
      // Whoever wrote something that is not an address cannot be believed any further.
      if (hop === undefined) break;
      if (index === 0 || !this.settings.trustedProxies?.has(hop)) return hop;
    }
    return this.peerIp;
  }
}

/** An address in X-Forwarded-For, where some write a port or brackets with it. */
function parseHop(text: string): string | undefined {
  const bare =
    /^\[([0-9A-Fa-f:.]+)\](?::\d+)?$/.exec(text)?.[1] ?? /^(\d+\.\d+\.\d+\.\d+):\d+$/.exec(text)?.[1] ?? text;
  return /^(\d{1,3}(\.\d{1,3}){3}|[0-9A-Fa-f:]+:[0-9A-Fa-f:.]*)$/.test(bare) ? bare : undefined;
}
