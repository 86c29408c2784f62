// An endpoint on Node's own HTTP parser. Runs under Node, prints its port, and tells on /seen what it has got since it was
// last asked. What it cannot read it answers with 555.
import { createServer } from "node:http";

let seen = [];

const server = createServer({ insecureHTTPParser: false, keepAliveTimeout: 60_000 }, (request, response) => {
  const pieces = [];
  request.on("data", (piece) => pieces.push(piece));
  request.on("error", () => {});
  request.on("end", () => {
    if (request.url === "/seen") {
      response.end(JSON.stringify(seen));
      seen = [];
      return;
    }
    const { method, url } = request;
    seen.push({ method, target: url, data: Buffer.concat(pieces).toString("latin1") });
    response.end("ok");
  });
});
server.on("clientError", (_error, socket) => {
  if (socket.writable) socket.end("HTTP/1.1 555 Refused\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
});
server.on("upgrade", (_request, socket) => socket.destroy());
server.listen(0, "127.0.0.1", () => console.log(server.address().port));
