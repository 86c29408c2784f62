/** Access log, program log, and the listener for metrics and health. */
import { z } from "zod";

export const accessLogSchema = z
  .union([
    z.literal(false),
    z.strictObject({
      path: z.string().min(1).default("stdout").describe("`stdout`, `stderr` or a file, reopened on SIGUSR1."),
      format: z
        .string()
        .min(1)
        .default("json")
        .describe(
          "`json`, `combined` (as nginx and Apache write it), or a template such as `{client} {method} {path} {status} {duration}`.",
        ),
    }),
  ])
  .prefault({})
  .describe("One line per exchange; `false` turns it off.");

export const logSchema = z
  .strictObject({
    level: z.enum(["debug", "info", "warn", "error"]).default("info").describe("Least important messages shown."),
    format: z.enum(["text", "json"]).default("text").describe("Form of the messages on standard error."),
  })
  .prefault({})
  .describe("Messages about evenkeel itself.");

export const adminSchema = z
  .union([
    z.literal(false),
    z.strictObject({
      address: z
        .string()
        .min(1)
        .default("127.0.0.1:9900")
        .describe(
          "Where to listen for `/metrics`, `/healthz`, `/readyz` and the API. Changes are taken from this machine only; keep it private.",
        ),
      socket: z
        .string()
        .regex(/^\/[^\0]{1,106}$/, "expected an absolute path of 107 characters at most")
        .optional()
        .describe("A socket in the file system to listen on as well; only the same user and root can open it."),
      token: z
        .string()
        .regex(/^[\x21-\x7e]{16,}$/, "expected 16 characters or more, without spaces")
        .optional()
        .describe(
          "What the API wants to be shown as `Authorization: Bearer`, except through `socket`; take it from the environment.",
        ),
    }),
  ])
  .prefault({})
  .describe("Metrics, health and control of evenkeel itself; `false` turns it off.");

export type AccessLogConfig = z.output<typeof accessLogSchema>;
export type LogConfig = z.output<typeof logSchema>;
