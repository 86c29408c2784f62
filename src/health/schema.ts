/** Active health checks, done once by the supervisor for all workers. */
import { z } from "zod";
import { duration, headerName, headerValue, oneOrMany } from "../base/schema.ts";
import { flapDampingSchema } from "./flap-schema.ts";

/** `200`, `"2xx"` or `"200-299"`; becomes an inclusive range. */
const statusRange = z.union([z.int().min(100).max(599), z.string()]).transform((value, context) => {
  const text = String(value);
  const range = /^(\d{3})-(\d{3})$/.exec(text) ?? /^(\d{3})$/.exec(text);
  if (range !== null) return { from: Number(range[1]), to: Number(range[2] ?? range[1]) };
  const group = /^([1-5])xx$/.exec(text);
  if (group !== null) return { from: Number(group[1]) * 100, to: Number(group[1]) * 100 + 99 };
  context.addIssue({ code: "custom", message: "expected a status such as 200, 2xx or 200-299" });
  return z.NEVER;
});

const timing = {
  interval: duration({ min: 100 })
    .prefault("5s")
    .describe("Time between checks of one endpoint; varied by 10% so that checks do not march in step."),
  transitionInterval: duration({ min: 50 })
    .prefault("1s")
    .describe("Time between checks while an endpoint is new or its state is about to change."),
  timeout: duration({ min: 10 }).prefault("2s").describe("A check that takes longer has failed."),
  unhealthyAfter: z.int().min(1).max(100).default(3).describe("Failed checks in a row that take an endpoint out."),
  healthyAfter: z
    .int()
    .min(1)
    .max(100)
    .default(2)
    .describe("Passed checks in a row that bring it back. A new endpoint needs one."),
  port: z.int().min(1).max(65_535).optional().describe("Check this port instead of the endpoint's own."),
  flapDamping: flapDampingSchema,
};

const agentText = z
  .string()
  .max(1_024)
  .optional()
  .describe("Text to send to the agent once connected (`\\n` as written in the file); nothing when not set.");

/** An agent that is asked besides. */
const beside = {
  agent: z
    .strictObject({
      port: z.int().min(1).max(65_535).describe("Where the agent listens, on the endpoint's address."),
      interval: duration({ min: 100 }).prefault("2s").describe("Time between questions to one agent; varied by 10%."),
      timeout: duration({ min: 10 }).prefault("2s").describe("An agent that takes longer was not heard."),
      send: agentText,
    })
    .optional()
    .describe(
      "Asks an agent beside the check, by TCP in clear text: it answers with one line of `ready`, `drain`, `maint`, `up`, `down`, `fail`, `stopped` and a weight such as `50%`.",
    ),
};

const socket = {
  tls: z
    .literal(false)
    .optional()
    .describe("`false` checks in clear text although `connections.tls` is set, for a plain `port` of its own."),
};

const http = z.strictObject({
  type: z.literal("http").default("http"),
  ...timing,
  ...beside,
  ...socket,
  path: z
    .string()
    .regex(/^\/[\x21-\x7e]*$/, "expected a path that starts with /")
    .default("/")
    .describe("Path (and query) to ask for."),
  method: z.enum(["GET", "HEAD", "OPTIONS", "POST"]).default("GET").describe("Request method."),
  host: z.string().min(1).optional().describe("Host header; the endpoint's address when not set."),
  headers: z.record(headerName, headerValue).default({}).describe("Further request headers."),
  status: oneOrMany(statusRange)
    .prefault(["2xx", "3xx"])
    .describe("Statuses that pass: `200`, `2xx`, `200-299`, or a list."),
  degradedStatus: oneOrMany(statusRange)
    .default([])
    .describe(
      "Statuses by which an endpoint says that it is degraded: it gets requests only when the healthy ones do not suffice. These go before `status`, and their answers are not looked into.",
    ),
  agentHeader: headerName
    .toLowerCase()
    .optional()
    .describe("A header of the answer in which the endpoint may say what an agent says, such as `drain 50%`."),
  body: z.string().min(1).optional().describe("Text that the answer must contain."),
  json: z
    .record(z.string(), z.union([z.string(), z.number(), z.boolean(), z.null()]))
    .optional()
    .describe(
      'What fields of a JSON answer must be: `database_connected: true`, `checks.queue: "< 95"` (`<`, `<=`, `>`, `>=`, `!=`, or the value itself).',
    ),
});

const tcp = z.strictObject({
  type: z.literal("tcp"),
  ...timing,
  ...beside,
  ...socket,
  send: z.string().optional().describe("Text to send once connected (`\\r\\n` as written in the file)."),
  expect: z
    .string()
    .min(1)
    .optional()
    .describe("Text that the answer must contain; connecting is enough when not set."),
});

/** What a datagram holds: text, or bytes in hexadecimal. */
const datagram = z.union([
  z.string(),
  z.strictObject({
    hex: z
      .string()
      .regex(/^([0-9A-Fa-f]{2}\s*)*$/, "expected bytes in hexadecimal, such as 0a1b2c")
      .describe("Bytes in hexadecimal; spaces between bytes are ignored."),
  }),
]);

const udp = z.strictObject({
  type: z.literal("udp"),
  ...timing,
  ...beside,
  send: datagram.default("").describe("The datagram to send: text, or `{ hex: ... }`; an empty one when not set."),
  expect: datagram
    .optional()
    .describe(
      "What the answer must contain. When not set, any answer passes, and so does silence, unless the endpoint's machine says that nobody is at that port (ICMP).",
    ),
});

const grpc = z.strictObject({
  type: z.literal("grpc"),
  ...timing,
  ...beside,
  ...socket,
  service: z
    .string()
    .max(1_024)
    .default("")
    .describe("The service to ask for; the server as a whole when not set (grpc.health.v1.Health/Check)."),
  host: z.string().min(1).optional().describe("`:authority`; the endpoint's address when not set."),
});

const command = z.strictObject({
  type: z.literal("command"),
  ...timing,
  ...beside,
  command: z
    .array(z.string())
    .min(1)
    .describe(
      "Program and arguments, run without a shell; exit code 0 passes. Gets EVENKEEL_POOL, EVENKEEL_HOST and EVENKEEL_PORT.",
    ),
});

const agent = z.strictObject({
  type: z.literal("agent"),
  ...timing,
  send: agentText,
});

export const healthSchema = z
  .union([z.literal(false), http, tcp, udp, grpc, command, agent])
  .describe("Active health check; `false` turns it off and every endpoint counts as healthy.");

export type HealthConfig = z.output<typeof healthSchema>;
export type HttpCheck = z.output<typeof http>;
export type TcpCheck = z.output<typeof tcp>;
export type UdpCheck = z.output<typeof udp>;
export type GrpcCheck = z.output<typeof grpc>;
export type CommandCheck = z.output<typeof command>;
export type AgentCheck = z.output<typeof agent>;

/** What it takes to ask an agent, be it the check itself or beside it. */
export type AgentQuestion = Pick<AgentCheck, "type" | "send" | "timeout">;

/** Endpoints may say that they are degraded. */
export function canDegrade(config: HealthConfig | undefined): boolean {
  return typeof config === "object" && config.type === "http" && config.degradedStatus.length > 0;
}

/** Endpoints may say what share of their weight they want. */
export function hasAgent(config: HealthConfig | undefined): boolean {
  if (typeof config !== "object") return false;
  if (config.type === "agent") return true;
  return config.agent !== undefined || (config.type === "http" && config.agentHeader !== undefined);
}
