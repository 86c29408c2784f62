/** The admin API: what there is, in JSON, and the few things that can be changed while running. */
import { timingSafeEqual } from "node:crypto";
import { z } from "zod";
import { suggest } from "../base/suggest.ts";
import { ADMIN_STATES } from "../upstreams/admin-state.ts";
import type {
  EndpointAddRequest,
  EndpointChangeRequest,
  EndpointView,
  PoolSummary,
  PoolView,
  VersionView,
} from "./api-types.ts";
import type { EventStreams } from "./event-stream.ts";
import { json, problem } from "./problem.ts";

/** The running program, as the API sees it. Writes return why not, or "" once it is done. */
export interface ApiBackend {
  readonly events: EventStreams;
  version(): VersionView;
  config(): unknown;
  pools(): readonly PoolSummary[];
  pool(name: string): PoolView | undefined;
  endpoint(pool: string, id: string): EndpointView | undefined;
  change(pool: string, id: string, change: EndpointChangeRequest): string;
  /** `id` is what the new endpoint is called; "" when it was not added. */
  add(pool: string, endpoint: EndpointAddRequest): { readonly problem: string; readonly id: string };
  remove(pool: string, id: string): string;
  /** What has to be shown as `Authorization: Bearer`; undefined when nothing has. */
  readonly token: string | undefined;
}

/** Who asks. */
export interface ApiCaller {
  /** From this machine. */
  readonly isLocal: boolean;
  /** Through the socket in the file system, whose permissions say who may. */
  readonly isSocket: boolean;
}

const weight = z.int().min(0).max(1_000);
const changeSchema = z
  .strictObject({ state: z.enum(ADMIN_STATES).optional(), weight: weight.optional() })
  .refine(({ state, weight: share }) => state !== undefined || share !== undefined, "expected state, weight or both");
const addSchema = z.strictObject({
  address: z.string().min(1).max(300),
  state: z.enum(ADMIN_STATES).optional(),
  weight: weight.optional(),
  tier: z.int().min(0).max(9).optional(),
  maxConnections: z.int().min(0).max(1_000_000).optional(),
});

/** Of what there is when something is not there. */
const MOST_LISTED = 10;
const WRITES = new Set(["POST", "PUT", "PATCH", "DELETE"]);

/** Answers a request whose path begins with /api/. */
export async function answerApi(request: Request, url: URL, backend: ApiBackend, caller: ApiCaller): Promise<Response> {
  const refusal = refuse(request, backend, caller);
  if (refusal !== undefined) return refusal;
  let parts: string[];
  try {
    parts = url.pathname.split("/").slice(2).map(decodeURIComponent);
  } catch {
    return problem(400, "the path is not well encoded");
  }
  const [what, pool, list, endpoint] = parts;
  if (what === "pools" && pool !== undefined && list === "endpoints" && parts.length <= 4)
    return endpoint === undefined
      ? answerEndpoints(request, backend, pool)
      : answerEndpoint(request, backend, pool, endpoint);
  if (parts.length > (what === "pools" ? 2 : 1)) return problem(404, "there is nothing here");
  if (request.method !== "GET" && request.method !== "HEAD") return notAllowed("GET, HEAD");
  switch (what) {
    case "version":
      return json(backend.version());
    case "config":
      return json(backend.config());
    case "events":
      return answerEvents(request, url, backend);
    case "pools":
      return answerPools(backend, pool);
    default:
      return problem(404, "there is nothing here; try /api/pools, /api/events, /api/config or /api/version");
  }
}

/** Who may not ask, or may not change anything. */
function refuse(request: Request, { token }: ApiBackend, caller: ApiCaller): Response | undefined {
  if (token !== undefined && !caller.isSocket && !showsToken(request, token))
    return problem(401, "expected the token of admin.token as Authorization: Bearer", { "WWW-Authenticate": "Bearer" });
  if (!WRITES.has(request.method)) return undefined;
  if (!caller.isLocal) return problem(403, "changes are taken from this machine only");
  // A page in the operator's browser cannot say this without being asked for permission first, which nobody gives.
  if (!/^application\/json\s*(;|$)/i.test(request.headers.get("content-type") ?? ""))
    return problem(415, "expected Content-Type: application/json");
  if (["cross-site", "same-site"].includes(request.headers.get("sec-fetch-site") ?? ""))
    return problem(403, "changes are not taken from other sites");
  return undefined;
}

function showsToken(request: Request, token: string): boolean {
  const shown = /^Bearer +(.+)$/i.exec(request.headers.get("authorization") ?? "")?.[1] ?? "";
  const [expected, found] = [token, shown].map((text) => new Bun.CryptoHasher("sha256").update(text).digest());
  return timingSafeEqual(expected as Buffer, found as Buffer);
}

function answerEvents(request: Request, url: URL, { events }: ApiBackend): Response {
  const text = request.headers.get("last-event-id") ?? url.searchParams.get("since");
  if (text === null) return events.open(undefined);
  if (!/^\d{1,16}$/.test(text)) return problem(400, "expected the number of an event as Last-Event-ID or since");
  return events.open(Number(text));
}

function answerPools(backend: ApiBackend, name: string | undefined): Response {
  if (name === undefined) return json(backend.pools());
  const pool = backend.pool(name);
  return pool === undefined ? noPool(backend, name) : json(pool);
}

async function answerEndpoints(request: Request, backend: ApiBackend, pool: string): Promise<Response> {
  const known = backend.pool(pool);
  if (known === undefined) return noPool(backend, pool);
  if (request.method === "GET" || request.method === "HEAD") return json(known.endpoints);
  if (request.method !== "POST") return notAllowed("GET, HEAD, POST");
  const body = await readBody(request, addSchema);
  if (body instanceof Response) return body;
  const added = backend.add(pool, body);
  return added.problem === "" ? json(backend.endpoint(pool, added.id), 201) : problem(409, added.problem);
}

async function answerEndpoint(request: Request, backend: ApiBackend, pool: string, id: string): Promise<Response> {
  const known = backend.endpoint(pool, id);
  if (known === undefined) return noEndpoint(backend, pool, id);
  switch (request.method) {
    case "GET":
    case "HEAD":
      return json(known);
    case "PUT":
    case "PATCH": {
      const body = await readBody(request, changeSchema);
      if (body instanceof Response) return body;
      const refusal = backend.change(pool, known.endpoint, body);
      return refusal === "" ? json(backend.endpoint(pool, known.endpoint)) : problem(409, refusal);
    }
    case "DELETE": {
      const refusal = backend.remove(pool, known.endpoint);
      return refusal === "" ? json(known) : problem(409, refusal);
    }
    default:
      return notAllowed("GET, HEAD, PUT, PATCH, DELETE");
  }
}

async function readBody<Body>(request: Request, schema: z.ZodType<Body>): Promise<Body | Response> {
  let value: unknown;
  try {
    value = await request.json();
  } catch {
    return problem(400, "the body is not valid JSON");
  }
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const complaints = result.error.issues.map(({ path, message }) =>
    path.length === 0 ? message : `${path.join(".")}: ${message}`,
  );
  return problem(400, complaints.join("; "));
}

function noPool(backend: ApiBackend, name: string): Response {
  const names = backend.pools().map((pool) => pool.name);
  const near = suggest(name, names);
  return problem(
    404,
    `there is no pool named ${name}${near === undefined ? listed(names) : `; did you mean ${near}?`}`,
  );
}

function noEndpoint(backend: ApiBackend, pool: string, id: string): Response {
  const known = backend.pool(pool);
  if (known === undefined) return noPool(backend, pool);
  const ids = known.endpoints.map(({ endpoint }) => endpoint);
  // No guess: addresses are alike, and what is near may be just the one to leave alone.
  return problem(404, `pool ${pool} has no endpoint ${id}${listed(ids)}`);
}

function listed(names: readonly string[]): string {
  if (names.length === 0) return "";
  const more = names.length > MOST_LISTED ? ` and ${names.length - MOST_LISTED} more` : "";
  return `; there are: ${names.slice(0, MOST_LISTED).join(", ")}${more}`;
}

function notAllowed(allow: string): Response {
  return problem(405, `expected one of ${allow}`, { Allow: allow });
}
