/** The static table (RFC 7541 Appendix A). */
import { HeaderList } from "./header-list.ts";

/** Number of entries; index 1 is the first, and the dynamic table begins behind the last. */
export const STATIC_COUNT = 61;

/** Index of the first entry of names that encoders are told by index. */
export const STATIC_NAME = { authority: 1, method: 2, path: 4, scheme: 6, status: 8 } as const;

/** Names, and values where there is one, in the order of the table. */
const ENTRIES: readonly string[] = [
  ":authority",
  ":method: GET",
  ":method: POST",
  ":path: /",
  ":path: /index.html",
  ":scheme: http",
  ":scheme: https",
  ":status: 200",
  ":status: 204",
  ":status: 206",
  ":status: 304",
  ":status: 400",
  ":status: 404",
  ":status: 500",
  "accept-charset",
  "accept-encoding: gzip, deflate",
  "accept-language",
  "accept-ranges",
  "accept",
  "access-control-allow-origin",
  "age",
  "allow",
  "authorization",
  "cache-control",
  "content-disposition",
  "content-encoding",
  "content-language",
  "content-length",
  "content-location",
  "content-range",
  "content-type",
  "cookie",
  "date",
  "etag",
  "expect",
  "expires",
  "from",
  "host",
  "if-match",
  "if-modified-since",
  "if-none-match",
  "if-range",
  "if-unmodified-since",
  "last-modified",
  "link",
  "location",
  "max-forwards",
  "proxy-authenticate",
  "proxy-authorization",
  "range",
  "referer",
  "refresh",
  "retry-after",
  "server",
  "set-cookie",
  "strict-transport-security",
  "transfer-encoding",
  "user-agent",
  "vary",
  "via",
  "www-authenticate",
];

/** The entries, all classified; the field of index `n` is number `n - 1`. */
export const STATIC_TABLE = staticTable();

function staticTable(): HeaderList {
  const table = new HeaderList();
  for (const entry of ENTRIES) {
    const [name, value = ""] = entry.split(": ");
    table.add(name as string, value);
  }
  return table;
}
