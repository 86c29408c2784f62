/** `websocket-load.ts PORT CONNECTIONS SECONDS`: every connection sends a message, waits for its echo, and sends the next. */
import { connect, type Socket } from "node:net";

const [port, connections, seconds] = process.argv.slice(2).map(Number) as [number, number, number];
/** A final text frame of 32 bytes, masked with zeros so that it is sent as it is (RFC 6455 section 5.2). */
const MESSAGE = Buffer.concat([Buffer.from([0x81, 0x80 | 32, 0, 0, 0, 0]), Buffer.alloc(32, "x")]);
const ECHO_BYTES = 2 + 32;
const HELLO =
  "GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

let echoes = 0;
let errors = 0;
let counting = false;

function open(): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect({ port, host: "127.0.0.1", noDelay: true });
    let upgraded = false;
    let received = 0;
    socket.on("error", () => {
      errors++;
      reject(new Error("connection failed"));
    });
    socket.on("connect", () => socket.write(HELLO));
    socket.on("data", (bytes: Buffer) => {
      if (!upgraded) {
        upgraded = true;
        if (!bytes.toString("latin1").startsWith("HTTP/1.1 101")) errors++;
        resolve(socket);
        return;
      }
      received += bytes.length;
      for (; received >= ECHO_BYTES; received -= ECHO_BYTES) {
        if (counting) echoes++;
        socket.write(MESSAGE);
      }
    });
  });
}

const sockets = await Promise.all(Array.from({ length: connections }, open));
counting = true;
const started = performance.now();
for (const socket of sockets) socket.write(MESSAGE);
await Bun.sleep(seconds * 1_000);
counting = false;
const elapsed = (performance.now() - started) / 1_000;
console.log(`${echoes} requests in ${elapsed.toFixed(2)}s\nRequests/sec: ${(echoes / elapsed).toFixed(2)}`);
if (errors > 0) console.log(`Non-2xx or 3xx responses: ${errors}`);
process.exit(0);
