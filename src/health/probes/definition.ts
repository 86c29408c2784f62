/** A probe asks one endpoint once whether it is well. */
import type { Timers } from "../../base/clock.ts";

export interface ProbeTarget {
  readonly pool: string;
  readonly host: string;
  /** The endpoint's own, or the one that checks are to use. */
  readonly port: number;
  /** What every connection to it begins with. */
  readonly preface?: Buffer | undefined;
}

/** Undefined when it passed, otherwise why not: half a sentence for the log. */
export type ProbeResult = string | undefined;

export interface ProbeContext {
  readonly timers: Timers;
  /** Where the path of programs is found; passed to commands. */
  readonly path: string;
}

/** Never rejects; takes `timeoutMs` at the most. */
export type Probe<Config> = (target: ProbeTarget, config: Config, context: ProbeContext) => Promise<ProbeResult>;
