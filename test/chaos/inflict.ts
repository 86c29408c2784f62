/** Makes the steps of a plan come true, each at its time, and undoes what lasts. */
import type { ControlledEndpoint } from "../support/controlled-endpoint.ts";
import { isEndpointFault, type Step } from "./plan.ts";
import type { Scene } from "./scene.ts";

const REDIS_START_ATTEMPTS = 3;

export class Inflictor {
  /** When workers were killed, on the clients' clock. */
  readonly killsMs: number[] = [];
  /** What should have worked and did not. */
  readonly failures: string[] = [];
  readonly #scene: Scene;
  readonly #nowMs: () => number;
  /** One change of the configuration after another: their outcomes are told apart by counting. */
  #reloading: Promise<void> = Promise.resolve();

  constructor(scene: Scene, nowMs: () => number) {
    this.#scene = scene;
    this.#nowMs = nowMs;
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
    await this.#reloading;
  }

  /** Asks the admin API; what it refuses is a failure unless it is one of `accepted`. */
  async admin(method: string, path: string, body: object | undefined, accepted: readonly number[]): Promise<void> {
    const { adminPort } = this.#scene.evenkeel;
    const headers = { "Content-Type": "application/json", Connection: "close" };
    const response = await fetch(`http://127.0.0.1:${adminPort}/api/${path}`, {
      method,
      headers,
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      signal: AbortSignal.timeout(15_000),
    });
    const text = await response.text();
    if (!accepted.includes(response.status)) {
      this.failures.push(`${method} /api/${path} was answered with ${response.status}: ${text}`);
    }
  }

  reload(variant: number): Promise<void> {
    return this.#reload(this.#scene.config(variant), true);
  }

  async #begin(step: Step): Promise<void> {
    const { fault, which } = step;
    const endpoint = this.#scene.endpoints[which] as ControlledEndpoint;
    const inApp = `pools/app/endpoints/${endpoint?.address}`;
    if (fault === "die") endpoint.program.kill();
    else if (fault === "stop") endpoint.program.signal("SIGSTOP");
    else if (isEndpointFault(fault)) await endpoint.become(fault);
    else if (fault === "redis-dies") await this.#scene.redis?.stop();
    else if (fault === "redis-stops") this.#scene.redis?.pause();
    else if (fault === "reload") await this.#reload(this.#scene.config(1 + which), true);
    else if (fault === "bad-reload") await this.#reload(badConfigurations[which] ?? "{", false);
    else if (fault === "drain" || fault === "maintenance") await this.admin("PATCH", inApp, { state: fault }, [200]);
    else if (fault === "weight") await this.admin("PATCH", inApp, { weight: (which * 3) % 5 }, [200]);
    else if (fault === "remove") await this.admin("DELETE", this.#inMoving(endpoint), undefined, [200, 204]);
    else this.#killWorker(which);
  }

  async #end({ fault, which }: Step): Promise<void> {
    const endpoint = this.#scene.endpoints[which] as ControlledEndpoint;
    const inApp = `pools/app/endpoints/${endpoint?.address}`;
    if (fault === "die") await endpoint.restart();
    else if (fault === "stop") endpoint.program.signal("SIGCONT");
    else if (isEndpointFault(fault)) await endpoint.become("well");
    else if (fault === "redis-dies") await this.#startRedis();
    else if (fault === "redis-stops") this.#scene.redis?.resume();
    else if (fault === "drain" || fault === "maintenance") await this.admin("PATCH", inApp, { state: "ready" }, [200]);
    else if (fault === "weight") await this.admin("PATCH", inApp, { weight: 1 }, [200]);
    else if (fault === "remove")
      await this.admin("POST", "pools/moving/endpoints", { address: endpoint.address }, [201]);
  }

  #inMoving({ address }: ControlledEndpoint): string {
    return `pools/moving/endpoints/${address}`;
  }

  #killWorker(which: number): void {
    const victim = this.#scene.evenkeel.workers()[which];
    // The one before may not have been replaced yet.
    if (victim === undefined) return;
    this.killsMs.push(this.#nowMs());
    process.kill(victim, "SIGKILL");
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

  #reload(config: Parameters<Scene["evenkeel"]["reload"]>[0], isGood: boolean): Promise<void> {
    this.#reloading = this.#reloading.then(async () => {
      const taken = await this.#scene.evenkeel.reload(config);
      if (taken !== isGood)
        this.failures.push(`a reload that should ${isGood ? "" : "not "}have been taken was ${taken}`);
    });
    return this.#reloading;
  }

  async #until(ms: number): Promise<void> {
    await Bun.sleep(Math.max(0, ms - this.#nowMs()));
  }
}

const badConfigurations = [
  "{ not even a file",
  "listeners: { web: { adress: 127.0.0.1:1 } }",
  "",
  '{"listeners": {"web": {"address": "127.0.0.1:1", "pool": "nowhere"}}}',
  '{"workers": "many"}',
];
