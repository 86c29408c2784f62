/** The web site, in three editions: `stable`, `canary` and `mobile`. Gives each new visitor a cookie to be known by. */
import { serve } from "./serve.ts";

const edition = process.env["EDITION"] ?? "stable";

serve((request) => {
  const isKnown = /(?:^|; )visitor=/.test(request.headers.get("cookie") ?? "");
  const headers = isKnown ? {} : { "Set-Cookie": `visitor=${crypto.randomUUID()}; Path=/; HttpOnly; SameSite=Lax` };
  return new Response(`web site, ${edition} edition\n`, { headers });
});
