/** What becomes of connections when their endpoint is taken out of service and the time for that is over. */
import { afterEach, describe, expect, test } from "bun:test";
import { createServer } from "node:http2";
import type { AddressInfo } from "node:net";
import type { ConfigInput } from "../../src/config/schema.ts";
import { type Balancer, startBalancer } from "../support/balancer.ts";
import { eventually } from "../support/process.ts";
import { tcpClient, tcpEndpoint } from "../support/tcp.ts";

const stops: (() => unknown)[] = [];
afterEach(async () => {
  for (const stop of stops.splice(0).reverse()) await stop();
});

type Pool = Omit<NonNullable<ConfigInput["pools"]>[string], "endpoints">;

function balancer(endpoints: readonly string[], pool: Pool = {}, protocol: "http" | "tcp" | "udp" = "http"): Balancer {
  const started = startBalancer({
    listeners: { web: { address: "127.0.0.1:0", protocol, pool: "app" } },
    pools: { app: { endpoints: [...endpoints], balance: "first", ...pool } },
  });
  stops.push(() => started.stop());
  return started;
}

/** Answers after a while, so that requests are under way. */
function slowEndpoint(text: string) {
  const waiting: (() => void)[] = [];
  const server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    fetch: async ({ url }) => {
      if (url.endsWith("/slow")) await new Promise<void>((resolve) => void waiting.push(resolve));
      return new Response(text);
    },
  });
  stops.push(() => server.stop(true));
  return { address: `127.0.0.1:${server.port}`, waiting };
}

const out = (to: Balancer, address: string): void => {
  to.setEligible("app", 0, false);
  to.dataPath.closeConnections("app", address, "all");
};
const nothingLeft = (to: Balancer) => eventually(() => to.inFlight() === 0, "nothing in flight");

describe("HTTP/1.1", () => {
  test("a request that is safe to repeat is answered by another endpoint", async () => {
    const [a, b] = [slowEndpoint("a"), slowEndpoint("b")];
    const to = balancer([a.address, b.address]);
    const asked = fetch(`http://127.0.0.1:${to.port}/slow`);
    await eventually(() => a.waiting.length === 1, "the request");
    out(to, a.address);
    await eventually(() => b.waiting.length === 1, "the request at the other endpoint");
    b.waiting[0]?.();
    expect(await (await asked).text()).toBe("b");
    await nothingLeft(to);
  });

  test("another is refused with a reason", async () => {
    const a = slowEndpoint("a");
    const to = balancer([a.address]);
    const asked = fetch(`http://127.0.0.1:${to.port}/slow`, { method: "POST", body: "x" });
    await eventually(() => a.waiting.length === 1, "the request");
    out(to, a.address);
    const response = await asked;
    expect([response.status, await response.text()]).toEqual([503, expect.stringContaining("E_ENDPOINT_LEFT")]);
    await nothingLeft(to);
  });

  test("idle connections are closed when it begins to drain, and none is kept meanwhile", async () => {
    let open = 0;
    let holds = false;
    let held: (() => void) | undefined;
    const answer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    const endpoint = await tcpEndpoint((socket) => {
      open++;
      socket.on("data", () => {
        if (holds) held = () => void socket.write(answer);
        else socket.write(answer);
      });
      socket.on("end", () => socket.end());
      socket.on("close", () => open--);
    });
    stops.push(endpoint.stop);
    const to = balancer([endpoint.address]);
    const ask = async () => (await fetch(`http://127.0.0.1:${to.port}/`)).text();
    await ask();
    expect(open).toBe(1);
    to.dataPath.closeConnections("app", endpoint.address, "idle");
    await eventually(() => open === 0, "the idle connection to close");
    await ask();
    expect(open).toBe(1);
    holds = true;
    const last = ask();
    await eventually(() => held !== undefined, "the last request");
    to.tables.endpoints.setState(0, "drain");
    held?.();
    expect(await last).toBe("ok");
    await eventually(() => open === 0, "its connection to close");
  });
});

describe("WebSocket", () => {
  test("both sides are told 1001 and closed", async () => {
    let closedWith = 0;
    const server = Bun.serve<undefined>({
      hostname: "127.0.0.1",
      port: 0,
      fetch: (request, self) => (self.upgrade(request) ? undefined : new Response("no")),
      websocket: {
        message: (socket, text) => void socket.send(`echo ${text}`),
        close: (_socket, code) => {
          closedWith = code;
        },
      },
    });
    stops.push(() => server.stop(true));
    const to = balancer([`127.0.0.1:${server.port}`]);
    const client = new WebSocket(`ws://127.0.0.1:${to.port}/`);
    const heard: string[] = [];
    let code = 0;
    client.onmessage = ({ data }) => void heard.push(String(data));
    client.onclose = (event) => {
      code = event.code;
    };
    await eventually(() => client.readyState === WebSocket.OPEN, "the WebSocket");
    client.send("hello");
    await eventually(() => heard.length === 1, "the echo");
    out(to, `127.0.0.1:${server.port}`);
    await eventually(() => code !== 0 && closedWith !== 0, "both ends");
    expect([code, closedWith]).toEqual([1_001, 1_001]);
    await nothingLeft(to);
  });
});

describe("TCP", () => {
  test("both sides get a FIN, after what was sent", async () => {
    let ended = false;
    const endpoint = await tcpEndpoint((socket) => {
      socket.write("welcome");
      socket.on("end", () => {
        ended = true;
        socket.end();
      });
    });
    stops.push(endpoint.stop);
    const to = balancer([endpoint.address], {}, "tcp");
    const client = await tcpClient(to.port);
    stops.push(() => client.socket.destroy());
    await client.until(() => client.text() === "welcome");
    out(to, endpoint.address);
    await eventually(() => client.ended() !== "" && ended, "both ends");
    expect(client.ended()).toBe("end");
    client.socket.end();
    await nothingLeft(to);
  });

  test("one that is removed by a reload keeps its connections for the drain timeout, then loses them", async () => {
    const endpoint = await tcpEndpoint((socket) => {
      socket.write("welcome");
      socket.on("end", () => socket.end());
    });
    const other = await tcpEndpoint(() => {});
    stops.push(endpoint.stop, other.stop);
    const listeners = { web: { address: "127.0.0.1:0", protocol: "tcp", pool: "app" } } as const;
    const pool = { drainTimeout: "300ms", balance: "first" } as const;
    const to = startBalancer({ listeners, pools: { app: { ...pool, endpoints: [endpoint.address, other.address] } } });
    stops.push(() => to.stop());
    const client = await tcpClient(to.port);
    stops.push(() => client.socket.destroy());
    await client.until(() => client.text() === "welcome");
    to.reload({ listeners, pools: { app: { ...pool, endpoints: [other.address] } } });
    expect(client.ended()).toBe("");
    await eventually(() => client.ended() === "end", "the end");
    client.socket.end();
    await nothingLeft(to);
  });
});

describe("UDP", () => {
  test("the client's next datagram goes to another endpoint", async () => {
    const heard: string[] = [];
    const endpoint = async (name: string): Promise<string> => {
      const socket = await Bun.udpSocket({
        hostname: "127.0.0.1",
        socket: { data: (self, _bytes, port, address) => void self.send(name, port, address) },
      });
      stops.push(() => socket.close());
      return `127.0.0.1:${socket.port}`;
    };
    const [a, b] = [await endpoint("a"), await endpoint("b")];
    const to = balancer([a, b], {}, "udp");
    const client = await Bun.udpSocket({
      connect: { hostname: "127.0.0.1", port: to.port },
      socket: { data: (_self, bytes) => void heard.push(bytes.toString()) },
    });
    stops.push(() => client.close());
    const ask = async (): Promise<string | undefined> => {
      const before = heard.length;
      client.send("hello");
      await eventually(() => heard.length > before, "an answer");
      return heard.at(-1);
    };
    expect([await ask(), await ask()]).toEqual(["a", "a"]);
    out(to, a);
    expect([await ask(), await ask()]).toEqual(["b", "b"]);
    expect(to.inFlight()).toBe(1);
  });
});

describe("HTTP/2", () => {
  test("streams are reset, the connection says GOAWAY", async () => {
    const seen: string[] = [];
    const server = createServer();
    server.on("session", (session) => {
      session.on("goaway", () => void seen.push("goaway"));
      session.on("close", () => void seen.push("closed"));
    });
    server.on("stream", (stream) => {
      seen.push("stream");
      stream.on("error", () => {});
      stream.on("aborted", () => void seen.push("reset"));
    });
    await new Promise<void>((resolve) => void server.listen(0, "127.0.0.1", resolve));
    stops.push(() => server.close());
    const address = `127.0.0.1:${(server.address() as AddressInfo).port}`;
    const to = balancer([address], { connections: { protocol: "http2" } });
    const asked = fetch(`http://127.0.0.1:${to.port}/`, { method: "POST", body: "x" });
    await eventually(() => seen.includes("stream"), "the stream");
    out(to, address);
    expect((await asked).status).toBe(503);
    await eventually(() => seen.includes("goaway") && seen.includes("closed"), "GOAWAY and the end");
    expect(seen).toContain("reset");
    await nothingLeft(to);
  });
});
