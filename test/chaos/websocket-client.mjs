// Talks on WebSockets (`ws`): sends one message after another, and wants each of them back.
import { createHash } from "node:crypto";
import { WebSocket } from "ws";

const GOOD_END = 1_000;
const SHOWN_BYTES = 200;

/**
 * Resolves to the answer to the request for a WebSocket, with status 101 when all that was said came back and both sides
 * closed it; or to `{ breach }`, the reason why not: "invalid" when something else came back.
 */
export function talk({ url, headers, messages, pauseMs, leavesAfterMs }) {
  return new Promise((resolve) => {
    const socket = new WebSocket(url, { headers, rejectUnauthorized: false, perMessageDeflate: false });
    let [fields, returned, hasLeft] = [undefined, 0, false];
    const leave = () => {
      hasLeft = true;
      socket.terminate();
    };
    const leaving = leavesAfterMs === undefined ? undefined : setTimeout(leave, leavesAfterMs);
    const contentOf = ({ fill, size }) => Buffer.alloc(size, fill);
    const next = () => {
      const message = messages[returned];
      if (message === undefined) socket.close(GOOD_END);
      else if (socket.readyState === WebSocket.OPEN) socket.send(contentOf(message));
    };
    const end = (outcome) => {
      clearTimeout(leaving);
      resolve(outcome);
    };
    socket.on("upgrade", (response) => {
      fields = response.headers;
    });
    socket.on("unexpected-response", (_request, response) => {
      void read(response).then((answer) => {
        end(answer);
        socket.terminate();
      });
    });
    socket.on("open", next);
    socket.on("message", (message) => {
      const expected = messages[returned++];
      if (expected === undefined || !contentOf(expected).equals(message)) {
        end({ breach: "invalid" });
        socket.terminate();
      } else setTimeout(next, pauseMs);
    });
    socket.on("error", () => {});
    socket.on("close", (code) => {
      if (hasLeft) end({ breach: "left" });
      else if (code === GOOD_END && returned === messages.length) end({ status: 101, fields });
      else end({ breach: fields === undefined ? "closed" : "cut" });
    });
  });
}

/** An answer instead of a WebSocket. */
function read(response) {
  return new Promise((resolve) => {
    const answer = { status: response.statusCode, fields: response.headers, length: 0, text: "" };
    const hash = createHash("sha256");
    response.on("data", (piece) => {
      answer.length += piece.length;
      hash.update(piece);
      if (answer.text.length < SHOWN_BYTES) answer.text += piece.toString("latin1", 0, SHOWN_BYTES);
    });
    response.on("end", () => resolve({ ...answer, digest: hash.digest("hex") }));
    response.on("close", () => resolve({ breach: "cut" }));
    response.on("error", () => {});
  });
}
