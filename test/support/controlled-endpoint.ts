/** An endpoint in a process of its own that fails in whatever way it is told to: `GET /MODE` on its second port. */
import { join } from "node:path";
import { eventually, freePort, RunningProgram } from "./process.ts";

export class ControlledEndpoint {
  readonly address: string;
  readonly port: number;
  program: RunningProgram;
  readonly #command: readonly string[];
  readonly #control: number;

  /** `script` is a file of this folder or one below its parent: it gets the two ports, then `more`. */
  constructor(port: number, control: number, script = "support/faulty-endpoint.ts", more: readonly string[] = []) {
    this.address = `127.0.0.1:${port}`;
    this.port = port;
    this.#control = control;
    const file = join(import.meta.dir, "..", script);
    this.#command = [process.execPath, file, String(port), String(control), ...more];
    this.program = new RunningProgram(this.#command);
  }

  async become(mode: string): Promise<void> {
    const asked = (): Promise<boolean> =>
      fetch(`http://127.0.0.1:${this.#control}/${mode}`, { headers: { Connection: "close" } }).then(
        ({ ok }) => ok,
        () => false,
      );
    await eventually(asked, () => `an endpoint to become ${mode}: ${this.program.describe()}`);
  }

  /** Starts it again on its ports after it was killed. */
  async restart(): Promise<void> {
    await this.program.ending();
    this.program = new RunningProgram(this.#command);
    await this.become("well");
  }
}

/** `count` endpoints that are well. */
export async function startControlledEndpoints(
  count: number,
  script?: string,
  more: (index: number) => readonly string[] = () => [],
): Promise<ControlledEndpoint[]> {
  const endpoints: ControlledEndpoint[] = [];
  for (let index = 0; index < count; index++) {
    endpoints.push(new ControlledEndpoint(await freePort(), await freePort(), script, more(index)));
  }
  await Promise.all(endpoints.map((endpoint) => endpoint.become("well")));
  return endpoints;
}
