// Clients that run under Node: HTTP/2 and WebSockets. Reads what to do from standard input and prints what came of it, each as
// a line of JSON. Ends with its input.
import { createInterface } from "node:readline";
import { ask, close, open } from "./http2-client.mjs";
import { talk } from "./websocket-client.mjs";

const actions = { open, ask, close, talk };

const lines = createInterface({ input: process.stdin });
lines.on("line", (line) => {
  const { id, action, ...what } = JSON.parse(line);
  void Promise.resolve(actions[action](what)).then((result) => {
    process.stdout.write(`${JSON.stringify({ id, ...result })}\n`);
  });
});
lines.on("close", () => process.exit(0));
