import { parseAddress } from "../base/address.ts";
import { NO_WAY, openConnectedSocket } from "../transport/datagram-socket.ts";
import { socketAddress } from "../transport/socket-address.ts";
import type { Endpoint } from "../upstreams/endpoint.ts";

const addresses = new WeakMap<Endpoint, Uint8Array>();

/** A socket that talks to this endpoint alone; negative as `openConnectedSocket` says. */
export function openSocketTo(endpoint: Endpoint): number {
  let address = addresses.get(endpoint);
  if (address === undefined) {
    const place = parseAddress(endpoint.id);
    if (place === undefined) return NO_WAY;
    address = socketAddress(place.host, place.port);
    addresses.set(endpoint, address);
  }
  return openConnectedSocket(address);
}
