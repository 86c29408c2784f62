/**
 * What goes over the wire to endpoints, for requests of every kind: read by the reference parser and by Node's, it must be
 * the requests that the client sent, no more and no others. Whatever makes one more of them is smuggling.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { join } from "node:path";
import fc from "fast-check";
import { type Balancer, startBalancer } from "../support/balancer.ts";
import { sendRaw } from "../support/raw-client.ts";
import { type RawEndpoint, startRawEndpoint } from "../support/raw-endpoint.ts";
import { brokenChunks, cuts, mutated, placesOf, plainRequest, runs } from "./generators.ts";
import { type ReferenceMessage, readPipeline } from "./reference-parser.ts";

const LIMITS = { bytes: 65_536, fields: 100 };
const LAST = "GET /last HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
/** Of requests that were refused behind good ones, the good ones may still be on their way when the client is answered. */
const TIMEOUTS = { header: "2s", body: "2s", idle: "2s" };

interface Request {
  readonly method: string;
  readonly target: string;
  readonly data: string;
}

let endpoint: RawEndpoint;
let balancer: Balancer;

/** Answers all that the reference finds in what has come, and remembers it. */
class Recorder {
  readonly #answered = new Map<object, number>();
  #requests: ReferenceMessage[] = [];
  #bad: string[] = [];

  take(socket: { identity: object; write(text: string): void }, all: string): void {
    const start = this.#answered.get(socket.identity) ?? 0;
    const { requests, rest } = readPipeline(all.slice(start), LIMITS);
    this.#requests.push(...requests);
    this.#answered.set(
      socket.identity,
      requests.reduce((sum, { bodyEnd }) => sum + bodyEnd, start),
    );
    if (rest === "refused") this.#bad.push(all.slice(start));
    for (const { method } of requests) {
      socket.write(`HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n${method === "HEAD" ? "" : "ok"}`);
    }
  }

  reset(): { requests: ReferenceMessage[]; bad: string[] } {
    const taken = { requests: this.#requests, bad: this.#bad };
    this.#requests = [];
    this.#bad = [];
    return taken;
  }
}
const recorder = new Recorder();

beforeAll(() => {
  endpoint = startRawEndpoint((socket, all) => recorder.take(socket, all));
  balancer = serve(endpoint.address);
});

afterAll(async () => {
  await balancer.stop();
  endpoint.stop();
});

function serve(address: string): Balancer {
  return startBalancer({
    listeners: { web: { address: "127.0.0.1:0", pool: "app", timeouts: TIMEOUTS } },
    pools: { app: { endpoints: [address] } },
  });
}

/** Sends the text, and a last request that closes the connection; a FIN instead when the text has no end. */
async function send(port: number, text: string, fractions: readonly number[]): Promise<ReferenceMessage[]> {
  const all = text + LAST;
  const { requests, rest } = readPipeline(all, LIMITS);
  const places = placesOf(all.length, fractions);
  const pieces = places.map((place, index) => all.slice(places[index - 1] ?? 0, place));
  const { closed } = await sendRaw(
    port,
    pieces.filter((piece) => piece !== ""),
    { endAfter: rest === "more" },
  );
  expect(closed).toBe(true);
  return requests;
}

function plain({ method, target, form, data }: ReferenceMessage): Request {
  if (form !== "absolute") return { method, target, data };
  const path = target.replace(/^https?:\/\/[^/?]+/i, "");
  return { method, target: path.startsWith("/") ? path : `/${path}`, data };
}

/** `found` must be some of `sent`, in the same order: some may have been refused for what they ask. */
function expectSome(found: readonly Request[], sent: readonly Request[]): void {
  let next = 0;
  for (const request of found) {
    while (next < sent.length && !Bun.deepEquals(sent[next], request)) next++;
    if (next === sent.length) expect(found).toEqual([...sent]);
    next++;
  }
}

const anything = fc.oneof(
  { arbitrary: mutated(plainRequest), weight: 3 },
  { arbitrary: brokenChunks, weight: 1 },
  { arbitrary: fc.tuple(plainRequest, mutated(plainRequest)).map(([good, other]) => good.text + other), weight: 1 },
);

test("valid requests reach the endpoint once each, with their bodies", async () => {
  const property = fc.asyncProperty(fc.array(plainRequest, { minLength: 1, maxLength: 3 }), cuts, async (list, at) => {
    const sent = await send(balancer.port, list.map(({ text }) => text).join(""), at);
    const { requests, bad } = recorder.reset();
    expect(bad).toEqual([]);
    expect(sent.map(({ data }) => data)).toEqual([...list.map(({ data }) => data), ""]);
    expect(requests.map(plain)).toEqual(sent.map(plain));
  });
  await fc.assert(property, runs(400));
});

test("of any other requests the endpoint sees those that were sent, or none", async () => {
  const property = fc.asyncProperty(anything, cuts, async (text, fractions) => {
    const sent = await send(balancer.port, text, fractions);
    const { requests, bad } = recorder.reset();
    expect(bad).toEqual([]);
    expectSome(requests.map(plain), sent.map(plain));
  });
  await fc.assert(property, runs(1_200));
  expect(balancer.inFlight()).toBe(0);
});

const node = Bun.which("node");
if (node === null) console.log("skipped: requests read by Node's parser, node is not installed");
else {
  test("Node reads the same requests", async () => {
    const child = Bun.spawn([node, join(import.meta.dir, "node-endpoint.mjs")], { stdout: "pipe", stderr: "inherit" });
    const { value } = await child.stdout.getReader().read();
    const address = `127.0.0.1:${Number(Buffer.from(value ?? []).toString())}`;
    const toNode = serve(address);
    let nodeSaw = 0;
    try {
      const property = fc.asyncProperty(anything, async (text) => {
        const sent = (await send(toNode.port, text, [])).map(plain);
        const seen = (await (await fetch(`http://${address}/seen`)).json()) as Request[];
        expectSome(seen, sent);
        nodeSaw += seen.length;
      });
      await fc.assert(property, runs(800));
      expect(nodeSaw).toBeGreaterThan(100);
    } finally {
      await toNode.stop();
      child.kill();
      await child.exited;
    }
  });
}

test("nothing is left open", async () => {
  await Bun.sleep(50);
  expect(balancer.inFlight()).toBe(0);
  expect(balancer.openConnections()).toBe(0);
});
