/** An API that says which of its instances answered. It has no idea that it is reached below /api. */
import { serve } from "./serve.ts";

const instance = process.env["NAME"] ?? "api";
let isDatabaseConnected = true;

serve(
  async (request, path) => {
    // Pulls the plug: the service goes on running, its health check says that it is of no use.
    if (path === "/database" && request.method === "PUT") {
      isDatabaseConnected = (await request.text()) === "up";
      return new Response(null, { status: 204 });
    }
    return Response.json({
      instance,
      path,
      client: request.headers.get("x-forwarded-for"),
      requestId: request.headers.get("x-request-id"),
    });
  },
  () => ({ database_connected: isDatabaseConnected }),
);
