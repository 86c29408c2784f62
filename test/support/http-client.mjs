// A client of Node for HTTP/1.1 and HTTP/2: reads requests from standard input, one JSON a line, and prints what came of
// them the same way. One connection of HTTP/2 for each origin.
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { Agent, request as request1 } from "node:http";
import { connect } from "node:http2";
import { request as request1s, Agent as SecureAgent } from "node:https";
import { createInterface } from "node:readline";

const sessions = new Map();
const agents = { "http:": new Agent({ keepAlive: true }), "https:": new SecureAgent({ keepAlive: true }) };
process.stdin.on("end", () => process.exit(0));

createInterface({ input: process.stdin }).on("line", (line) => {
  const { id, version, ...asked } = JSON.parse(line);
  const answer = (outcome) => console.log(JSON.stringify({ id, ...outcome }));
  (version === 1 ? send1 : send2)(asked, answer);
});

function bodyOf({ body, bytes }) {
  return bytes === undefined ? Buffer.from(body ?? "") : Buffer.alloc(bytes, 7);
}

/** Takes the answer's body, and tells the outcome at its end. */
function collect(stream, outcome, answer) {
  const digest = createHash("sha256");
  const first = [];
  outcome.length = 0;
  let told = false;
  const tell = (error) => {
    if (told) return;
    told = true;
    answer({ ...outcome, error, hash: digest.digest("hex"), text: Buffer.concat(first).toString() });
  };
  stream.on("data", (piece) => {
    if (outcome.length < 4_096) first.push(piece);
    outcome.length += piece.length;
    digest.update(piece);
  });
  stream.on("end", () => setImmediate(tell));
  stream.on("error", ({ code, message }) => tell(code ?? message));
  stream.on("aborted", () => tell("aborted"));
  return tell;
}

function send1({ origin, path, method = "GET", headers = {}, trailers, caPath, name, chunked, ...rest }, answer) {
  const url = new URL(path, origin);
  const body = bodyOf(rest);
  const secure = url.protocol === "https:";
  const outcome = { interim: [] };
  const sent = (secure ? request1s : request1)(url, {
    method,
    agent: agents[url.protocol],
    ...(secure && { ca: readFileSync(caPath), servername: name }),
    headers: {
      ...headers,
      ...(body.length > 0 && (chunked || trailers) ? { "transfer-encoding": "chunked" } : {}),
      ...(body.length > 0 && !chunked && !trailers && !headers.upgrade ? { "content-length": body.length } : {}),
    },
  });
  sent.on("information", ({ statusCode, headers: lines }) => outcome.interim.push({ status: statusCode, ...lines }));
  sent.on("response", (response) => {
    const tell = collect(response, outcome, answer);
    Object.assign(outcome, { status: response.statusCode, headers: response.headers });
    response.on("end", () => {
      outcome.trailers = response.trailers;
      tell();
    });
  });
  sent.on("upgrade", (response, socket, head) => {
    Object.assign(outcome, { status: response.statusCode, headers: response.headers });
    tunnel(socket, head, outcome, answer, body);
  });
  sent.on("error", ({ code }) => answer({ ...outcome, error: code ?? "failed" }));
  if (trailers) sent.addTrailers(trailers);
  if (headers.upgrade !== undefined) sent.end();
  else sent.end(body);
}

function sessionOf(origin, caPath, name) {
  const known = sessions.get(origin);
  if (known !== undefined && !known.closed && !known.destroyed) return known;
  const tls = caPath === undefined ? {} : { ca: readFileSync(caPath), servername: name };
  const session = connect(origin, { ...tls, settings: { initialWindowSize: 1_048_576 } });
  session.on("error", () => {});
  sessions.set(origin, session);
  return session;
}

function send2({ origin, path, method = "GET", headers = {}, trailers, caPath, name, chunked, ...rest }, answer) {
  const body = bodyOf(rest);
  const session = sessionOf(origin, caPath, name);
  const outcome = { interim: [], trailers: {} };
  const isTunnel = headers[":protocol"] !== undefined;
  const begin = () => {
    const stream = session.request(
      {
        ":method": method,
        ":path": path,
        ...(body.length > 0 && !chunked && !trailers && !isTunnel ? { "content-length": body.length } : {}),
        ...headers,
      },
      { endStream: body.length === 0 && !isTunnel, waitForTrailers: trailers !== undefined },
    );
    stream.on("headers", (fields) => outcome.interim.push({ status: fields[":status"], ...fields }));
    stream.on("response", (fields) => Object.assign(outcome, { status: fields[":status"], headers: fields }));
    stream.on("trailers", (fields) => Object.assign(outcome, { trailers: { ...fields } }));
    if (isTunnel) stream.on("response", () => tunnel(stream, Buffer.alloc(0), outcome, answer, body));
    else {
      collect(stream, outcome, answer);
      stream.on("wantTrailers", () => stream.sendTrailers(trailers));
      if (body.length > 0) stream.end(body);
    }
  };
  // Extended CONNECT may be used once the other side has said so.
  if (isTunnel && session.remoteSettings.enableConnectProtocol !== true) session.once("remoteSettings", begin);
  else begin();
}

/** Sends bytes through an upgraded connection until all of them have come back. */
function tunnel(socket, head, outcome, answer, body) {
  const pieces = [head];
  let length = head.length;
  socket.on("error", () => {});
  socket.on("data", (piece) => {
    pieces.push(piece);
    length += piece.length;
    if (length < body.length) return;
    const all = Buffer.concat(pieces);
    answer({
      ...outcome,
      length,
      hash: createHash("sha256").update(all).digest("hex"),
      text: all.toString("utf8", 0, 4_096),
    });
    socket.end();
  });
  socket.write(body);
}
