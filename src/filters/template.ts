/** Header values with placeholders, compiled to parts. */
import { EvenkeelError } from "../base/errors.ts";
import type { PeerCertificate } from "../transport/origin.ts";
import type { FilterContext } from "./definition.ts";

const PLACEHOLDERS: Readonly<Record<string, (context: FilterContext) => string>> = {
  "{client.ip}": (context) => context.clientIp,
  "{request.id}": (context) => context.requestId,
  "{host}": (context) => context.host,
  "{path}": (context) => context.path,
  "{route}": (context) => context.route,
  "{endpoint}": (context) => context.endpoint,
  "{tls.version}": ({ tls }) => tls?.version ?? "",
  "{tls.serverName}": ({ tls }) => safe(tls?.serverName ?? ""),
  "{client.verified}": ({ tls }) => String(tls?.clientCertificate?.verified === true),
  "{client.subject}": (context) => safe(verifiedClient(context)?.subject ?? ""),
  "{client.fingerprint}": (context) => verifiedClient(context)?.fingerprint256 ?? "",
  "{client.names}": (context) =>
    (verifiedClient(context)?.alternativeNames ?? [])
      .map(({ kind, value }) => `${kind === "IP Address" ? "IP" : kind}:${safe(value).replaceAll(",", "%2C")}`)
      .join(","),
};

/** What a certificate says counts only when it was verified: an endpoint cannot be told more than that by mistake. */
function verifiedClient({ tls }: FilterContext): PeerCertificate | undefined {
  return tls?.clientCertificate?.verified === true ? tls.clientCertificate : undefined;
}

/** Names in handshakes and certificates can hold any byte; a header cannot. */
function safe(text: string): string {
  return text.replace(/[^\x20-\x7e]/g, encodeByte);
}

function encodeByte(character: string): string {
  return [...Buffer.from(character)].map((byte) => `%${byte.toString(16).padStart(2, "0").toUpperCase()}`).join("");
}

/**
 * Throws an EvenkeelError that lists the placeholders for one that does not exist, or that is not known yet when the
 * request is changed. `{` alone stays as it is.
 */
export function compileTemplate(text: string, when: "request" | "response"): (context: FilterContext) => string {
  const parts = text.split(/(\{[A-Za-z.]+\})/).filter((part) => part !== "");
  for (const part of parts) {
    if (/^\{[A-Za-z.]+\}$/.test(part) && PLACEHOLDERS[part] === undefined) {
      throw new EvenkeelError(`${part} is not known here; there are ${Object.keys(PLACEHOLDERS).join(", ")}`);
    }
  }
  if (when === "request" && parts.includes("{endpoint}")) {
    throw new EvenkeelError("{endpoint} is not chosen yet when the request is changed: use it in responseHeaders");
  }
  const writers = parts.map((part) => PLACEHOLDERS[part] ?? (() => part));
  if (writers.length === 1 && PLACEHOLDERS[text] === undefined) return () => text;
  return (context) => writers.map((write) => write(context)).join("");
}
