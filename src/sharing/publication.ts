/** What a balancer tells the others: what it has in use of the limits that they share. JSON, read strictly. */
import { z } from "zod";

/** Longer ones are not believed: it would take 30,000 endpoints that are all in use. */
const MAX_LENGTH = 1_048_576;

const count = z.int().min(0).max(10_000_000);

const publicationSchema = z.strictObject({
  /** Grows with every one: a number that stands still tells of a balancer that is gone. */
  sequence: z.int().min(0),
  /** It ends what it has and begins nothing new. */
  draining: z.boolean(),
  pools: z.record(
    z.string(),
    z.strictObject({
      /** Somebody was refused or had to wait since the last time. */
      short: z.boolean(),
      /** By the limit's name; what is not there is 0. */
      inUse: z.record(z.string(), count),
    }),
  ),
});

export type Publication = z.output<typeof publicationSchema>;

export function writePublication(publication: Publication): string {
  return JSON.stringify(publication);
}

/** Undefined for what no balancer has written. */
export function readPublication(text: string): Publication | undefined {
  if (text.length > MAX_LENGTH) return undefined;
  try {
    return publicationSchema.safeParse(JSON.parse(text)).data;
  } catch {
    return undefined;
  }
}
