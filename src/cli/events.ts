import { type Command, InvalidArgumentError } from "commander";
import type { EvenkeelEvent } from "../admin/api-types.ts";
import { AdminClient, AdminError, type AdminOptions, reporting, withAdmin } from "./admin-client.ts";

interface EventsOptions extends AdminOptions {
  readonly json?: boolean;
  readonly since?: string;
}

export function addEvents(program: Command): void {
  withAdmin(program.command("events"))
    .description("show what changes and why, as it happens")
    .option("--json", "print each event as a line of JSON")
    .option("--since <id>", "begin with the events after this one; 0 for all that are kept", parseId)
    .action((options: EventsOptions) =>
      reporting(async () => {
        const stream = await new AdminClient(options).events(options.since);
        const decoder = new TextDecoder();
        let rest = "";
        for await (const piece of stream) {
          const blocks = `${rest}${decoder.decode(piece, { stream: true })}`.split("\n\n");
          rest = blocks.pop() ?? "";
          for (const block of blocks) show(block, options.json === true);
        }
        throw new AdminError("evenkeel has closed the stream of events");
      }),
    );
}

function show(block: string, asJson: boolean): void {
  const data = /^data: (.*)$/m.exec(block)?.[1];
  if (data === undefined) return;
  if (asJson) console.log(data);
  else console.log(eventLine(JSON.parse(data) as Partial<EvenkeelEvent>));
}

function eventLine({ time, type, pool, endpoint, reason }: Partial<EvenkeelEvent>): string {
  return [time ?? "", type ?? "missed", pool, endpoint, reason].filter((part) => part !== undefined).join("  ");
}

function parseId(text: string): string {
  if (!/^\d{1,16}$/.test(text)) throw new InvalidArgumentError("expected the number of an event");
  return text;
}
