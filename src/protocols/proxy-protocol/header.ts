/**
 * What a PROXY protocol header says (HAProxy's proxy-protocol.txt, versions 1 and 2), and the constants both directions
 * share. Such a header stands in front of a connection's own bytes and tells for whom the connection was made.
 */

export interface ProxyAddresses {
  /** Canonical text, as `formatIp` of base/ip.ts writes it; IPv4-mapped IPv6 addresses are IPv4. */
  readonly sourceIp: string;
  readonly sourcePort: number;
  readonly destinationIp: string;
  readonly destinationPort: number;
}

/** A type-length-value entry of version 2. */
export interface ProxyTlv {
  readonly type: number;
  /** A copy: stays valid when the buffer that was parsed is used again. */
  readonly value: Buffer;
}

/** What the sender tells about the client's TLS connection (section 2.2.6). Texts that were not sent are "". */
export interface ProxySsl {
  readonly overTls: boolean;
  /** The client showed a certificate on this connection. */
  readonly certificateOnConnection: boolean;
  /** The client showed a certificate at least once in this TLS session. */
  readonly certificateInSession: boolean;
  /** 0: verified, or nothing to verify; so look at the two fields above as well. */
  readonly verifyResult: number;
  readonly version: string;
  readonly commonName: string;
  readonly cipher: string;
  readonly signatureAlgorithm: string;
  readonly keyAlgorithm: string;
}

export interface ProxyHeader {
  readonly version: 1 | 2;
  /** `local`: made by the sender itself, such as a health check. */
  readonly command: "local" | "proxy";
  /** Of the client's connection, as sent. */
  readonly family: "unspecified" | "ipv4" | "ipv6" | "unix";
  readonly transport: "unspecified" | "stream" | "datagram";
  /** Undefined (`local`, UNKNOWN, UNSPEC, AF_UNIX): the addresses of the connection itself are the ones to use. */
  readonly addresses: ProxyAddresses | undefined;
  /** All entries as they came, those below included; empty in version 1 and for `local`. */
  readonly tlvs: readonly ProxyTlv[];
  /** One character per byte; "" when not sent. */
  readonly alpn: string;
  /** The host name the client asked for (SNI), as sent; "" when not sent. */
  readonly authority: string;
  readonly uniqueId: Buffer | undefined;
  readonly networkNamespace: string;
  readonly ssl: ProxySsl | undefined;
  /** Bytes of the whole header: where the connection's own bytes begin. */
  readonly length: number;
}

/** The first 12 bytes of version 2. */
export const SIGNATURE = Buffer.from("\r\n\r\n\0\r\nQUIT\n", "latin1");
/** Signature, version and command, family and transport, length. */
export const FIXED_BYTES = 16;
/** Type and length, in front of every value. */
export const TLV_HEADER_BYTES = 3;

export const TLV_ALPN = 0x01;
export const TLV_AUTHORITY = 0x02;
export const TLV_CRC32C = 0x03;
export const TLV_NOOP = 0x04;
export const TLV_UNIQUE_ID = 0x05;
export const TLV_SSL = 0x20;
export const TLV_SSL_VERSION = 0x21;
export const TLV_SSL_COMMON_NAME = 0x22;
export const TLV_SSL_CIPHER = 0x23;
export const TLV_SSL_SIGNATURE_ALGORITHM = 0x24;
export const TLV_SSL_KEY_ALGORITHM = 0x25;
export const TLV_NETWORK_NAMESPACE = 0x30;

export const MAX_ALPN_BYTES = 255;
export const MAX_AUTHORITY_BYTES = 255;
export const MAX_UNIQUE_ID_BYTES = 128;
