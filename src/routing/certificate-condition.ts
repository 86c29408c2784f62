/** What a route may ask of the certificate that a client has shown. */
import { parseIp } from "../base/ip.ts";
import { compileRegex, MAX_REGEX_SUBJECT } from "../base/regex.ts";
import type { PeerCertificate } from "../transport/origin.ts";
import type { RequestView } from "./request-view.ts";
import type { ClientCertificateMatch } from "./schema.ts";

type CertificateTest = (certificate: PeerCertificate) => boolean;

/** `hostMatches` compares a pattern such as `*.example.com` with a name, both in lower case. */
export function certificateCondition(
  match: ClientCertificateMatch,
  hostMatches: (pattern: string, name: string) => boolean,
): (request: RequestView) => boolean {
  if (!match.verified) return ({ tls }) => tls?.clientCertificate?.verified !== true;
  const tests: CertificateTest[] = [];
  const { subject, name, fingerprint } = match;
  if (typeof subject === "string") tests.push((certificate) => certificate.subject === subject);
  else if (subject !== undefined) {
    const regex = compileRegex(subject.regex);
    tests.push((certificate) => certificate.subject.length <= MAX_REGEX_SUBJECT && regex.test(certificate.subject));
  }
  if (name !== undefined) {
    const wanted = name.map((text) => nameTest(text, hostMatches));
    tests.push(({ alternativeNames }) => alternativeNames.some((found) => wanted.some((test) => test(found))));
  }
  if (fingerprint !== undefined) tests.push(({ fingerprint256 }) => fingerprint.includes(fingerprint256));
  return ({ tls }) => {
    const certificate = tls?.clientCertificate;
    return certificate?.verified === true && tests.every((test) => test(certificate));
  };
}

type AlternativeName = PeerCertificate["alternativeNames"][number];

/** By its form, so that a name of one kind cannot stand in for one of another that looks the same. */
function nameTest(
  text: string,
  hostMatches: (pattern: string, name: string) => boolean,
): (found: AlternativeName) => boolean {
  const address = parseIp(text)?.join();
  if (address !== undefined) return ({ kind, value }) => kind === "IP Address" && parseIp(value)?.join() === address;
  if (text.includes(":")) return ({ kind, value }) => kind === "URI" && value === text;
  if (text.includes("@")) return ({ kind, value }) => kind === "email" && value === text;
  const pattern = text.toLowerCase();
  return ({ kind, value }) => kind === "DNS" && hostMatches(pattern, value.toLowerCase());
}
