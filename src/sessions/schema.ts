/** How a pool keeps the requests of one session on one endpoint. */
import { z } from "zod";
import { duration, headerName, oneOrMany } from "../base/schema.ts";
import { redisSchema } from "../redis/schema.ts";

const COOKIE_NAME = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;
const ATTRIBUTE_VALUE = /^[\x20-\x3a\x3c-\x7e]+$/;

const onFailure = z
  .enum(["repin", "refuse"])
  .default("repin")
  .describe(
    "When a session's endpoint is gone or down: `repin` moves the session to another endpoint, `refuse` answers 503.",
  );
const ttl = duration({ min: 1_000 })
  .optional()
  .describe("How long a session in the table lives after its last request; 30m when not set.");
const redis = redisSchema("evenkeel:session")
  .describe("Share the table with other balancers. When it does not answer, each goes on with what it knows itself.")
  .optional();

const cookieSchema = z.strictObject({
  type: z.literal("cookie"),
  mode: z
    .enum(["insert", "prefix", "rewrite", "learn"])
    .default("insert")
    .describe(
      "`insert` sets a cookie of its own; `prefix` puts the endpoint's mark before the value of a cookie that endpoints set, `rewrite` in its place; `learn` remembers which endpoint set which value.",
    ),
  name: z
    .string()
    .regex(COOKIE_NAME, "expected the name of a cookie")
    .optional()
    .describe("Name of the cookie; `evenkeel-` and the pool's name when not set, which only `insert` allows."),
  secret: oneOrMany(z.string().min(16, "expected 16 characters or more").max(1_024))
    .optional()
    .describe(
      "Signs the marks. With several, the first signs and all are accepted, for changing it. When not set, one is made at each start, and sessions end with it.",
    ),
  maxAge: duration({ min: 1_000, max: 400 * 86_400_000 })
    .optional()
    .describe(
      "`insert`: the cookie outlives the browser for this long, renewed while used; until it closes when not set.",
    ),
  path: z
    .string()
    .startsWith("/")
    .regex(ATTRIBUTE_VALUE)
    .optional()
    .describe("`insert`: Path of the cookie; `/` when not set."),
  domain: z
    .string()
    .regex(/^[A-Za-z0-9.-]+$/, "expected a domain name")
    .optional()
    .describe("`insert`: Domain of the cookie; the host itself when not set."),
  httpOnly: z.boolean().optional().describe("`insert`: hide the cookie from scripts; true when not set."),
  secure: z
    .union([z.literal("auto"), z.boolean()])
    .optional()
    .describe(
      "`insert`: send the cookie over HTTPS only; `auto`, which is meant when not set, does where the client came by HTTPS.",
    ),
  sameSite: z
    .enum(["lax", "strict", "none"])
    .optional()
    .describe("`insert`: whether requests from other sites carry the cookie; `lax` when not set."),
  private: z
    .boolean()
    .optional()
    .describe(
      "`insert`: add `Cache-Control: private` where the cookie is set, so that no shared cache hands it on; true when not set.",
    ),
  ttl,
  redis,
  onFailure,
});

const headerSchema = z.strictObject({
  type: z.literal("header"),
  name: headerName.describe("Requests with the same value of this header go to the same endpoint."),
  learn: z
    .boolean()
    .default(false)
    .describe("Only values that endpoints have set in the same header of an answer, such as `Mcp-Session-Id`."),
  ttl,
  redis,
  onFailure,
});

const clientIpSchema = z.strictObject({ type: z.literal("clientIp"), ttl, redis, onFailure });
const clientCertificateSchema = z.strictObject({ type: z.literal("clientCertificate"), ttl, redis, onFailure });

export const sessionsSchema = z
  .discriminatedUnion("type", [cookieSchema, headerSchema, clientIpSchema, clientCertificateSchema])
  .describe(
    "Keep the requests of a session on one endpoint: by `cookie`, by a request `header`, by `clientIp`, or by `clientCertificate`; for TCP listeners its connections, by one of the last two.",
  );

export type SessionsConfig = z.output<typeof sessionsSchema>;
export type CookieSessionsConfig = z.output<typeof cookieSchema>;

/** Whether the client says in its requests who it is; otherwise its connection does. */
export function isCarried(config: SessionsConfig): config is Extract<SessionsConfig, { type: "cookie" | "header" }> {
  return config.type === "cookie" || config.type === "header";
}

export const DEFAULT_TTL_MS = 1_800_000;

/** Whether the mark of an endpoint travels with the client, so that nothing need be remembered here. */
export function isStateless(config: SessionsConfig): config is CookieSessionsConfig {
  return config.type === "cookie" && config.mode !== "learn";
}
