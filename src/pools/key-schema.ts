/** What to hash, apart from how the hash is mapped to an endpoint. Works with every keyed algorithm and with splits. */
import { z } from "zod";
import { headerName } from "../base/schema.ts";

export const keySchema = z
  .union([
    z.enum(["clientIp", "path", "host"]),
    z.strictObject({ header: headerName.toLowerCase().describe("Hash the value of this request header.") }),
    z.strictObject({ cookie: z.string().min(1).describe("Hash the value of this cookie.") }),
    z.strictObject({ query: z.string().min(1).describe("Hash the value of this query parameter.") }),
    z.strictObject({
      constant: z
        .string()
        .describe("Always the same key: all traffic goes to one endpoint, the next one takes over when it fails."),
    }),
  ])
  .describe(
    "What identifies a client or a piece of content: `clientIp`, `path`, `host`, or a header, cookie, query parameter or constant.",
  );

export type KeyConfig = z.output<typeof keySchema>;

/** Keys that need an HTTP request, so they are refused where only connections are seen. */
export function keyNeedsHttp(key: KeyConfig): boolean {
  return key !== "clientIp" && !(typeof key === "object" && "constant" in key);
}
