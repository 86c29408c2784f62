import type { Command } from "commander";
import { runWorker } from "../app/worker.ts";

/** Started by the supervisor only. */
export function addWorker(program: Command): void {
  program
    .command("worker <index> <count>", { hidden: true })
    .description("serve under a supervisor")
    .action((index: string, count: string) => runWorker(Number(index), Number(count)));
}
