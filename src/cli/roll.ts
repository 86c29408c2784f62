/** A rolling restart: one endpoint after the other is drained, restarted, checked and used again. */
import { type Command, InvalidArgumentError } from "commander";
import { parseAddress } from "../base/address.ts";
import { parseDurationMs } from "../base/units.ts";
import { AdminClient, AdminError, type AdminOptions, reporting, withAdmin } from "./admin-client.ts";
import { drained, wellAgain } from "./wait-for-endpoint.ts";

interface RollOptions extends AdminOptions {
  readonly command: string;
  readonly timeout: number;
}

export function addRoll(program: Command): void {
  withAdmin(program.command("roll <pool>"))
    .description("restart the endpoints of a pool one after the other, without a failed request")
    .requiredOption("--command <command>", "what restarts an endpoint, run by sh; must return once it is restarted")
    .option("--timeout <time>", "how long an endpoint may take to be well again", parseTime, 60_000)
    .addHelpText(
      "after",
      `
For each endpoint that is ready: drain it, wait, run the command, wait until a check passes, use it again.
The command gets EVENKEEL_POOL, EVENKEEL_ENDPOINT, EVENKEEL_HOST and EVENKEEL_PORT. The first failure ends it all; the
endpoint concerned is left out of service.
Example:
  evenkeel roll app --command 'ssh "$EVENKEEL_HOST" systemctl restart app'`,
    )
    .action((pool: string, options: RollOptions) => reporting(() => roll(new AdminClient(options), pool, options)));
}

async function roll(client: AdminClient, pool: string, { command, timeout }: RollOptions): Promise<void> {
  const { endpoints } = await client.pool(pool);
  for (const { endpoint, state } of endpoints)
    if (state === "ready") await restart(client, pool, endpoint, command, timeout);
    else console.log(`${endpoint} is passed over: it is in state ${state}`);
}

async function restart(
  client: AdminClient,
  pool: string,
  endpoint: string,
  command: string,
  timeoutMs: number,
): Promise<void> {
  const { endpoints } = await client.pool(pool);
  if (!endpoints.some((other) => other.endpoint !== endpoint && other.usable))
    throw new AdminError(`${endpoint} is left as it is: no other endpoint of ${pool} is usable`);
  console.log(`${endpoint} drains`);
  await client.change(pool, endpoint, { state: "drain" });
  await drained(client, pool, endpoint);
  // Out of service altogether: sessions that still come back to it must not meet it while it restarts, and what is known
  // of its health must not outlive the restart.
  await client.change(pool, endpoint, { state: "maintenance" });
  console.log(`${endpoint} restarts`);
  const code = await runCommand(command, pool, endpoint);
  if (code !== 0) throw new AdminError(`the command failed with exit code ${code}; ${endpoint} is left in maintenance`);
  await client.change(pool, endpoint, { state: "drain" });
  await wellAgain(client, pool, endpoint, timeoutMs);
  await client.change(pool, endpoint, { state: "ready" });
  console.log(`${endpoint} is back`);
}

async function runCommand(command: string, pool: string, endpoint: string): Promise<number> {
  const { host, port } = parseAddress(endpoint) ?? { host: endpoint, port: 0 };
  const child = Bun.spawn(["sh", "-c", command], {
    stdio: ["ignore", "inherit", "inherit"],
    env: {
      ...process.env,
      EVENKEEL_POOL: pool,
      EVENKEEL_ENDPOINT: endpoint,
      EVENKEEL_HOST: host,
      EVENKEEL_PORT: String(port),
    },
  });
  return child.exited;
}

function parseTime(text: string): number {
  const milliseconds = parseDurationMs(text);
  if (milliseconds === undefined) throw new InvalidArgumentError("expected a time such as 30s or 2m");
  return milliseconds;
}
