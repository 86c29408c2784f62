/** Who a connection is for, as far as that is known before its own first byte. */

/** What a TLS handshake tells, whether it ends here or is passed through. */
export interface TlsView {
  /** The name the client asked for (SNI), lower case; "" when it asked for none. */
  readonly serverName: string;
  /** The protocols the client offers (ALPN), most wanted first. */
  readonly protocols: readonly string[];
  /** `TLSv1.3`; "" when TLS is passed through. */
  readonly version: string;
  /** What the client has shown; undefined when it has shown none, or was not asked. */
  readonly clientCertificate: PeerCertificate | undefined;
}

/** Who a peer is, from its certificate. */
export interface PeerCertificate {
  /** Nothing below is to be believed without. */
  readonly verified: boolean;
  /** Why it is not verified; "" when it is. */
  readonly failure: string;
  /** RFC 4514: `CN=app,O=Example`. */
  readonly subject: string;
  readonly alternativeNames: readonly { readonly kind: string; readonly value: string }[];
  /** SHA-256 in lower case hexadecimal digits. */
  readonly fingerprint256: string;
}

/** An end of a connection. */
export interface Place {
  /** Canonical text; IPv4-mapped IPv6 addresses are IPv4. */
  readonly ip: string;
  readonly port: number;
}

export interface Origin {
  /** Where the client is: its socket's address, or what a trusted PROXY protocol header says. */
  readonly clientIp: string;
  /** What a PROXY protocol header says of both ends; undefined when there was none, then the socket knows. */
  readonly told: { readonly client: Place; readonly local: Place } | undefined;
  /** Entries of that header, to be passed on. */
  readonly tlvs: readonly { readonly type: number; readonly value: Buffer }[];
  /** Undefined when the connection does not use TLS, or when nobody has looked. */
  readonly tls: TlsView | undefined;
}

/** A connection of which nothing was told. */
export function plainOrigin(clientIp: string): Origin {
  return { clientIp, told: undefined, tlvs: [], tls: undefined };
}
