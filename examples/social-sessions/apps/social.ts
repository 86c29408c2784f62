/** A small social network: people log in and post. It says which of its instances answered. */
import { createMemory } from "./memory.ts";
import { createShared } from "./shared.ts";
import type { Visitor, Visitors } from "./visitors.ts";

const { NAME: instance = "social", PORT, REDIS_URL } = process.env;
const visitors: Visitors = REDIS_URL === undefined ? createMemory() : createShared(REDIS_URL);

Bun.serve({
  hostname: "127.0.0.1",
  port: Number(PORT),
  routes: {
    "/healthz": Response.json({ status: "ok" }),
    "/login": { POST: login },
    "/me": async (request: Request) => {
      const [, visitor] = await visitorOf(request);
      return visitor === undefined ? nobody() : Response.json({ instance, ...visitor });
    },
    "/post": {
      POST: async (request: Request) => {
        const [session, visitor] = await visitorOf(request);
        if (visitor === undefined) return nobody();
        const posted = { ...visitor, posts: visitor.posts + 1 };
        await visitors.keep(session, posted);
        return Response.json({ instance, ...posted });
      },
    },
  },
  error: (problem) => Response.json({ instance, problem: problem.message }, { status: 503 }),
});

async function login(request: Request): Promise<Response> {
  const session = crypto.randomUUID();
  const visitor = { name: await request.text(), posts: 0 };
  await visitors.keep(session, visitor);
  const cookie = `sid=${session}; Path=/; HttpOnly; SameSite=Lax`;
  return Response.json({ instance, ...visitor }, { headers: { "Set-Cookie": cookie } });
}

async function visitorOf(request: Request): Promise<[session: string, Visitor | undefined]> {
  const session = /(?:^|;\s*)sid=([^;]+)/.exec(request.headers.get("cookie") ?? "")?.[1] ?? "";
  return [session, session === "" ? undefined : await visitors.find(session)];
}

function nobody(): Response {
  return Response.json({ instance, problem: "not logged in" }, { status: 401 });
}
