/** `drain`, `enable`, `maintenance`, `weight`, `add` and `remove`: one endpoint of a running evenkeel. */
import { type Command, InvalidArgumentError, Option } from "commander";
import { ADMIN_STATES, type AdminState } from "../upstreams/admin-state.ts";
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
  withAdmin(program.command("weight <pool> <endpoint>").argument("<weight>", "from 0 to 1000", upTo(1_000)))
    .description("change an endpoint's share of the traffic; 0 takes it out")
    .action((pool: string, endpoint: string, weight: number, options: AdminOptions) =>
      reporting(async () => {
        await new AdminClient(options).change(pool, endpoint, { weight });
        console.log(`${endpoint} has weight ${weight}`);
      }),
    );
  addAdd(program);
  addRemove(program);
}

interface AddOptions extends AdminOptions {
  readonly weight?: number;
  readonly tier?: number;
  readonly maxConnections?: number;
  readonly state?: AdminState;
}

function addAdd(program: Command): void {
  withAdmin(program.command("add").argument("<pool>").argument("<address>", "IP address and port"))
    .description("use one more endpoint, until the file says otherwise or evenkeel is restarted")
    .option("--weight <weight>", "its share of the traffic, 0 to 1000", upTo(1_000))
    .option("--tier <tier>", "used when the tiers before it have too few: 0 to 9", upTo(9))
    .option("--max-connections <number>", "at most so many at one time; 0: no limit", upTo(1_000_000))
    .addOption(new Option("--state <state>", "what it begins as").choices(ADMIN_STATES))
    .action((pool: string, address: string, { admin, ...settings }: AddOptions) =>
      reporting(async () => {
        const client = new AdminClient(admin === undefined ? {} : { admin });
        const { endpoint, usable, reason } = await client.add(pool, { address, ...settings });
        console.log(`${endpoint} is added${usable ? "" : `, but not usable yet: ${reason}`}`);
      }),
    );
}

function addRemove(program: Command): void {
  withAdmin(program.command("remove <pool> <endpoint>"))
    .description("use an endpoint no more; what is under way may finish")
    .action((pool: string, endpoint: string, options: AdminOptions) =>
      reporting(async () => {
        const { inFlight } = await new AdminClient(options).remove(pool, endpoint);
        console.log(`${endpoint} is removed: ${inFlight} in flight`);
      }),
    );
}

function upTo(most: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (!/^\d+$/.test(text) || value > most)
      throw new InvalidArgumentError(`expected a whole number from 0 to ${most}`);
    return value;
  };
}
