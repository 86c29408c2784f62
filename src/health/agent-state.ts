/** What an endpoint's agent has said so far. What it does not mention stays as it was; when it falls silent, all of it does. */
import type { AgentStateWord, AgentWord } from "./agent-word.ts";

export interface AgentView {
  /** Its last words; "" before the first. */
  readonly text: string;
  readonly reason: string;
  readonly state: AgentStateWord;
  readonly isUp: boolean;
  readonly weightPercent: number;
  /** When it was last understood; undefined before the first time. */
  readonly heardMs: number | undefined;
  /** Since when it has said what it says. */
  readonly sinceMs: number;
  /** Why it could not be heard or understood the last time; "" when it was. */
  readonly problem: string;
}

export class AgentState implements AgentView {
  text = "";
  reason = "";
  state: AgentStateWord = "ready";
  isUp = true;
  weightPercent = 100;
  heardMs: number | undefined;
  sinceMs: number;
  problem = "";

  constructor(nowMs: number) {
    this.sinceMs = nowMs;
  }

  /** True when something holds now that did not hold before, or it can be heard again. */
  hear(word: AgentWord, nowMs: number): boolean {
    const { state = this.state, isUp = this.isUp, weightPercent = this.weightPercent } = word;
    const isNew = state !== this.state || isUp !== this.isUp || weightPercent !== this.weightPercent;
    const wasSilent = this.problem !== "";
    if (isNew) this.sinceMs = nowMs;
    this.state = state;
    this.isUp = isUp;
    this.weightPercent = weightPercent;
    this.text = word.text;
    this.reason = word.reason;
    this.heardMs = nowMs;
    this.problem = "";
    return isNew || wasSilent;
  }

  /** It could not be reached or understood. True when that is new. */
  lose(problem: string): boolean {
    const isNew = this.problem === "";
    this.problem = problem;
    return isNew;
  }
}

/** For the log and for people, behind "its agent": `says drain 50%: too warm`. */
export function describeAgent({ text, reason, problem, heardMs }: AgentView): string {
  const said = reason === "" ? text : `${text}: ${reason}`;
  if (heardMs === undefined) return problem === "" ? "was not heard yet" : `was never heard: ${problem}`;
  return problem === "" ? `says ${said}` : `cannot be heard (${problem}), its last words hold: ${said}`;
}
