// An HTTP/2 server of Node (nghttp2) for http2-codec.test.ts: answers each request with the request's own fields.
// Arguments: its SETTINGS_HEADER_TABLE_SIZE. Prints its port, and ends with its standard input.
import { createServer } from "node:http2";

const server = createServer({ settings: { headerTableSize: Number(process.argv[2]), maxConcurrentStreams: 1_000 } });
server.on("stream", (stream, _headers, _flags, rawHeaders) => {
  const answer = { ":status": 200 };
  for (let index = 0; index < rawHeaders.length; index += 2) {
    const name = rawHeaders[index];
    if (!name.startsWith(":")) answer[name] = [...(answer[name] ?? []), rawHeaders[index + 1]];
  }
  stream.respond(answer, { sendDate: false });
  stream.end(JSON.stringify(rawHeaders));
});
server.listen(0, "127.0.0.1", () => console.log(server.address().port));
process.stdin.resume();
process.stdin.on("end", () => process.exit(0));
