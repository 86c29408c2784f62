import { describe, expect, test } from "bun:test";
import { decodeResponse, encodeRequest } from "./grpc.ts";
import { Http2Answer } from "./http2-exchange.ts";

const message = (...bytes: number[]): Buffer => Buffer.from([0, 0, 0, 0, bytes.length, ...bytes]);

describe("the messages of grpc.health.v1", () => {
  test("a request for the server as a whole is empty", () => {
    expect(encodeRequest("")).toEqual(message());
  });
  test("a request for a service has its name", () => {
    expect(encodeRequest("a.B")).toEqual(message(0x0a, 3, 0x61, 0x2e, 0x42));
    const long = encodeRequest("x".repeat(300));
    expect([...long.subarray(0, 8)]).toEqual([0, 0, 0, 1, 0x2f, 0x0a, 0xac, 2]);
  });
  test.each([
    ["SERVING", message(8, 1), 1],
    ["nothing said", message(), 0],
    ["the last one counts", message(8, 2, 8, 1), 1],
    ["fields that are not known", message(0x12, 2, 9, 9, 8, 1, 0x18, 5), 1],
  ])("a response: %s", (_name, body, status) => {
    expect(decodeResponse(body)).toBe(status);
  });
  test.each([
    ["nothing", Buffer.alloc(0)],
    ["compressed", Buffer.from([1, 0, 0, 0, 2, 8, 1])],
    ["cut off", message(8, 1).subarray(0, 6)],
    ["two messages", Buffer.concat([message(8, 1), message(8, 1)])],
    ["a number that does not end", message(8, 0x80)],
    ["a field of an unknown kind", message(0x0d, 1, 0, 0, 0)],
  ])("no response: %s", (_name, body) => {
    expect(decodeResponse(body)).toBeUndefined();
  });
});

describe("answers over HTTP/2", () => {
  const settings = "000000040000000000";
  test.each([
    ["HTTP/1.1", Buffer.from("HTTP/1.1 200 OK\r\n\r\n"), "the endpoint speaks HTTP/1.1, not HTTP/2"],
    ["something else", Buffer.from("SSH-2.0-OpenSSH\r\n"), "the answer is not HTTP/2"],
    [
      "GOAWAY",
      Buffer.from(`${settings}000008070000000000000000000000000b`, "hex"),
      "the endpoint refused the connection: ENHANCE_YOUR_CALM",
    ],
    [
      "RST_STREAM",
      Buffer.from(`${settings}00000403000000000100000007`, "hex"),
      "the endpoint reset the stream: REFUSED_STREAM",
    ],
    [
      "fields without a status",
      Buffer.from(`${settings}00000101040000000184`, "hex"),
      "the answer is not valid HTTP/2",
    ],
  ])("%s", (_name, received, problem) => {
    expect(new Http2Answer(received).problem).toBe(problem);
  });
  test("as far as they have come", () => {
    const whole = Buffer.from(`${settings}0000010104000000018800000200010000000168690000`, "hex").subarray(0, 30);
    for (let end = 0; end <= whole.length; end++)
      expect(new Http2Answer(whole.subarray(0, end)).problem).toBeUndefined();
    const answer = new Http2Answer(whole);
    expect([answer.status, answer.ended, answer.body.toString()]).toEqual([200, true, "hi"]);
  });
});
