/** A listener: an address, port and protocol that clients connect to. */

import { z } from "zod";
import { byteSize, duration } from "../base/schema.ts";
import { loadSheddingSchema } from "../resilience/schema.ts";
import { type ListenerTlsConfig, listenerTlsSchema } from "../tls/schema.ts";

const common = {
  address: z.string().min(1).describe("Where to listen: `:8080` (all addresses), `127.0.0.1:8080`, `[::1]:8080`."),
  maxConnections: z
    .int()
    .min(1)
    .max(1_000_000)
    .default(20_000)
    .describe("Open connections at most, over all workers; more are refused (HTTP: answered 503) and closed."),
  maxConnectionsPerClient: z
    .int()
    .min(1)
    .max(1_000_000)
    .default(4_096)
    .describe("Open connections per client address at most, over all workers."),
  proxyProtocol: z
    .strictObject({
      from: z
        .array(z.string())
        .min(1)
        .describe("Networks whose connections begin with a PROXY protocol header (version 1 or 2), without exception."),
      timeout: duration({ min: 10 }).prefault("5s").describe("For the header to arrive."),
    })
    .optional()
    .describe("Take the client's address from the PROXY protocol header of a trusted load balancer in front."),
};

const tls = listenerTlsSchema.optional();

const http = z.strictObject({
  protocol: z.literal("http").default("http").describe("HTTP: balanced by request."),
  ...common,
  pool: z.string().optional().describe("Where requests go that no route matches; without it they get 404."),
  tls: tls.describe("Speak HTTPS with clients."),
  http2: z
    .boolean()
    .default(true)
    .describe("Speak HTTP/2 with clients that want it: by ALPN in TLS, else by prior knowledge."),
  maxRequestsPerConnection: z
    .int()
    .min(1)
    .max(1_000_000_000)
    .default(10_000)
    .describe("The connection is closed after this many requests."),
  loadShedding: loadSheddingSchema,
  trustedProxies: z
    .array(z.string())
    .default([])
    .describe("Networks whose X-Forwarded-* and X-Request-ID headers are believed, such as `10.0.0.0/8`."),
  limits: z
    .strictObject({
      requestHead: byteSize({ min: 1_024, max: 1_048_576 })
        .prefault("64KiB")
        .describe("Largest request line and headers together: 414 or 431."),
      headers: z.int().min(1).max(1_000).default(100).describe("Headers in one request at most: 431."),
      bodyRate: z
        .int()
        .min(0)
        .default(240)
        .describe("Slowest request body in bytes per second, measured after a grace of 10 s: 408; 0 for no limit."),
    })
    .prefault({})
    .describe("What a request may take up."),
  timeouts: z
    .strictObject({
      header: duration({ min: 10 })
        .prefault("10s")
        .describe(
          "For a whole request head to arrive, from its first byte (or from the connection being opened): 408.",
        ),
      idle: duration({ min: 10 }).prefault("75s").describe("Between requests on one connection."),
      body: duration({ min: 10 }).prefault("30s").describe("Longest silence in the middle of a request body: 408."),
      write: duration({ min: 10 })
        .prefault("60s")
        .describe("Longest time in which the client takes nothing of an answer; then the connection is closed."),
    })
    .prefault({})
    .describe("How long clients may take."),
  forwarding: z
    .strictObject({
      xForwarded: z
        .boolean()
        .default(true)
        .describe("Send X-Forwarded-For, -Proto, -Host, -Port and X-Real-IP to endpoints."),
      forwarded: z.boolean().default(false).describe("Send the Forwarded header of RFC 7239."),
      via: z.boolean().default(true).describe("Send Via."),
      requestId: z.boolean().default(true).describe("Send X-Request-ID: that of a trusted proxy, else a new UUIDv7."),
    })
    .prefault({})
    .describe("What endpoints are told of the client."),
});

const tcp = z.strictObject({
  protocol: z.literal("tcp").describe("Any protocol over TCP: balanced by connection, passed through byte for byte."),
  ...common,
  pool: z.string().optional().describe("Where connections go that no route matches; without it they are closed."),
  tls: tls.describe("Speak TLS with clients; endpoints get what is in it. Without it TLS is passed through."),
  timeouts: z
    .strictObject({
      hello: duration({ min: 10 })
        .prefault("5s")
        .describe("For the TLS ClientHello to arrive, when a route asks for `serverName` or `alpn`."),
      idle: duration({ min: 10 }).prefault("1h").describe("Longest time in which nothing is sent either way."),
    })
    .prefault({})
    .describe("How long clients may take."),
});

const udp = z.strictObject({
  protocol: z
    .literal("udp")
    .describe("Any protocol over UDP: balanced by flow, which is what one client port sends to one address."),
  address: common.address,
  pool: z.string().optional().describe("Where flows go that no route matches; without it their datagrams are dropped."),
  maxFlows: z
    .int()
    .min(1)
    .max(1_000_000)
    .default(65_536)
    .describe("Flows per worker at most, each with a socket of its own; datagrams that would begin more are dropped."),
  maxFlowsPerClient: z
    .int()
    .min(1)
    .max(1_000_000)
    .default(4_096)
    .describe("Flows per client address and worker at most."),
  perPacket: z
    .boolean()
    .default(false)
    .describe("Balance every datagram on its own instead of flows. Answers still go back to whoever asked."),
  responses: z
    .int()
    .min(1)
    .max(1_000_000)
    .optional()
    .describe("Answers that every datagram gets (DNS: 1); a flow that has them all ends at once, not when it is idle."),
  maxDatagramBytes: byteSize({ min: 1, max: 65_536 })
    .prefault("64KiB")
    .describe("Longer datagrams of clients are dropped."),
  timeouts: z
    .strictObject({
      idle: duration({ min: 10 }).prefault("30s").describe("A flow ends when nothing is sent either way for so long."),
    })
    .prefault({})
    .describe("How long clients may take."),
});

export const listenerSchema = z
  .union([http, tcp, udp])
  .describe("An address and a protocol that clients connect to. What else can be set depends on the `protocol`.");

export type ListenerConfig = z.output<typeof listenerSchema>;
export type HttpListenerConfig = z.output<typeof http>;
export type TcpListenerConfig = z.output<typeof tcp>;

/** The TLS of a listener; undefined when it has none, or its protocol none that we speak. */
export function tlsOf(listener: ListenerConfig | undefined): ListenerTlsConfig | undefined {
  return listener === undefined || listener.protocol === "udp" ? undefined : listener.tls;
}
