/** TCP listeners over real sockets: what goes in comes out, and every way a connection can end. */
import { afterEach, describe, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { FakeClock } from "../../src/base/fake-clock.ts";
import type { ConfigInput } from "../../src/config/schema.ts";
import { type Balancer, startBalancer } from "../support/balancer.ts";
import { eventually, type TcpClient, type TcpEndpoint, tcpClient, tcpEndpoint } from "../support/tcp.ts";

const stops: (() => Promise<void> | void)[] = [];
afterEach(async () => {
  for (const stop of stops.splice(0)) await stop();
});

async function endpoint(serve: Parameters<typeof tcpEndpoint>[0]): Promise<TcpEndpoint> {
  const started = await tcpEndpoint(serve);
  stops.push(started.stop);
  return started;
}

type Listener = Partial<Extract<ConfigInput["listeners"][string], { protocol: "tcp" }>>;
type Pool = Omit<NonNullable<ConfigInput["pools"]>[string], "endpoints">;

function balancer(addresses: readonly string[], listener: Listener = {}, pool: Pool = {}, clock?: FakeClock): Balancer {
  const started = startBalancer(
    {
      listeners: { db: { address: "127.0.0.1:0", protocol: "tcp", pool: "app", ...listener } },
      pools: { app: { endpoints: [...addresses], ...pool } },
    },
    clock === undefined ? {} : { clock, timers: clock },
  );
  stops.push(started.stop);
  return started;
}

async function client(to: Balancer): Promise<TcpClient> {
  const connected = await tcpClient(to.port);
  stops.push(() => void connected.socket.destroy());
  return connected;
}

async function nothingLeft(of: Balancer): Promise<void> {
  await eventually(() => of.inFlight() === 0 && of.openConnections() === 0, "no connection left");
}

const dead = "127.0.0.1:1";

describe("relaying", () => {
  test("what is sent either way arrives", async () => {
    const echo = await endpoint((socket) => socket.pipe(socket));
    const to = balancer([echo.address]);
    const from = await client(to);
    from.socket.write("one ");
    await from.until(() => from.text() === "one ");
    from.socket.write("two");
    await from.until(() => from.text() === "one two");
    expect(to.inFlight()).toBe(1);
    from.socket.end();
    await from.closed;
    await nothingLeft(to);
  });

  test("an endpoint may speak first", async () => {
    const greeter = await endpoint((socket) => socket.write("220 ready\r\n"));
    const from = await client(balancer([greeter.address]));
    await from.until(() => from.text() === "220 ready\r\n");
  });

  test("what is sent before there is an endpoint is not lost", async () => {
    const echo = await endpoint((socket) => socket.pipe(socket));
    const from = await client(balancer([echo.address]));
    const text = "x".repeat(300_000);
    from.socket.write(text);
    await from.until(() => from.received() === text.length);
  });

  test("256 MiB both ways at once, slowly read, arrive whole and take little memory", async () => {
    const size = 256 * 1_048_576;
    const block = Buffer.alloc(1_048_576, "0123456789abcdef");
    const digest = createHash("sha256");
    const echo = await endpoint((socket) => socket.pipe(socket));
    const to = balancer([echo.address]);
    const from = await client(to);
    from.socket.removeAllListeners("data");
    let received = 0;
    const before = process.memoryUsage().rss;
    let most = 0;
    from.socket.on("data", (bytes: Buffer) => {
      received += bytes.length;
      digest.update(bytes);
      most = Math.max(most, process.memoryUsage().rss);
    });
    const expected = createHash("sha256");
    for (let sent = 0; sent < size; sent += block.length) {
      expected.update(block);
      if (!from.socket.write(block)) await new Promise((resolve) => from.socket.once("drain", resolve));
    }
    from.socket.end();
    await from.closed;
    expect(received).toBe(size);
    expect(digest.digest("hex")).toBe(expected.digest("hex"));
    expect(most - before).toBeLessThan(160 * 1_048_576);
    await nothingLeft(to);
  });

  test("a client that does not read holds its endpoint back", async () => {
    let sent = 0;
    const source = await endpoint((socket) => {
      const block = Buffer.alloc(65_536);
      const fill = (): void => {
        while (sent < 256 * 1_048_576) {
          sent += block.length;
          if (!socket.write(block)) return void socket.once("drain", fill);
        }
      };
      fill();
    });
    const to = balancer([source.address]);
    const from = await client(to);
    from.socket.pause();
    let last = -1;
    for (let look = 0; look < 40 && last !== sent; look++) {
      last = sent;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    expect(sent).toBeLessThan(32 * 1_048_576);
    from.socket.destroy();
    await nothingLeft(to);
  });
});

describe("ends", () => {
  test("a client that has finished sending still gets its answer", async () => {
    const counter = await endpoint((socket) => {
      let bytes = 0;
      socket.on("data", (piece: Buffer) => {
        bytes += piece.length;
      });
      socket.on("end", () => socket.end(`${bytes} bytes`));
    });
    const to = balancer([counter.address]);
    const from = await client(to);
    from.socket.end("x".repeat(200_000));
    await from.closed;
    expect(from.text()).toBe("200000 bytes");
    expect(from.ended()).toBe("end");
    await nothingLeft(to);
  });

  test("an endpoint that has finished sending still gets what the client sends", async () => {
    let got = "";
    const server = await endpoint((socket) => {
      socket.end("bye");
      socket.on("data", (bytes: Buffer) => {
        got += bytes.toString();
      });
    });
    const to = balancer([server.address]);
    const from = await client(to);
    await from.until(() => from.ended() === "end");
    expect(from.text()).toBe("bye");
    from.socket.end("last words");
    await eventually(() => got === "last words", "the endpoint got it");
    await nothingLeft(to);
  });

  test("an endpoint's reset is passed on as one", async () => {
    const server = await endpoint((socket) => socket.once("data", () => socket.resetAndDestroy()));
    const to = balancer([server.address]);
    const from = await client(to);
    from.socket.write("hello");
    await from.until(() => from.ended() === "reset");
    await nothingLeft(to);
  });

  test("a client's reset is passed on as one", async () => {
    let ended = "";
    const server = await endpoint((socket) => {
      socket.resume();
      socket.on("error", () => {
        ended = "reset";
      });
      socket.on("end", () => {
        ended ||= "end";
      });
    });
    const to = balancer([server.address]);
    const from = await client(to);
    from.socket.write("hello");
    await eventually(() => server.sockets.length === 1, "connected");
    from.socket.resetAndDestroy();
    await eventually(() => ended !== "", "the endpoint noticed");
    expect(ended).toBe("reset");
    await nothingLeft(to);
  });

  test("silence both ways ends after its time, and not before", async () => {
    const clock = new FakeClock();
    const server = await endpoint((socket) => socket.pipe(socket));
    const to = balancer([server.address], { timeouts: { idle: "10m" } }, {}, clock);
    const from = await client(to);
    from.socket.write("a");
    await from.until(() => from.text() === "a");
    clock.advance(599_000);
    from.socket.write("b");
    await from.until(() => from.text() === "ab");
    clock.advance(599_000);
    expect(from.ended()).toBe("");
    clock.advance(2_000);
    await from.until(() => from.ended() !== "");
    await nothingLeft(to);
  });
});

describe("endpoints that cannot be reached", () => {
  test("another one is tried: the client sees nothing of it", async () => {
    const echo = await endpoint((socket) => socket.pipe(socket));
    const to = balancer([dead, echo.address], {}, { balance: "round-robin" });
    for (let connection = 0; connection < 4; connection++) {
      const from = await client(to);
      from.socket.write("hello");
      await from.until(() => from.text() === "hello");
      from.socket.destroy();
    }
    await nothingLeft(to);
  });

  test("without another one the client is refused", async () => {
    const to = balancer([dead]);
    const from = await tcpClient(to.port);
    await from.closed;
    expect(from.ended()).toBe("reset");
    await nothingLeft(to);
  });

  test("an endpoint that is not eligible is not tried", async () => {
    const echo = await endpoint((socket) => socket.pipe(socket));
    const to = balancer([echo.address]);
    to.setEligible("app", 0, false);
    const from = await tcpClient(to.port);
    await from.closed;
    expect(echo.sockets).toHaveLength(0);
    await nothingLeft(to);
  });
});

describe("limits", () => {
  test("more connections than the listener may have are refused", async () => {
    const echo = await endpoint((socket) => socket.pipe(socket));
    const to = balancer([echo.address], { maxConnections: 2 });
    const [first] = [await client(to), await client(to)];
    await eventually(() => to.openConnections() === 2, "two are open");
    const third = await tcpClient(to.port);
    await third.closed;
    first?.socket.destroy();
    await eventually(() => to.openConnections() === 1, "one has gone");
    const fourth = await client(to);
    fourth.socket.write("hello");
    await fourth.until(() => fourth.text() === "hello");
  });

  test("a connection waits for a place on its endpoint, and gets it", async () => {
    const echo = await endpoint((socket) => socket.pipe(socket));
    const to = balancer([], {}, { endpoints: [{ address: echo.address, maxConnections: 1 }] } as Pool);
    const first = await client(to);
    first.socket.write("1");
    await first.until(() => first.text() === "1");
    const second = await client(to);
    second.socket.write("2");
    await eventually(() => to.openConnections() === 2, "both are open");
    expect(to.inFlight()).toBe(1);
    first.socket.destroy();
    await second.until(() => second.text() === "2");
    second.socket.destroy();
    await nothingLeft(to);
  });

  test("one that leaves while it waits is forgotten", async () => {
    const echo = await endpoint((socket) => socket.pipe(socket));
    const to = balancer([], {}, { endpoints: [{ address: echo.address, maxConnections: 1 }] } as Pool);
    const first = await client(to);
    first.socket.write("1");
    await first.until(() => first.text() === "1");
    const second = await client(to);
    await eventually(() => to.openConnections() === 2, "both are open");
    second.socket.resetAndDestroy();
    await eventually(() => to.openConnections() === 1, "the second has gone");
    expect(to.inFlight()).toBe(1);
  });
});

describe("balancing", () => {
  test("by connection, in turn", async () => {
    const endpoints = await Promise.all([1, 2, 3].map((name) => endpoint((socket) => socket.end(String(name)))));
    const to = balancer(
      endpoints.map(({ address }) => address),
      {},
      { balance: "round-robin" },
    );
    const answers: string[] = [];
    for (let connection = 0; connection < 6; connection++) {
      const from = await client(to);
      await from.until(() => from.ended() === "end");
      answers.push(from.text());
      from.socket.end();
    }
    expect([...answers].sort((a, b) => Number(a) - Number(b))).toEqual(["1", "1", "2", "2", "3", "3"]);
    await nothingLeft(to);
  });

  test("by client address, always to the same", async () => {
    const endpoints = await Promise.all([1, 2, 3].map((name) => endpoint((socket) => socket.end(String(name)))));
    const to = balancer(
      endpoints.map(({ address }) => address),
      {},
      { balance: "maglev" },
    );
    const answers = new Set<string>();
    for (let connection = 0; connection < 6; connection++) {
      const from = await client(to);
      await from.until(() => from.ended() === "end");
      answers.add(from.text());
      from.socket.end();
    }
    expect(answers.size).toBe(1);
  });
});

test("a reload leaves open connections alone and counts for new ones", async () => {
  const [old, next] = await Promise.all(["old", "new"].map((name) => endpoint((socket) => socket.write(name))));
  const to = balancer([old!.address]);
  const before = await client(to);
  await before.until(() => before.text() === "old");
  to.reload({
    listeners: { db: { address: "127.0.0.1:0", protocol: "tcp", pool: "app" } },
    pools: { app: { endpoints: [next!.address] } },
  });
  const after = await client(to);
  await after.until(() => after.text() === "new");
  expect(before.ended()).toBe("");
  expect(to.openConnections()).toBe(2);
});
