/** `drain`, `enable`, `maintenance` and `weight`: one endpoint of a running evenkeel. */
import { type Command, InvalidArgumentError } from "commander";
import { AdminClient, type AdminOptions, reporting, withAdmin } from "./admin-client.ts";
import { drained } from "./wait-for-endpoint.ts";

export function addEndpointCommands(program: Command): void {
  withAdmin(program.command("drain <pool> <endpoint>"))
    .description("begin nothing new on an endpoint; what is under way may finish")
    .option("--wait", "return once nothing is in flight on it, or its time is over")
    .action((pool: string, endpoint: string, options: AdminOptions & { wait?: boolean }) =>
      reporting(async () => {
        const client = new AdminClient(options);
        const { inFlight, drainLeftMs } = await client.change(pool, endpoint, { state: "drain" });
        if (options.wait !== true) {
          const left = drainLeftMs === null ? "" : `, ${Math.ceil(drainLeftMs / 1_000)} s at most`;
          console.log(`${endpoint} drains: ${inFlight} in flight${left}`);
          return;
        }
        console.log(`${endpoint} ${(await drained(client, pool, endpoint)) ? "is drained" : "is drained by force"}`);
      }),
    );
  withAdmin(program.command("enable <pool> <endpoint>"))
    .description("use an endpoint again, once it is well")
    .action((pool: string, endpoint: string, options: AdminOptions) =>
      reporting(async () => {
        const { usable, reason } = await new AdminClient(options).change(pool, endpoint, { state: "ready" });
        console.log(`${endpoint} is ready${usable ? "" : `, but not usable yet: ${reason}`}`);
      }),
    );
  withAdmin(program.command("maintenance <pool> <endpoint>"))
    .description("leave an endpoint alone: nothing new, no checks, what is under way is closed")
    .action((pool: string, endpoint: string, options: AdminOptions) =>
      reporting(async () => {
        await new AdminClient(options).change(pool, endpoint, { state: "maintenance" });
        console.log(`${endpoint} is in maintenance`);
      }),
    );
  withAdmin(program.command("weight <pool> <endpoint>").argument("<weight>", "from 0 to 1000", parseWeight))
    .description("change an endpoint's share of the traffic; 0 takes it out")
    .action((pool: string, endpoint: string, weight: number, options: AdminOptions) =>
      reporting(async () => {
        await new AdminClient(options).change(pool, endpoint, { weight });
        console.log(`${endpoint} has weight ${weight}`);
      }),
    );
}

function parseWeight(text: string): number {
  const weight = Number(text);
  if (!/^\d+$/.test(text) || weight > 1_000) throw new InvalidArgumentError("expected a whole number from 0 to 1000");
  return weight;
}
