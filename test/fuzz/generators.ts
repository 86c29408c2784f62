/** Requests and responses for the fuzz tests: valid ones, and valid ones with something done to them. */
import fc from "fast-check";

/** How many times as long as usual everything is to be tried: EVENKEEL_FUZZ_TIMES. */
const TIMES = Math.max(1, Number(process.env["EVENKEEL_FUZZ_TIMES"] ?? "1"));

/** How many runs a property gets. */
export function runs(usual: number): { numRuns: number } {
  return { numRuns: usual * TIMES };
}

/** How long a test may take that sets a limit of its own. */
export function within(usualMs: number): number {
  return usualMs * TIMES;
}

function characterOf(characters: string): fc.Arbitrary<string> {
  return fc.constantFrom(...characters.split(""));
}

const token = fc
  .array(characterOf("abcXYZ019!#$%&'*+.^_`|~-"), { minLength: 1, maxLength: 12 })
  .map((characters) => characters.join(""));
const value = fc
  .array(characterOf('ab Z09\t,;=:"/\xe4\xff()'), { maxLength: 16 })
  .map((characters) => characters.join("").replace(/^[ \t]+|[ \t]+$/g, ""));
const space = fc.constantFrom("", " ", "\t", "  ");
const text = fc.array(characterOf("abc\r\n\0\t 0;:\xff"), { maxLength: 40 }).map((characters) => characters.join(""));

const method = fc.constantFrom("GET", "POST", "PUT", "HEAD", "OPTIONS", "DELETE", "PATCH");
const anyMethod = fc.oneof(method, token, fc.constant("CONNECT"));
const host = fc.constantFrom("a", "a.example:8080", "[::1]:80", "127.0.0.1", "A-b_c.d", "");
const target = fc.oneof(
  fc
    .tuple(fc.array(fc.constantFrom("a", "b-c", "~x", "%20", "$;=", "1.2"), { maxLength: 4 }), fc.boolean())
    .map(([parts, query]) => `/${parts.join("/")}${query ? "?q=/../x&y" : ""}`),
  fc.constantFrom("http://a/", "http://b:81?x", "HTTPS://a.example/x/y?z"),
);

/** A header that changes neither framing nor routing. */
const header = fc
  .tuple(
    token.filter((name) => name.length > 2),
    space,
    value,
    space,
  )
  .map(([name, before, content, after]) => `X${name}:${before}${content}${after}\r\n`);
const knownHeader = fc.constantFrom(
  "Connection: keep-alive\r\n",
  "Connection: x-gone, ,\tTE\r\n",
  "Connection: Content_Length, transfer_encoding\r\n",
  "Connection: content-length, host, transfer-encoding\r\n",
  "TE: trailers\r\n",
  "Upgrade: websocket\r\n",
  "Content_Length: 3\r\n",
  "Transfer_Encoding: chunked\r\n",
  "X-Forwarded-For: 1.2.3.4\r\n",
  "Keep-Alive: timeout=5\r\n",
);

/** Pieces of data and what frames them as chunks. */
const extension = fc.constantFrom("", ";a", ';a="b c"', " ;x=1", "\t; y");
const digits = fc.constantFrom("", "0", "000");
const trailer = fc.constantFrom("", "X-Sum: 1\r\n", "X-A:\r\nX-B: \t\xff\r\n");
export const chunks = fc
  .tuple(
    fc.array(
      fc.tuple(
        text.filter((data) => data !== ""),
        extension,
        digits,
        fc.boolean(),
      ),
      { maxLength: 5 },
    ),
    trailer,
    extension,
  )
  .map(([parts, trailers, last]) => {
    const body = parts.map(([data, end, zeros, upper]) => {
      const size = data.length.toString(16);
      return `${zeros}${upper ? size.toUpperCase() : size}${end}\r\n${data}\r\n`;
    });
    return { wire: `${body.join("")}0${last}\r\n${trailers}\r\n`, data: parts.map(([data]) => data).join("") };
  });

/** Header lines and body that belong together. */
const framed = fc.oneof(
  fc.constant({ lines: "", wire: "", data: "" }),
  text.map((data) => ({ lines: `Content-Length: ${data.length}\r\n`, wire: data, data })),
  text.map((data) => ({ lines: `content-length:\t00${data.length} \r\n`, wire: data, data })),
  chunks.map(({ wire, data }) => ({ lines: "Transfer-Encoding: chunked\r\n", wire, data })),
);

export interface Generated {
  readonly text: string;
  readonly data: string;
}

function requestWith(methods: fc.Arbitrary<string>): fc.Arbitrary<Generated> {
  return fc
    .tuple(methods, target, host, fc.array(fc.oneof(header, knownHeader), { maxLength: 4 }), framed, fc.nat(3))
    .map(([verb, to, name, headers, { lines, wire, data }, leading]) => ({
      text: `${leading === 0 ? "\r\n" : ""}${verb} ${to} HTTP/1.1\r\nHost: ${name}\r\n${headers.join("")}${lines}\r\n${wire}`,
      data,
    }))
    .filter(({ text: all }) => (all.match(/^upgrade:/gim)?.length ?? 0) <= 1);
}

/** Requests with methods that every parser knows. */
export const plainRequest = requestWith(method);
export const anyRequest = requestWith(anyMethod);

export const anyResponse: fc.Arbitrary<Generated> = fc
  .tuple(
    fc.constantFrom(100, 103, 200, 204, 299, 304, 404, 500, 599),
    fc.constantFrom(" OK", "", " ", " Odd \xe4\treason"),
    fc.array(fc.oneof(header, knownHeader), { maxLength: 4 }),
    framed,
  )
  .map(([status, reason, headers, { lines, wire, data }]) => ({
    text: `HTTP/1.1 ${status}${reason}\r\n${headers.join("")}${lines}\r\n${wire}`,
    data,
  }));

const INSERTIONS = [
  "\r",
  "\n",
  "\0",
  " ",
  "\t",
  ":",
  ";",
  "\x0b",
  "\x85",
  "\r\n",
  "\n\n",
  "\r\n\r\n",
  "\r\n ",
  "0",
  "-",
  "_",
  "#",
  "%2f",
  "0x",
  "0\r\n\r\n",
  "10000000000000000",
  "00000000000000",
  "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n",
];
const LINES = [
  "Content-Length: 3",
  "Content-Length: 0",
  "Content-Length:",
  "Content-Length: +3",
  "Content-Length: 3, 3",
  "Content-Length: 0x3",
  "Content-Length: 18446744073709551619",
  "Content-Length : 3",
  " Content-Length: 3",
  "Transfer-Encoding: chunked",
  "Transfer-Encoding: CHUNKED",
  "Transfer-Encoding: chunked, identity",
  "Transfer-Encoding: gzip, chunked",
  "Transfer-Encoding: \x0bchunked",
  "Transfer-Encoding:chunked;x",
  "Transfer-Encoding: identity",
  "Transfer-Encoding\t: chunked",
  "X: a\rTransfer-Encoding: chunked",
  "Host: b",
  "Host: a/b",
  "Expect: 100-continue",
  "Expect: 200-ok",
  "Connection: a b",
  "Connection: close",
  "Connection: content_length, transfer_encoding",
  "Upgrade: h2c",
  ": empty",
  "no colon",
];

/** One thing to do to a message. `at` is a place in it, from 0 to 1. */
type Mutation = (message: string, at: number) => string;

const insertion: fc.Arbitrary<Mutation> = fc
  .constantFrom(...INSERTIONS)
  .map((piece) => (message, at) => splice(message, at, 0, piece));
const flip: fc.Arbitrary<Mutation> = fc
  .integer({ min: 1, max: 255 })
  .map((mask) => (message, at) => splice(message, at, 1, String.fromCharCode((codeAt(message, at) ^ mask) & 0xff)));
const removal: fc.Arbitrary<Mutation> = fc
  .integer({ min: 1, max: 4 })
  .map((count) => (message, at) => splice(message, at, count, ""));
const line: fc.Arbitrary<Mutation> = fc
  .constantFrom(...LINES)
  .map((added) => (message) => message.replace("\r\nHost:", () => `\r\n${added}\r\nHost:`));
const lastLine: fc.Arbitrary<Mutation> = fc
  .constantFrom(...LINES)
  .map((added) => (message) => message.replace("\r\n\r\n", () => `\r\n${added}\r\n\r\n`));
const version: fc.Arbitrary<Mutation> = fc
  .constantFrom("HTTP/1.0", "HTTP/1.2", "HTTP/2.0", "http/1.1", "HTTP/1.", "HTTP/01.1")
  .map((wanted) => (message) => message.replace("HTTP/1.1", wanted));
/** Where parsers disagree most: just before and just behind a line break. */
const atLineBreak: fc.Arbitrary<Mutation> = fc
  .tuple(fc.constantFrom(...INSERTIONS), fc.boolean())
  .map(([piece, behind]) => (message, at) => {
    const breaks = [...message.matchAll(/\r\n/g)].map(({ index }) => index + (behind ? 2 : 0));
    const place = breaks[Math.min(breaks.length - 1, Math.floor(breaks.length * at))] ?? 0;
    return message.slice(0, place) + piece + message.slice(place);
  });
const cut: fc.Arbitrary<Mutation> = fc.constant((message, at) => message.slice(0, Math.floor(message.length * at)));

const mutation = fc.tuple(
  fc.oneof(insertion, atLineBreak, flip, removal, line, lastLine, version, cut),
  fc.double({ min: 0, max: 1, noNaN: true }),
);

function splice(message: string, at: number, count: number, piece: string): string {
  const place = Math.floor(message.length * at);
  return message.slice(0, place) + piece + message.slice(place + count);
}

function codeAt(message: string, at: number): number {
  return message.charCodeAt(Math.min(message.length - 1, Math.floor(message.length * at))) || 0;
}

/** The message with one to three things done to it. */
export function mutated(base: fc.Arbitrary<Generated>): fc.Arbitrary<string> {
  return fc
    .tuple(base, fc.array(mutation, { minLength: 1, maxLength: 3 }))
    .map(([{ text: message }, changes]) => changes.reduce((all, [change, at]) => change(all, at), message));
}

/** A chunked request whose body alone has had something done to it. */
export const brokenChunks = mutated(chunks.map(({ wire, data }) => ({ text: wire, data }))).map(
  (wire) => `PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n${wire}`,
);

/** Bytes without any sense, a few of which look like a message. */
export const noise = fc
  .array(
    fc.oneof(
      characterOf("GET / HTTP/1.1\r\nHost: a\r\n\r\n"),
      fc.constantFrom("\r\n", "GET / HTTP/1.1\r\n"),
      fc.nat(255).map((code) => String.fromCharCode(code)),
    ),
    { maxLength: 80 },
  )
  .map((pieces) => pieces.join(""));

/** Where to cut a text of any length into pieces: places from 0 to 1. */
export const cuts = fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { maxLength: 8 });

export function placesOf(length: number, fractions: readonly number[]): number[] {
  return [...new Set([...fractions.map((fraction) => Math.floor(length * fraction)), length])].sort((a, b) => a - b);
}
