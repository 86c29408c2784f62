/** TLS with clients (`tls` of a listener), with endpoints (`connections.tls` of a pool), and how certificates are got (`acme`). */
import { z } from "zod";
import { parseIp } from "../base/ip.ts";
import { duration, oneOrMany } from "../base/schema.ts";
import { DEFAULT_CIPHERS } from "./secure-context.ts";
import { DEFAULT_SELF_SIGNED_NAMES } from "./self-signed.ts";
import { isHostName, normalizeHostName } from "./subject-names.ts";

const YEAR_MS = 365 * 86_400_000;

const path = z.string().min(1, "expected the path of a PEM file");

const hostName = z
  .string()
  .transform(normalizeHostName)
  .refine((name) => isHostName(name) && !name.startsWith("*.") && parseIp(name) === undefined, {
    message: "expected a DNS name such as www.example.com, without a wildcard",
  });

const certificateName = z
  .string()
  .transform(normalizeHostName)
  .refine((name) => isHostName(name) || parseIp(name) !== undefined, {
    message: "expected a DNS name, a wildcard such as *.example.com, or an IP address",
  });

const fileCertificate = z.strictObject({
  certificate: path.describe("PEM file with the server's own certificate first, then those that issued it."),
  key: path.describe("PEM file with its private key: RSA, ECDSA on P-256 or P-384, or Ed25519."),
  passphrase: z
    .string()
    .min(1)
    .optional()
    .describe("Opens an encrypted key; take it from the environment, not from the file."),
});

const acmeCertificate = z.strictObject({
  acme: z
    .strictObject({
      names: z
        .array(hostName)
        .min(1)
        .max(100)
        .describe("DNS names for one certificate; all must lead to this listener. No wildcards."),
      challenge: z
        .enum(["http-01", "tls-alpn-01"])
        .default("http-01")
        .describe("How the authority convinces itself: over HTTP on port 80, or in a TLS handshake on port 443."),
    })
    .describe("Got from an authority and renewed (RFC 8555); the `acme` block says from which."),
});

const selfSignedCertificate = z.strictObject({
  selfSigned: z
    .strictObject({
      names: z
        .array(certificateName)
        .min(1)
        .max(100)
        .default([...DEFAULT_SELF_SIGNED_NAMES])
        .describe("DNS names, wildcards and IP addresses it is good for."),
    })
    .describe("Made at every start, for development: nobody trusts it."),
});

/** The short form stands for `{ selfSigned: {} }`. */
const certificateSchema = z.union([
  z.literal("self-signed").transform(() => selfSignedCertificate.parse({ selfSigned: {} })),
  fileCertificate,
  acmeCertificate,
  selfSignedCertificate,
]);

const clientAuthentication = z
  .strictObject({
    mode: z
      .enum(["off", "request", "require"])
      .default("off")
      .describe("`request` asks and goes on without; `require` closes unless a certificate is shown and verified."),
    ca: oneOrMany(path).optional().describe("PEM files of the authorities that may issue client certificates."),
    crl: oneOrMany(path)
      .optional()
      .describe("PEM files of revocation lists; with one, every authority in a client's chain needs its own."),
  })
  .refine(({ mode, ca }) => mode === "off" || ca !== undefined, {
    message: "client certificates cannot be verified without authorities: give `ca`",
    path: ["ca"],
  });

const hsts = z.strictObject({
  maxAge: duration({ max: 10 * YEAR_MS })
    .prefault("180d")
    .describe("How long browsers use HTTPS only, from their last visit."),
  includeSubDomains: z.boolean().default(false).describe("All names below this one too; be sure they all have TLS."),
  preload: z.boolean().default(false).describe("Agree to be listed in browsers; leaving the list takes months."),
});

const protocolVersion = z.enum(["1.2", "1.3"]);

/** `tls` of a listener. */
export const listenerTlsSchema = z
  .strictObject({
    certificates: z
      .array(certificateSchema)
      .min(1)
      .max(10_000)
      .describe(
        "Files, `self-signed`, or `acme`. Chosen by the name a client asks for; the first is for all other names.",
      ),
    strictSni: z
      .boolean()
      .default(false)
      .describe("Refuse clients that ask for a name no certificate has, or for no name at all."),
    minVersion: protocolVersion.default("1.2").describe("Oldest version of TLS that is spoken."),
    maxVersion: protocolVersion.default("1.3").describe("Newest version of TLS that is spoken."),
    ciphers: z
      .array(z.string().regex(/^[A-Z0-9-]+$/, "expected a cipher as OpenSSL calls it"))
      .min(1)
      .default([...DEFAULT_CIPHERS])
      .describe("Ciphers for TLS 1.2, the best first. Those of TLS 1.3 cannot be chosen; all are good."),
    sessionTickets: z
      .boolean()
      .default(true)
      .describe("Let clients come back without a full handshake, as long as they reach the same worker."),
    steering: z
      .enum(["auto", "on", "off"])
      .default("auto")
      .describe(
        "Lead a client's address to the same worker again, which knows its session. `auto`: unless few addresses stand for many clients (`proxyProtocol`, `trustedProxies`, loopback).",
      ),
    clientAuthentication: clientAuthentication.prefault({}).describe("Certificates that clients must show."),
    hsts: z
      .union([z.literal(false), hsts])
      .default(false)
      .describe("Send Strict-Transport-Security (RFC 6797) with answers: browsers then refuse plain HTTP."),
    handshakeTimeout: duration({ min: 100 })
      .prefault("10s")
      .describe("How long a handshake may take; then the connection is closed."),
  })
  .refine(({ minVersion, maxVersion }) => minVersion <= maxVersion, {
    message: "`minVersion` is newer than `maxVersion`",
    path: ["minVersion"],
  })
  .describe("Speak TLS with clients.");

/** `connections.tls` of a pool. */
export const endpointTlsSchema = z
  .strictObject({
    verify: z
      .boolean()
      .default(true)
      .describe("Refuse endpoints whose certificate is not trusted, has expired or is for another name."),
    serverName: hostName
      .optional()
      .describe("Name to ask for (SNI) and to find in the certificate; otherwise the host of the endpoint's address."),
    ca: oneOrMany(path).optional().describe("PEM files of authorities to trust instead of the system's."),
    certificate: path.optional().describe("PEM file of the certificate to show to endpoints that ask for one."),
    key: path.optional().describe("PEM file with its private key."),
    alpn: z
      .array(z.string().min(1).max(255))
      .max(16)
      .default([])
      .describe("Protocols to offer (ALPN), such as `h2`; none are offered when empty."),
  })
  .refine(({ certificate, key }) => (certificate === undefined) === (key === undefined), {
    message: "`certificate` and `key` belong together: give both or neither",
    path: ["key"],
  })
  .describe("Speak TLS with the endpoints.");

/** The top-level `acme` block. */
export const acmeSchema = z
  .strictObject({
    directory: z
      .url({ protocol: /^https$/, error: "expected an https:// address" })
      .default("https://acme-v02.api.letsencrypt.org/directory")
      .describe("Address of the authority's ACME directory (RFC 8555, section 7.1.1)."),
    email: z.email().optional().describe("Where the authority may write to."),
    acceptTerms: z
      .boolean()
      .default(false)
      .describe("You have read and accept the authority's terms of service; without it no account is made."),
    storage: z
      .string()
      .min(1)
      .default("/var/lib/evenkeel/acme")
      .describe("Folder for the account, the keys and the certificates; readable for evenkeel's user only."),
    ca: oneOrMany(path)
      .optional()
      .describe("PEM files of authorities to trust for the directory instead of the system's."),
    externalAccount: z
      .strictObject({
        keyId: z.string().min(1).describe("Key identifier that the authority has given you."),
        key: z
          .string()
          .regex(/^[A-Za-z0-9_-]+$/, "expected base64url")
          .describe("The secret that came with it, in base64url; take it from the environment."),
      })
      .optional()
      .describe("Binds the account to one you have with the authority already (RFC 8555, section 7.3.4)."),
    maxOrders: z.int().min(1).max(16).default(2).describe("Certificates that are being got at the same time at most."),
  })
  .describe("Where certificates with `acme` come from.");

export type ListenerTlsConfig = z.output<typeof listenerTlsSchema>;
export type CertificateConfig = ListenerTlsConfig["certificates"][number];
export type HstsConfig = z.output<typeof hsts>;
export type EndpointTlsConfig = z.output<typeof endpointTlsSchema>;
export type AcmeConfig = z.output<typeof acmeSchema>;
