/**
 * Every way an exchange can end without the answer its endpoint gave, in one table.
 * Branch on the code; `http/respond.ts` alone turns one into a response; the access log shows it as `reason`.
 */

/** Whose fault it is: the client's, the endpoint's, or our own (limits, configuration, overload). */
export type ErrorSource = "downstream" | "upstream" | "internal";

/**
 * How an attempt failed, in the words of a pool's `retry.on`. With `connect-failure` and `refused-stream` nothing was looked
 * at by the endpoint; after any other the request may have had its effect.
 */
export type FailureKind = "connect-failure" | "refused-stream" | "reset" | "timeout" | "bad-answer";

export interface ErrorRow {
  /** Status sent to the client; 0 when there is nobody to answer, so the connection is closed. */
  readonly status: number;
  readonly source: ErrorSource;
  /** The condition under which it may be tried again; `never` whatever is set. */
  readonly retry: FailureKind | "never";
  /** One sentence for the client and the log. Never contains request data. */
  readonly message: string;
}

const row = (status: number, source: ErrorSource, retry: ErrorRow["retry"], message: string): ErrorRow => ({
  status,
  source,
  retry,
  message,
});

export const ERRORS = {
  // The client's request cannot be understood, or is refused for what it is.
  E_BAD_REQUEST_LINE: row(400, "downstream", "never", "The request line is not valid HTTP/1.1."),
  E_BAD_VERSION: row(505, "downstream", "never", "The HTTP version is not supported; use HTTP/1.1 or HTTP/1.0."),
  E_BAD_TARGET: row(400, "downstream", "never", "The request target is not a valid path or URL."),
  E_AMBIGUOUS_PATH: row(400, "downstream", "never", "The path can be read in more than one way."),
  E_BAD_HEADER: row(400, "downstream", "never", "A header line is not valid."),
  E_BAD_HOST: row(400, "downstream", "never", "The Host header is missing, repeated or not valid."),
  E_BAD_LENGTH: row(400, "downstream", "never", "The length of the body is not clear."),
  E_BAD_CHUNK: row(400, "downstream", "never", "The chunked body is not valid."),
  E_BAD_TRANSFER_ENCODING: row(400, "downstream", "never", "The only transfer coding understood is chunked."),
  E_BAD_EXPECT: row(417, "downstream", "never", "The only expectation understood is 100-continue."),
  E_CONNECT_REFUSED: row(405, "downstream", "never", "CONNECT is not allowed here."),
  E_TARGET_TOO_LONG: row(414, "downstream", "never", "The request target is too long."),
  E_HEAD_TOO_LARGE: row(431, "downstream", "never", "The request head is too large or has too many headers."),
  E_BODY_TOO_LARGE: row(413, "downstream", "never", "The request body is larger than allowed here."),
  E_HEADER_TIMEOUT: row(408, "downstream", "never", "The request head did not arrive in time."),
  E_BODY_TIMEOUT: row(408, "downstream", "never", "The request body did not arrive in time."),
  E_BODY_TOO_SLOW: row(408, "downstream", "never", "The request body arrived too slowly."),
  E_CLIENT_CLOSED: row(0, "downstream", "never", "The client closed the connection before the answer was complete."),
  E_CLIENT_STALLED: row(0, "downstream", "never", "The client did not read the answer in time."),

  E_BAD_HELLO: row(0, "downstream", "never", "The connection does not begin with a TLS handshake."),
  E_HELLO_TIMEOUT: row(0, "downstream", "never", "The beginning of the connection did not arrive in time."),
  E_IDLE: row(0, "downstream", "never", "Nothing was sent either way for too long."),

  // No place to send it.
  E_NO_ROUTE: row(404, "internal", "never", "No route matches this request."),
  E_NO_ENDPOINT: row(503, "internal", "never", "No endpoint is available for this request."),
  E_REQUIRED_POOL: row(503, "internal", "never", "A pool that this one requires has no endpoint available."),
  E_SESSION_ENDPOINT: row(503, "internal", "never", "The endpoint that this session belongs to is not available."),
  E_QUEUE_FULL: row(503, "internal", "never", "Too many requests are waiting for an endpoint."),
  E_QUEUE_TIMEOUT: row(503, "internal", "never", "No endpoint became free in time."),
  E_CIRCUIT_OPEN: row(503, "internal", "never", "The endpoints fail too often; they are tried again in a while."),
  E_OVERLOADED: row(503, "internal", "never", "The load balancer is overloaded."),
  E_POOL_OVERLOADED: row(503, "internal", "never", "The pool answers slowly and takes no more requests for now."),
  E_POOL_FULL: row(503, "internal", "never", "The pool has as many requests as it may."),
  E_TOO_MANY_CONNECTIONS: row(503, "internal", "never", "Too many connections are open."),
  E_SHUTTING_DOWN: row(503, "internal", "never", "The load balancer is shutting down."),
  E_INTERNAL: row(500, "internal", "never", "The load balancer failed; its log says why."),

  // The endpoint could not be reached or did not answer properly.
  E_CONNECT_FAILED: row(
    502,
    "upstream",
    "connect-failure",
    "The endpoint refused the connection or could not be reached.",
  ),
  E_CONNECT_TIMEOUT: row(
    504,
    "upstream",
    "connect-failure",
    "The connection to the endpoint was not established in time.",
  ),
  E_ENDPOINT_TLS: row(502, "upstream", "connect-failure", "The TLS handshake with the endpoint failed."),
  E_ENDPOINT_PROTOCOL: row(
    502,
    "upstream",
    "connect-failure",
    "The endpoint does not speak the protocol that is needed.",
  ),
  E_UPSTREAM_REFUSED: row(502, "upstream", "refused-stream", "The endpoint refused the request before looking at it."),
  E_UPSTREAM_CLOSED: row(502, "upstream", "reset", "The endpoint closed the connection before it answered."),
  E_UPSTREAM_RESET: row(502, "upstream", "never", "The endpoint closed the connection in the middle of its answer."),
  E_ENDPOINT_LEFT: row(503, "internal", "reset", "The endpoint was taken out of service meanwhile."),
  E_BAD_RESPONSE: row(502, "upstream", "bad-answer", "The endpoint's answer is not valid HTTP."),
  E_RESPONSE_HEAD_TOO_LARGE: row(502, "upstream", "bad-answer", "The head of the endpoint's answer is too large."),
  E_RESPONSE_TIMEOUT: row(504, "upstream", "timeout", "The endpoint did not answer in time."),
  E_UPSTREAM_STALLED: row(504, "upstream", "never", "The endpoint stopped in the middle of its answer."),
  E_REQUEST_TIMEOUT: row(504, "upstream", "never", "The answer was not complete within the time its route allows."),
} as const satisfies Record<string, ErrorRow>;

export type ErrorCode = keyof typeof ERRORS;

/** A bug or an unusable environment: thrown, never used for what traffic can cause. */
export class EvenkeelError extends Error {
  override readonly name = "EvenkeelError";
}
