/** The admin listener: metrics and health of evenkeel itself. */
import { z } from "zod";

export const adminSchema = z
  .union([
    z.literal(false),
    z.strictObject({
      address: z
        .string()
        .min(1)
        .default("127.0.0.1:9900")
        .describe("Where to listen for `/metrics`, `/healthz` and `/readyz`. Has no authentication: keep it private."),
    }),
  ])
  .prefault({})
  .describe("Metrics and health of evenkeel itself; `false` turns it off.");

export type AdminConfig = z.output<typeof adminSchema>;
