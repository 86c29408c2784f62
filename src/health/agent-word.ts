/**
 * What an endpoint's agent says on one line: a state, whether it is up, and a share of its weight, in any order and number.
 * Source: HAProxy's agent checks.
 */

export type AgentStateWord = "ready" | "drain" | "maintenance";

export interface AgentWord {
  /** As it was said, without its reason. */
  readonly text: string;
  /** What came behind `#`; "" when nothing did. */
  readonly reason: string;
  // Undefined: it says nothing of this now, and what it said before holds.
  readonly state: AgentStateWord | undefined;
  readonly isUp: boolean | undefined;
  readonly weightPercent: number | undefined;
}

/** A share of 1000% of a weight of 1000 is still a number that every algorithm can use. */
export const MAX_WEIGHT_PERCENT = 1_000;
const MAX_SHOWN = 80;
const MAX_REASON = 200;

const STATES: Readonly<Record<string, AgentStateWord>> = { ready: "ready", drain: "drain", maint: "maintenance" };
const UP: Readonly<Record<string, boolean>> = { up: true, down: false, fail: false, failed: false, stopped: false };

/** The line without its end. A text when it cannot be understood: half a sentence that says why. */
export function parseAgentWord(line: string): AgentWord | string {
  const hash = line.indexOf("#");
  const words = (hash < 0 ? line : line.slice(0, hash)).split(/[\s,]+/).filter((word) => word !== "");
  const said = { state: undefined, isUp: undefined, weightPercent: undefined } as Mutable<AgentWord>;
  if (words.length === 0) return "the agent's answer says nothing";
  for (const written of words) {
    const problem = take(written, said);
    if (problem !== undefined) return problem;
  }
  const reason = hash < 0 ? "" : plain(line.slice(hash + 1)).slice(0, MAX_REASON);
  return { ...said, text: words.join(" ").toLowerCase(), reason };
}

type Mutable<Type> = { -readonly [Key in keyof Type]: Type[Key] };

function take(written: string, said: Mutable<AgentWord>): string | undefined {
  const word = written.toLowerCase();
  const percent = /^(\d{1,6})%$/.exec(word)?.[1];
  if (percent !== undefined) {
    if (Number(percent) > MAX_WEIGHT_PERCENT) return `the agent says ${word}: expected 0% to ${MAX_WEIGHT_PERCENT}%`;
    return setOnce(said, "weightPercent", Number(percent), "weights");
  }
  if (Object.hasOwn(STATES, word)) return setOnce(said, "state", STATES[word], "states");
  if (Object.hasOwn(UP, word)) return setOnce(said, "isUp", UP[word], "verdicts");
  const known = "ready, drain, maint, up, down, fail, stopped or a weight such as 50%";
  return `the agent says ${JSON.stringify(plain(written).slice(0, MAX_SHOWN))}: expected ${known}`;
}

function setOnce<Key extends keyof AgentWord>(
  said: Mutable<AgentWord>,
  key: Key,
  value: AgentWord[Key],
  what: string,
): string | undefined {
  if (said[key] !== undefined && said[key] !== value) return `the agent says two ${what} that contradict each other`;
  said[key] = value;
  return undefined;
}

/** What may be shown in logs and on terminals. */
function plain(text: string): string {
  return text.replace(/[^\x21-\x7e]+/g, " ").trim();
}
