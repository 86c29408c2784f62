import { formatAddress } from "../../base/address.ts";
import { formatDuration } from "../../base/units.ts";
import { ChunkedBody } from "../../protocols/http1/chunked.ts";
import { BAD, Head, MORE } from "../../protocols/http1/head.ts";
import { inspectResponse, responseFraming } from "../../protocols/http1/inspect-response.ts";
import { parseResponseHead } from "../../protocols/http1/parse-response.ts";
import { parseAgentWord } from "../agent-word.ts";
import { failedAssertion } from "../json-assertions.ts";
import { retryAfter } from "../retry-after.ts";
import type { HttpCheck } from "../schema.ts";
import type { Probe, ProbeAnswer, ProbeTarget } from "./definition.ts";
import { exchangeBytes, type Judge } from "./exchange-bytes.ts";
import { Http2Answer, http2Request } from "./http2-exchange.ts";

const LIMITS = { bytes: 65_536, fields: 256 };

/** Asks for a path on a new connection and judges the answer. Redirects are answers like any other. */
export const httpProbe: Probe<HttpCheck> = (target, config, { timers }) => {
  const { host: sentHost, ...headers } = lowerCase(config.headers);
  const host = sentHost ?? config.host ?? formatAddress(target);
  const lines = { "user-agent": "evenkeel-health", ...headers };
  const request = target.http2 === true ? asHttp2(config, host, lines, target) : asHttp1(config, host, lines);
  const read = target.http2 === true ? readHttp2 : readHttp1;
  return exchangeBytes(target, request, judge(config, read), config.timeout, timers);
};

type Lines = Readonly<Record<string, string>>;

function asHttp1(config: HttpCheck, host: string, lines: Lines): string {
  const all = Object.entries({ host, ...lines, connection: "close" });
  const text = all.map(([name, value]) => `${name}: ${value}\r\n`).join("");
  return `${config.method} ${config.path} HTTP/1.1\r\n${text}${config.method === "POST" ? "content-length: 0\r\n" : ""}\r\n`;
}

function asHttp2(config: HttpCheck, host: string, lines: Lines, { tls }: ProbeTarget): Buffer {
  const pseudo: [string, string][] = [
    [":method", config.method],
    [":scheme", tls === undefined ? "http" : "https"],
    [":path", config.path],
    [":authority", host],
  ];
  return http2Request([...pseudo, ...Object.entries(lines)], undefined);
}

/** What is known of an answer: undefined while its head is not there. `body` is undefined while it is not whole. */
interface Answer {
  readonly status: number;
  readonly body: string | undefined;
  /** By its name in lower case. */
  readonly header: (name: string) => string | undefined;
}
type ReadAnswer = (received: Buffer, ended: boolean, isHead: boolean) => Answer | { failed: string } | undefined;

function judge(config: HttpCheck, read: ReadAnswer): Judge {
  const needsBody = config.body !== undefined || config.json !== undefined;
  return (received, ended) => {
    const answer = read(received, ended, config.method === "HEAD");
    if (answer === undefined || "failed" in answer) return answer;
    const said = config.agentHeader === undefined ? undefined : answer.header(config.agentHeader);
    const word = said === undefined ? undefined : parseAgentWord(said);
    if (typeof word === "string") return { failed: `${config.agentHeader}: ${word}` };
    const verdict = judgeStatus(config, answer) ?? (needsBody ? judgeBody(config, answer.body) : {});
    return verdict === undefined || word === undefined ? verdict : { ...verdict, word };
  };
}

/** Undefined for a status that passes. */
function judgeStatus(config: HttpCheck, { status, header }: Answer): ProbeAnswer | undefined {
  if (isIn(config.degradedStatus, status)) return { degraded: `degraded: status ${status}` };
  if (isIn(config.status, status)) return undefined;
  const retryAfterMs = retryAfter(header("retry-after"), header("date"));
  if (retryAfterMs === undefined) return { failed: `status ${status}` };
  return { failed: `status ${status}, not to be asked again for ${formatDuration(retryAfterMs)}`, retryAfterMs };
}

function isIn(ranges: HttpCheck["status"], status: number): boolean {
  return ranges.some(({ from, to }) => status >= from && status <= to);
}

const readHttp1: ReadAnswer = (received, ended, isHead) => {
  const head = new Head();
  for (let start = 0; ; start = head.position) {
    head.reset(received, start);
    const result = parseResponseHead(head, received.length, LIMITS);
    if (result === MORE) return undefined;
    if (result === BAD || inspectResponse(head) !== undefined) return { failed: notHttp1(received) };
    if (head.status >= 200) break;
  }
  return { status: head.status, body: wholeBody(head, received, ended, isHead), header: (name) => head.get(name) };
};

/** An endpoint that speaks HTTP/2 begins with a SETTINGS frame: type 4 on stream 0. */
function notHttp1(received: Buffer): string {
  const isSettings = received.length >= 9 && received[3] === 4 && received.readUInt32BE(5) === 0;
  return isSettings
    ? "the endpoint speaks HTTP/2, not HTTP/1.1: the pool needs connections: { protocol: http2 }"
    : "the answer is not HTTP/1.1";
}

const readHttp2: ReadAnswer = (received, ended) => {
  const answer = new Http2Answer(received);
  if (answer.problem !== undefined) return { failed: answer.problem };
  if (answer.status === 0) return undefined;
  const body = answer.ended || ended ? answer.body.toString() : undefined;
  return { status: answer.status, body, header: (name) => answer.fields.get(name) };
};

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

/** Undefined while it is not whole. */
function judgeBody(config: HttpCheck, body: string | undefined): { failed?: string } | undefined {
  if (body === undefined) return undefined;
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
