/** What must fit together about certificates: where they come from, and whether an authority will find its answers. */
import { parseListenAddress } from "../base/address.ts";
import type { Path } from "../base/place.ts";
import { tlsOf } from "../listeners/schema.ts";
import type { MatchConfig } from "../routing/schema.ts";
import type { CertificateConfig } from "../tls/schema.ts";
import type { Config } from "./schema.ts";

type Report = (path: Path, message: string, hint?: string) => void;

type AcmeCertificate = Extract<CertificateConfig, { acme: unknown }>["acme"];

interface Requested extends AcmeCertificate {
  readonly listener: string;
  readonly path: Path;
}

const HTTP_PORT = 80;
const TLS_PORT = 443;

export function checkTls(config: Config, error: Report, warn: Report): void {
  const requested = requestedCertificates(config);
  checkAcmeBlock(config, requested, error, warn);
  checkNames(requested, error);
  checkChallengePorts(config, requested, warn);
  checkClientCertificates(config, warn);
}

function requestedCertificates(config: Config): Requested[] {
  return Object.entries(config.listeners).flatMap(([listener, written]) =>
    (tlsOf(written)?.certificates ?? []).flatMap((certificate, index): Requested[] =>
      "acme" in certificate
        ? [{ ...certificate.acme, listener, path: ["listeners", listener, "tls", "certificates", index, "acme"] }]
        : [],
    ),
  );
}

function checkAcmeBlock({ acme }: Config, requested: readonly Requested[], error: Report, warn: Report): void {
  const [first] = requested;
  if (first === undefined) {
    if (acme !== undefined) warn(["acme"], "no listener has a certificate with `acme`: nothing is ordered");
  } else if (acme === undefined) {
    error(
      first.path,
      "the `acme` block is missing, which says from whom",
      "add at the top: acme: { acceptTerms: true }",
    );
  } else if (!acme.acceptTerms) {
    error(
      ["acme"],
      "no account is made before you accept the authority's terms of service",
      "read them, then set acceptTerms: true",
    );
  }
}

/** Two orders over one name would be renewed side by side, and only one of the certificates shown. */
function checkNames(requested: readonly Requested[], error: Report): void {
  const owners = new Map<string, Requested>();
  for (const request of requested) {
    const own = new Set<string>();
    request.names.forEach((name, index) => {
      const path = [...request.path, "names", index];
      const owner = owners.get(name);
      if (own.has(name)) error(path, `${name} is listed twice`);
      else if (owner !== undefined && !isSameOrder(owner, request))
        error(
          path,
          `${name} is in another certificate with \`acme\` already (listener ${owner.listener})`,
          "one certificate over the same names can be shown by several listeners",
        );
      own.add(name);
    });
    for (const name of own) if (!owners.has(name)) owners.set(name, request);
  }
}

function isSameOrder(one: Requested, other: Requested): boolean {
  const sorted = ({ names }: Requested): string => [...names].sort().join(" ");
  return one.listener !== other.listener && one.challenge === other.challenge && sorted(one) === sorted(other);
}

/** Something in front may lead the port here, so this is no error. */
function checkChallengePorts(config: Config, requested: readonly Requested[], warn: Report): void {
  const listens = (port: number, withTls: boolean): boolean =>
    Object.values(config.listeners).some((listener) => {
      const hasTls = tlsOf(listener) !== undefined;
      return (
        parseListenAddress(listener.address)?.port === port &&
        (withTls ? hasTls : !hasTls && listener.protocol === "http")
      );
    });
  const http = requested.find(({ challenge }) => challenge === "http-01");
  if (http !== undefined && !listens(HTTP_PORT, false))
    warn(
      [...http.path, "challenge"],
      "HTTP-01 is asked for on port 80, and no HTTP listener without TLS has it; something in front must lead it here",
    );
  const tls = requested.find(({ challenge }) => challenge === "tls-alpn-01");
  if (tls !== undefined && !listens(TLS_PORT, true))
    warn(
      [...tls.path, "challenge"],
      "TLS-ALPN-01 is asked for on port 443, and no listener with TLS has it; something in front must lead it here",
    );
}

/** What nobody can meet: clients show certificates only when asked. */
function checkClientCertificates(config: Config, warn: Report): void {
  const asks = (name: string): boolean => (tlsOf(config.listeners[name])?.clientAuthentication.mode ?? "off") !== "off";
  const isAsked = Object.keys(config.listeners).some(asks);
  for (const [name, { sessions }] of Object.entries(config.pools))
    if (sessions?.type === "clientCertificate" && !isAsked)
      warn(
        ["pools", name, "sessions"],
        "no listener asks clients for a certificate, so nobody has a session; see tls.clientAuthentication",
      );
  for (const [index, { match, listeners }] of config.routes.entries()) {
    if (!asksForCertificate(match)) continue;
    const names = listeners ?? Object.keys(config.listeners);
    if (names.some(asks)) continue;
    warn(
      ["routes", index, "match"],
      "no listener of this route asks clients for a certificate; see tls.clientAuthentication",
    );
  }
}

function asksForCertificate({ clientCertificate, all = [], any = [] }: MatchConfig): boolean {
  return clientCertificate !== undefined || [...all, ...any].some(asksForCertificate);
}
