/** From the `tls` of a listener to what its connections are accepted with. */
import { at } from "../base/place.ts";
import { readAuthorities, readRevocationLists } from "../tls/authority-files.ts";
import type { Certificate } from "../tls/certificate.ts";
import { CertificateSelector } from "../tls/certificate-selector.ts";
import type { ListenerTls } from "../tls/listener-tls.ts";
import type { ListenerTlsConfig } from "../tls/schema.ts";
import { checkCiphers, type ServerTlsSettings, serverTlsOptions } from "../tls/secure-context.ts";

/**
 * `previous` is what the listener has now: contexts that stay the same are taken over, so that clients can resume their
 * sessions. Throws an EvenkeelError placed at what is wrong.
 */
export function buildListenerTls(
  config: ListenerTlsConfig,
  certificates: readonly Certificate[],
  protocols: readonly string[],
  previous: ListenerTls | undefined,
): ListenerTls {
  // Of a list, the runtime merely leaves out what it does not know.
  at(["ciphers"], () => checkCiphers(config.ciphers));
  const { mode, ca, crl } = config.clientAuthentication;
  const asks = mode !== "off";
  const settings: ServerTlsSettings = {
    minVersion: config.minVersion,
    maxVersion: config.maxVersion,
    ciphers: config.ciphers,
    sessionTickets: config.sessionTickets,
    clientAuthentication: at(["clientAuthentication"], () => ({
      mode,
      ...(asks && ca !== undefined && { caPem: at(["ca"], () => readAuthorities(ca)) }),
      ...(asks && crl !== undefined && { crlPem: at(["crl"], () => readRevocationLists(crl)) }),
    })),
  };
  const { strictSni } = config;
  const selector = new CertificateSelector({ certificates, settings, strictSni, previous: previous?.selector });
  return {
    selector,
    options: serverTlsOptions(selector.defaultContext, settings, protocols),
    handshakeTimeoutMs: config.handshakeTimeout,
    asksForCertificate: asks,
  };
}
