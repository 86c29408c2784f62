/** Everything goes wrong at once for a while and must still add up; the nightly run takes longer and another seed each time. */
import { afterEach, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { account } from "../chaos/accounting.ts";
import type { Asked } from "../chaos/clients.ts";
import { describeRun, runChaos } from "../chaos/run.ts";
import { Metrics } from "../support/evenkeel.ts";
import { endAll } from "../support/process.ts";

const SECONDS = 15;
/** Kills workers, one of them while a configuration is changed, and has nearly every fault there is. */
const SEED = 2;

afterEach(endAll);

test(
  `${SECONDS} seconds of chaos: every answer is whole and its own, and every request is accounted for`,
  async () => {
    const options = { seconds: SECONDS, seed: SEED };
    const report = await runChaos(options);
    console.log(`chaos: ${report.summary}`);
    expect(report.violations, describeRun(options, report)).toEqual([]);
  },
  (SECONDS + 120) * 1_000,
);

describe("the accounts find", () => {
  const GOOD_LINE = "/app?n=0&size=1 200 1 app - POST\n";
  const GOOD_METRICS = `evenkeel_listener_requests_total{listener="web"} 1
evenkeel_route_responses_total{route="app",class="2xx"} 1
evenkeel_endpoint_attempts_total{pool="app",endpoint="a"} 1
`;

  function problems(change: {
    log?: string;
    journal?: string;
    metrics?: string;
    asked?: Partial<Asked>;
    killsMs?: number[];
  }): string {
    const folder = mkdtempSync(join(tmpdir(), "evenkeel-accounts-"));
    const [accessLog, journal] = [join(folder, "log"), join(folder, "journal")];
    writeFileSync(accessLog, change.log ?? GOOD_LINE);
    writeFileSync(journal, change.journal ?? "0\n");
    const asked: Asked = {
      number: 0,
      method: "POST",
      target: "/app?n=0&size=1",
      fromMs: 5_000,
      untilMs: 5_010,
      status: 200,
      breach: undefined,
      fromEndpoint: true,
      ...change.asked,
    };
    const metrics = new Metrics(change.metrics ?? GOOD_METRICS);
    const found = account({ asked: [asked], killsMs: change.killsMs ?? [], accessLog, journals: [journal], metrics });
    rmSync(folder, { recursive: true });
    return found.problems.join("\n");
  }

  test("nothing when all is well", () => {
    expect(problems({})).toBe("");
  });

  test("a request that nobody knows of, unless its worker was killed", () => {
    const lost = { log: "", metrics: "" };
    expect(problems(lost)).toContain("request without a line");
    expect(problems({ ...lost, killsMs: [5_100] })).toBe("");
  });

  test("answers that the log tells otherwise, and failures without a reason", () => {
    expect(problems({ asked: { status: 502, fromEndpoint: false } })).toContain("not what its client saw");
    expect(problems({ asked: { status: 0, breach: "cut" } })).toContain("not what its client saw");
    expect(problems({ log: GOOD_LINE.replace("200", "502") })).toContain("line without a reason");
    expect(problems({ log: GOOD_LINE + GOOD_LINE })).toContain("more than one line");
  });

  test("what was done twice, or not at all although its client was told so", () => {
    expect(problems({ journal: "0\n0\n" })).toContain("POST executed twice");
    expect(problems({ journal: "" })).toContain("POST acknowledged but not executed");
  });

  test("counters that say something else", () => {
    expect(problems({ metrics: GOOD_METRICS.replace('"web"} 1', '"web"} 2') })).toContain(
      "requests, and lines of the log",
    );
    expect(problems({ metrics: GOOD_METRICS.replace('"a"} 1', '"a"} 2') })).toContain(
      "attempts on the endpoints of app",
    );
  });
});
