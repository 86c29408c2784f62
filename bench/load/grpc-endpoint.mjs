// One unary call, answered as fast as Node can: a message of five bytes behind its length, and the status in trailers.
import { createServer } from "node:http2";

const MESSAGE = Buffer.from([0, 0, 0, 0, 5, 0x68, 0x65, 0x6c, 0x6c, 0x6f]);

const server = createServer();
server.on("stream", (stream) => {
  stream.on("error", () => {});
  stream.resume();
  stream.respond({ ":status": 200, "content-type": "application/grpc" }, { waitForTrailers: true });
  stream.on("wantTrailers", () => stream.sendTrailers({ "grpc-status": "0" }));
  stream.end(MESSAGE);
});
server.listen(Number(process.argv[2]), "127.0.0.1", () => console.log("ready"));
