/** Starts two game servers, evenkeel in front of them and some players, and stops them all on Ctrl-C. */
import { join as path } from "node:path";
import { Processes, type StartOptions, stopOnSignal } from "../processes.ts";
import { join, type Player } from "./player.ts";

const TICKS_PER_SECOND = 30;

export interface RunningGame {
  /** Where players send to. */
  readonly port: number;
  readonly metricsPort: number;
  stopArena(name: "arena-1" | "arena-2"): Promise<void>;
  stop(): Promise<void>;
}

export async function startGame(options: StartOptions): Promise<RunningGame> {
  const processes = new Processes(import.meta.dir, options);
  const arenas = { "arena-1": await processes.port(7001), "arena-2": await processes.port(7002) };
  const [port, metricsPort] = [await processes.port(7000), await processes.port(9900)];
  for (const [name, arenaPort] of Object.entries(arenas)) {
    const command = [process.execPath, path("apps", "arena.ts")];
    processes.launch(name, command, { NAME: name, PORT: String(arenaPort) });
  }
  processes.launchEvenkeel({
    GAME_PORT: port,
    ARENA_1_PORT: arenas["arena-1"],
    ARENA_2_PORT: arenas["arena-2"],
    METRICS_PORT: metricsPort,
  });
  await processes.until(() => bothServe(metricsPort), "the game");
  return {
    port,
    metricsPort,
    stopArena: (name) => processes.end(name),
    async stop() {
      // There is nobody to wait for: the players are in this process.
      await processes.end("evenkeel", "SIGQUIT");
      await processes.stop();
    },
  };
}

/** Whether both servers have passed their health check. */
async function bothServe(metricsPort: number): Promise<boolean> {
  const metrics = await (await fetch(`http://127.0.0.1:${metricsPort}/metrics`)).text();
  return (metrics.match(/^evenkeel_endpoint_eligible\{.*\} 1$/gm) ?? []).length === 2;
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
  stopOnSignal(() => {
    stopPlaying();
    for (const player of players) player.leave();
    return game.stop();
  });
}
