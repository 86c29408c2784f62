/**
 * Power of two choices: draws two endpoints and takes the less busy one, by weight.
 * Cost: O(1). The default: nearly as even as looking at all of them, without everybody running to the one that is idle.
 * Not for keyed traffic. Source: Mitzenmacher, "The Power of Two Choices in Randomized Load Balancing", 2001.
 */
import { z } from "zod";
import { defineAlgorithm } from "./definition.ts";
import { load } from "./options.ts";
import { bestOfSample } from "./sample.ts";

export const powerOfTwoChoices = defineAlgorithm({
  summary: "less busy of two drawn at random",
  cost: "O(1)",
  keyed: false,
  weighted: true,
  options: z.strictObject({
    choices: z.int().min(2).max(16).default(2).describe("How many are drawn; more come closer to least-connections."),
  }),
  build(endpoints, { choices }, { random }) {
    const drawn = Math.min(choices, endpoints.length);
    return { pick: (_key, tried) => bestOfSample(endpoints, drawn, random, tried, load) };
  },
});
