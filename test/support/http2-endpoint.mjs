// An endpoint for the HTTP/2 and WebSocket tests, on Node's HTTP server and `ws`: prints its port, ends with its standard
// input, and tells on /events what has happened since it was last asked.
import { createHash } from "node:crypto";
import { createServer } from "node:http";
import { WebSocketServer } from "ws";

let events = [];

const server = createServer(
  { requireHostHeader: false, keepAliveTimeout: 60_000, requestTimeout: 0, joinDuplicateHeaders: false },
  (request, response) => {
    response.on("error", () => {});
    request.on("error", () => {});
    response.on("close", () => {
      if (!response.writableFinished) events.push(`aborted ${request.url}`);
    });
    const url = new URL(request.url === "*" ? "/asterisk" : request.url, "http://endpoint");
    (answers[url.pathname] ?? answers["/"])(request, response, url.searchParams);
  },
);
server.on("checkContinue", (request, response) => {
  response.writeContinue();
  server.emit("request", request, response);
});

const answers = {
  "/"(request, response) {
    const hash = createHash("sha256");
    let length = 0;
    request.on("data", (piece) => {
      hash.update(piece);
      length += piece.length;
    });
    request.on("end", () => {
      const { method, url, rawHeaders, rawTrailers } = request;
      const seen = { method, url, headers: rawHeaders, trailers: rawTrailers, length, hash: hash.digest("hex") };
      const body = JSON.stringify(seen);
      response.setHeader("content-length", Buffer.byteLength(body));
      response.end(body);
    });
  },
  "/events"(_request, response) {
    response.end(JSON.stringify(events));
    events = [];
  },
  "/large"(_request, response, parameters) {
    let left = Number(parameters.get("bytes"));
    if (parameters.get("length") !== "no") response.setHeader("content-length", left);
    const hash = createHash("sha256");
    const more = () => {
      while (left > 0) {
        const piece = Buffer.alloc(Math.min(left, 65_536), left % 251);
        left -= piece.length;
        hash.update(piece);
        if (!response.write(piece)) {
          response.once("drain", more);
          return;
        }
      }
      events.push(`sent ${hash.digest("hex")}`);
      response.end();
    };
    more();
  },
  "/trailers"(_request, response) {
    response.writeHead(200, { trailer: "x-sum" });
    response.write("one");
    response.addTrailers({ "x-sum": "3", "x-other": "a b" });
    response.end("two");
  },
  "/hints"(_request, response) {
    response.writeEarlyHints({ link: "</a.css>; rel=preload" }, () => {
      response.writeProcessing();
      response.end("hinted");
    });
  },
  "/status"(_request, response, parameters) {
    response.writeHead(Number(parameters.get("code")), { etag: '"1"' });
    response.end();
  },
  "/early"(_request, response) {
    response.writeHead(413, { "content-length": 4 });
    response.end("full");
  },
  "/slow"(_request, response, parameters) {
    setTimeout(() => response.end("slow"), Number(parameters.get("ms")));
  },
  "/begin"(_request, response) {
    response.write("begun");
  },
  "/cut"(_request, response) {
    response.writeHead(200, { "content-length": 10 });
    response.write("five!", () => response.destroy());
  },
  "/never"(request) {
    events.push(`began ${request.url}`);
    request.resume();
  },
};

const sockets = new WebSocketServer({
  server,
  path: "/ws",
  maxPayload: 64 * 1_048_576,
  perMessageDeflate: { threshold: 0 },
  handleProtocols: (protocols) => (protocols.has("chat.v2") ? "chat.v2" : false),
});
sockets.on("connection", (socket, request) => {
  events.push(`open ${request.url} ${socket.extensions} ${socket.protocol}`);
  socket.on("message", (message, isBinary) => {
    const text = isBinary ? "" : message.toString();
    if (text.startsWith("close ")) socket.close(Number(text.slice(6)), "as you wish");
    else if (text === "ping me") socket.ping("hello");
    else socket.send(message, { binary: isBinary });
  });
  socket.on("pong", (payload) => events.push(`pong ${payload}`));
  socket.on("ping", (payload) => events.push(`ping ${payload}`));
  socket.on("close", (code, reason) => events.push(`close ${code} ${reason}`));
  socket.on("error", (error) => events.push(`error ${error.message}`));
});
server.listen(0, "127.0.0.1", () => console.log(server.address().port));
process.stdin.resume();
process.stdin.on("end", () => process.exit(0));
