/** A process that works on so many requests at a time, each for so long; others wait inside. Arguments: port, control port, number, milliseconds. */
export {};

const [port, controlPort, most, serviceMs] = process.argv.slice(2).map(Number) as [number, number, number, number];
const BODY = "x".repeat(200);
const ANSWER = `HTTP/1.1 200 OK\r\nContent-Length: ${BODY.length}\r\n\r\n${BODY}`;

type ClientSocket = Bun.Socket<undefined>;

const waiting: ClientSocket[] = [];
let busy = 0;

function take(socket: ClientSocket): void {
  if (busy === most) {
    waiting.push(socket);
    return;
  }
  busy++;
  setTimeout(() => {
    busy--;
    socket.write(ANSWER);
    const next = waiting.shift();
    if (next !== undefined) take(next);
  }, serviceMs);
}

Bun.listen<undefined>({ hostname: "127.0.0.1", port, socket: { data: (socket) => take(socket), error() {} } });
Bun.serve({ hostname: "127.0.0.1", port: controlPort, fetch: () => new Response("well") });
