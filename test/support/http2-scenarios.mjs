// An HTTP/2 client of Node (nghttp2). Arguments: the name of a scenario and an origin. Prints what came of it as JSON.
import { createHash } from "node:crypto";
import { connect, constants } from "node:http2";

const [name, origin] = process.argv.slice(2);
const options = { rejectUnauthorized: false };
const open = () => {
  const session = connect(origin, options);
  session.on("error", () => {});
  return session;
};
const session = open();

/** One exchange; `use` gets the stream to send a body on. */
function ask(headers, use = (stream) => stream.end(), on = session) {
  return new Promise((resolve) => {
    const stream = on.request({ ":path": "/", ...headers }, { endStream: false, waitForTrailers: headers.trailers });
    const result = { status: 0, interim: [], headers: {}, trailers: {}, body: "", length: 0 };
    const hash = createHash("sha256");
    stream.on("headers", (interim) => result.interim.push({ ...interim }));
    stream.on("response", (answer) => {
      result.status = answer[":status"];
      result.headers = { ...answer };
    });
    stream.on("trailers", (trailers) => {
      result.trailers = { ...trailers };
    });
    stream.on("data", (piece) => {
      result.length += piece.length;
      hash.update(piece);
      if (result.body.length < 10_000) result.body += piece;
    });
    stream.on("error", (error) => {
      result.error = error.code;
    });
    stream.on("close", () => resolve({ ...result, hash: hash.digest("hex"), code: stream.rstCode }));
    use(stream);
  });
}

const post = { ":method": "POST" };

function upload(bytes) {
  return (stream) => {
    let left = bytes;
    const more = () => {
      while (left > 0) {
        const piece = Buffer.alloc(Math.min(left, 65_536), left % 251);
        left -= piece.length;
        if (!stream.write(piece)) {
          stream.once("drain", more);
          return;
        }
      }
      stream.end();
    };
    more();
  };
}

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** Asks one after another on whatever session is good, and goes to a new one when told to. */
async function keepAsking(ms, path) {
  let current = open();
  let [answered, sessions] = [0, 1];
  const failures = [];
  const until = Date.now() + ms;
  const worker = async () => {
    while (Date.now() < until) {
      if (current.closed || current.destroyed) {
        current = open();
        sessions++;
      }
      const used = current;
      const { status, error, code } = await ask({ ":path": path }, undefined, used).catch((problem) => ({
        error: problem.code,
      }));
      if (status === 200) answered++;
      // What a GOAWAY says was not processed may be asked again (RFC 9113 section 6.8).
      else if (code !== constants.NGHTTP2_REFUSED_STREAM) failures.push(`${status} ${error} ${code}`);
    }
  };
  await Promise.all(Array.from({ length: 8 }, worker));
  current.close();
  return { answered: answered > 0, sessions, failures };
}

const scenarios = {
  get: () => ask({ ":path": "/x?y=1", "x-one": "1", te: "trailers" }),
  trailers: async () => ({
    up: await ask({ ...post, trailers: true }, (stream) => {
      stream.on("wantTrailers", () => stream.sendTrailers({ "x-sum": "5" }));
      stream.end("hello");
    }),
    down: await ask({ ":path": "/trailers" }),
  }),
  hints: () => ask({ ":path": "/hints" }),
  continue: () =>
    new Promise((resolve) => {
      const stream = session.request({ ...post, ":path": "/", expect: "100-continue", "content-length": "2" });
      let continued = false;
      stream.on("continue", () => {
        continued = true;
        stream.end("ok");
      });
      stream.on("response", (answer) => resolve({ continued, status: answer[":status"] }));
      stream.resume();
    }),
  statuses: async () => [
    await ask({ ":method": "HEAD" }),
    await ask({ ":path": "/status?code=204" }),
    await ask({ ":path": "/status?code=304" }),
    await ask({ ":path": "/status?code=205" }),
  ],
  // Answers without a body must leave nothing behind either.
  bodiless: async () => {
    const codes = new Set();
    for (let round = 0; round < 300; round++) codes.add((await ask({ ":method": "HEAD" })).status);
    return [...codes];
  },
  many: async () => {
    const wrong = [];
    const one = async (index) => {
      const { status, body } = await ask({ ...post, ":path": `/?n=${index}`, "x-n": `${index}` }, (stream) =>
        stream.end("x".repeat(index)),
      );
      const seen = status === 200 ? JSON.parse(body) : {};
      if (seen.url !== `/?n=${index}` || seen.length !== index) wrong.push(`${index}: ${status} ${body}`);
    };
    for (let round = 0; round < 10; round++)
      await Promise.all(Array.from({ length: 100 }, (_, index) => one(round * 100 + index)));
    return wrong;
  },
  upload: () => ask({ ...post }, upload(24 * 1_048_576)),
  "upload with a length": () => ask({ ...post, "content-length": `${8 * 1_048_576}` }, upload(8 * 1_048_576)),
  uploads: () => Promise.all(Array.from({ length: 12 }, (_, index) => ask({ ...post }, upload(1_000_000 + index)))),
  download: () => ask({ ":path": "/large?bytes=25000000" }),
  downloads: () =>
    Promise.all(
      Array.from({ length: 12 }, (_, index) => ask({ ":path": `/large?length=no&bytes=${2_000_000 + index}` })),
    ),
  "slow reader": () =>
    ask({ ":path": "/large?bytes=8000000" }, (stream) => {
      stream.end();
      stream.on("data", () => {
        stream.pause();
        setTimeout(() => stream.resume(), 1);
      });
    }),
  "early answer": () => ask({ ...post, ":path": "/early" }, upload(2 * 1_048_576)),
  connect: () => ask({ ":method": "CONNECT", ":path": undefined, ":authority": "other:443" }),
  asterisk: () => ask({ ":method": "OPTIONS", ":path": "*" }),
  cookies: () => ask({ cookie: ["a=1", "b=2", "c=3"] }),
  cut: () => ask({ ":path": "/cut" }),
  "cancel an upload": async () => {
    const asked = ask({ ...post, ":path": "/never?upload" }, (stream) => {
      stream.write("begun");
      setTimeout(() => stream.close(constants.NGHTTP2_CANCEL), 300);
    });
    await asked;
    await pause(200);
    return (await ask({})).status;
  },
  "cancel a download": async () => {
    await ask({ ":path": "/begin?download" }, (stream) => {
      stream.end();
      stream.once("data", () => stream.close(constants.NGHTTP2_CANCEL));
    });
    await pause(200);
    return (await ask({})).status;
  },
  "keep asking": () => keepAsking(3_000, "/slow?ms=3"),
  priorities: async () => {
    const stream = session.request({ ":path": "/" }, { weight: 200, parent: 0, exclusive: true });
    const status = new Promise((resolve) => stream.on("response", (answer) => resolve(answer[":status"])));
    stream.resume();
    return status;
  },
};

const result = await scenarios[name]();
session.destroy();
process.stdout.write(JSON.stringify(result), () => process.exit(0));
