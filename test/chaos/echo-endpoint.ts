/**
 * An endpoint of the chaos run: answers with the number of the request, the checksum of its body and a body that follows from
 * the number, echoes what comes on a WebSocket, notes every POST in a file before it answers, and fails in whatever way
 * `GET /MODE` on its second port says.
 */
import { openSync, writeSync } from "node:fs";
import { bodyOf, checksum, numberIn, PIECE_BYTES, sizeIn } from "./echo.ts";
import { acceptKey, echoFrames, keyIn } from "./websocket-frames.ts";

const [port, controlPort] = process.argv.slice(2, 4).map(Number) as [number, number];
const journal = openSync(process.argv[4] as string, "a");

const SLOW_MS = 3_000;
const FLAP_MS = 700;
const PIECE_PAUSE_MS = 3;

interface Client {
  received: Buffer;
  unsent: Buffer | undefined;
  /** Ends after what is still unsent. */
  ending: boolean;
  isWebSocket: boolean;
}
type ClientSocket = Bun.Socket<Client>;

let mode = "well";
let accepted = 0;
let flapping: ReturnType<typeof setInterval> | undefined;
let server: { stop(closeAll: boolean): void } | undefined;

function listen(): void {
  server ??= Bun.listen<Client>({
    hostname: "127.0.0.1",
    port,
    socket: {
      open(socket) {
        socket.data = { received: Buffer.alloc(0), unsent: undefined, ending: false, isWebSocket: false };
        accepted++;
        if (mode === "refuse-half" && accepted % 2 === 0) socket.terminate();
      },
      data(socket, bytes) {
        const { data } = socket;
        data.received = Buffer.concat([data.received, bytes]);
        if (data.isWebSocket) return echo(socket);
        const request = takeRequest(data.received);
        if (request === undefined) return;
        data.received = Buffer.alloc(0);
        answer(socket, request.head, request.body);
      },
      drain: (socket) => write(socket, Buffer.alloc(0)),
      error() {},
    },
  });
}

function silence(): void {
  server?.stop(true);
  server = undefined;
}

interface Request {
  readonly head: string;
  readonly body: Buffer;
}

/** The balancer sends one request after another on a connection, and only valid ones. */
function takeRequest(bytes: Buffer): Request | undefined {
  const end = bytes.indexOf("\r\n\r\n");
  if (end < 0) return undefined;
  const head = bytes.toString("latin1", 0, end);
  const rest = bytes.subarray(end + 4);
  if (/^transfer-encoding: *chunked$/im.test(head)) {
    const body = takeChunks(rest);
    return body === undefined ? undefined : { head, body };
  }
  const length = Number(/^content-length: *(\d+)$/im.exec(head)?.[1] ?? 0);
  return rest.length < length ? undefined : { head, body: rest.subarray(0, length) };
}

function takeChunks(bytes: Buffer): Buffer | undefined {
  const chunks: Buffer[] = [];
  for (let at = 0; ; ) {
    const end = bytes.indexOf("\r\n", at);
    if (end < 0) return undefined;
    const size = Number.parseInt(bytes.toString("latin1", at, end), 16);
    const next = end + 2 + size + 2;
    if (next > bytes.length) return undefined;
    if (size === 0) return Buffer.concat(chunks);
    chunks.push(bytes.subarray(end + 2, end + 2 + size));
    at = next;
  }
}

function echo(socket: ClientSocket): void {
  const { answer: frames, rest, isOver } = echoFrames(socket.data.received);
  socket.data.received = rest;
  socket.data.ending = isOver;
  write(socket, frames);
}

function openWebSocket(socket: ClientSocket, number: number, key: string): void {
  socket.data.isWebSocket = true;
  const lines = ["Connection: Upgrade", "Upgrade: websocket", `Sec-WebSocket-Accept: ${acceptKey(key)}`];
  const head = ["HTTP/1.1 101 Switching Protocols", ...lines, `X-Number: ${number}`];
  write(socket, Buffer.from(`${head.join("\r\n")}\r\n\r\n`));
}

function answer(socket: ClientSocket, head: string, body: Buffer): void {
  const [method = "", target = ""] = head.split(" ", 2);
  const number = numberIn(target);
  const key = keyIn(head);
  if (method === "POST") writeSync(journal, `${number}\n`);
  const pieces = answerPieces(number, sizeIn(target), checksum(body));
  const [first, second] = pieces as [Buffer, Buffer?];
  switch (mode) {
    case "slow":
      setTimeout(() => write(socket, Buffer.concat(pieces)), SLOW_MS);
      return;
    case "garbage":
      write(socket, Buffer.from("\x16\x03\x01\x02\x00 what?\r\n\r\n"));
      return;
    case "unavailable":
      write(
        socket,
        Buffer.from(`HTTP/1.1 503 Service Unavailable\r\nX-Number: ${number}\r\nContent-Length: 0\r\n\r\n`),
      );
      return;
    case "reset":
      write(socket, first.subarray(0, -1));
      setTimeout(() => socket.terminate(), PIECE_PAUSE_MS);
      return;
    case "cut":
      socket.data.ending = true;
      write(socket, first.subarray(0, -1));
      return;
    default:
      if (key !== undefined) return openWebSocket(socket, number, key);
      write(socket, first);
      if (second !== undefined) setTimeout(() => write(socket, second), PIECE_PAUSE_MS);
  }
}

/** Odd numbers have chunks, even ones a length. */
function answerPieces(number: number, size: number, received: string): Buffer[] {
  const isChunked = number % 2 === 1;
  const framing = isChunked ? "Transfer-Encoding: chunked" : `Content-Length: ${size}`;
  const head = `HTTP/1.1 200 OK\r\nX-Number: ${number}\r\nX-Checksum: ${received}\r\nX-Port: ${port}\r\n${framing}\r\n\r\n`;
  const body = bodyOf(number, size);
  const chunk = (piece: Buffer): Buffer =>
    isChunked && piece.length > 0
      ? Buffer.from(`${piece.length.toString(16)}\r\n${piece.toString("latin1")}\r\n`)
      : piece;
  const end = Buffer.from(isChunked ? "0\r\n\r\n" : "");
  const first = body.subarray(0, PIECE_BYTES);
  const rest = body.subarray(PIECE_BYTES);
  if (rest.length === 0) return [Buffer.concat([Buffer.from(head), chunk(first), end])];
  return [Buffer.concat([Buffer.from(head), chunk(first)]), Buffer.concat([chunk(rest), end])];
}

function write(socket: ClientSocket, bytes: Buffer): void {
  const { data } = socket;
  const all = data.unsent === undefined ? bytes : Buffer.concat([data.unsent, bytes]);
  const sent = all.length === 0 ? 0 : Math.max(0, socket.write(all));
  data.unsent = sent < all.length ? all.subarray(sent) : undefined;
  if (data.unsent === undefined && data.ending) socket.end();
}

listen();
Bun.serve({
  hostname: "127.0.0.1",
  port: controlPort,
  fetch(request) {
    mode = new URL(request.url).pathname.slice(1);
    clearInterval(flapping);
    if (mode === "flap") flapping = setInterval(() => (server === undefined ? listen() : silence()), FLAP_MS);
    else if (mode === "silent") silence();
    else listen();
    return new Response(mode);
  },
});
