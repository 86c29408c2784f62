/** Programs that must run under Node: its HTTP/2 client, its HTTP server, and `ws`, which Bun would replace by its own. */
import { join } from "node:path";

export const node = Bun.which("node");

const folder = import.meta.dir;

export interface NodeEndpoint {
  readonly address: string;
  /** What has happened there since this was last asked. */
  events(): Promise<string[]>;
  stop(): Promise<void>;
}

/** Starts test/support/http2-endpoint.mjs. */
export async function startNodeEndpoint(): Promise<NodeEndpoint> {
  const child = Bun.spawn([node as string, join(folder, "http2-endpoint.mjs")], { stdin: "pipe", stderr: "inherit" });
  const { value } = await child.stdout.getReader().read();
  const address = `127.0.0.1:${new TextDecoder().decode(value).trim()}`;
  return {
    address,
    events: async () => (await (await fetch(`http://${address}/events`)).json()) as string[],
    stop: async () => {
      await child.stdin.end();
      await child.exited;
    },
  };
}

/** Runs a script of this folder to its end; the last line that it prints is JSON. */
export async function runNode<Result>(script: string, ...parameters: readonly string[]): Promise<Result> {
  return await startNode<Result>(script, ...parameters).result;
}

/** As `runNode`; `begun` resolves when it prints its first line. */
export function startNode<Result>(
  script: string,
  ...parameters: readonly string[]
): { readonly begun: Promise<void>; readonly result: Promise<Result> } {
  const child = Bun.spawn([node as string, join(folder, script), ...parameters], {
    stdin: "ignore",
    stderr: "pipe",
    env: { ...process.env, NODE_NO_WARNINGS: "1" },
  });
  let begin: () => void = () => {};
  const begun = new Promise<void>((resolve) => {
    begin = resolve;
  });
  const result = (async (): Promise<Result> => {
    const errors = new Response(child.stderr).text();
    const decoder = new TextDecoder();
    let output = "";
    for await (const piece of child.stdout) {
      output += decoder.decode(piece, { stream: true });
      begin();
    }
    await child.exited;
    if (child.exitCode !== 0) throw new Error(`${script} ${parameters.join(" ")}: ${await errors}`);
    return JSON.parse(output.slice(output.lastIndexOf("\n") + 1)) as Result;
  })();
  return { begun, result };
}
