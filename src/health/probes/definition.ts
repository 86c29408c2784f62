/** A probe asks one endpoint once whether it is well. */
import type { Timers } from "../../base/clock.ts";
import type { EndpointTls } from "../../upstreams/endpoint-tls.ts";
import type { AgentWord } from "../agent-word.ts";

/** How connections to the endpoints of a pool begin. */
export interface ProbeWay {
  /** What comes before everything else. */
  readonly preface?: Buffer | undefined;
  readonly tls?: EndpointTls | undefined;
  /** The pool speaks HTTP/2 with its endpoints. */
  readonly http2?: boolean;
}

export interface ProbeTarget extends ProbeWay {
  readonly pool: string;
  readonly host: string;
  /** What the endpoint's address says, before it is resolved: its name in TLS. */
  readonly name: string;
  /** The endpoint's own, or the one that checks are to use. */
  readonly port: number;
}

/** What an answer says beyond passed and failed. */
export interface ProbeAnswer {
  /** Why it failed: half a sentence for the log. */
  readonly failed?: string | undefined;
  /** It passed, but is to be spared: why. */
  readonly degraded?: string | undefined;
  /** It asks not to be checked again for this long. */
  readonly retryAfterMs?: number | undefined;
  /** What its agent says with it. */
  readonly word?: AgentWord | undefined;
}

/** Undefined when it passed, a text that says why when it failed, or more than that. */
export type ProbeResult = string | undefined | ProbeAnswer;

export interface ProbeContext {
  readonly timers: Timers;
  /** Where the path of programs is found; passed to commands. */
  readonly path: string;
}

/** Never rejects; takes `timeoutMs` at the most. */
export type Probe<Config> = (target: ProbeTarget, config: Config, context: ProbeContext) => Promise<ProbeResult>;
