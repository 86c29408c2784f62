/** What clients send: every refusal, and that valid requests pass whatever the pieces they arrive in. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { type Balancer, startBalancer } from "../support/balancer.ts";
import { countResponses, sendRaw, statusOf } from "../support/raw-client.ts";
import { type RawEndpoint, startEchoEndpoint } from "../support/raw-endpoint.ts";

let endpoint: RawEndpoint;
let balancer: Balancer;

beforeAll(() => {
  endpoint = startEchoEndpoint();
  balancer = startBalancer({
    listeners: { web: { address: "127.0.0.1:0", http2: false } },
    routes: [
      { match: { pathPrefix: "/admin" }, respond: { status: 403, body: "no\n" } },
      { match: { pathPrefix: "/small" }, pool: "app", maxBodySize: "8B" },
      { match: {}, pool: "app" },
    ],
    pools: { app: { endpoints: [endpoint.address] } },
  });
});

afterAll(async () => {
  await balancer.stop();
  endpoint.stop();
});

const HOST = "Host: a.example\r\n";

/** Name, request, expected status. Whatever is refused must close the connection and never reach the endpoint. */
const REFUSED: [string, string, number][] = [
  ["no version", "GET /\r\n\r\n", 400],
  ["bare LF after the request line", `GET / HTTP/1.1\n${HOST}\r\n`, 400],
  ["bare LF after a header", "GET / HTTP/1.1\r\nHost: a\n\r\n", 400],
  ["bare CR in a header", "GET / HTTP/1.1\r\nHost: a\r\nX: a\rb\r\n\r\n", 400],
  ["CR-only header end", "GET / HTTP/1.1\r\nHost: a\r\nX: a\rTransfer-Encoding: chunked\r\n\r\n", 400],
  ["header block ended by CRLF CR X", "GET / HTTP/1.1\r\nHost: a\r\n\rX: y\r\n\r\n", 400],
  ["two spaces in the request line", `GET  / HTTP/1.1\r\n${HOST}\r\n`, 400],
  ["tab in the request line", `GET\t/ HTTP/1.1\r\n${HOST}\r\n`, 400],
  ["trailing space after the version", `GET / HTTP/1.1 \r\n${HOST}\r\n`, 400],
  ["lower-case version", `GET / http/1.1\r\n${HOST}\r\n`, 400],
  ["version 1.2", `GET / HTTP/1.2\r\n${HOST}\r\n`, 505],
  ["version 2.0", `GET / HTTP/2.0\r\n${HOST}\r\n`, 505],
  ["version 11.1", `GET / HTTP/11.1\r\n${HOST}\r\n`, 400],
  ["the preface of HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505],
  ["method with a bad byte", `GE(T / HTTP/1.1\r\n${HOST}\r\n`, 400],
  ["64 KB method", `${"A".repeat(65_536)} / HTTP/1.1\r\n${HOST}\r\n`, 400],
  ["control byte in the target", `GET /\x01 HTTP/1.1\r\n${HOST}\r\n`, 400],
  ["byte above 0x7f in the target", `GET /\xff HTTP/1.1\r\n${HOST}\r\n`, 400],
  ["fragment in the target", `GET /public#/../admin HTTP/1.1\r\n${HOST}\r\n`, 400],
  ["target without a slash", `GET index HTTP/1.1\r\n${HOST}\r\n`, 400],
  ["asterisk with GET", `GET * HTTP/1.1\r\n${HOST}\r\n`, 400],
  ["absolute target with user information", `GET http://u@a/ HTTP/1.1\r\n${HOST}\r\n`, 400],
  ["absolute target without a host", `GET http:/// HTTP/1.1\r\n${HOST}\r\n`, 400],
  ["CONNECT", "CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n", 405],
  ["no Host", "GET / HTTP/1.1\r\n\r\n", 400],
  ["two Hosts", `GET / HTTP/1.1\r\n${HOST}${HOST}\r\n`, 400],
  ["Host with a slash", "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400],
  ["Host with a space", "GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400],
  ["Host with a comma", "GET / HTTP/1.1\r\nHost: a,b\r\n\r\n", 400],
  ["Host with two ports", "GET / HTTP/1.1\r\nHost: a:1:2\r\n\r\n", 400],
  ["space before the colon", `GET / HTTP/1.1\r\n${HOST}X : y\r\n\r\n`, 400],
  ["space before Content-Length", `GET / HTTP/1.1\r\n${HOST} Content-Length: 34\r\n\r\n`, 400],
  ["folded header", `GET / HTTP/1.1\r\n${HOST}X: a\r\n b\r\n\r\n`, 400],
  ["empty header name", `GET / HTTP/1.1\r\n${HOST}: x\r\n\r\n`, 400],
  ["header without a colon", `GET / HTTP/1.1\r\n${HOST}abc\r\n\r\n`, 400],
  ["NUL in a value", `GET / HTTP/1.1\r\n${HOST}X: a\0b\r\n\r\n`, 400],
  ["control byte in a value", `GET / HTTP/1.1\r\n${HOST}X: a\x07b\r\n\r\n`, 400],
  ["non-token byte in a name", `GET / HTTP/1.1\r\n${HOST}X@y: a\r\n\r\n`, 400],
  [
    "long name that overflows",
    `GET / HTTP/1.1\r\n${HOST}Content-Length0${"a".repeat(270)}:\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n`,
    400,
  ],
  ["101 headers", `GET / HTTP/1.1\r\n${HOST}${"X: y\r\n".repeat(100)}\r\n`, 431],
  ["a head of 70 KB", `GET / HTTP/1.1\r\n${HOST}X: ${"y".repeat(70_000)}\r\n\r\n`, 431],
  ["a target of 70 KB", `GET /${"y".repeat(70_000)} HTTP/1.1\r\n${HOST}\r\n`, 414],
  ["empty Content-Length", `POST / HTTP/1.1\r\n${HOST}Content-Length:\r\n\r\n`, 400],
  ["empty and good Content-Length", `POST / HTTP/1.1\r\n${HOST}Content-Length:\r\nContent-Length: 5\r\n\r\nhello`, 400],
  ["repeated Content-Length", `POST / HTTP/1.1\r\n${HOST}Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello`, 400],
  ["Content-Length list", `POST / HTTP/1.1\r\n${HOST}Content-Length: 5, 5\r\n\r\nhello`, 400],
  ["signed Content-Length", `POST / HTTP/1.1\r\n${HOST}Content-Length: +5\r\n\r\nhello`, 400],
  ["negative Content-Length", `POST / HTTP/1.1\r\n${HOST}Content-Length: -5\r\n\r\nhello`, 400],
  ["hexadecimal Content-Length", `POST / HTTP/1.1\r\n${HOST}Content-Length: 0x5\r\n\r\nhello`, 400],
  ["overflowing Content-Length", `POST / HTTP/1.1\r\n${HOST}Content-Length: 18446744073709551621\r\n\r\nhello`, 400],
  [
    "Content-Length and chunked",
    `POST / HTTP/1.1\r\n${HOST}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
    400,
  ],
  [
    "chunked and Content-Length",
    `POST / HTTP/1.1\r\n${HOST}Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n`,
    400,
  ],
  ["chunked, identity", `POST / HTTP/1.1\r\n${HOST}Transfer-Encoding: chunked , identity\r\n\r\n0\r\n\r\n`, 400],
  ["gzip, chunked", `POST / HTTP/1.1\r\n${HOST}Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n`, 400],
  [
    "two Transfer-Encodings",
    `POST / HTTP/1.1\r\n${HOST}Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
    400,
  ],
  ["xchunked", `POST / HTTP/1.1\r\n${HOST}Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n`, 400],
  ["quoted chunked", `POST / HTTP/1.1\r\n${HOST}Transfer-Encoding: "chunked"\r\n\r\n0\r\n\r\n`, 400],
  ["chunked in HTTP/1.0", `POST / HTTP/1.0\r\n${HOST}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n`, 400],
  ["unknown expectation", `POST / HTTP/1.1\r\n${HOST}Expect: y 100-continue\r\nContent-Length: 5\r\n\r\nhello`, 417],
  ["bad Connection", `GET / HTTP/1.1\r\n${HOST}Connection: a b\r\n\r\n`, 400],
  ["100 leading line breaks", `${"\r\n".repeat(100)}GET / HTTP/1.1\r\n${HOST}\r\n`, 400],
];

for (const body of [
  "0x3\r\nabc\r\n0\r\n\r\n",
  "+3\r\nabc\r\n0\r\n\r\n",
  "3_0\r\nabc\r\n0\r\n\r\n",
  " 3\r\nabc\r\n0\r\n\r\n",
  "3 \r\nabc\r\n0\r\n\r\n",
  "3\nabc\r\n0\r\n\r\n",
  "3\r\nabcX\r\n0\r\n\r\n",
  "3\r\nabc\n0\r\n\r\n",
  "3;x\nabc\r\n0\r\n\r\n",
  "10000000000000000\r\n",
  "\r\n",
  "3;\0\r\nabc\r\n0\r\n\r\n",
  "0\r\nContent-Length: 5\r\n\r\n",
  "0\r\nX y\r\n\r\n",
  "0\r\n\n",
  `3;${"x".repeat(65_536)}\r\nabc\r\n0\r\n\r\n`,
]) {
  const name = `chunked body ${JSON.stringify(body.length > 30 ? `${body.slice(0, 20)}... (${body.length})` : body)}`;
  REFUSED.push([name, `POST / HTTP/1.1\r\n${HOST}Transfer-Encoding: chunked\r\n\r\n${body}`, 400]);
}

for (const [name, request, status] of REFUSED) {
  test(`refuses: ${name}`, async () => {
    const smuggled = `${request}GET /smuggled HTTP/1.1\r\n${HOST}\r\n`;
    const before = endpoint.received.length;
    const { text, closed } = await sendRaw(balancer.port, smuggled);
    expect(statusOf(text)).toBe(status);
    expect(closed).toBe(true);
    expect(countResponses(text)).toBe(1);
    const isStreamed = name.startsWith("chunked body");
    const reached = endpoint.received.slice(before).join("");
    if (!isStreamed) expect(reached).toBe("");
    expect(endpoint.received.join("")).not.toContain("/smuggled");
  });
}

/** Clear requests that are refused for what they ask: the connection may live on, the endpoint sees nothing. */
const DECLINED: [string, string, number][] = [
  ["body over the route's limit", `POST /small HTTP/1.1\r\n${HOST}Content-Length: 9\r\n\r\n123456789`, 413],
  [
    "chunked body over the route's limit",
    `POST /small HTTP/1.1\r\n${HOST}Transfer-Encoding: chunked\r\n\r\n9\r\n123456789\r\n0\r\n\r\n`,
    413,
  ],
  ["ambiguous path", `GET /public/..%2fadmin HTTP/1.1\r\n${HOST}\r\n`, 400],
  ["ambiguous path with parameters", `GET /public/..;/admin HTTP/1.1\r\n${HOST}\r\n`, 400],
  ["ambiguous path with encoded dots", `GET /a/%2e%2e/admin HTTP/1.1\r\n${HOST}\r\n`, 400],
  ["ambiguous path with two slashes", `GET //admin HTTP/1.1\r\n${HOST}\r\n`, 400],
];

for (const [name, request, status] of DECLINED) {
  test(`declines: ${name}`, async () => {
    const before = endpoint.received.join("").length;
    const { text } = await sendRaw(balancer.port, request, { until: (all) => countResponses(all) === 1 });
    expect(statusOf(text)).toBe(status);
    expect(endpoint.received.join("").length).toBe(before);
  });
}

/** Valid requests; the endpoint's answer contains the request as it arrived there. */
const VALID: [string, string, (echo: string) => void][] = [
  ["the least", `GET / HTTP/1.1\r\n${HOST}\r\n`, (echo) => expect(echo).toContain("GET / HTTP/1.1\r\n")],
  [
    "an odd path, byte for byte",
    `GET /a%2Fb/%7e;x=1?q=%00&a[]=b|c HTTP/1.1\r\n${HOST}\r\n`,
    (echo) => expect(echo).toContain("GET /a%2Fb/%7e;x=1?q=%00&a[]=b|c HTTP/1.1\r\n"),
  ],
  [
    "an absolute target",
    `GET http://b.example:81/x?y HTTP/1.1\r\n${HOST}\r\n`,
    (echo) => {
      expect(echo).toContain("GET /x?y HTTP/1.1\r\n");
      expect(echo.match(/^host: .*$/gim)).toEqual(["Host: b.example:81"]);
    },
  ],
  [
    "an absolute target without a path",
    `GET http://b.example HTTP/1.1\r\n${HOST}\r\n`,
    (echo) => expect(echo).toContain("GET / HTTP/1.1\r\n"),
  ],
  ["OPTIONS *", `OPTIONS * HTTP/1.1\r\n${HOST}\r\n`, (echo) => expect(echo).toContain("OPTIONS * HTTP/1.1\r\n")],
  [
    "one leading line break",
    `\r\nGET / HTTP/1.1\r\n${HOST}\r\n`,
    (echo) => expect(echo).toContain("GET / HTTP/1.1\r\n"),
  ],
  [
    "an unknown method",
    `PURGE_IT / HTTP/1.1\r\n${HOST}\r\n`,
    (echo) => expect(echo).toStartWith("PURGE_IT / HTTP/1.1\r\n"),
  ],
  [
    "white space around a value",
    `GET / HTTP/1.1\r\n${HOST}X: \t y \t\r\nE:\r\n\r\n`,
    (echo) => expect(echo).toContain("X: \t y \t\r\nE:\r\n"),
  ],
  [
    "bytes above 0x7f in a value",
    `GET / HTTP/1.1\r\n${HOST}X: \xe4\xff\r\n\r\n`,
    (echo) => expect(echo).toContain("X: \xe4\xff\r\n"),
  ],
  [
    "an IPv6 Host",
    "GET / HTTP/1.1\r\nHost: [::1]:8080\r\n\r\n",
    (echo) => expect(echo).toContain("Host: [::1]:8080\r\n"),
  ],
  ["an empty Host", "GET / HTTP/1.1\r\nHost:\r\n\r\n", (echo) => expect(echo).toContain("Host:\r\n")],
  [
    "100 headers",
    `GET / HTTP/1.1\r\n${HOST}${"X: y\r\n".repeat(99)}\r\n`,
    (echo) => expect(echo.match(/^X: y/gm)?.length).toBe(99),
  ],
  [
    "a body with a length",
    `POST / HTTP/1.1\r\n${HOST}Content-Length: 5\r\n\r\nhello`,
    (echo) => expect(echo).toEndWith("\r\n\r\nhello"),
  ],
  [
    "a chunked body with extension and trailer",
    `POST / HTTP/1.1\r\n${HOST}Transfer-Encoding: Chunked\r\n\r\n5;a="b"\r\nhello\r\n00\r\nX-Sum: 1\r\n\r\n`,
    (echo) => expect(echo).toEndWith('5;a="b"\r\nhello\r\n00\r\nX-Sum: 1\r\n\r\n'),
  ],
  [
    "HTTP/1.0",
    `GET / HTTP/1.0\r\n\r\n`,
    (echo) => {
      expect(echo).toContain("GET / HTTP/1.1\r\n");
      expect(echo).toContain(`Host: ${endpoint.address}\r\n`);
    },
  ],
  [
    "hop-by-hop headers",
    `GET / HTTP/1.1\r\n${HOST}Connection: keep-alive, X-Drop, X-Forwarded-For\r\nKeep-Alive: 5\r\nX-Drop: 1\r\nX-Keep: 2\r\nProxy-Connection: x\r\nTE: gzip\r\nUpgrade: h2c\r\nHTTP2-Settings: AA\r\n\r\n`,
    (echo) => {
      expect(echo).not.toMatch(/^(connection|keep-alive|x-drop|proxy-connection|te|upgrade|http2-settings):/im);
      expect(echo).toContain("X-Keep: 2\r\n");
      expect(echo).toContain("X-Forwarded-For: 127.0.0.1\r\n");
    },
  ],
  [
    "headers that are framing cannot be taken away",
    `POST / HTTP/1.1\r\n${HOST}Connection: close, Host, Content-Length\r\nContent-Length: 2\r\n\r\nok`,
    (echo) => {
      expect(echo).toContain("Host: a.example\r\n");
      expect(echo).toContain("Content-Length: 2\r\n");
    },
  ],
  [
    "forged forwarding headers",
    `GET / HTTP/1.1\r\n${HOST}X-Forwarded-For: 1.1.1.1\r\nX_Forwarded_For: 2.2.2.2\r\nX-Real-IP: 3.3.3.3\r\nForwarded: for=4.4.4.4\r\nX-Forwarded-Proto: https\r\nX-Request-ID: forged\r\nContent_Length: 9\r\n\r\n`,
    (echo) => {
      expect(echo).not.toMatch(/1\.1\.1\.1|2\.2\.2\.2|3\.3\.3\.3|4\.4\.4\.4|https|forged|Content_Length/);
      expect(echo).toContain("X-Forwarded-Proto: http\r\n");
      expect(echo).toMatch(/^X-Request-ID: [0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}\r$/m);
      expect(echo).toContain("Via: 1.1 evenkeel\r\n");
    },
  ],
  [
    "an upgrade with a body is no upgrade",
    `POST / HTTP/1.1\r\n${HOST}Connection: upgrade\r\nUpgrade: websocket\r\nContent-Length: 2\r\n\r\nok`,
    (echo) => expect(echo).not.toMatch(/^upgrade:/im),
  ],
];

for (const [name, request, check] of VALID) {
  test(`passes on: ${name}`, async () => {
    const { text } = await sendRaw(balancer.port, request, { until: (all) => countResponses(all) === 1 });
    expect(statusOf(text)).toBe(200);
    check(text.slice(text.indexOf("\r\n\r\n") + 4));
  });
}

test("valid requests may arrive cut at any byte, and together with the next one", async () => {
  for (const [name, request] of VALID) {
    if (request.length > 500 || name === "HTTP/1.0" || request.includes("Connection: close")) continue;
    const cuts = Array.from({ length: request.length - 1 }, (_, index) => index + 1);
    await Promise.all(
      cuts.map(async (cut) => {
        const pieces = [request.slice(0, cut), request.slice(cut) + request];
        const { text } = await sendRaw(balancer.port, pieces, { until: (all) => countResponses(all) === 2 });
        expect([name, cut, countResponses(text)]).toEqual([name, cut, 2]);
      }),
    );
  }
});

test("refusals are the same for requests cut at any byte", async () => {
  for (const [name, request, status] of REFUSED.slice(0, 60)) {
    if (request.length > 120) continue;
    const cuts = Array.from({ length: request.length - 1 }, (_, index) => index + 1);
    await Promise.all(
      cuts.map(async (cut) => {
        const { text } = await sendRaw(balancer.port, [request.slice(0, cut), request.slice(cut)]);
        expect([name, cut, statusOf(text)]).toEqual([name, cut, status]);
      }),
    );
  }
});

test("a request byte by byte", async () => {
  const request = `POST /slow?x HTTP/1.1\r\n${HOST}Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n`;
  const { text } = await sendRaw(balancer.port, request.split(""), { until: (all) => countResponses(all) === 1 });
  expect(text).toEndWith("3\r\nabc\r\n0\r\n\r\n");
});

test("fifty requests in one segment are answered in order", async () => {
  const requests = Array.from({ length: 50 }, (_, index) => `GET /${index} HTTP/1.1\r\n${HOST}\r\n`).join("");
  const { text } = await sendRaw(balancer.port, requests, { until: (all) => countResponses(all) === 50 });
  expect([...text.matchAll(/GET \/(\d+) HTTP/g)].map(([, index]) => Number(index))).toEqual(
    Array.from({ length: 50 }, (_, index) => index),
  );
});

test("a client that finishes sending still gets its answer", async () => {
  const { text, closed } = await sendRaw(balancer.port, `GET /half HTTP/1.1\r\n${HOST}\r\n`, { endAfter: true });
  expect(statusOf(text)).toBe(200);
  expect(closed).toBe(true);
});

test("error answers are in the form that the client asks for", async () => {
  const ask = async (accept: string) =>
    (
      await sendRaw(
        balancer.port,
        `GET /public/..%2fadmin HTTP/1.1\r\n${HOST}Accept: ${accept}\r\nConnection: close\r\n\r\n`,
      )
    ).text;
  expect(await ask("application/json")).toContain('"code":"E_AMBIGUOUS_PATH"');
  expect(await ask("text/html")).toMatch(/<h1>400 Bad Request<\/h1>.*<code>E_AMBIGUOUS_PATH<\/code>/);
  expect(await ask("*/*")).toMatch(/\r\n\r\n400 Bad Request: The path can be read .* \(E_AMBIGUOUS_PATH\)\n$/);
});

test("error answers name the request's id, a trusted proxy's where there is one, and others do not", async () => {
  const line = /\r\nX-Request-ID: (\S+)\r\n/;
  const ask = async (port: number, target: string) => {
    const request = `GET ${target} HTTP/1.1\r\n${HOST}X-Request-ID: theirs\r\nConnection: close\r\n\r\n`;
    return line.exec((await sendRaw(port, request)).text)?.[1];
  };
  expect(await ask(balancer.port, "/public/..%2fadmin")).toMatch(/^[0-9a-f-]{36}$/);
  expect(await ask(balancer.port, "/admin")).toBeUndefined();
  const trusting = startBalancer({
    listeners: { web: { address: "127.0.0.1:0", trustedProxies: ["127.0.0.0/8"] } },
  });
  expect(await ask(trusting.port, "/")).toBe("theirs");
  await trusting.stop();
  const silent = startBalancer({ listeners: { web: { address: "127.0.0.1:0", forwarding: { requestId: false } } } });
  expect(await ask(silent.port, "/")).toBeUndefined();
  await silent.stop();
});

test("nothing is left in flight", async () => {
  await Bun.sleep(50);
  expect(balancer.inFlight()).toBe(0);
});
