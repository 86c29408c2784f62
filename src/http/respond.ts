/** Answers that evenkeel makes itself; the one place where an error becomes a response. */
import { ERRORS, type ErrorCode } from "../base/errors.ts";
import type { Exchange } from "./exchange.ts";
import { grpcErrorLines, isGrpc } from "./grpc.ts";

/** How long clients are asked to stay away when there is no endpoint or no room, in seconds. */
const RETRY_AFTER_SECONDS = 5;

export interface OwnAnswer {
  readonly status: number;
  /** Lines with their line breaks. */
  readonly headers: string;
  readonly body: string;
}

/** Ends in an answer that names the code, and the request's id where endpoints would have got it: both stand in the log. */
export function respondWithError(exchange: Exchange, code: ErrorCode): void {
  if (isGrpc(exchange.header("content-type"))) {
    // Clients of gRPC look at its own status only; that of HTTP is always 200.
    exchange.status = 200;
    exchange.client.sendOwn(200, grpcErrorLines(code), "");
    return;
  }
  const sorry = ERRORS[code].status >= 502 ? sorryFor(exchange) : undefined;
  if (sorry !== undefined) return respondWithFixed(exchange, sorry);
  const { status, headers, body } = errorAnswer(code, exchange.header("accept") ?? "");
  const requestId = exchange.settings.forwarding.requestId ? `X-Request-ID: ${exchange.requestId}\r\n` : "";
  exchange.status = status;
  exchange.client.sendOwn(status, headers + requestId + exchange.attemptsLine, body);
}

/** The answer of the pool that could not serve it, or of the one that it was for at first. */
function sorryFor({ poolInUse, poolAtFirst }: Exchange): OwnAnswer | undefined {
  return poolInUse?.sorry ?? poolAtFirst?.sorry;
}

/** What a client that sent `accept` is told. */
export function errorAnswer(code: ErrorCode, accept: string): OwnAnswer {
  const { status, message } = ERRORS[code];
  const retryAfter = status === 503 ? `Retry-After: ${RETRY_AFTER_SECONDS}\r\n` : "";
  const allow = status === 405 ? "Allow: GET, HEAD, POST, PUT, DELETE, PATCH, OPTIONS\r\n" : "";
  const { type, body } = errorPage(status, reasonPhrase(status), message, code, accept);
  return { status, headers: `Content-Type: ${type}\r\nCache-Control: no-store\r\n${retryAfter}${allow}`, body };
}

export function respondWithFixed(exchange: Exchange, answer: OwnAnswer): void {
  exchange.status = answer.status;
  exchange.client.sendOwn(answer.status, answer.headers, answer.body);
}

/** Answers an authority that looks whether a name is ours (RFC 8555 section 8.3); false when that is not what is asked. */
export function respondToChallenge(exchange: Exchange): boolean {
  const answer = exchange.method === "GET" ? exchange.context.challenges.httpAnswer(exchange.path) : undefined;
  if (answer === undefined) return false;
  respondWithFixed(exchange, { status: 200, headers: "Content-Type: application/octet-stream\r\n", body: answer });
  return true;
}

export function respondWithRedirect(exchange: Exchange, status: number, location: string): void {
  exchange.status = status;
  exchange.client.sendOwn(status, `Location: ${location}\r\nContent-Type: text/plain\r\n`, `${reasonPhrase(status)}\n`);
}

/** Short HTML for people, application/problem+json (RFC 9457) for programs that ask for JSON, else plain text. */
function errorPage(
  status: number,
  title: string,
  message: string,
  code: ErrorCode,
  accept: string,
): { type: string; body: string } {
  if (/\b(application\/(problem\+)?json)\b/i.test(accept)) {
    const problem = { type: "about:blank", title, status, detail: message, code };
    return { type: "application/problem+json", body: `${JSON.stringify(problem)}\n` };
  }
  if (/\btext\/html\b/i.test(accept)) {
    const body = `<!doctype html><meta charset="utf-8"><title>${status} ${title}</title><h1>${status} ${title}</h1><p>${message}</p><p><code>${code}</code></p>\n`;
    return { type: "text/html; charset=utf-8", body };
  }
  return { type: "text/plain; charset=utf-8", body: `${status} ${title}: ${message} (${code})\n` };
}

const PHRASES: Readonly<Record<number, string>> = {
  200: "OK",
  201: "Created",
  202: "Accepted",
  204: "No Content",
  301: "Moved Permanently",
  302: "Found",
  303: "See Other",
  304: "Not Modified",
  307: "Temporary Redirect",
  308: "Permanent Redirect",
  400: "Bad Request",
  401: "Unauthorized",
  403: "Forbidden",
  404: "Not Found",
  405: "Method Not Allowed",
  408: "Request Timeout",
  410: "Gone",
  413: "Content Too Large",
  414: "URI Too Long",
  417: "Expectation Failed",
  418: "I'm a teapot",
  421: "Misdirected Request",
  429: "Too Many Requests",
  431: "Request Header Fields Too Large",
  451: "Unavailable For Legal Reasons",
  500: "Internal Server Error",
  501: "Not Implemented",
  502: "Bad Gateway",
  503: "Service Unavailable",
  504: "Gateway Timeout",
  505: "HTTP Version Not Supported",
};

/** The reason phrase of RFC 9110; empty for statuses it does not name. */
export function reasonPhrase(status: number): string {
  return PHRASES[status] ?? "";
}
