import { formatAddress } from "../../base/address.ts";
import { ChunkedBody } from "../../protocols/http1/chunked.ts";
import { BAD, Head, MORE } from "../../protocols/http1/head.ts";
import { inspectResponse, responseFraming } from "../../protocols/http1/inspect-response.ts";
import { parseResponseHead } from "../../protocols/http1/parse-response.ts";
import { failedAssertion } from "../json-assertions.ts";
import type { HttpCheck } from "../schema.ts";
import type { Probe } from "./definition.ts";
import { exchangeBytes, type Judge } from "./exchange-bytes.ts";

const LIMITS = { bytes: 65_536, fields: 256 };

/** Asks for a path on a new connection and judges the answer. Redirects are answers like any other. */
export const httpProbe: Probe<HttpCheck> = (target, config, { timers }) => {
  const lines = {
    host: config.host ?? formatAddress(target),
    "user-agent": "evenkeel-health",
    ...lowerCase(config.headers),
    connection: "close",
  };
  const request = `${config.method} ${config.path} HTTP/1.1\r\n${Object.entries(lines)
    .map(([name, value]) => `${name}: ${value}\r\n`)
    .join("")}${config.method === "POST" ? "content-length: 0\r\n" : ""}\r\n`;
  return exchangeBytes(target, request, judge(config), config.timeout, timers);
};

function judge(config: HttpCheck): Judge {
  const needsBody = config.body !== undefined || config.json !== undefined;
  return (received, ended) => {
    const head = new Head();
    for (let start = 0; ; start = head.position) {
      head.reset(received, start);
      const result = parseResponseHead(head, received.length, LIMITS);
      if (result === MORE) return undefined;
      if (result === BAD || inspectResponse(head) !== undefined) return { failed: "the answer is not HTTP/1.1" };
      if (head.status >= 200) break;
    }
    if (!config.status.some(({ from, to }) => head.status >= from && head.status <= to))
      return { failed: `status ${head.status}` };
    if (!needsBody) return {};
    const body = wholeBody(head, received, ended, config.method === "HEAD");
    return body === undefined ? undefined : judgeBody(config, body);
  };
}

/** The body without chunks; undefined while it is not complete. What exceeds the bound is judged as far as it goes. */
function wholeBody(head: Head, received: Buffer, ended: boolean, isHead: boolean): string | undefined {
  const framing = responseFraming(head, isHead);
  if (framing === "chunked") {
    const parts: Buffer[] = [];
    const chunked = new ChunkedBody();
    chunked.consume(
      received,
      head.position,
      received.length,
      (from, to) => void parts.push(received.subarray(from, to)),
    );
    return chunked.ended || ended || chunked.failed ? Buffer.concat(parts).toString() : undefined;
  }
  const length = framing === "length" ? head.contentLength : framing === "none" ? 0 : Number.POSITIVE_INFINITY;
  if (received.length - head.position < length && !ended) return undefined;
  return received.toString("utf8", head.position, Math.min(received.length, head.position + length));
}

function judgeBody(config: HttpCheck, body: string): { failed?: string } {
  if (config.body !== undefined && !body.includes(config.body))
    return { failed: `the body does not contain ${JSON.stringify(config.body)}` };
  if (config.json === undefined) return {};
  let parsed: unknown;
  try {
    parsed = JSON.parse(body);
  } catch {
    return { failed: "the body is not JSON" };
  }
  for (const [path, expected] of Object.entries(config.json)) {
    const failed = failedAssertion(parsed, path, expected);
    if (failed !== undefined) return { failed };
  }
  return {};
}

function lowerCase(headers: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]));
}
