/** An endpoint's fields as the HTTP/1.1 head that exchanges read. */
import { createHash } from "node:crypto";
import type { HeaderList } from "../../protocols/http2/header-list.ts";

const GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/** `framing`: lines about the body, with their line breaks. `body` follows the head. */
export function answerHead(list: HeaderList, status: number, framing: string, body = ""): Buffer {
  return Buffer.from(`HTTP/1.1 ${status} \r\n${lines(list)}${framing}\r\n${body}`, "latin1");
}

/** The endpoint agrees to what was asked for by an extended CONNECT (RFC 8441), in the words of HTTP/1.1. */
export function tunnelHead(list: HeaderList, protocol: string, webSocketKey: string): Buffer {
  const accept = webSocketKey === "" ? "" : `Sec-WebSocket-Accept: ${acceptOf(webSocketKey)}\r\n`;
  const upgrade = `Connection: Upgrade\r\nUpgrade: ${protocol}\r\n${accept}`;
  return Buffer.from(`HTTP/1.1 101 Switching Protocols\r\n${upgrade}${lines(list)}\r\n`, "latin1");
}

/** All but `:status`, which is the first. They were checked, and stand as lines already. */
function lines(list: HeaderList): string {
  return list.bytes.toString("latin1", list.valueEnd(0) + 2, list.length);
}

/** What a WebSocket client waits for (RFC 6455 section 4.2.2); HTTP/2 has no need of it. */
function acceptOf(key: string): string {
  return createHash("sha1").update(`${key}${GUID}`).digest("base64");
}
