/** Echoes WebSocket messages on /ws; on /hang it takes requests and never answers. */
export {};

const server = Bun.serve({
  hostname: "127.0.0.1",
  port: Number(process.argv[2]),
  idleTimeout: 0,
  fetch(request, self) {
    if (new URL(request.url).pathname === "/hang") return new Promise<Response>(() => {});
    return self.upgrade(request) ? undefined : new Response("expected a WebSocket\n", { status: 426 });
  },
  websocket: { message: (socket, message) => void socket.send(message) },
});
console.log(`ready ${server.port}`);
