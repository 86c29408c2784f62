/** HTTP for the ACME client: few requests, small bodies, no redirects. */
import type { Timers } from "../../base/clock.ts";
import { AcmeError } from "./problem.ts";

export interface AcmeRequest {
  readonly method: "GET" | "HEAD" | "POST";
  readonly url: string;
  readonly body?: string;
  readonly accept?: string;
}

export interface AcmeResponse {
  readonly status: number;
  /** Undefined for a header that is not there; names are compared without case. */
  header(name: string): string | undefined;
  readonly body: string;
}

/** Sends one request. Throws an AcmeError of kind `connection` when there is no answer. */
export type AcmeTransport = (request: AcmeRequest, signal: AbortSignal) => Promise<AcmeResponse>;

export interface TransportOptions {
  readonly timers: Timers;
  readonly userAgent: string;
  /** PEM of the authorities to trust instead of the system's. */
  readonly caPem?: string | undefined;
}

const TIMEOUT_MS = 30_000;
const LARGEST_BODY = 1_048_576;

export function createTransport({ timers, userAgent, caPem }: TransportOptions): AcmeTransport {
  return async ({ method, url, body, accept }, signal) => {
    if (!url.startsWith("https://"))
      throw new AcmeError(`${url}: the authority gave an address that is not https://`, { kind: "connection" });
    const timeout = new AbortController();
    const timer = timers.after(TIMEOUT_MS, () => timeout.abort(new Error(`no answer within ${TIMEOUT_MS / 1_000} s`)));
    try {
      const response = await fetch(url, {
        method,
        redirect: "manual",
        keepalive: false,
        signal: AbortSignal.any([signal, timeout.signal]),
        headers: {
          "User-Agent": userAgent,
          ...(accept !== undefined && { Accept: accept }),
          ...(body !== undefined && { "Content-Type": "application/jose+json" }),
        },
        ...(body !== undefined && { body }),
        ...(caPem !== undefined && { tls: { ca: caPem } }),
      });
      return {
        status: response.status,
        header: (name) => response.headers.get(name) ?? undefined,
        body: await boundedText(response),
      };
    } catch (error) {
      if (error instanceof AcmeError || signal.aborted) throw error;
      const { message, code } = error as { message: string; code?: string };
      throw new AcmeError(`${url}: no answer from the authority: ${code ?? ""} ${message}`.replace("  ", " "), {
        kind: "connection",
      });
    } finally {
      timer.stop();
    }
  };
}

async function boundedText(response: Response): Promise<string> {
  const pieces: Uint8Array[] = [];
  let length = 0;
  for await (const piece of response.body ?? []) {
    length += piece.length;
    if (length > LARGEST_BODY)
      throw new AcmeError(`${response.url}: an answer of more than 1 MiB`, { kind: "connection" });
    pieces.push(piece);
  }
  return Buffer.concat(pieces).toString();
}
