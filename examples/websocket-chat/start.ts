/** Starts two chat servers and evenkeel in front of them, and stops them all on Ctrl-C. */
import { Processes, type StartOptions, stopOnSignal } from "../processes.ts";

export interface RunningExample {
  readonly port: number;
  stopServer(name: "chat-1" | "chat-2"): Promise<void>;
  stop(): Promise<void>;
}

export async function startExample(options: StartOptions): Promise<RunningExample> {
  const processes = new Processes(import.meta.dir, options);
  const [first, second] = [await processes.port(4001), await processes.port(4002)];
  const [port, metrics] = [await processes.port(8080), await processes.port(9900)];
  processes.launch("chat-1", ["node", "server.mjs"], { NAME: "chat-1", PORT: String(first) });
  const environment = { NAME: "chat-2", PORT: String(second), PEER_PORT: String(first) };
  processes.launch("chat-2", ["node", "server.mjs"], environment);
  const serves = (own: number) => async (): Promise<boolean> => (await fetch(`http://127.0.0.1:${own}/healthz`)).ok;
  await processes.until(serves(first), "the first server");
  await processes.until(serves(second), "the second server");
  processes.launchEvenkeel({ CHAT_PORT: port, METRICS_PORT: metrics, CHAT_1_PORT: first, CHAT_2_PORT: second });
  await processes.until(serves(port), "the chat");
  return { port, stopServer: (name) => processes.end(name), stop: () => processes.stop() };
}

if (import.meta.main) {
  const example = await startExample({ ports: "usual" });
  console.log(`\nThe chat is at http://127.0.0.1:${example.port}/ — open it twice. Ctrl-C ends it all.\n`);
  stopOnSignal(example.stop);
}
