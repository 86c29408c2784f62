/** All algorithms, by the name they have in the configuration. A new one is a file and a line here. */
import type { AlgorithmDefinition } from "./definition.ts";
import { first } from "./first.ts";
import { ipHash } from "./ip-hash.ts";
import { leastConnections } from "./least-connections.ts";
import { leastResponseTime } from "./least-response-time.ts";
import { maglev } from "./maglev.ts";
import { peakEwma } from "./peak-ewma.ts";
import { powerOfTwoChoices } from "./power-of-two-choices.ts";
import { random } from "./random.ts";
import { rendezvous } from "./rendezvous.ts";
import { ringHash } from "./ring-hash.ts";
import { roundRobin } from "./round-robin.ts";
import { weightedRoundRobin } from "./weighted-round-robin.ts";

export const algorithms = {
  "round-robin": roundRobin,
  "weighted-round-robin": weightedRoundRobin,
  random,
  "power-of-two-choices": powerOfTwoChoices,
  "least-connections": leastConnections,
  "least-response-time": leastResponseTime,
  "peak-ewma": peakEwma,
  "ip-hash": ipHash,
  "ring-hash": ringHash,
  maglev,
  rendezvous,
  first,
} as const satisfies Record<string, AlgorithmDefinition>;

export type AlgorithmName = keyof typeof algorithms;
export const DEFAULT_ALGORITHM: AlgorithmName = "power-of-two-choices";
