/** From the `tls` of a listener to what its connections are accepted with. */
import type { Certificate } from "../tls/certificate.ts";
import { readPemFile } from "../tls/certificate-files.ts";
import { CertificateSelector } from "../tls/certificate-selector.ts";
import type { ListenerTls } from "../tls/listener-tls.ts";
import type { ListenerTlsConfig } from "../tls/schema.ts";
import { checkCiphers, type ServerTlsSettings, serverTlsOptions } from "../tls/secure-context.ts";

/**
 * `previous` is what the listener has now: contexts that stay the same are taken over, so that clients can resume their
 * sessions. Throws an EvenkeelError that names the file that is wrong.
 */
export function buildListenerTls(
  config: ListenerTlsConfig,
  certificates: readonly Certificate[],
  protocols: readonly string[],
  previous: ListenerTls | undefined,
): ListenerTls {
  // Of a list, the runtime merely leaves out what it does not know.
  checkCiphers(config.ciphers);
  const { mode, ca, crl } = config.clientAuthentication;
  const settings: ServerTlsSettings = {
    minVersion: config.minVersion,
    maxVersion: config.maxVersion,
    ciphers: config.ciphers,
    sessionTickets: config.sessionTickets,
    clientAuthentication: {
      mode,
      ...(mode !== "off" && ca !== undefined && { caPem: ca.map(readPemFile).join("\n") }),
      ...(mode !== "off" && crl !== undefined && { crlPem: crl.map(readPemFile).join("\n") }),
    },
  };
  const { strictSni } = config;
  const selector = new CertificateSelector({ certificates, settings, strictSni, previous: previous?.selector });
  return {
    selector,
    options: serverTlsOptions(selector.defaultContext, settings, protocols),
    handshakeTimeoutMs: config.handshakeTimeout,
    asksForCertificate: mode !== "off",
  };
}
