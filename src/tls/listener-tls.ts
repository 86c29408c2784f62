/** What a listener needs to speak TLS. Replaced as a whole when a configuration or a certificate is loaded. */
import type { CertificateSelector } from "./certificate-selector.ts";
import type { ServerTlsOptions } from "./secure-context.ts";

export interface ListenerTls {
  readonly selector: CertificateSelector;
  readonly options: ServerTlsOptions;
  readonly handshakeTimeoutMs: number;
  /** Mutual TLS: clients are asked for a certificate. */
  readonly asksForCertificate: boolean;
}

/** Whether a socket that listens with the one can go on for the other: what is chosen by name is looked up each time. */
export function listensAlike(one: ListenerTls | undefined, other: ListenerTls | undefined): boolean {
  if (one === undefined || other === undefined) return one === other;
  const { secureContext, requestCert, rejectUnauthorized, ALPNProtocols } = one.options;
  return (
    secureContext === other.options.secureContext &&
    requestCert === other.options.requestCert &&
    rejectUnauthorized === other.options.rejectUnauthorized &&
    (ALPNProtocols?.toString("latin1") ?? "") === (other.options.ALPNProtocols?.toString("latin1") ?? "")
  );
}
