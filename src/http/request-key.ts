/** The key of a request, as a number that the hashing algorithms and splits map. */
import { hashString } from "../base/hash.ts";
import type { KeyConfig } from "../pools/key-schema.ts";
import type { RequestView } from "../routing/request-view.ts";

/** The text that is hashed; undefined when the request has no such thing. */
export function keyText(key: KeyConfig, request: RequestView): string | undefined {
  if (key === "clientIp") return request.clientIp;
  if (key === "path") return request.path;
  if (key === "host") return request.host;
  if ("header" in key) return request.header(key.header);
  if ("cookie" in key) return request.cookie(key.cookie);
  if ("query" in key) return request.queryParameter(key.query);
  return key.constant;
}

/** Requests without the key are told apart by their client, so that they spread rather than meet on one endpoint. */
export function keyOf(key: KeyConfig, request: RequestView): number {
  return hashString(keyText(key, request) ?? request.clientIp);
}
