/** What a route matches and where it sends what it matched. */
import { z } from "zod";
import { fixedAnswer, oneOrMany } from "../base/schema.ts";

/** A value to compare with: exactly this text, or `{ regex }`, or `{ present: true|false }`. */
const valueMatch = z.union([
  z.string(),
  z.strictObject({ regex: z.string().min(1).describe("JavaScript regular expression, not anchored.") }),
  z.strictObject({ present: z.boolean().describe("Whether it must be there at all.") }),
]);

const FINGERPRINT = /^[0-9a-f]{64}$/;

/** Nothing that a certificate says is to be believed unless it was verified, so that is the default. */
const clientCertificate = z
  .strictObject({
    verified: z
      .boolean()
      .default(true)
      .describe("`true`: shown and verified. `false`: none was shown, or it was not verified (mode `request`)."),
    subject: z
      .union([z.string(), z.strictObject({ regex: z.string().min(1).describe("JavaScript regular expression.") })])
      .optional()
      .describe("Its whole subject as in RFC 4514, the most specific part first: `CN=app,O=Example`."),
    name: oneOrMany(z.string().min(1))
      .optional()
      .describe(
        "Alternative names, of which it must have one: a DNS name (or `*.example.com`), URI, email or IP address.",
      ),
    fingerprint: oneOrMany(
      z
        .string()
        .transform((text) => text.replaceAll(":", "").toLowerCase())
        .refine((text) => FINGERPRINT.test(text), "expected a SHA-256 fingerprint: 64 hexadecimal digits"),
    )
      .optional()
      .describe("SHA-256 fingerprints, of which it must have one."),
  })
  .refine(
    ({ verified, subject, name, fingerprint }) => verified || (subject ?? name ?? fingerprint) === undefined,
    "a certificate that is not verified can say anything: `verified: false` stands alone",
  );

export type ClientCertificateMatch = z.output<typeof clientCertificate>;

const conditions = {
  host: oneOrMany(z.string().min(1))
    .optional()
    .describe("Host names, exact or `*.example.com` (any number of labels); compared without port and letter case."),
  path: oneOrMany(z.string().startsWith("/")).optional().describe("Exact paths."),
  pathPrefix: oneOrMany(z.string().startsWith("/"))
    .optional()
    .describe("Paths at or below this one: `/api` matches `/api` and `/api/x`, not `/apix`."),
  pathRegex: oneOrMany(z.string().min(1))
    .optional()
    .describe("JavaScript regular expressions on the path, not anchored."),
  method: oneOrMany(z.string().regex(/^[A-Z]+$/, "expected a method in capitals, such as GET"))
    .optional()
    .describe("Request methods."),
  headers: z.record(z.string(), valueMatch).optional().describe("Request headers, all of which must match."),
  cookies: z.record(z.string(), valueMatch).optional().describe("Cookies, all of which must match."),
  query: z.record(z.string(), valueMatch).optional().describe("Query parameters, all of which must match."),
  serverName: oneOrMany(z.string().min(1))
    .optional()
    .describe(
      "Names asked for in the TLS handshake (SNI), exact or `*.example.com`. On TCP listeners TLS is passed through.",
    ),
  alpn: oneOrMany(z.string().min(1))
    .optional()
    .describe("Protocols of which the client must offer one in the TLS handshake (ALPN), such as `h2`."),
  clientCertificate: clientCertificate
    .optional()
    .describe("The certificate that the client has shown in the TLS handshake; `{}` for any that was verified."),
  clientIp: oneOrMany(z.string()).optional().describe("Addresses or networks of clients: `10.0.0.0/8`, `::1`."),
};

export interface MatchConfig extends z.output<z.ZodObject<typeof conditions>> {
  all?: MatchConfig[] | undefined;
  any?: MatchConfig[] | undefined;
  not?: MatchConfig | undefined;
}

export const matchSchema: z.ZodType<MatchConfig> = z
  .strictObject({
    ...conditions,
    get all() {
      return z.array(matchSchema).min(1).optional().describe("All of these must match.");
    },
    get any() {
      return z.array(matchSchema).min(1).optional().describe("At least one of these must match.");
    },
    get not() {
      return matchSchema.optional().describe("This must not match.");
    },
  })
  .describe("Conditions that must all hold; none of them matches everything.") as unknown as z.ZodType<MatchConfig>;

export const redirectSchema = z
  .strictObject({
    status: z
      .union([z.literal(301), z.literal(302), z.literal(303), z.literal(307), z.literal(308)])
      .default(308)
      .describe("Redirect status."),
    to: z
      .string()
      .min(1)
      .describe("Target; `{scheme}`, `{host}`, `{path}` and `{query}` (with its `?`) stand for those of the request."),
  })
  .describe("Answer with a redirect.");

export const respondSchema = fixedAnswer(200).describe("Answer with a fixed response.");

export type RespondConfig = z.output<typeof respondSchema>;
