/** One endpoint of four goes wrong for some seconds, in one of these ways. */
import type { ControlledEndpoint } from "../../test/support/controlled-endpoint.ts";

export interface Case {
  readonly name: string;
  begin(endpoint: ControlledEndpoint): unknown;
  end(endpoint: ControlledEndpoint): unknown;
}

export const CASES: readonly Case[] = [
  {
    name: "is killed, then started again",
    begin: ({ program }) => program.kill(),
    end: (endpoint) => endpoint.restart(),
  },
  {
    name: "hangs",
    begin: ({ program }) => program.signal("SIGSTOP"),
    end: ({ program }) => program.signal("SIGCONT"),
  },
  told("answers after 3 s", "slow"),
  told("resets in the middle of answers", "reset-mid-body"),
  told("answers 503", "unavailable"),
  told("closes every second connection at once", "refuse-half"),
  told("comes and goes every second", "flap"),
];

function told(name: string, mode: string): Case {
  return { name, begin: (endpoint) => endpoint.become(mode), end: (endpoint) => endpoint.become("well") };
}
