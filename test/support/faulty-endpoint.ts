/** A process that serves HTTP, and fails in whatever way it is told to by `GET /MODE` on its second port. */
export {};

const [port, controlPort] = process.argv.slice(2).map(Number) as [number, number];

const SLOW_MS = 3_000;
const FLAP_MS = 1_000;
const BODY = "x".repeat(1_000);
const HEAD = `HTTP/1.1 200 OK\r\nContent-Length: ${BODY.length}\r\n\r\n`;

let mode = "well";
let accepted = 0;
let flapping: ReturnType<typeof setInterval> | undefined;
let server: { stop(closeAll: boolean): void } | undefined;

function listen(): void {
  server ??= Bun.listen({
    hostname: "127.0.0.1",
    port,
    socket: {
      open(socket) {
        accepted++;
        if (mode === "refuse-half" && accepted % 2 === 0) socket.terminate();
      },
      data(socket, bytes) {
        if (!bytes.toString("latin1").endsWith("\r\n\r\n")) return;
        switch (mode) {
          case "slow":
            setTimeout(() => void socket.write(HEAD + BODY), SLOW_MS);
            return;
          case "garbage":
            socket.write("\x16\x03\x01\x02\x00 what?\r\n\r\n");
            return;
          case "unavailable":
            socket.write("HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n");
            return;
          case "reset-mid-body":
            socket.write(HEAD + BODY.slice(0, 100));
            setTimeout(() => socket.terminate(), 20);
            return;
          default:
            socket.write(HEAD + BODY);
        }
      },
      error() {},
    },
  });
}

function silence(): void {
  server?.stop(true);
  server = undefined;
}

listen();
Bun.serve({
  hostname: "127.0.0.1",
  port: controlPort,
  fetch(request) {
    mode = new URL(request.url).pathname.slice(1);
    clearInterval(flapping);
    if (mode === "flap") flapping = setInterval(() => (server === undefined ? listen() : silence()), FLAP_MS);
    else listen();
    return new Response(mode);
  },
});
