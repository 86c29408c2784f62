/** One instance of the shop. As real ones do, it works on a few requests at a time, and lets others wait inside. */
const { NAME: instance = "shop", PORT } = process.env;
const PLACES = 8;
const SERVICE_MS = 100;

let busy = 0;
let orders = 0;
const waiting: (() => void)[] = [];

Bun.serve({
  hostname: "127.0.0.1",
  port: Number(PORT),
  routes: {
    "/healthz": Response.json({ status: "ok" }),
    "/checkout": { POST: async () => Response.json(await work(() => ({ instance, order: ++orders }))) },
    "/*": async () => Response.json(await work(() => ({ instance, product: "a game console", orders }))),
  },
});

/** What the database would take; nine requests at a time take longer than eight. */
async function work<Result>(finish: () => Result): Promise<Result> {
  if (busy === PLACES) await new Promise<void>((resolve) => void waiting.push(resolve));
  else busy++;
  await Bun.sleep(SERVICE_MS);
  const next = waiting.shift();
  if (next === undefined) busy--;
  else next();
  return finish();
}
