/** A hundred players at 30 ticks a second, over real datagrams. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { join, type Player } from "./player.ts";
import { play, type RunningGame, startGame } from "./start.ts";

const PLAYERS = 100;
let game: RunningGame;
let players: Player[] = [];
let stopPlaying = (): void => {};

beforeAll(async () => {
  game = await startGame({ ports: "free", quiet: true });
  players = await Promise.all(Array.from({ length: PLAYERS }, () => join(game.port)));
}, 30_000);

afterAll(async () => {
  stopPlaying();
  for (const player of players) player.leave();
  await game?.stop();
});

async function until(condition: () => boolean, what: string): Promise<void> {
  for (let look = 0; look < 1_000; look++) {
    if (condition()) return;
    await Bun.sleep(10);
  }
  throw new Error(`never happened: ${what}`);
}

const inArena = (name: string): number => players.filter(({ last }) => last?.arena === name).length;

test("players are spread over both servers, half and half", async () => {
  stopPlaying = play(players);
  await until(() => players.every(({ last }) => last !== undefined), "an answer for everyone");
  expect(Math.abs(inArena("arena-1") - inArena("arena-2"))).toBeLessThanOrEqual(PLAYERS / 4);
});

test("each player's moves all go to one server, which knows them", async () => {
  const arenas = players.map(({ last }) => last?.arena);
  await until(() => players.every(({ last }) => (last?.moves ?? 0) >= 30), "thirty moves of everyone");
  expect(players.map(({ last }) => last?.arena)).toEqual(arenas);
  // Where a player is says that no other player's datagram was taken for theirs.
  for (const { last, sent } of players) {
    expect(last?.x).toBe(last?.moves as number);
    expect(last?.moves).toBeLessThanOrEqual(sent);
  }
}, 20_000);

test("the metrics count the players", async () => {
  const metrics = await (await fetch(`http://127.0.0.1:${game.metricsPort}/metrics`)).text();
  const value = (line: RegExp): number => Number(line.exec(metrics)?.[1]);
  expect(value(/^evenkeel_listener_connections_open\{listener="game"\} (\d+)$/m)).toBe(PLAYERS);
  expect(value(/^evenkeel_listener_received_datagrams_total\{listener="game"\} (\d+)$/m)).toBeGreaterThanOrEqual(
    PLAYERS * 30,
  );
});

test("when a server dies its players go on at the other", async () => {
  await game.stopArena("arena-1");
  await until(() => inArena("arena-2") === PLAYERS, "everyone at the other server");
  const before = players.map(({ received }) => received);
  await until(
    () => players.every(({ received }, index) => received > (before[index] as number) + 5),
    "the game goes on",
  );
}, 20_000);
