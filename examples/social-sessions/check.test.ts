/** What README.md promises: who is still logged in after what. */
import { afterEach, expect, test } from "bun:test";
import { type RunningExample, startExample } from "./start.ts";

const TIMEOUT_MS = 60_000;
let example: RunningExample | undefined;

afterEach(async () => {
  await example?.stop();
  example = undefined;
});

interface Answer {
  readonly status: number;
  readonly instance: string;
  readonly name: string;
  readonly posts: number;
}

/** A browser: it keeps the cookies that it gets. */
class Browser {
  readonly #cookies = new Map<string, string>();
  readonly #base: string;

  constructor(frontPort: number, pool: "sticky" | "shared") {
    this.#base = `http://127.0.0.1:${frontPort}/${pool}`;
  }

  async ask(path: string, init: RequestInit = {}): Promise<Answer> {
    const Cookie = [...this.#cookies].map(([name, value]) => `${name}=${value}`).join("; ");
    const response = await fetch(this.#base + path, { ...init, headers: { Cookie, Connection: "close" } });
    for (const line of response.headers.getSetCookie()) {
      const [, name = "", value = ""] = /^([^=]+)=([^;]*)/.exec(line) ?? [];
      this.#cookies.set(name, value);
    }
    return { ...((await response.json()) as Answer), status: response.status };
  }

  login = (name: string): Promise<Answer> => this.ask("/login", { method: "POST", body: name });
  post = (): Promise<Answer> => this.ask("/post", { method: "POST" });
  me = (): Promise<Answer> => this.ask("/me");
}

async function eventually(check: () => Promise<boolean>, what: string): Promise<void> {
  for (let tries = 0; tries < 400; tries++) {
    if (await check()) return;
    await Bun.sleep(50);
  }
  throw new Error(`in vain: ${what}`);
}

if (Bun.which("redis-server") === null) console.log("skipped: examples/social-sessions: redis-server is not installed");
else {
  const start = async (): Promise<RunningExample> => {
    example = await startExample({ ports: "free", quiet: true });
    return example;
  };

  test(
    "sticky visitors come back to their instance, shared ones to any, and all stay logged in",
    async () => {
      const { frontPort } = await start();
      for (const pool of ["sticky", "shared"] as const) {
        const browsers = Array.from({ length: 8 }, () => new Browser(frontPort, pool));
        const homes = await Promise.all(
          browsers.map(async (browser, index) => (await browser.login(`p${index}`)).instance),
        );
        expect(new Set(homes).size).toBe(2);
        const seen = new Set<string>();
        for (let round = 1; round <= 3; round++)
          for (const [index, browser] of browsers.entries()) {
            const answer = await browser.post();
            expect([answer.status, answer.name, answer.posts]).toEqual([200, `p${index}`, round]);
            if (pool === "sticky") expect(answer.instance).toBe(homes[index] as string);
            else seen.add(answer.instance);
          }
        if (pool === "shared") expect(seen.size).toBe(2);
      }
    },
    TIMEOUT_MS,
  );

  test(
    "an instance crashes: its sticky visitors are moved and have to log in again, shared ones notice nothing",
    async () => {
      const { frontPort, crash } = await start();
      const sticky = new Browser(frontPort, "sticky");
      const shared = new Browser(frontPort, "shared");
      const home = (await sticky.login("ann")).instance;
      await shared.login("bob");
      await crash(home);
      await crash("shared-1");
      const moved = await sticky.me();
      expect(moved.status).toBe(401);
      expect(moved.instance).not.toBe(home);
      expect((await sticky.login("ann")).instance).toBe(moved.instance);
      for (let round = 0; round < 5; round++) {
        expect(await sticky.me()).toMatchObject({ status: 200, instance: moved.instance, name: "ann" });
        expect(await shared.me()).toMatchObject({ status: 200, instance: "shared-2", name: "bob" });
      }
    },
    TIMEOUT_MS,
  );

  test(
    "the balancer crashes and is started again: nobody is logged out",
    async () => {
      const { frontPort, crash, restart } = await start();
      const sticky = new Browser(frontPort, "sticky");
      const shared = new Browser(frontPort, "shared");
      const home = (await sticky.login("ann")).instance;
      await shared.login("bob");
      await crash("evenkeel");
      await restart("evenkeel");
      expect(await sticky.me()).toMatchObject({ status: 200, instance: home, name: "ann" });
      expect(await shared.me()).toMatchObject({ status: 200, name: "bob" });
    },
    TIMEOUT_MS,
  );

  test(
    "Redis crashes: shared visitors have to wait for it and log in again, sticky ones notice nothing",
    async () => {
      const { frontPort, crash, restart } = await start();
      const sticky = new Browser(frontPort, "sticky");
      const shared = new Browser(frontPort, "shared");
      await sticky.login("ann");
      await shared.login("bob");
      await crash("redis");
      expect(await sticky.me()).toMatchObject({ status: 200, name: "ann" });
      await eventually(async () => (await shared.me()).status === 503, "an answer that says what is wrong");
      await restart("redis");
      await eventually(async () => (await shared.me()).status === 401, "Redis, empty");
      await shared.login("bob");
      expect(await shared.me()).toMatchObject({ status: 200, name: "bob" });
    },
    TIMEOUT_MS,
  );
}
