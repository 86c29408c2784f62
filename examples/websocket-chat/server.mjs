// One chat server: the page, and a WebSocket for each visitor. What is said on one server is passed to the other.
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { fileURLToPath } from "node:url";
import { WebSocket, WebSocketServer } from "ws";

const { NAME = "chat-1", PORT, PEER_PORT } = process.env;
const RETRY_MS = 200;
const page = readFileSync(fileURLToPath(new URL("page.html", import.meta.url)));
const visitors = new Set();
let peer;

const server = createServer((request, response) => {
  if (request.url === "/healthz") return response.end("well\n");
  if (request.url !== "/") {
    response.statusCode = 404;
    return response.end("no such page\n");
  }
  response.setHeader("content-type", "text/html; charset=utf-8");
  response.end(page);
});

const sockets = new WebSocketServer({
  noServer: true,
  maxPayload: 4_096,
  handleProtocols: (offered) => [...offered][0],
});
server.on("upgrade", (request, socket, head) => {
  sockets.handleUpgrade(request, socket, head, (webSocket) => {
    webSocket.on("error", () => {});
    if (request.url === "/peer") meetPeer(webSocket);
    else meetVisitor(webSocket);
  });
});
server.listen(Number(PORT), "127.0.0.1");
if (PEER_PORT !== undefined) callPeer();

function meetVisitor(webSocket) {
  visitors.add(webSocket);
  webSocket.send(JSON.stringify({ server: NAME }));
  webSocket.on("message", (message) => {
    const text = message.toString();
    tellVisitors(text);
    if (peer?.readyState === WebSocket.OPEN) peer.send(text);
  });
  webSocket.on("close", () => visitors.delete(webSocket));
}

function tellVisitors(text) {
  for (const visitor of visitors) visitor.send(JSON.stringify({ text }));
}

function meetPeer(webSocket) {
  peer = webSocket;
  webSocket.on("message", (message) => tellVisitors(message.toString()));
}

function callPeer() {
  const webSocket = new WebSocket(`ws://127.0.0.1:${PEER_PORT}/peer`);
  webSocket.on("error", () => {});
  webSocket.on("close", () => setTimeout(callPeer, RETRY_MS));
  meetPeer(webSocket);
}
