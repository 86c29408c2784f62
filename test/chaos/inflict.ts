/** Makes the steps of a plan come true, each at its time, and undoes what lasts. */
import type { ControlledEndpoint } from "../support/controlled-endpoint.ts";
import { Certificates } from "./certificates.ts";
import { Changes } from "./changes.ts";
import { isEndpointFault, LEAVING_WORKER, type Step } from "./plan.ts";
import type { Scene } from "./scene.ts";

const REDIS_START_ATTEMPTS = 3;
const LOOK_MS = 10;
const OK = 200;
const CREATED = 201;

export class Inflictor {
  /** When workers were killed, on the clients' clock, whatever process they were of. */
  readonly killsMs: number[] = [];
  readonly changes: Changes;
  readonly #certificates: Certificates;
  readonly #failures: string[] = [];
  readonly #scene: Scene;
  readonly #nowMs: () => number;
  /** What operators are telling evenkeel right now. */
  readonly #telling = new Set<Promise<void>>();

  constructor(scene: Scene, nowMs: () => number) {
    this.#scene = scene;
    this.#nowMs = nowMs;
    this.changes = new Changes(scene, nowMs);
    this.#certificates = new Certificates(scene);
  }

  /** What should have worked and did not. */
  get failures(): string[] {
    return [...this.#failures, ...this.changes.failures, ...this.#certificates.failures];
  }

  /** Resolves when all of them are over. */
  async follow(plan: readonly Step[]): Promise<void> {
    const startMs = this.#nowMs();
    await Promise.all(
      plan.map(async (step) => {
        await this.#until(startMs + step.fromMs);
        await this.#begin(step);
        await this.#until(startMs + step.untilMs);
        await this.#end(step);
      }),
    );
    await this.changes.settle();
    await this.#certificates.settle();
  }

  /** A process that is about to leave lets itself be told nothing: operators wait for the one that takes over. */
  async #admin(method: string, path: string, body: object | undefined, status: number): Promise<void> {
    while (this.changes.generations.isChanging) await Bun.sleep(LOOK_MS);
    const telling = this.#tell(method, path, body, status);
    this.#telling.add(telling);
    await telling.finally(() => this.#telling.delete(telling));
  }

  async #tell(method: string, path: string, body: object | undefined, status: number): Promise<void> {
    const { adminPort } = this.#scene.evenkeel;
    const headers = { "Content-Type": "application/json", Connection: "close" };
    const response = await fetch(`http://127.0.0.1:${adminPort}/api/${path}`, {
      method,
      headers,
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      signal: AbortSignal.timeout(15_000),
    });
    const text = await response.text();
    if (response.status !== status)
      this.#failures.push(`${method} /api/${path} was answered with ${response.status}, not ${status}: ${text}`);
  }

  #change({ address }: ControlledEndpoint, change: object): Promise<void> {
    return this.#admin("PATCH", `pools/app/endpoints/${address}`, change, OK);
  }

  #remove({ address }: ControlledEndpoint): Promise<void> {
    return this.#admin("DELETE", `pools/moving/endpoints/${address}`, undefined, OK);
  }

  /** It is still removed, whoever has taken over meanwhile. */
  #addAgain({ address }: ControlledEndpoint): Promise<void> {
    return this.#admin("POST", "pools/moving/endpoints", { address }, CREATED);
  }

  async #begin({ fault, which }: Step): Promise<void> {
    const endpoint = this.#scene.endpoints[which] as ControlledEndpoint;
    if (fault === "die") endpoint.program.kill();
    else if (fault === "stop") endpoint.program.signal("SIGSTOP");
    else if (isEndpointFault(fault)) await endpoint.become(fault);
    else if (fault === "redis-dies") await this.#scene.redis?.stop();
    else if (fault === "redis-stops") this.#scene.redis?.pause();
    else if (fault === "reload") await this.changes.reload(1 + which);
    else if (fault === "bad-reload") await this.changes.badReload(which);
    else if (fault === "upgrade") await this.changes.upgrade(which, () => Promise.all(this.#telling));
    else if (fault === "bad-upgrade") await this.changes.badUpgrade(which);
    else if (fault === "certificate") this.#certificates.replace();
    else if (fault === "drain" || fault === "maintenance") await this.#change(endpoint, { state: fault });
    else if (fault === "weight") await this.#change(endpoint, { weight: (which * 3) % 5 });
    else if (fault === "remove") await this.#remove(endpoint);
    else this.#killWorker(which);
  }

  async #end({ fault, which }: Step): Promise<void> {
    const endpoint = this.#scene.endpoints[which] as ControlledEndpoint;
    if (fault === "die") await endpoint.restart();
    else if (fault === "stop") endpoint.program.signal("SIGCONT");
    else if (isEndpointFault(fault)) await endpoint.become("well");
    else if (fault === "redis-dies") await this.#startRedis();
    else if (fault === "redis-stops") this.#scene.redis?.resume();
    else if (fault === "drain" || fault === "maintenance") await this.#change(endpoint, { state: "ready" });
    else if (fault === "weight") await this.#change(endpoint, { weight: 1 });
    else if (fault === "remove") await this.#addAgain(endpoint);
  }

  #killWorker(which: number): void {
    const { changes } = this;
    const serving = { pid: this.#scene.evenkeel.workers()[which], of: changes.generations.serving };
    const victim = which === LEAVING_WORKER ? changes.leavingWorker() : serving;
    // The one before may not have been replaced yet, and there may be nobody who leaves.
    if (victim?.pid === undefined) return;
    const nowMs = this.#nowMs();
    this.killsMs.push(nowMs);
    victim.of.killsMs.push(nowMs);
    process.kill(victim.pid, "SIGKILL");
  }

  /** The port of one that was killed may be taken for a moment. */
  async #startRedis(): Promise<void> {
    for (let attempt = 1; ; attempt++) {
      try {
        await this.#scene.redis?.start();
        return;
      } catch (error) {
        if (attempt === REDIS_START_ATTEMPTS) throw error;
      }
    }
  }

  async #until(ms: number): Promise<void> {
    await Bun.sleep(Math.max(0, ms - this.#nowMs()));
  }
}
