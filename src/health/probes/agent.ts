import { parseAgentWord } from "../agent-word.ts";
import type { AgentQuestion } from "../schema.ts";
import type { Probe } from "./definition.ts";
import { exchangeBytes } from "./exchange-bytes.ts";

/** A line that is longer is no answer. */
const MAX_LINE = 1_024;

/** Connects, sends text where that is wanted, and reads one line. An agent that closes instead of ending it has ended it. */
export const agentProbe: Probe<AgentQuestion> = (target, { send, timeout }, { timers }) =>
  exchangeBytes(
    // Agents speak for themselves, in clear text, whatever the endpoint does.
    { ...target, tls: undefined },
    send ?? "",
    (received, ended) => {
      const end = received.findIndex((byte) => byte === 0x0a || byte === 0x0d || byte === 0);
      if (end < 0 && received.length > MAX_LINE) return { failed: `the agent's line is longer than ${MAX_LINE} bytes` };
      if (end < 0 && !ended) return undefined;
      if (ended && received.length === 0) return { failed: "the agent closed the connection without a word" };
      const word = parseAgentWord(received.toString("latin1", 0, Math.min(end < 0 ? received.length : end, MAX_LINE)));
      return typeof word === "string" ? { failed: word } : { word };
    },
    timeout,
    timers,
  );
