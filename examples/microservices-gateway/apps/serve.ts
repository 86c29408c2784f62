/** What the services have in common: a port from the environment, and an answer for the health check. */

type Handler = (request: Request, path: string) => Response | Promise<Response>;

/** Serves on 127.0.0.1 and the port in PORT. `health` is what /healthz tells of this service. */
export function serve(handler: Handler, health: () => object = () => ({ status: "ok" })): void {
  Bun.serve({
    hostname: "127.0.0.1",
    port: Number(process.env["PORT"]),
    fetch(request) {
      const { pathname } = new URL(request.url);
      return pathname === "/healthz" ? Response.json(health()) : handler(request, pathname);
    },
  });
}
