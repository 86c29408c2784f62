/** Everything goes wrong at once for a while and must still add up; the nightly run takes longer and another seed each time. */
import { afterEach, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { account } from "../chaos/accounting.ts";
import type { Asked, NotConnected } from "../chaos/clients.ts";
import { describeRun, runChaos } from "../chaos/run.ts";
import { Metrics } from "../support/evenkeel.ts";
import { endAll } from "../support/process.ts";

const SECONDS = 15;
/** Has every fault there is but one, an upgrade, one that fails and killed workers among them. */
const SEED = 207;

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
    /** When the counters were read, if not at the end. */
    readMs?: number;
    notConnected?: NotConnected[];
  }): string {
    const folder = mkdtempSync(join(tmpdir(), "evenkeel-accounts-"));
    const [accessLog, journal] = [join(folder, "log"), join(folder, "journal")];
    writeFileSync(accessLog, change.log ?? GOOD_LINE);
    writeFileSync(journal, change.journal ?? "0\n");
    const asked: Asked = {
      number: 0,
      speech: "plain",
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
    const readMs = change.readMs ?? Number.POSITIVE_INFINITY;
    const { killsMs = [], notConnected = [] } = change;
    const reading = { fromMs: readMs, untilMs: readMs, metrics };
    const generations = [{ accessLog, killsMs, reading, memory: undefined }];
    const found = account({ asked: [asked], notConnected, killsMs, generations, journals: [journal] });
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

  test("what was refused, but looked at all the same", () => {
    const refused: Partial<Asked> = { status: 0, breach: "refused" };
    expect(problems({ asked: refused, log: "", journal: "", metrics: "" })).toBe("");
    expect(problems({ asked: refused })).toContain("not what its client saw");
    expect(problems({ asked: refused })).toContain("POST refused and executed");
  });

  test("connections that nobody has taken, unless a worker was killed", () => {
    const notConnected: NotConnected[] = [{ speech: "tls", fromMs: 5_000, untilMs: 5_001 }];
    expect(problems({ notConnected })).toContain("connection that came to nothing");
    expect(problems({ notConnected, killsMs: [5_000] })).toBe("");
  });

  test("counters that say too little or too much for when they were read", () => {
    expect(problems({ readMs: 20_000 })).toBe("");
    expect(problems({ readMs: 20_000, metrics: "" })).toContain("process 1 of 1: requests, and lines of the log");
    expect(problems({ readMs: 5_005 })).toBe("");
    expect(problems({ readMs: 5_005, metrics: "" })).toBe("");
    expect(problems({ readMs: 4_000 })).toContain("process 1 of 1: requests, and lines of the log");
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
