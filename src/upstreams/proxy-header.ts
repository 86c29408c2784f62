/** The PROXY protocol header that goes in front of a connection to an endpoint that wants to know the client. */
import { writeProxyHeaderV1, writeProxyHeaderV2 } from "../protocols/proxy-protocol/write.ts";
import { ByteWriter } from "../transport/byte-writer.ts";
import type { Origin, Place } from "../transport/origin.ts";
import type { ConnectionsConfig } from "./schema.ts";

export type ProxyHeaderConfig = NonNullable<ConnectionsConfig["proxyProtocol"]>;

/** Both ends of the client's connection. */
export interface Ends {
  readonly client: Place;
  readonly local: Place;
}

/** `ends` as the socket has them; what a trusted proxy told goes before. `id` is sent when the configuration asks for it. */
export function proxyHeader(config: ProxyHeaderConfig, origin: Origin, ends: Ends, id: string): Buffer {
  const { client, local } = origin.told ?? ends;
  const addresses = {
    sourceIp: client.ip,
    sourcePort: client.port,
    destinationIp: local.ip,
    destinationPort: local.port,
  };
  const writer = new ByteWriter(256);
  const authority = config.authority ? (origin.tls?.serverName ?? "") : "";
  const written =
    config.version === 1
      ? writeProxyHeaderV1(writer, addresses)
      : writeProxyHeaderV2(writer, {
          addresses,
          checksum: config.checksum,
          received: origin.tlvs,
          ...(authority === "" ? {} : { authority }),
          ...(config.uniqueId ? { uniqueId: Buffer.from(id) } : {}),
        });
  return written ? writer.bytes.subarray(0, writer.length) : localHeader(config);
}

/** For connections of our own, such as health checks. */
export function localHeader(config: ProxyHeaderConfig): Buffer {
  const writer = new ByteWriter(64);
  if (config.version === 1) writeProxyHeaderV1(writer, undefined);
  else writeProxyHeaderV2(writer, { addresses: undefined, checksum: config.checksum });
  return writer.bytes.subarray(0, writer.length);
}
