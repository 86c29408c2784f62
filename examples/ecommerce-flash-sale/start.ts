/** Starts two instances of the shop, the waiting room and evenkeel, and stops them all on Ctrl-C. */
import { join } from "node:path";
import { Processes, type StartOptions, stopOnSignal } from "../processes.ts";

export interface RunningExample {
  readonly port: number;
  readonly metricsPort: number;
  /** Ends the waiting room, as a crash would. */
  crashWaitingRoom(): Promise<void>;
  stop(): Promise<void>;
}

export async function startExample(options: StartOptions): Promise<RunningExample> {
  const processes = new Processes(import.meta.dir, options);
  const [first, second, room] = [await processes.port(4001), await processes.port(4002), await processes.port(4003)];
  const [port, metricsPort] = [await processes.port(8080), await processes.port(9900)];
  const launch = (name: string, file: string, own: number): void =>
    processes.launch(name, [process.execPath, join("apps", file)], { NAME: name, PORT: String(own) });
  launch("shop-1", "shop.ts", first);
  launch("shop-2", "shop.ts", second);
  launch("waiting-room", "waiting-room.ts", room);
  const answers = (own: number) => async (): Promise<boolean> => (await fetch(`http://127.0.0.1:${own}/healthz`)).ok;
  await processes.until(answers(room), "the waiting room");
  const ports = { SHOP_1_PORT: first, SHOP_2_PORT: second, ROOM_PORT: room };
  processes.launchEvenkeel({ FRONT_PORT: port, METRICS_PORT: metricsPort, ...ports });
  const sells = async (): Promise<boolean> => {
    const bought = await fetch(`http://127.0.0.1:${port}/checkout`, { method: "POST" });
    const seen = await fetch(`http://127.0.0.1:${port}/`);
    return bought.ok && seen.ok;
  };
  await processes.until(sells, "the shop");
  return {
    port,
    metricsPort,
    crashWaitingRoom: () => processes.end("waiting-room", "SIGKILL"),
    stop: () => processes.stop(),
  };
}

if (import.meta.main) {
  const example = await startExample({ ports: "usual" });
  console.log(
    `\nThe shop is open at http://127.0.0.1:${example.port}/. README.md says how to send the crowd. Ctrl-C ends it all.\n`,
  );
  stopOnSignal(example.stop);
}
