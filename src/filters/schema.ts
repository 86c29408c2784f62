/** Steps applied to a request or response on its way. */
import { z } from "zod";
import { headerName, headerValue } from "../base/schema.ts";

export const headerEditsSchema = z.strictObject({
  set: z
    .record(headerName, headerValue)
    .default({})
    .describe(
      "Headers to set; replaces what is there. `{client.ip}`, `{request.id}`, `{host}`, `{path}` and `{route}` are filled in; in answers `{endpoint}`, too.",
    ),
  add: z.record(headerName, headerValue).default({}).describe("Headers to add beside what is there."),
  remove: z.array(headerName).default([]).describe("Headers to take out."),
});

export const rewriteSchema = z
  .strictObject({
    stripPrefix: z.string().startsWith("/").optional().describe("Take this prefix off the path."),
    addPrefix: z.string().startsWith("/").optional().describe("Put this prefix before the path."),
    path: z.string().startsWith("/").optional().describe("Replace the whole path; the query stays."),
    regex: z
      .string()
      .min(1)
      .optional()
      .describe("Replace what this JavaScript regular expression matches in the path..."),
    replacement: z.string().optional().describe("...by this; `$1` stands for the first group."),
    host: z.string().min(1).optional().describe("Replace the Host header."),
  })
  .describe("Change the path or host that the endpoint sees. Without it the path goes through byte for byte.");

export type HeaderEditsConfig = z.output<typeof headerEditsSchema>;
export type RewriteConfig = z.output<typeof rewriteSchema>;
