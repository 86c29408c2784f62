// Asks over HTTP/2 in TLS, many requests at a time on a few connections, with Node's client (nghttp2).
import { createHash } from "node:crypto";
import { connect, constants } from "node:http2";

const { NGHTTP2_CANCEL, NGHTTP2_NO_ERROR, NGHTTP2_REFUSED_STREAM } = constants;
const BODY_PIECE_BYTES = 50_000;
const SHOWN_BYTES = 200;

/** By number: those that can be asked on, or are about to be. */
const sessions = new Map();

/** Resolves to `{ isOpen }`: whether there is a connection. */
export async function open({ number, origin }) {
  return { isOpen: await session(number, origin) };
}

function session(number, origin) {
  const known = sessions.get(number);
  if (known !== undefined && !known.session.closed && !known.session.destroyed) return known.opened;
  const made = connect(origin, { rejectUnauthorized: false });
  made.on("error", () => {});
  const opened = new Promise((resolve) => {
    made.on("connect", () => resolve(true));
    made.on("close", () => resolve(false));
  });
  sessions.set(number, { session: made, opened });
  return opened;
}

/** What is under way on it comes to an end. */
export function close({ number }) {
  sessions.get(number)?.session.close();
  sessions.delete(number);
  return {};
}

/** Resolves to the answer, or to `{ breach }`: the reason why there is no whole one; "unsent" when there is no connection. */
export function ask({ number, headers, fill, size, leavesAfterMs }) {
  let stream;
  try {
    stream = sessions.get(number).session.request(headers, { endStream: size === 0 });
  } catch {
    // It was told to go just now, or its last request has begun.
    return { breach: "unsent" };
  }
  if (size > 0) send(stream, Buffer.alloc(size, fill));
  return new Promise((resolve) => {
    const answer = { status: 0, fields: {}, length: 0, text: "" };
    const hash = createHash("sha256");
    let [hasEnded, hasLeft] = [false, false];
    const leave = () => {
      hasLeft = true;
      stream.close(NGHTTP2_CANCEL);
    };
    const leaving = leavesAfterMs === undefined ? undefined : setTimeout(leave, leavesAfterMs);
    stream.on("response", (fields) => {
      answer.status = fields[":status"];
      answer.fields = { ...fields };
    });
    stream.on("data", (piece) => {
      answer.length += piece.length;
      hash.update(piece);
      if (answer.text.length < SHOWN_BYTES) answer.text += piece.toString("latin1", 0, SHOWN_BYTES);
    });
    stream.on("end", () => {
      hasEnded = true;
    });
    stream.on("error", () => {});
    stream.on("close", () => {
      clearTimeout(leaving);
      const isWhole = hasEnded && answer.status > 0 && stream.rstCode === NGHTTP2_NO_ERROR;
      if (isWhole) resolve({ ...answer, digest: hash.digest("hex") });
      else if (hasLeft) resolve({ breach: "left" });
      else if (stream.rstCode === NGHTTP2_REFUSED_STREAM) resolve({ breach: "refused" });
      else resolve({ breach: answer.status > 0 ? "cut" : "closed" });
    });
  });
}

function send(stream, body) {
  let sent = 0;
  const more = () => {
    while (sent < body.length && !stream.destroyed) {
      const piece = body.subarray(sent, sent + BODY_PIECE_BYTES);
      sent += piece.length;
      if (!stream.write(piece)) {
        stream.once("drain", more);
        return;
      }
    }
    stream.end();
  };
  more();
}
