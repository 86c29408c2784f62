/** Where the endpoints of a pool are and how connections to them are kept. */
import { z } from "zod";
import { byteSize, duration } from "../base/schema.ts";
import { endpointTlsSchema } from "../tls/schema.ts";
import { ADMIN_STATES } from "./admin-state.ts";

const address = z
  .string()
  .min(1)
  .describe(
    "`host:port`, `[v6]:port` or `http://host:port`; a name is resolved, all its addresses become endpoints, and it is resolved again when its records expire.",
  );

const endpointObject = z.strictObject({
  address: address.optional(),
  srv: z
    .string()
    .min(1)
    .optional()
    .describe("A DNS SRV name such as `_http._tcp.app.internal`; ports, weights and priorities come from its records."),
  weight: z
    .int()
    .min(0)
    .max(1_000)
    .default(1)
    .describe("Share of the traffic relative to the others; 0 takes the endpoint out."),
  tier: z
    .int()
    .min(0)
    .max(9)
    .default(0)
    .describe("Lower tiers first: an endpoint of tier 1 is a backup, used when none of tier 0 is available."),
  maxConnections: z
    .int()
    .min(0)
    .max(1_000_000)
    .default(0)
    .describe("Exchanges in flight on this endpoint at most, over all workers; 0 for no limit."),
  state: z
    .enum(ADMIN_STATES)
    .default("ready")
    .describe(
      "`drain` begins nothing new on it and lets what is under way finish; `maintenance` leaves it alone altogether, without checks.",
    ),
});

/** An endpoint as written; `config/` turns the short form (a plain address) into the long one. */
export const endpointSchema = z
  .union([address.transform((text) => endpointObject.parse({ address: text })), endpointObject])
  .describe("An address, or an object with `address` or `srv` and settings.");

export const connectionsSchema = z
  .strictObject({
    connectTimeout: duration({ min: 1 }).prefault("3s").describe("How long to wait for a connection to an endpoint."),
    idleTimeout: duration({ min: 1 })
      .prefault("55s")
      .describe("Idle connections are closed after this; keep it below the endpoints' own keep-alive timeout."),
    maxAge: duration({ min: 1 })
      .prefault("1h")
      .describe("Connections older than this are closed after their exchange."),
    maxIdle: z.int().min(0).max(65_536).default(512).describe("Idle connections kept per endpoint and worker."),
    maxResponseHead: byteSize({ min: 1_024, max: 1_048_576 })
      .prefault("64KiB")
      .describe("Largest head of an answer that is accepted from an endpoint."),
    protocol: z
      .enum(["http1", "http2"])
      .default("http1")
      .describe(
        "What endpoints are spoken to with: HTTP/1.1, or HTTP/2 with many requests on few connections (gRPC needs it). With `tls`, HTTP/2 is agreed on by ALPN; without, endpoints must expect it.",
      ),
    tls: endpointTlsSchema.optional(),
    proxyProtocol: z
      .strictObject({
        version: z
          .union([z.literal(1), z.literal(2)])
          .default(2)
          .describe("1 is text, 2 is binary and can say more."),
        checksum: z.boolean().default(true).describe("Version 2: send a CRC-32C of the header."),
        authority: z.boolean().default(true).describe("Version 2: send the name that the client asked for in TLS."),
        uniqueId: z.boolean().default(false).describe("Version 2: send an id of the connection."),
      })
      .optional()
      .describe(
        "Begin every connection with a PROXY protocol header that tells the client's address. Such a connection serves one client only.",
      ),
  })
  .describe("Connections to the endpoints.");

export type EndpointConfig = z.output<typeof endpointObject>;
export type ConnectionsConfig = z.output<typeof connectionsSchema>;
