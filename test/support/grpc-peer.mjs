// gRPC's own client and server, in a process of Node: `grpc-peer.mjs server NAME [KEY CERTIFICATE]` prints its port;
// `grpc-peer.mjs client` reads calls from standard input, one JSON a line, and prints their outcomes the same way.
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import * as grpc from "@grpc/grpc-js";

const [role, ...rest] = process.argv.slice(2);
const same = (bytes) => bytes;
const hash = (bytes) => createHash("sha256").update(bytes).digest("hex");
const LIMITS = { "grpc.max_receive_message_length": -1, "grpc.max_send_message_length": -1 };
process.stdin.on("end", () => process.exit(0));

if (role === "server") serve(...rest);
else answerCalls();

function serve(name, keyPath, certificatePath) {
  const seen = { calls: 0, cancelled: 0, deadlines: [], health: 1 };
  const method = (path, requestStream, responseStream) => ({
    path,
    requestStream,
    responseStream,
    ...{ requestSerialize: same, requestDeserialize: same, responseSerialize: same, responseDeserialize: same },
  });
  const definition = {
    unary: method("/test.Echo/Unary", false, false),
    client: method("/test.Echo/Client", true, false),
    server: method("/test.Echo/Server", false, true),
    bidi: method("/test.Echo/Bidi", true, true),
    fail: method("/test.Echo/Fail", false, false),
    hang: method("/test.Echo/Hang", false, true),
    seen: method("/test.Echo/Seen", false, false),
    health: method("/grpc.health.v1.Health/Check", false, false),
  };
  const greet = (call) => {
    seen.calls++;
    const initial = new grpc.Metadata();
    initial.set("x-server", name);
    for (const value of call.metadata.get("x-echo")) initial.add("x-echo", value);
    for (const value of call.metadata.get("x-echo-bin")) initial.add("x-echo-bin", value);
    call.sendMetadata(initial);
    const trailing = new grpc.Metadata();
    trailing.set("x-trailer", name);
    return trailing;
  };
  const fail = (callback) => {
    const metadata = new grpc.Metadata();
    metadata.set("grpc-status-details-bin", Buffer.from([8, 5, 18, 2, 0xc3, 0xa4]));
    callback({ code: grpc.status.NOT_FOUND, details: "no such thing: ä 100%", metadata });
  };
  const implementation = {
    unary: (call, callback) => callback(null, call.request, greet(call)),
    client(call, callback) {
      const digest = createHash("sha256");
      let count = 0;
      const trailing = greet(call);
      call.on("data", (message) => {
        count++;
        digest.update(message);
      });
      call.on("end", () => callback(null, Buffer.from(`${count} ${digest.digest("hex")}`), trailing));
    },
    server(call) {
      const { count, size } = JSON.parse(call.request.toString());
      const trailing = greet(call);
      let sent = 0;
      const more = () => {
        while (sent < count) if (!call.write(Buffer.alloc(size, ++sent))) return void call.once("drain", more);
        call.end(trailing);
      };
      more();
    },
    bidi(call) {
      const trailing = greet(call);
      call.on("data", (message) => call.write(message));
      call.on("end", () => call.end(trailing));
    },
    fail: (_call, callback) => fail(callback),
    hang(call) {
      greet(call);
      seen.deadlines.push(call.getDeadline());
      call.on("cancelled", () => void seen.cancelled++);
      call.write(Buffer.from("begun"));
    },
    seen: (_call, callback) => callback(null, Buffer.from(JSON.stringify(seen))),
    // HealthCheckResponse: field 1, a number. The service asked for is field 1 of the request, a text.
    health(call, callback) {
      const service = call.request.subarray(2).toString();
      if (service.startsWith("is-")) return callback(null, Buffer.from([8, Number(service.slice(3))]));
      if (service !== "") return callback({ code: grpc.status.NOT_FOUND, details: "unknown service" });
      callback(null, Buffer.from([8, 1]));
    },
  };
  const server = new grpc.Server(LIMITS);
  server.addService(definition, implementation);
  const credentials =
    keyPath === undefined
      ? grpc.ServerCredentials.createInsecure()
      : grpc.ServerCredentials.createSsl(null, [
          { private_key: readFileSync(keyPath), cert_chain: readFileSync(certificatePath) },
        ]);
  server.bindAsync("127.0.0.1:0", credentials, (error, port) => {
    if (error) throw error;
    console.log(port);
  });
}

function answerCalls() {
  const clients = new Map();
  const clientOf = ({ address, caPath, name }) => {
    const known = clients.get(address);
    if (known !== undefined) return known;
    const credentials =
      caPath === undefined ? grpc.credentials.createInsecure() : grpc.credentials.createSsl(readFileSync(caPath));
    const options = { ...LIMITS, ...(name === undefined ? {} : { "grpc.ssl_target_name_override": name }) };
    const client = new grpc.Client(address, credentials, { ...options, "grpc.enable_retries": 0 });
    clients.set(address, client);
    return client;
  };
  createInterface({ input: process.stdin }).on("line", (line) => {
    const { id, ...call } = JSON.parse(line);
    const answer = (outcome) => console.log(JSON.stringify({ id, ...outcome }));
    run(clientOf(call), call, answer);
  });
}

function run(client, { method, messages = [], size, metadata = {}, deadlineMs, cancelAfter, gzip }, answer) {
  const sent = size === undefined ? messages.map((text) => Buffer.from(text)) : [Buffer.alloc(size, 7)];
  const fields = new grpc.Metadata();
  for (const [key, value] of Object.entries(metadata))
    fields.set(key, key.endsWith("-bin") ? Buffer.from(value, "base64") : value);
  if (gzip) fields.set("grpc-internal-encoding-request", "gzip");
  const options = deadlineMs === undefined ? {} : { deadline: Date.now() + deadlineMs };
  const outcome = { messages: [], hashes: [], initial: {}, trailing: {} };
  const call = client.makeBidiStreamRequest(`/test.Echo/${method}`, same, same, fields, options);
  call.on("metadata", (initial) => {
    outcome.initial = textOf(initial);
  });
  call.on("data", (message) => {
    outcome.messages.push(message.length < 1_000 ? message.toString() : String(message.length));
    outcome.hashes.push(hash(message));
    if (outcome.messages.length === cancelAfter) call.cancel();
  });
  call.on("error", () => {});
  call.on("status", ({ code, details, metadata: trailing }) => {
    answer({ ...outcome, code, details, trailing: textOf(trailing) });
  });
  for (const message of sent) call.write(message);
  call.end();
}

function textOf(metadata) {
  const text = {};
  for (const key of Object.keys(metadata.getMap()))
    text[key] = metadata.get(key).map((value) => (typeof value === "string" ? value : value.toString("base64")));
  return text;
}
