import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { AgentState, describeAgent } from "./agent-state.ts";
import { type AgentWord, parseAgentWord } from "./agent-word.ts";

const nothing = { state: undefined, isUp: undefined, weightPercent: undefined, reason: "" };

describe("what agents say", () => {
  const cases: [string, Partial<AgentWord>][] = [
    ["ready", { state: "ready" }],
    ["drain", { state: "drain" }],
    ["maint", { state: "maintenance" }],
    ["up", { isUp: true }],
    ["down", { isUp: false }],
    ["fail#disk full", { isUp: false, reason: "disk full" }],
    ["failed", { isUp: false }],
    ["stopped # for the night", { isUp: false, reason: "for the night" }],
    ["75%", { weightPercent: 75 }],
    ["0%", { weightPercent: 0 }],
    ["up ready 50%", { isUp: true, state: "ready", weightPercent: 50 }],
    ["\tDRAIN,\t10%  # warm\u0007 up\u00e9", { state: "drain", weightPercent: 10, reason: "warm up" }],
    ["up up", { isUp: true }],
    ["1000%", { weightPercent: 1_000 }],
  ];
  for (const [line, said] of cases)
    test(JSON.stringify(line), () => expect(parseAgentWord(line)).toMatchObject({ ...nothing, ...said }));

  test("its words without the reason are shown", () =>
    expect(parseAgentWord("DRAIN,50%#why")).toMatchObject({ text: "drain 50%", reason: "why" }));
  test("a long reason is cut", () =>
    expect((parseAgentWord(`down#${"x".repeat(999)}`) as AgentWord).reason.length).toBe(200));
});

describe("what cannot be understood", () => {
  const known = "expected ready, drain, maint, up, down, fail, stopped or a weight such as 50%";
  const cases: [string, string][] = [
    ["", "the agent's answer says nothing"],
    [" \t,", "the agent's answer says nothing"],
    ["# only a reason", "the agent's answer says nothing"],
    ["hello", `the agent says "hello": ${known}`],
    ["up maxconn:30", `the agent says "maxconn:30": ${known}`],
    ["50", `the agent says "50": ${known}`],
    ["-5%", `the agent says "-5%": ${known}`],
    ["1001%", "the agent says 1001%: expected 0% to 1000%"],
    ["99999999%", `the agent says "99999999%": ${known}`],
    ["constructor", `the agent says "constructor": ${known}`],
    ["ready drain", "the agent says two states that contradict each other"],
    ["up down", "the agent says two verdicts that contradict each other"],
    ["50% 60%", "the agent says two weights that contradict each other"],
    ["\u001b[2J", `the agent says "[2J": ${known}`],
  ];
  for (const [line, problem] of cases) test(JSON.stringify(line), () => expect(parseAgentWord(line)).toBe(problem));

  test("no line is too strange", () =>
    fc.assert(
      fc.property(fc.string({ unit: "binary", maxLength: 200 }), (line) => {
        const said = parseAgentWord(line);
        if (typeof said !== "string") expect(said.reason).toMatch(/^[\x20-\x7e]*$/);
        else expect(said).toMatch(/^[\x20-\x7e]+$/);
      }),
    ));
});

describe("what holds", () => {
  const say = (agent: AgentState, line: string, atMs = 0): boolean =>
    agent.hear(parseAgentWord(line) as AgentWord, atMs);

  test("what it does not mention stays as it was", () => {
    const agent = new AgentState(0);
    expect(say(agent, "drain 50%", 1)).toBeTrue();
    expect(say(agent, "down", 2)).toBeTrue();
    expect([agent.state, agent.weightPercent, agent.isUp]).toEqual(["drain", 50, false]);
    expect(say(agent, "ready", 3)).toBeTrue();
    expect(say(agent, "up 100%", 4)).toBeTrue();
    expect([agent.state, agent.weightPercent, agent.isUp, agent.sinceMs]).toEqual(["ready", 100, true, 4]);
    expect(say(agent, "up", 5)).toBeFalse();
    expect([agent.sinceMs, agent.heardMs]).toEqual([4, 5]);
  });

  test("when it falls silent its last words hold, and it says so once", () => {
    const agent = new AgentState(0);
    expect(describeAgent(agent)).toBe("was not heard yet");
    expect(agent.lose("no answer in time")).toBeTrue();
    expect(describeAgent(agent)).toBe("was never heard: no answer in time");
    expect(say(agent, "drain#too warm")).toBeTrue();
    expect(describeAgent(agent)).toBe("says drain: too warm");
    expect([agent.lose("no answer in time"), agent.lose("no answer in time")]).toEqual([true, false]);
    expect(describeAgent(agent)).toBe("cannot be heard (no answer in time), its last words hold: drain: too warm");
    expect(agent.state).toBe("drain");
    // Heard again, although it says the same.
    expect(say(agent, "drain")).toBeTrue();
  });
});
