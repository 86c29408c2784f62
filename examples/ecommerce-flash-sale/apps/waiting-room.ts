/** The waiting room: a page that costs nothing, and asks for the shop again after a while. */
const RETRY_AFTER_S = "5";
const PAGE = `<!doctype html>
<title>You are in the waiting room</title>
<h1>You are in the waiting room</h1>
<p>There are more visitors than places just now. This page goes on to the shop by itself.</p>
`;

Bun.serve({
  hostname: "127.0.0.1",
  port: Number(process.env["PORT"]),
  routes: { "/healthz": Response.json({ status: "ok" }) },
  fetch: () =>
    new Response(PAGE, {
      // 503, so that no cache and no search engine takes it for the shop.
      status: 503,
      headers: {
        "Content-Type": "text/html; charset=utf-8",
        "Cache-Control": "no-store",
        "Retry-After": RETRY_AFTER_S,
        Refresh: RETRY_AFTER_S,
      },
    }),
});
