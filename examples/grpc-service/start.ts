/** Starts two greeters and evenkeel in front of them, and stops them all on Ctrl-C. */
import { Processes, type StartOptions, stopOnSignal } from "../processes.ts";
import { connect } from "./client.ts";

export interface RunningExample {
  readonly address: string;
  stop(): Promise<void>;
}

export async function startExample(options: StartOptions): Promise<RunningExample> {
  const processes = new Processes(import.meta.dir, options);
  const [first, second] = [await processes.port(4001), await processes.port(4002)];
  const [port, metrics] = [await processes.port(8080), await processes.port(9900)];
  for (const [index, own] of [first, second].entries()) {
    const name = `greeter-${index + 1}`;
    processes.launch(name, [process.execPath, "server.ts"], { NAME: name, PORT: String(own) });
  }
  processes.launchEvenkeel({ GRPC_PORT: port, METRICS_PORT: metrics, GREETER_1_PORT: first, GREETER_2_PORT: second });
  const address = `127.0.0.1:${port}`;
  const client = connect(address);
  const seen = new Set<string>();
  const bothAnswered = async (): Promise<boolean> => seen.add(await client.hello("you")).size === 2;
  await processes.until(bothAnswered, "the greeters").finally(() => client.close());
  return { address, stop: () => processes.stop() };
}

if (import.meta.main) {
  const example = await startExample({ ports: "usual" });
  console.log(`\nThe greeters are at ${example.address}. README.md says what to try. Ctrl-C ends it all.\n`);
  stopOnSignal(example.stop);
}
