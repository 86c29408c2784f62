/**
 * Hosts of our own: network namespaces, each joined to this one by a cable (veth) whose faults can be set. Needs root, `ip`,
 * `tc` and `nft`; touches nothing but what it has made.
 */
import { spawnSync } from "node:child_process";
import { type ProgramOptions, RunningProgram } from "./process.ts";

/** RFC 2544 keeps these addresses for tests. */
const PREFIX = "198.18";
let made = 0;

export class TestHost {
  readonly address: string;
  readonly #name: string;
  /** Our end of its cable. */
  readonly #cable: string;

  constructor() {
    const number = ++made;
    this.#name = `ek${process.pid}h${number}`;
    this.#cable = `ek${process.pid}c${number}`;
    this.address = `${PREFIX}.${number}.2`;
    must("ip", "netns", "add", this.#name);
    must("ip", "link", "add", this.#cable, "type", "veth", "peer", "name", "cable", "netns", this.#name);
    must("ip", "addr", "add", `${PREFIX}.${number}.1/30`, "dev", this.#cable);
    must("ip", "link", "set", this.#cable, "up");
    must("ip", "-n", this.#name, "addr", "add", `${this.address}/30`, "dev", "cable");
    must("ip", "-n", this.#name, "link", "set", "cable", "up");
    must("ip", "-n", this.#name, "link", "set", "lo", "up");
    this.#filter("add", "table", "inet", "faults");
    for (const way of ["input", "output"])
      this.#filter("add", "chain", "inet", "faults", way, `{ type filter hook ${way} priority 0; }`);
  }

  /** Starts a program on this host. */
  run(command: readonly string[], options: ProgramOptions = {}): RunningProgram {
    return new RunningProgram(["ip", "netns", "exec", this.#name, ...command], options);
  }

  /** This share of the packets vanishes, in either direction; 100 is a cable that was pulled out without anybody noticing. */
  lose(percent: number): void {
    for (const way of ["input", "output"]) {
      this.#filter("flush", "chain", "inet", "faults", way);
      const some = percent < 100 ? ["numgen", "random", "mod", "100", "<", `${percent}`] : [];
      if (percent > 0) this.#filter("add", "rule", "inet", "faults", way, ...some, "drop");
    }
  }

  /** What is sent to it waits for its turn: `rate` as tc knows it, such as `500kbit`. */
  throttle(rate: string): void {
    must("tc", "qdisc", "replace", "dev", this.#cable, "root", "tbf", "rate", rate, "burst", "4k", "latency", "2s");
    const leaving = ["tbf", "rate", rate, "burst", "4k", "latency", "2s"];
    must("tc", "-n", this.#name, "qdisc", "replace", "dev", "cable", "root", ...leaving);
  }

  /** Each packet takes this much longer. False where the kernel has no netem. */
  delay(milliseconds: number): boolean {
    return succeeds("tc", "qdisc", "replace", "dev", this.#cable, "root", "netem", "delay", `${milliseconds}ms`);
  }

  /** Its programs must have ended. */
  remove(): void {
    succeeds("ip", "link", "del", this.#cable);
    succeeds("ip", "netns", "del", this.#name);
  }

  #filter(...words: readonly string[]): void {
    must("ip", "netns", "exec", this.#name, "nft", ...words);
  }
}

/** Whether the kernel can delay packets; says so when not. */
export function canDelay(): boolean {
  const host = new TestHost();
  const can = host.delay(1);
  host.remove();
  if (!can) console.log("left out: this kernel cannot delay packets (it has no netem)");
  return can;
}

/** Whether hosts can be made here; says why not. */
export function canMakeHosts(): boolean {
  if (process.getuid?.() !== 0) {
    console.log("skipped: network namespaces need root");
    return false;
  }
  for (const [program, version] of [
    ["ip", "-V"],
    ["tc", "-V"],
    ["nft", "--version"],
  ] as const) {
    if (succeeds(program, version)) continue;
    console.log(`skipped: ${program} is not installed`);
    return false;
  }
  return true;
}

const PATH = `${process.env["PATH"] ?? ""}:/usr/sbin:/sbin`;

function succeeds(program: string, ...words: readonly string[]): boolean {
  return spawnSync(program, words, { stdio: "ignore", env: { ...process.env, PATH } }).status === 0;
}

function must(program: string, ...words: readonly string[]): void {
  const { status, stderr } = spawnSync(program, words, { encoding: "utf8", env: { ...process.env, PATH } });
  if (status !== 0) throw new Error(`${program} ${words.join(" ")}: ${stderr}`);
}
