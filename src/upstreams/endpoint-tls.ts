/** How the connections of one pool speak TLS with its endpoints. */
import { at } from "../base/place.ts";
import { readAuthorities } from "../tls/authority-files.ts";
import { loadFiles } from "../tls/certificate-files.ts";
import { ClientSessions } from "../tls/client-sessions.ts";
import type { EndpointTlsConfig } from "../tls/schema.ts";
import {
  type ClientTlsOptions,
  type ClientTlsSettings,
  clientTlsOptions,
  createClientContext,
  type NativeContext,
} from "../tls/secure-context.ts";

export class EndpointTls {
  readonly verify: boolean;
  /** Differs when connections would be made differently. */
  readonly fingerprint: string;
  /** Sessions to come back with: spares both sides most of a handshake. */
  readonly sessions = new ClientSessions();
  readonly #settings: ClientTlsSettings;
  readonly #context: NativeContext;

  /** Throws an EvenkeelError placed at the key whose file is wrong. `protocols` are offered by ALPN, the preferred first. */
  constructor(config: EndpointTlsConfig, protocols: readonly string[]) {
    const { verify, serverName, ca, certificate, key } = config;
    this.verify = verify;
    this.#settings = {
      verify,
      serverName,
      caPem: ca && at(["ca"], () => readAuthorities(ca)),
      certificate: certificate === undefined || key === undefined ? undefined : loadFiles({ certificate, key }),
      protocols,
    };
    this.fingerprint = Bun.hash(JSON.stringify(this.#settings)).toString(16);
    this.#context = createClientContext(this.#settings);
  }

  /** `host` is what the endpoint's address says, before it is resolved. */
  optionsFor(host: string): ClientTlsOptions {
    return clientTlsOptions(this.#context, this.#settings, host);
  }
}
