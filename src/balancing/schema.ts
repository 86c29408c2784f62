/** How a pool chooses among its endpoints: the name of an algorithm, or an object with its options. */
import { z } from "zod";
import { type AlgorithmName, algorithms, DEFAULT_ALGORITHM } from "./registry.ts";

type Algorithms = typeof algorithms;

/** The options of each algorithm, told apart by its name. */
export type BalanceConfig = {
  [Name in AlgorithmName]: { algorithm: Name } & z.output<Algorithms[Name]["options"]>;
}[AlgorithmName];

type BalanceInput =
  | AlgorithmName
  | { [Name in AlgorithmName]: { algorithm: Name } & z.input<Algorithms[Name]["options"]> }[AlgorithmName];

const names = Object.keys(algorithms) as [AlgorithmName, ...AlgorithmName[]];
const objects = names.map((algorithm) => algorithms[algorithm].options.extend({ algorithm: z.literal(algorithm) }));
const detailed = z.discriminatedUnion("algorithm", objects as unknown as [z.ZodObject, ...z.ZodObject[]]);

const either = z.union([z.enum(names).transform((algorithm) => detailed.parse({ algorithm })), detailed]);

export const balanceSchema = (either as unknown as z.ZodType<BalanceConfig, BalanceInput>)
  .prefault(DEFAULT_ALGORITHM)
  .describe(
    "How to choose among the endpoints: the name of an algorithm, or an object with `algorithm` and its options.",
  );

export const subsetSchema = z
  .strictObject({
    size: z
      .int()
      .min(1)
      .max(10_000)
      .describe("Endpoints of each tier that a worker uses; more where some would be left without any worker."),
    instance: z
      .int()
      .min(0)
      .max(999)
      .default(0)
      .describe("Which of the balancers in front of the same endpoints this one is, counted from 0."),
    instances: z.int().min(1).max(1_000).default(1).describe("How many balancers are in front of the same endpoints."),
  })
  .refine(({ instance, instances }) => instance < instances, {
    path: ["instance"],
    message: "expected less than instances: the first balancer is 0",
  })
  .describe("For very large pools: each worker balances over some of the endpoints, so that connections stay few.");
