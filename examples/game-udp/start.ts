/** Starts two game servers, evenkeel in front of them and some players, and stops them all on Ctrl-C. */
import { createServer } from "node:net";
import { join as path } from "node:path";
import { join, type Player } from "./player.ts";

const TICKS_PER_SECOND = 30;
const READY_WITHIN_MS = 20_000;

export interface RunningGame {
  /** Where players send to. */
  readonly port: number;
  readonly metricsPort: number;
  stopArena(name: "arena-1" | "arena-2"): Promise<void>;
  stop(): Promise<void>;
}

/** `ports: "free"` takes whatever is free instead of the ports that evenkeel.yaml names. */
export async function startGame(options: { ports: "usual" | "free"; quiet?: boolean }): Promise<RunningGame> {
  const portOf = options.ports === "usual" ? async (usual: number) => usual : freePort;
  const output = options.quiet === true ? "ignore" : "inherit";
  const launch = (args: readonly string[], environment: Record<string, string>): Bun.Subprocess =>
    Bun.spawn([process.execPath, ...args], {
      cwd: import.meta.dir,
      env: { ...process.env, ...environment },
      stdio: ["ignore", output, output],
    });
  const [port, one, two, metricsPort] = [
    await portOf(7000),
    await portOf(7001),
    await portOf(7002),
    await portOf(9900),
  ];
  const arena = path("apps", "arena.ts");
  const arenas = {
    "arena-1": launch([arena], { NAME: "arena-1", PORT: String(one) }),
    "arena-2": launch([arena], { NAME: "arena-2", PORT: String(two) }),
  };
  const balancer = launch([path("..", "..", "src", "cli", "main.ts"), "run", "-c", "evenkeel.yaml"], {
    GAME_PORT: String(port),
    ARENA_1_PORT: String(one),
    ARENA_2_PORT: String(two),
    METRICS_PORT: String(metricsPort),
  });
  const stop = async (): Promise<void> => {
    // There is nobody to wait for: the players are in this process. A second signal says so.
    balancer.kill("SIGTERM");
    balancer.kill("SIGQUIT");
    for (const child of [balancer, ...Object.values(arenas)]) await end(child);
  };
  try {
    await serving(metricsPort, balancer);
  } catch (error) {
    await stop();
    throw error;
  }
  return { port, metricsPort, stopArena: (name) => end(arenas[name]), stop };
}

/** Until both servers have passed their health check. Throws when that takes too long. */
async function serving(metricsPort: number, balancer: Bun.Subprocess): Promise<void> {
  const until = performance.now() + READY_WITHIN_MS;
  while (performance.now() < until && balancer.exitCode === null) {
    const metrics = await fetch(`http://127.0.0.1:${metricsPort}/metrics`)
      .then((response) => response.text())
      .catch(() => "");
    if ((metrics.match(/^evenkeel_endpoint_eligible\{.*\} 1$/gm) ?? []).length === 2) return;
    await Bun.sleep(50);
  }
  throw new Error("the game did not begin to serve");
}

async function end(child: Bun.Subprocess): Promise<void> {
  child.kill("SIGTERM");
  await child.exited;
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.on("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const address = server.address();
      server.close(() => resolve(typeof address === "object" && address !== null ? address.port : 0));
    });
  });
}

/** All players move at every tick. Returns how to stop them. */
export function play(players: readonly Player[]): () => void {
  const timer = setInterval(() => {
    for (const player of players) player.move();
  }, 1_000 / TICKS_PER_SECOND);
  return () => clearInterval(timer);
}

if (import.meta.main) {
  const game = await startGame({ ports: "usual" });
  const players = await Promise.all(Array.from({ length: 20 }, () => join(game.port)));
  const stopPlaying = play(players);
  console.log(`
20 players play at 127.0.0.1:${game.port}; metrics are at http://127.0.0.1:${game.metricsPort}/metrics.
README.md has things to try. Ctrl-C ends it all.
`);
  let stopping = false;
  for (const signal of ["SIGINT", "SIGTERM"] as const) {
    process.on(signal, () => {
      if (stopping) return;
      stopping = true;
      stopPlaying();
      for (const player of players) player.leave();
      void game.stop().then(() => process.exit(0));
    });
  }
}
