// An endpoint of Node that speaks HTTP/1.1 or HTTP/2, plain or over TLS. Its argument is JSON: { name, version, key,
// certificate, ca }. Prints its port.
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { createServer as createHttp1 } from "node:http";
import * as http2 from "node:http2";
import { createServer as createHttps } from "node:https";

const options = JSON.parse(process.argv[2]);
const { name, version } = options;
const tls = options.key !== undefined && {
  key: readFileSync(options.key),
  cert: readFileSync(options.certificate),
  ...(options.ca !== undefined && { ca: readFileSync(options.ca), requestCert: true, rejectUnauthorized: true }),
};
process.stdin.resume();
process.stdin.on("end", () => process.exit(0));

const settings = { enableConnectProtocol: options.tunnels !== false, maxConcurrentStreams: options.streams ?? 200 };
const create = {
  1: () => (tls ? createHttps({ ...tls, ALPNProtocols: ["http/1.1"] }, handle) : createHttp1(handle)),
  2: () => (tls ? http2.createSecureServer({ ...tls, settings }, handle) : http2.createServer({ settings }, handle)),
};
const server = create[version]();
if (version === 1) server.on("upgrade", tunnel);
else {
  server.on("connect", ({ stream }) => {
    stream.respond({ ":status": 200, "x-name": name });
    stream.pipe(stream);
    stream.on("error", () => {});
  });
}
server.listen(0, "127.0.0.1", () => console.log(server.address().port));

function tunnel(request, socket, head) {
  const accept = createHash("sha1").update(
    `${request.headers["sec-websocket-key"]}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`,
  );
  socket.write(`HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nx-name: ${name}\r\n`);
  socket.write(`Sec-WebSocket-Accept: ${accept.digest("base64")}\r\n\r\n`);
  socket.write(head);
  socket.pipe(socket);
  socket.on("error", () => {});
}

function handle(request, response) {
  const { pathname, searchParams } = new URL(request.url, "http://any");
  const { socket } = request;
  response.setHeader("x-name", name);
  switch (pathname) {
    case "/echo":
      if (request.headers["content-length"] !== undefined)
        response.setHeader("content-length", request.headers["content-length"]);
      request.pipe(response);
      break;
    case "/sum": {
      const digest = createHash("sha256");
      let bytes = 0;
      request.on("data", (piece) => {
        bytes += piece.length;
        digest.update(piece);
      });
      request.on("end", () => {
        const trailers = request.trailers;
        response.end(JSON.stringify({ bytes, hash: digest.digest("hex"), trailers }));
      });
      break;
    }
    case "/big":
      big(response, Number(searchParams.get("bytes")), searchParams.has("length"));
      break;
    case "/trailers":
      if (version === 1) response.setHeader("trailer", "x-sum");
      response.write("body");
      response.addTrailers({ "x-sum": "42" });
      response.end();
      break;
    case "/early":
      response.writeEarlyHints({ link: "</style.css>; rel=preload; as=style" });
      response.end("after hints");
      break;
    case "/status":
      response.statusCode = Number(searchParams.get("code"));
      response.end();
      break;
    case "/broken":
      response.write("half");
      setTimeout(() => socket.destroy(), 50);
      break;
    case "/hang":
      break;
    default:
      response.end(
        JSON.stringify({
          name,
          version: request.httpVersion,
          method: request.method,
          path: request.url,
          headers: request.headers,
          serverName: socket.servername,
          reused: socket.isSessionReused?.() ?? false,
          client: socket.getPeerCertificate?.().subject?.CN,
        }),
      );
  }
}

function big(response, bytes, withLength) {
  if (withLength) response.setHeader("content-length", bytes);
  const piece = Buffer.alloc(65_536, 7);
  let left = bytes;
  const more = () => {
    while (left > 0) {
      const size = Math.min(left, piece.length);
      left -= size;
      if (!response.write(piece.subarray(0, size))) return void response.once("drain", more);
    }
    response.end();
  };
  more();
}
