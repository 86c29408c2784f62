/** What tests of whole exchanges share: a balancer with one listener and pool, and peers that end with the test. */
import { connect } from "node:net";
import type { FakeClock } from "../../src/base/fake-clock.ts";
import type { ConfigInput } from "../../src/config/schema.ts";
import { REASONS } from "../../src/observability/metrics-table.ts";
import { closeDescriptor, openListeningSocket, portOf } from "../../src/transport/listening-socket.ts";
import { type Balancer, startBalancer } from "./balancer.ts";
import { countResponses } from "./raw-client.ts";
import { type RawEndpoint, response, startRawEndpoint } from "./raw-endpoint.ts";

const running: { stop(): unknown }[] = [];

/** To be called after each test. */
export async function stopAll(): Promise<void> {
  for (const item of running.splice(0).reverse()) await item.stop();
}

export function use<Item extends { stop(): unknown }>(item: Item): Item {
  running.push(item);
  return item;
}

export type PoolInput = NonNullable<ConfigInput["pools"]>[string];
export type ListenerInput = ConfigInput["listeners"][string];

export function serve(
  endpoints: PoolInput["endpoints"],
  pool: Partial<PoolInput> = {},
  listener: Partial<ListenerInput> = {},
  clock?: FakeClock,
): Balancer {
  const config = {
    listeners: { web: { address: "127.0.0.1:0", pool: "app", ...listener } },
    pools: { app: { endpoints, ...pool } },
  };
  return use(startBalancer(config, clock === undefined ? {} : { clock, timers: clock }));
}

export const GET = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
export const one = { until: (all: string) => countResponses(all) >= 1 };
export const ok = (): RawEndpoint =>
  use(startRawEndpoint((socket, _all, piece) => piece.endsWith("\r\n\r\n") && socket.write(response("ok"))));

/** A port on which nobody listens. */
export function deadAddress(): string {
  const server = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data() {} } });
  const { port } = server;
  server.stop(true);
  return `127.0.0.1:${port}`;
}

/** An address where a connection is neither made nor refused: nobody accepts, and the system's queue is full. */
export async function stalledAddress(): Promise<string> {
  const descriptor = openListeningSocket("127.0.0.1", 0, 0);
  const port = portOf(descriptor);
  const fillers = Array.from({ length: 4 }, () => connect({ port, host: "127.0.0.1" }));
  for (const filler of fillers) filler.on("error", () => {});
  use({
    stop() {
      for (const filler of fillers) filler.destroy();
      closeDescriptor(descriptor);
    },
  });
  await Bun.sleep(50);
  return `127.0.0.1:${port}`;
}

/** Why the balancer itself ended exchanges, each as often as it did. */
export function reasons({ tables }: Balancer): string[] {
  return REASONS.flatMap((reason, row) => new Array<string>(tables.metrics.read("reason", row, 0)).fill(reason));
}

/** Lets the sockets catch up, without the test's clock moving. */
export async function settle(): Promise<void> {
  for (let turn = 0; turn < 20; turn++) await new Promise((resolve) => setImmediate(resolve));
  await Bun.sleep(5);
}
