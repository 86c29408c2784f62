/** What the attacks share: a balancer with endpoints and clients, and the check that everything is given back in the end. */
import { afterEach, expect } from "bun:test";
import { readdirSync } from "node:fs";
import { connect, createServer, type Socket } from "node:net";
import type { ConfigInput } from "../../src/config/schema.ts";
import { type Balancer, startBalancer } from "../support/balancer.ts";
import { leaveAll } from "../support/http2-client.ts";
import { countResponses, sendRaw, statusOf } from "../support/raw-client.ts";
import { type EndpointSocket, type RawEndpoint, startRawEndpoint } from "../support/raw-endpoint.ts";

export type PoolInput = NonNullable<ConfigInput["pools"]>[string];
export type ListenerInput = ConfigInput["listeners"][string];

export const GET = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
export const one = { until: (text: string) => countResponses(text) >= 1 };
export const MIB = 1_048_576;

const balancers: Balancer[] = [];
const others: { stop(): unknown }[] = [];
const clients = new Set<Client>();

afterEach(async () => {
  leaveAll();
  for (const client of clients) client.leave();
  clients.clear();
  for (const balancer of balancers.splice(0)) {
    await until(() => balancer.inFlight() === 0 && balancer.openConnections() === 0);
    const left = { inFlight: balancer.inFlight(), openConnections: balancer.openConnections() };
    await balancer.stop();
    expect(left).toEqual({ inFlight: 0, openConnections: 0 });
  }
  for (const other of others.splice(0)) await other.stop();
});

/** Stops `item` behind the test, after the balancers. */
export function use<Item extends { stop(): unknown }>(item: Item): Item {
  others.push(item);
  return item;
}

/** Short timeouts, so that what must end by itself does so soon. */
export const SHORT = { header: "400ms", body: "400ms", idle: "1s", write: "400ms" } as const;

export function serve(
  address: string,
  listener: Partial<ListenerInput> = {},
  rest: Partial<ConfigInput> = {},
): Balancer {
  const balancer = startBalancer({
    listeners: { web: { address: "127.0.0.1:0", pool: "app", ...listener } },
    pools: { app: { endpoints: [address] } },
    ...rest,
  });
  balancers.push(balancer);
  return balancer;
}

/** Waits for something that must come about; the caller says what it means when it has not. */
export async function until(condition: () => boolean, timeoutMs = 5_000): Promise<boolean> {
  for (let waitedMs = 0; !condition(); waitedMs += 10) {
    if (waitedMs >= timeoutMs) return false;
    await Bun.sleep(10);
  }
  return true;
}

/** Another client, who must not notice anything. */
export async function expectServed(port: number): Promise<void> {
  expect(statusOf((await sendRaw(port, GET, one)).text)).toBe(200);
}

/** An endpoint that answers `ok` to every head. */
export function okEndpoint(): RawEndpoint {
  const seen = new WeakMap<object, number>();
  return use(
    startRawEndpoint((socket: EndpointSocket, all) => {
      const heads = all.split("\r\n\r\n").length - 1;
      for (let count = seen.get(socket.identity) ?? 0; count < heads; count++)
        socket.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
      seen.set(socket.identity, heads);
    }),
  );
}

/** An endpoint with back-pressure of its own, for large answers. `kept` ones are for the caller to stop. */
export async function netEndpoint(
  onConnection: (socket: Socket) => void,
  lifetime: "test" | "kept" = "test",
): Promise<{ address: string; stop(): void }> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on("error", () => {});
    socket.on("close", () => sockets.delete(socket));
    onConnection(socket);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as { port: number };
  const stop = (): void => {
    server.close();
    for (const socket of sockets) socket.destroy();
  };
  const endpoint = { address: `127.0.0.1:${port}`, stop };
  return lifetime === "test" ? use(endpoint) : endpoint;
}

/** Writes `size` bytes as fast as they are taken. */
export function writeMuch(socket: Socket, size: number): void {
  const piece = Buffer.alloc(65_536, "x");
  let left = size;
  const more = (): void => {
    while (left > 0 && !socket.destroyed) {
      const take = Math.min(left, piece.length);
      left -= take;
      if (!socket.write(take === piece.length ? piece : piece.subarray(0, take))) {
        socket.once("drain", more);
        return;
      }
    }
  };
  more();
}

/** A client under the test's control: it reads only when told to, and stays until it is told to leave. */
export class Client {
  readonly socket: Socket;
  text = "";
  received = 0;
  ended = false;
  closed = false;

  constructor(port: number) {
    clients.add(this);
    this.socket = connect({ port, host: "127.0.0.1", noDelay: true, allowHalfOpen: true });
    this.socket.on("data", (bytes) => {
      this.received += bytes.length;
      if (this.text.length < MIB) this.text += bytes.toString("latin1");
    });
    this.socket.on("end", () => {
      this.ended = true;
    });
    this.socket.on("close", () => {
      this.closed = true;
    });
    this.socket.on("error", () => {});
  }

  get status(): number {
    return statusOf(this.text);
  }

  /** The other side has closed, in order or not. */
  get isOver(): boolean {
    return this.ended || this.closed;
  }

  leave(): void {
    this.socket.destroy();
  }
}

export async function connected(port: number): Promise<Client> {
  const client = new Client(port);
  await new Promise((resolve) => client.socket.once("connect", resolve));
  return client;
}

export function openDescriptors(): number {
  return readdirSync("/proc/self/fd").length;
}
