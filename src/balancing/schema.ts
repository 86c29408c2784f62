/** How a pool chooses among its endpoints: the name of an algorithm, or an object with its options. */
import { z } from "zod";

export const balanceSchema = z.strictObject({ algorithm: z.string().default("power-of-two-choices") }).prefault({});
export type BalanceConfig = z.output<typeof balanceSchema>;
