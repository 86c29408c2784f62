/** What endpoints answer: what is passed on, what becomes 502, and when a connection is not used again. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { type Balancer, startBalancer } from "../support/balancer.ts";
import { sendRaw, statusOf } from "../support/raw-client.ts";
import { type EndpointSocket, type RawEndpoint, startRawEndpoint } from "../support/raw-endpoint.ts";

let endpoint: RawEndpoint;
let balancer: Balancer;
let answer: (socket: EndpointSocket) => void = () => {};

beforeAll(() => {
  endpoint = startRawEndpoint((socket, _all, piece) => {
    if (piece.includes("\r\n\r\n")) answer(socket);
  });
  balancer = startBalancer({
    listeners: { web: { address: "127.0.0.1:0", pool: "app" } },
    pools: { app: { endpoints: [endpoint.address] } },
  });
});

afterAll(async () => {
  await balancer.stop();
  endpoint.stop();
});

async function get(text: string, request = "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"): Promise<string> {
  answer = (socket) => socket.write(text);
  return (await sendRaw(balancer.port, request)).text;
}

const OK = "HTTP/1.1 200 OK\r\n";

const WRONG: [string, string][] = [
  ["no HTTP", "hello\r\n\r\n"],
  ["HTTP/2.0", "HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n"],
  ["CR X in the status line", "HTTP/1.1 200\rX\r\nContent-Length: 0\r\n\r\n"],
  ["bare LF", "HTTP/1.1 200 OK\nContent-Length: 0\n\n"],
  ["two-digit status", "HTTP/1.1 20 OK\r\nContent-Length: 0\r\n\r\n"],
  ["four-digit status", "HTTP/1.1 2000 OK\r\nContent-Length: 0\r\n\r\n"],
  ["status 600", "HTTP/1.1 600 OK\r\nContent-Length: 0\r\n\r\n"],
  ["two Content-Lengths", `${OK}Content-Length: 2\r\nContent-Length: 2\r\n\r\nok`],
  ["Content-Length and chunked", `${OK}Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`],
  ["odd Content-Length", `${OK}Content-Length: 2x\r\n\r\nok`],
  ["unknown coding", `${OK}Transfer-Encoding: gzip\r\n\r\nok`],
  ["bytes behind the length", `${OK}Content-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\n\r\n`],
  ["bytes behind the last chunk", `${OK}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\nHTTP/1.1 200 OK\r\n\r\n`],
  ["bad chunk", `${OK}Transfer-Encoding: chunked\r\n\r\nxyz\r\n`],
  ["folded header", `${OK}X: a\r\n b\r\nContent-Length: 0\r\n\r\n`],
  ["space before the colon", `${OK}X : a\r\nContent-Length: 0\r\n\r\n`],
  ["NUL in a value", `${OK}X: a\0\r\nContent-Length: 0\r\n\r\n`],
  ["a header bomb", `${OK}${"X: y\r\n".repeat(300)}\r\n`],
  ["a head of 100 KB", `${OK}X: ${"y".repeat(100_000)}\r\n\r\n`],
  ["interim answers for ever", "HTTP/1.1 102 Processing\r\n\r\n".repeat(40)],
  [
    "101 that nobody asked for",
    "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
  ],
];

for (const [name, text] of WRONG) {
  test(`502 for ${name}`, async () => {
    const connections = endpoint.received.length;
    const got = await get(text);
    expect(statusOf(got.slice(got.lastIndexOf("HTTP/1.1 5")))).toBe(502);
    expect(got).not.toContain("\r\n\r\nok");
    await get(`${OK}Content-Length: 0\r\n\r\n`);
    // Another connection was made: the one that misbehaved is not trusted again.
    expect(endpoint.received.length).toBeGreaterThan(connections);
  });
}

test("answers pass as they are, without what belongs to one connection", async () => {
  const got = await get(
    `HTTP/1.1 299 Odd One\r\nConnection: X-Gone\r\nKeep-Alive: 1\r\nX-Gone: 1\r\nX-Kept: \xe4\r\nDate: Sat, 21 Nov 2026 00:00:00 GMT\r\nContent-Length: 2\r\n\r\nok`,
  );
  expect(got).toBe(
    "HTTP/1.1 299 Odd One\r\nX-Kept: \xe4\r\nDate: Sat, 21 Nov 2026 00:00:00 GMT\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok",
  );
});

test("a missing Date is added", async () => {
  expect(await get(`${OK}Content-Length: 0\r\n\r\n`)).toMatch(/^Date: \w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT\r$/m);
});

test("chunked answers keep their chunks and trailers", async () => {
  const chunks = "3\r\nabc\r\n0\r\nX-Sum: 9\r\n\r\n";
  expect(await get(`${OK}Transfer-Encoding: chunked\r\n\r\n${chunks}`)).toEndWith(`\r\n\r\n${chunks}`);
});

test("clients of HTTP/1.0 get the data without chunks", async () => {
  const got = await get(
    `${OK}Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n`,
    "GET / HTTP/1.0\r\n\r\n",
  );
  expect(got).not.toMatch(/transfer-encoding/i);
  expect(got).toEndWith("\r\n\r\nabcde");
});

test("a body that ends with the connection is chunked for the client", async () => {
  answer = (socket) => {
    socket.write("HTTP/1.0 200 OK\r\n\r\nabc");
    setTimeout(() => {
      socket.write("de");
      socket.end();
    }, 20);
  };
  const { text } = await sendRaw(balancer.port, "GET / HTTP/1.1\r\nHost: a\r\n\r\n", {
    until: (all) => all.endsWith("0\r\n\r\n"),
  });
  expect(text).toContain("Transfer-Encoding: chunked\r\n");
  expect(text).toEndWith("\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n");
  expect(text).toStartWith("HTTP/1.1 200 OK\r\n");
});

test("HEAD, 204 and 304 have no body whatever they say", async () => {
  expect(
    await get(`${OK}Content-Length: 5\r\n\r\n`, "HEAD / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"),
  ).toContain("Content-Length: 5\r\n");
  expect(await get("HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n")).toEndWith("\r\n\r\n");
  expect(await get("HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n")).not.toContain("Content-Length");
});

test("interim answers are passed on, and 100 Continue lets the body come", async () => {
  let sent = false;
  answer = (socket) => {
    socket.write(sent ? "" : "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n");
    sent = true;
    setTimeout(() => socket.write(`${OK}Content-Length: 2\r\n\r\nok`), 30);
  };
  const { text } = await sendRaw(
    balancer.port,
    "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 0\r\n\r\n",
    {
      until: (all) => all.endsWith("ok"),
    },
  );
  expect(text).toStartWith(
    "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n",
  );
});

test("an answer cut in the middle is broken off, not completed", async () => {
  answer = (socket) => {
    socket.write(`${OK}Content-Length: 10\r\n\r\nabc`);
    setTimeout(() => socket.reset(), 20);
  };
  const { text, closed } = await sendRaw(balancer.port, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
  expect(text).toEndWith("\r\n\r\nabc");
  expect(closed).toBe(true);
});

test("an unsolicited answer on an idle connection is thrown away with it", async () => {
  answer = (socket) => {
    socket.write(`${OK}Content-Length: 2\r\n\r\nok`);
    setTimeout(() => socket.write(`${OK}Content-Length: 4\r\n\r\nevil`), 20);
  };
  const request = "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
  expect((await sendRaw(balancer.port, request)).text).toEndWith("ok");
  await Bun.sleep(60);
  expect(await get(`${OK}Content-Length: 4\r\n\r\ngood`)).toEndWith("good");
});

test("any answer may arrive cut at any byte", async () => {
  const whole = `HTTP/1.1 200 OK\r\nX: y\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n`;
  for (let cut = 1; cut < whole.length; cut++) {
    answer = (socket) => {
      socket.write(whole.slice(0, cut));
      setImmediate(() => socket.write(whole.slice(cut)));
    };
    const { text } = await sendRaw(balancer.port, "GET / HTTP/1.1\r\nHost: a\r\n\r\n", {
      until: (all) => all.endsWith("0\r\n\r\n"),
    });
    expect([cut, text.endsWith("\r\n\r\n3\r\nabc\r\n0\r\n\r\n"), text.match(/HTTP\/1\.1 /g)?.length]).toEqual([
      cut,
      true,
      1,
    ]);
  }
});

test("a WebSocket upgrade becomes a tunnel in both directions", async () => {
  answer = (socket) => {
    socket.write(
      "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: x\r\n\r\nfirst",
    );
  };
  const request =
    "GET /ws HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: k\r\n\r\n";
  const { text } = await sendRaw(balancer.port, [request, "", "client-bytes"], {
    until: (all) => all.includes("first"),
  });
  expect(statusOf(text)).toBe(101);
  expect(text).toContain("Connection: Upgrade\r\nUpgrade: websocket\r\n");
  await Bun.sleep(30);
  const arrived = endpoint.received.at(-1) as string;
  expect(arrived).toContain("Connection: Upgrade\r\nUpgrade: websocket\r\n");
  expect(arrived).toEndWith("client-bytes");
});

test("an upgrade that is declined is an ordinary answer", async () => {
  const got = await get(
    "HTTP/1.1 426 Upgrade Required\r\nContent-Length: 0\r\n\r\n",
    "GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, close\r\nUpgrade: websocket\r\n\r\n",
  );
  expect(statusOf(got)).toBe(426);
});

test("nothing is left in flight", async () => {
  await Bun.sleep(50);
  expect(balancer.inFlight()).toBe(0);
});
