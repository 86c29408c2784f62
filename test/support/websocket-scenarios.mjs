// A WebSocket client (`ws`) over HTTP/1.1, or over a stream of HTTP/2 (RFC 8441). Arguments: the name of a scenario, a
// version (1 or 2) and an origin. Prints what came of it as JSON.
import { randomBytes } from "node:crypto";
import { EventEmitter } from "node:events";
import { connect } from "node:http2";
import { Receiver, Sender, WebSocket } from "ws";

const [name, version, origin] = process.argv.slice(2);
const tls = { rejectUnauthorized: false };

/** What `ws` does over HTTP/1.1, with its own frames over a stream. */
class StreamSocket extends EventEmitter {
  static open(path, protocols) {
    const socket = new StreamSocket();
    const session = connect(origin, tls);
    session.on("error", () => {});
    socket.session = session;
    session.on("remoteSettings", ({ enableConnectProtocol }) => {
      if (!enableConnectProtocol || socket.stream !== undefined) return;
      const stream = session.request(
        {
          ":method": "CONNECT",
          ":protocol": "websocket",
          ":path": path,
          "sec-websocket-version": "13",
          ...(protocols.length > 0 && { "sec-websocket-protocol": protocols.join(", ") }),
        },
        { endStream: false },
      );
      socket.use(stream);
    });
    return socket;
  }

  use(stream) {
    this.stream = stream;
    this.sender = new Sender(stream, {});
    const receiver = new Receiver({ isServer: false, maxPayload: 64 * 1_048_576 });
    stream.on("response", (headers) => {
      this.headers = { ...headers };
      this.protocol = headers["sec-websocket-protocol"] ?? "";
      this.extensions = headers["sec-websocket-extensions"] ?? "";
      if (headers[":status"] === 200) this.emit("open");
      else this.emit("refused", headers[":status"]);
    });
    receiver.on("message", (data, isBinary) => this.emit("message", data, isBinary));
    receiver.on("ping", (payload) => {
      this.sender.pong(payload, true);
      this.emit("ping", payload);
    });
    receiver.on("pong", (payload) => this.emit("pong", payload));
    receiver.on("conclude", (code, reason) => {
      this.code = code;
      this.reason = reason;
      this.sender.close(code, reason, true, () => stream.end());
    });
    receiver.on("error", (error) => this.emit("error", error));
    stream.on("error", () => {});
    stream.on("data", (piece) => receiver.write(piece));
    stream.on("close", () => {
      this.emit("close", this.code ?? 1006, this.reason ?? "");
      this.session.close();
    });
  }

  send(data, { binary = typeof data !== "string", fin = true } = {}) {
    this.sender.send(data, { binary, fin, mask: true, compress: false });
  }

  ping(payload) {
    this.sender.ping(payload, true);
  }

  close(code, reason) {
    this.sender.close(code, Buffer.from(reason), true);
  }
}

function open(path = "/ws", protocols = [], options = {}) {
  if (version === "2") return StreamSocket.open(path, protocols);
  const socket = new WebSocket(`${origin.replace("http", "ws")}${path}`, protocols, { ...tls, ...options });
  socket.on("unexpected-response", (_request, { statusCode }) => socket.emit("refused", statusCode));
  return socket;
}

const once = (socket, event) =>
  new Promise((resolve, reject) => {
    socket.once(event, (...values) => resolve(values));
    socket.once("error", reject);
  });

async function opened(...parameters) {
  const socket = open(...parameters);
  await once(socket, "open");
  return socket;
}

/** Sends, and returns what comes back. */
async function echo(socket, data, options) {
  const back = once(socket, "message");
  socket.send(data, options);
  const [message, isBinary] = await back;
  return { message, isBinary };
}

const tell = (text) => process.stdout.write(`${text}\n`);

const scenarios = {
  async messages() {
    const socket = await opened("/ws?x=1", ["chat.v1", "chat.v2"]);
    const { protocol, extensions } = socket;
    const text = (await echo(socket, "grüße")).message.toString();
    const sizes = [];
    for (const size of [0, 1, 125, 126, 65_535, 65_536, 1_048_576, 3_000_000]) {
      const data = randomBytes(size);
      const { message, isBinary } = await echo(socket, data);
      sizes.push(isBinary && message.equals(data) ? size : -1);
    }
    const back = once(socket, "message");
    for (let piece = 0; piece < 5; piece++) socket.send(`part ${piece} `, { fin: piece === 4 });
    const fragments = (await back)[0].toString();
    const pong = once(socket, "pong");
    socket.ping("ours");
    const ponged = (await pong)[0].toString();
    const ping = once(socket, "ping");
    socket.send("ping me");
    const pinged = (await ping)[0].toString();
    const closed = once(socket, "close");
    socket.close(4_002, "done");
    const [code, reason] = await closed;
    return { protocol, extensions, text, sizes, fragments, ponged, pinged, code, reason: `${reason}` };
  },
  async "closed by the endpoint"() {
    const socket = await opened();
    const closed = once(socket, "close");
    socket.send("close 4001");
    const [code, reason] = await closed;
    return [code, `${reason}`];
  },
  async refused() {
    const codes = [];
    for (const path of ["/plain/200", "/plain/204", "/plain/403", "/fixed", "/status"]) {
      const socket = open(path);
      socket.on("error", () => {});
      codes.push((await once(socket, "refused"))[0]);
    }
    return codes;
  },
  async idle() {
    const socket = await opened();
    const started = await echo(socket, "one");
    const [code] = await once(socket, "close");
    return [started.message.toString(), code];
  },
  async abandoned() {
    const socket = await opened();
    await echo(socket, "one");
    if (version === "2") socket.stream.close(8);
    else socket.terminate();
    await once(socket, "close");
    return "gone";
  },
  async many() {
    const sockets = await Promise.all(Array.from({ length: 50 }, () => opened()));
    const answers = [];
    for (let round = 0; round < 20; round++)
      answers.push(...(await Promise.all(sockets.map((socket, index) => echo(socket, `${round} ${index}`)))));
    for (const socket of sockets) socket.close(1_000, "");
    await Promise.all(sockets.map((socket) => once(socket, "close")));
    return answers.filter(({ message }, index) => message.toString() === `${Math.floor(index / 50)} ${index % 50}`)
      .length;
  },
  /** Says when it is open, and echoes until it is closed. */
  async stay() {
    const socket = await opened();
    let echoed = 0;
    socket.on("message", () => {
      echoed++;
      setTimeout(() => socket.send("again"), 10);
    });
    socket.send("again");
    tell("open");
    const [code, reason] = await once(socket, "close");
    return { echoed: echoed > 0, code, reason: `${reason}` };
  },
};

const result = await scenarios[name]();
process.stdout.write(JSON.stringify(result), () => process.exit(0));
