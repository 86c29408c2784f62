/** Building blocks for the domains' schemas: values with units, parsed once while the configuration loads. */
import { z } from "zod";
import { parseByteSize, parseDurationMs } from "./units.ts";

/** A duration such as `500ms`, `5s`, `1m30s`; becomes milliseconds. */
export function duration(options: { min?: number; max?: number } = {}) {
  const { min = 0, max = 30 * 86_400_000 } = options;
  return z
    .string("expected a duration such as 500ms, 5s or 2m")
    .meta({ examples: ["500ms", "5s", "2m", "1h"] })
    .transform((text, context) => {
      const durationMs = parseDurationMs(text);
      if (durationMs === undefined) {
        context.addIssue({ code: "custom", message: `expected a duration such as 500ms, 5s or 2m` });
        return z.NEVER;
      }
      if (durationMs < min || durationMs > max) {
        context.addIssue({ code: "custom", message: `expected a duration from ${min}ms to ${max}ms` });
        return z.NEVER;
      }
      return durationMs;
    });
}

/** A size such as `64KiB` or `10MiB`; becomes bytes. */
export function byteSize(options: { min?: number; max?: number } = {}) {
  const { min = 0, max = Number.MAX_SAFE_INTEGER } = options;
  return z
    .string("expected a size such as 64KiB or 10MiB")
    .meta({ examples: ["64KiB", "10MiB"] })
    .transform((text, context) => {
      const bytes = parseByteSize(text);
      if (bytes === undefined) {
        context.addIssue({ code: "custom", message: `expected a size such as 64KiB or 10MiB` });
        return z.NEVER;
      }
      if (bytes < min || bytes > max) {
        context.addIssue({ code: "custom", message: `expected a size from ${min}B to ${max}B` });
        return z.NEVER;
      }
      return bytes;
    });
}

/** One value or a list of them; becomes a list. */
export function oneOrMany<Schema extends z.ZodType>(item: Schema) {
  return z
    .union([item, z.array(item).min(1)])
    .transform((value) => (Array.isArray(value) ? value : [value]) as z.output<Schema>[]);
}

/** A name that users give to a listener, route or pool: also used in metrics labels and logs, so kept plain. */
export const name = z
  .string()
  .regex(
    /^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$/,
    "expected a name of letters, digits, '-', '_' and '.', 63 characters at most",
  );

/** The name of a header (RFC 9110, section 5.1). */
export const headerName = z.string().regex(/^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/, "expected the name of a header");

/** The value of a header: one line, no control characters. */
export const headerValue = z
  .string()
  .regex(/^[\t\x20-\x7e\x80-\xff]*$/, "expected a header value on one line, without characters beyond Latin-1");

/** A whole answer, written in the configuration. */
export function fixedAnswer(defaultStatus: number) {
  return z.strictObject({
    status: z.int().min(200).max(599).default(defaultStatus).describe("Status."),
    body: z.string().default("").describe("Body."),
    headers: z
      .record(
        headerName.refine(
          (header) => !/^(content-length|transfer-encoding|connection|date)$/i.test(header),
          "expected a header that evenkeel does not write itself",
        ),
        headerValue,
      )
      .default({})
      .describe("Headers; Content-Type is text/plain unless set here."),
  });
}
