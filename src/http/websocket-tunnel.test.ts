import { describe, expect, test } from "bun:test";
import { seededRandom } from "../base/random.ts";
import { Head } from "../protocols/http1/head.ts";
import { inspectResponse } from "../protocols/http1/inspect-response.ts";
import { parseResponseHead } from "../protocols/http1/parse-response.ts";
import { WebSocketTunnel, webSocketTunnel } from "./websocket-tunnel.ts";

const RANDOM = seededRandom(1);
const TEXT = Buffer.from([0x81, 2, 0x68, 0x69]);
const CLOSE = Buffer.from([0x88, 2, 0x03, 0xe8]);

function answer(lines: string): Head {
  const bytes = Buffer.from(`HTTP/1.1 ${lines}\r\n\r\n`);
  const head = new Head();
  head.reset(bytes, 0);
  parseResponseHead(head, bytes.length, { bytes: 4_096, fields: 16 });
  inspectResponse(head);
  return head;
}

describe("WebSocketTunnel", () => {
  test("tells both sides 1001, the endpoint masked", () => {
    const tunnel = new WebSocketTunnel();
    tunnel.fromEndpoint(TEXT, 0, TEXT.length);
    expect(tunnel.closeForClient()).toEqual(Buffer.from([0x88, 2, 0x03, 0xe9]));
    const masked = tunnel.closeForEndpoint(RANDOM) as Buffer;
    expect([...masked.subarray(0, 2)]).toEqual([0x88, 0x82]);
    expect(
      ((masked[6] as number) ^ (masked[2] as number)) * 256 + ((masked[7] as number) ^ (masked[3] as number)),
    ).toBe(1001);
  });

  test("says nothing in the middle of a frame, nor behind a Close frame, each direction by itself", () => {
    const tunnel = new WebSocketTunnel();
    tunnel.fromEndpoint(TEXT, 0, 3);
    tunnel.fromClient(CLOSE, 0, CLOSE.length);
    expect(tunnel.closeForClient()).toBeUndefined();
    expect(tunnel.closeForEndpoint(RANDOM)).toBeUndefined();
    tunnel.fromEndpoint(TEXT, 3, 4);
    expect(tunnel.closeForClient()).toBeDefined();
  });

  test("is for WebSockets only", () => {
    const upgrade = "101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade:";
    expect(webSocketTunnel(answer(`${upgrade} WebSocket`))).toBeDefined();
    expect(webSocketTunnel(answer(`${upgrade} other`))).toBeUndefined();
    expect(webSocketTunnel(answer("200 OK\r\nUpgrade: websocket"))).toBeUndefined();
  });
});
