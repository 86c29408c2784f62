/** Request heads that are too much, ambiguous or lie about where they go. What is refused never reaches the endpoint. */
import { expect, test } from "bun:test";
import type { ConfigInput } from "../../src/config/schema.ts";
import type { Balancer } from "../support/balancer.ts";
import { countResponses, sendRaw, statusOf } from "../support/raw-client.ts";
import { type RawEndpoint, startEchoEndpoint, startRawEndpoint } from "../support/raw-endpoint.ts";
import { expectServed, okEndpoint, one, serve, use } from "./harness.ts";

const HOST = "Host: a.example\r\n";
const POST = `POST / HTTP/1.1\r\n${HOST}`;

const REFUSED: [string, string, number][] = [
  ["10,000 headers", `GET / HTTP/1.1\r\n${HOST}${"X: y\r\n".repeat(10_000)}\r\n`, 431],
  [
    "2,100 headers in a WebSocket handshake",
    `GET /ws HTTP/1.1\r\n${HOST}Connection: Upgrade\r\nUpgrade: websocket\r\n${"X: y\r\n".repeat(2_100)}\r\n`,
    431,
  ],
  ["a target of 128 KB", `GET /${"a".repeat(131_072)} HTTP/1.1\r\n${HOST}\r\n`, 414],
  ["100,000 leading line breaks", `${"\r\n".repeat(100_000)}GET / HTTP/1.1\r\n${HOST}\r\n`, 400],
  ["100,000 leading line feeds", `${"\n".repeat(100_000)}GET / HTTP/1.1\r\n${HOST}\r\n`, 400],
  ["a head of nothing but a name", "A".repeat(200_000), 400],
  ["a header name of 200 KB", `GET / HTTP/1.1\r\n${HOST}${"n".repeat(200_000)}`, 431],
  ["a megabyte of white space in a value", `GET / HTTP/1.1\r\n${HOST}X:${" ".repeat(1_048_576)}`, 431],
  ["a folded Transfer-Encoding", `${POST}Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n`, 400],
  ["a Transfer-Encoding with a vertical tab", `${POST}Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n`, 400],
  ["an empty Transfer-Encoding", `${POST}Transfer-Encoding:\r\n\r\n0\r\n\r\n`, 400],
  ["chunked with a parameter", `${POST}Transfer-Encoding: chunked;q=1\r\n\r\n0\r\n\r\n`, 400],
  ["chunked twice in one line", `${POST}Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n`, 400],
  ["Transfer-Encoding with a tab before the colon", `${POST}Transfer-Encoding\t: chunked\r\n\r\n0\r\n\r\n`, 400],
  ["a folded Expect", `${POST}Expect:\r\n 100-continue\r\nContent-Length: 1\r\n\r\nx`, 400],
  ["Expect twice over", `${POST}Expect: 100-continue, 100-continue\r\nContent-Length: 1\r\n\r\nx`, 417],
  ["Content-Length with a decimal point", `${POST}Content-Length: 1.0\r\n\r\nx`, 400],
  ["Content-Length with a byte above 0x7f", `${POST}Content-Length: \xb2\r\n\r\nxx`, 400],
  ["Content-Length in full-width digits", `${POST}Content-Length: \xef\xbc\x92\r\n\r\nxx`, 400],
  ["a Host with user information", "GET / HTTP/1.1\r\nHost: admin@a\r\n\r\n", 400],
  ["a Host that is a list", "GET / HTTP/1.1\r\nHost: a, b\r\n\r\n", 400],
  ["a Host written once more in other letters", `GET / HTTP/1.1\r\n${HOST}hOST: b\r\n\r\n`, 400],
  ["an absolute target with a space in its host", `GET http://a b/ HTTP/1.1\r\n${HOST}\r\n`, 400],
  ["an absolute target of another scheme", `GET file:///etc/passwd HTTP/1.1\r\n${HOST}\r\n`, 400],
  ["an absolute target with a backslash", `GET http://a\\@b/ HTTP/1.1\r\n${HOST}\r\n`, 400],
];

test.each(REFUSED)("refused, and others are served: %s", async (_name, request, status) => {
  const endpoint = okEndpoint();
  const balancer = serve(endpoint.address);
  const { text, closed } = await sendRaw(balancer.port, `${request}GET /smuggled HTTP/1.1\r\n${HOST}\r\n`);
  expect([statusOf(text), closed, countResponses(text)]).toEqual([status, true, 1]);
  expect(endpoint.received.join("")).toBe("");
  await expectServed(balancer.port);
});

async function echoed(balancer: Balancer, request: string): Promise<string> {
  const { text } = await sendRaw(balancer.port, request, one);
  expect(statusOf(text)).toBe(200);
  return text.slice(text.indexOf("\r\n\r\n") + 4);
}

test("1,000 ranges pass through: they are the endpoint's to answer", async () => {
  const balancer = serve(use(startEchoEndpoint()).address);
  const ranges = `bytes=${Array.from({ length: 1_000 }, () => "0-").join(",")}`;
  expect(await echoed(balancer, `GET / HTTP/1.1\r\n${HOST}Range: ${ranges}\r\n\r\n`)).toContain(`Range: ${ranges}\r\n`);
});

test.each(["Content_Length", "content-length", "CONTENT_LENGTH", "Transfer_Encoding, Content_Length", "Host, hOsT"])(
  "Connection: %s takes away nothing that frames or routes the request",
  async (names) => {
    const balancer = serve(use(startEchoEndpoint()).address);
    const echo = await echoed(
      balancer,
      `${POST}Connection: ${names}\r\nContent-Length: 29\r\n\r\nGET /smuggled HTTP/1.1\r\nHost:`,
    );
    expect(echo).toContain("\r\nContent-Length: 29\r\n");
    expect(echo).toContain(`\r\n${HOST}`);
    const chunked = await echoed(
      balancer,
      `${POST}Connection: ${names}, Transfer_Encoding\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n`,
    );
    expect(chunked).toContain("\r\nTransfer-Encoding: chunked\r\n");
  },
);

test("TE: trailers reaches the endpoint beside the Connection that must name it", async () => {
  const balancer = serve(use(startEchoEndpoint()).address);
  const echo = await echoed(balancer, `GET / HTTP/1.1\r\n${HOST}Connection: TE\r\nTE: trailers\r\n\r\n`);
  expect(echo).toContain("\r\nTE: trailers\r\n");
  expect(echo).toContain("\r\nConnection: TE\r\n");
});

test("Connection cannot take away what endpoints are told of the client", async () => {
  const names = "X-Forwarded-For, X-Forwarded-Proto, X-Forwarded-Host, X-Forwarded-Port, X-Real-IP, X-Request-ID, Via";
  const sent = `X-Forwarded-For: 10.9.8.7\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: h\r\nX-Forwarded-Port: 443\r\nX-Request-ID: 0123456789abcdef\r\n`;
  for (const trustedProxies of [[], ["127.0.0.0/8"]]) {
    const balancer = serve(use(startEchoEndpoint()).address, { trustedProxies });
    const echo = await echoed(balancer, `GET / HTTP/1.1\r\n${HOST}Connection: ${names}\r\n${sent}\r\n`);
    for (const name of names.split(", ")) expect(echo.match(new RegExp(`^${name}: \\S`, "gim"))?.length).toBe(1);
  }
});

/** What is behind `/admin` is refused; everything else goes to the endpoint. */
function guarded(endpoint: RawEndpoint): Balancer {
  const rest: Partial<ConfigInput> = {
    routes: [
      { match: { pathPrefix: "/admin" }, respond: { status: 403, body: "no\n" } },
      { match: { host: "inner.example" }, respond: { status: 403, body: "no\n" } },
      { match: {}, pool: "app" },
    ],
  };
  return serve(endpoint.address, { pool: undefined }, rest);
}

test.each([
  "/public/../admin",
  "/public/%2e%2e/admin",
  "/public/.%2E/admin",
  "/public/..%2fadmin",
  "/public/..%5cadmin",
  "/public\\..\\admin",
  "/public/..;/admin",
  "/public/..;x=1/admin",
  "/;/admin",
  "//admin",
  "/./admin",
  "/%2e/admin",
  "/.//./admin/",
  "/x/y/../../admin/z",
  "/../../admin",
  "/%61dmin",
  "/%41dmin/../admin",
  "/adm%69n/users",
  "/public/%2e%2e%2f%61dmin",
  "/admin;x=1",
  "/admin/",
  "/admin/x?y",
  "/admin%2fx",
  "/admin//",
  "http://a.example//admin",
  "http://a.example/%61dmin",
])("%s is no way to /admin", async (path) => {
  const endpoint = okEndpoint();
  const balancer = guarded(endpoint);
  const { text } = await sendRaw(balancer.port, `GET ${path} HTTP/1.1\r\n${HOST}Connection: close\r\n\r\n`);
  expect([400, 403]).toContain(statusOf(text));
  expect(endpoint.received.join("")).toBe("");
});

test.each(["/a%20b", "/%7Euser", "/x%41y/%2F", "/a;b=c/d", "/x/./y", "/x/", "//", "/%C3%A9", "/admi%", "/%zz"])(
  "%s goes to the endpoint as it is",
  async (path) => {
    const balancer = guarded(use(startEchoEndpoint()));
    expect(await echoed(balancer, `GET ${path} HTTP/1.1\r\n${HOST}\r\n`)).toStartWith(`GET ${path} HTTP/1.1\r\n`);
  },
);

test("the authority of an absolute target is the host, whatever Host says", async () => {
  const endpoint = use(startEchoEndpoint());
  const balancer = guarded(endpoint);
  for (const authority of ["inner.example", "INNER.example:80", "inner.example:"]) {
    const { text } = await sendRaw(
      balancer.port,
      `GET http://${authority}/ HTTP/1.1\r\nHost: outer.example\r\n\r\n`,
      one,
    );
    expect(statusOf(text)).toBe(403);
  }
  const echo = await echoed(balancer, "GET http://outer.example/x HTTP/1.1\r\nHost: inner.example\r\n\r\n");
  expect(echo).toStartWith("GET /x HTTP/1.1\r\n");
  expect(echo).toContain("\r\nHost: outer.example\r\n");
  expect(echo).toContain("\r\nX-Forwarded-Host: outer.example\r\n");
  expect(echo).not.toContain("inner.example");
});

test.each(["h2c", "H2C", "h2", "h2c, websocket", "websocket/13 x"])(
  "Upgrade: %s is not passed on",
  async (protocol) => {
    const balancer = serve(use(startEchoEndpoint()).address);
    const echo = await echoed(
      balancer,
      `GET / HTTP/1.1\r\n${HOST}Connection: Upgrade, HTTP2-Settings\r\nUpgrade: ${protocol}\r\nHTTP2-Settings: AAMAAABk\r\n\r\n`,
    );
    expect(echo).not.toMatch(/^(upgrade|connection|http2-settings):/im);
  },
);

test.each([200, 426])("an upgrade answered %d makes no tunnel: what follows is read as requests", async (status) => {
  const endpoint = use(startRawEndpoint((socket) => socket.write(`HTTP/1.1 ${status} X\r\nContent-Length: 0\r\n\r\n`)));
  const balancer = serve(endpoint.address);
  const handshake = `GET /ws HTTP/1.1\r\n${HOST}Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 777\r\n\r\n`;
  const { text, closed } = await sendRaw(balancer.port, [handshake, "GET /admin HTTP/1.1\r\nHost: a\r\nX : 1\r\n\r\n"]);
  expect(closed).toBe(true);
  expect([...text.matchAll(/HTTP\/1\.1 (\d+)/g)].map(([, code]) => Number(code))).toEqual([status, 400]);
  expect(endpoint.received.join("")).not.toContain("/admin");
});
