import { describe, expect, test } from "bun:test";
import { ALIAS, HEADER } from "../http1/header-names.ts";
import { FIELD } from "./field-names.ts";
import {
  type FieldProblem,
  inspectRequest,
  inspectResponse,
  inspectTrailers,
  RequestFields,
  ResponseFields,
} from "./field-rules.ts";
import { listOf, type Pair } from "./testing.ts";

const fields = new RequestFields();
const response = new ResponseFields();
const GET: Pair[] = [
  [":method", "GET"],
  [":scheme", "https"],
  [":path", "/"],
  [":authority", "example.org"],
];
const request = (pairs: readonly Pair[], extended = false): FieldProblem | undefined =>
  inspectRequest(listOf(pairs), fields, extended);
const withPath = (path: string, method = "GET"): Pair[] => [
  [":method", method],
  [":scheme", "http"],
  [":path", path],
  [":authority", "a"],
];
const withAuthority = (authority: string): Pair[] => [...GET.slice(0, 3), [":authority", authority]];

describe("requests that are fine", () => {
  test("all four pseudo-headers, in any order", () => {
    expect(request(GET)).toBeUndefined();
    expect([fields.method, fields.scheme, fields.path, fields.authority, fields.firstRegular]).toEqual([0, 1, 2, 3, 4]);
    expect(request([...GET].reverse())).toBeUndefined();
    expect([fields.method, fields.authority, fields.contentLength, fields.host]).toEqual([3, 0, -1, -1]);
  });

  test("what the fields say", () => {
    const pairs: Pair[] = [
      ...GET,
      ["te", "trailers"],
      ["expect", "100-continue"],
      ["content-length", "12"],
      ["cookie", "a=b"],
      ["cookie", "c=d"],
      ["host", "EXAMPLE.org"],
      ["x", ""],
    ];
    expect(request(pairs)).toBeUndefined();
    expect([fields.acceptsTrailers, fields.expectContinue, fields.contentLength, fields.cookies]).toEqual([
      true,
      true,
      12,
      2,
    ]);
    expect([fields.host, fields.expect, fields.firstRegular, fields.isConnect]).toEqual([9, 5, 4, false]);
    expect(request(GET)).toBeUndefined();
    expect([fields.acceptsTrailers, fields.expectContinue, fields.contentLength, fields.cookies]).toEqual([
      false,
      false,
      -1,
      0,
    ]);
  });

  test("host in place of :authority", () => {
    expect(request([...GET.slice(0, 3), ["host", "example.org:8080"]])).toBeUndefined();
    expect(fields.authority).toBe(-1);
  });

  test("paths and authorities", () => {
    for (const path of ["/", "/a%20b?c=d&e", "//x", "/*", "/a:b@c;d"]) expect(request(withPath(path))).toBeUndefined();
    expect(request(withPath("*", "OPTIONS"))).toBeUndefined();
    for (const authority of ["a", "a:80", "[::1]", "[::1]:8443", "192.0.2.1:1"])
      expect(request(withAuthority(authority))).toBeUndefined();
  });

  test("names that HTTP/1.1 would read as others are told by their id", () => {
    const list = listOf([...GET, ["content_length", "x"], ["transfer_encoding", "chunked"]]);
    expect(inspectRequest(list, fields, false)).toBeUndefined();
    expect([list.id(4), fields.contentLength]).toEqual([HEADER.contentLength | ALIAS, -1]);
  });
});

describe("requests that are malformed", () => {
  const add = (...pairs: Pair[]): Pair[] => [...GET, ...pairs];
  const cases: [what: string, pairs: Pair[], problem: FieldProblem][] = [
    ["no fields", [], "a pseudo-header is missing"],
    ["no :method", GET.slice(1), "a pseudo-header is missing"],
    ["no :scheme", GET.filter(([name]) => name !== ":scheme"), "a pseudo-header is missing"],
    ["no :path", GET.filter(([name]) => name !== ":path"), "a pseudo-header is missing"],
    ["neither :authority nor host", GET.slice(0, 3), "a pseudo-header is missing"],
    ["two :path", [...GET, [":path", "/"]], "a pseudo-header is there twice"],
    ["two :method", [...GET, [":method", "GET"]], "a pseudo-header is there twice"],
    ["two :scheme", [...GET, [":scheme", "https"]], "a pseudo-header is there twice"],
    ["two :authority", [...GET, [":authority", "example.org"]], "a pseudo-header is there twice"],
    ["a pseudo-header behind a field", [["a", "b"], ...GET], "a pseudo-header stands behind a field"],
    ["one between fields", [...GET.slice(1), ["a", "b"], [":method", "GET"]], "a pseudo-header stands behind a field"],
    ["an unknown pseudo-header", [...GET, [":foo", "x"]], "a pseudo-header does not belong here"],
    [":status", [...GET, [":status", "200"]], "a pseudo-header does not belong here"],
    [
      ":protocol without extended CONNECT",
      [...GET, [":protocol", "websocket"]],
      "a pseudo-header does not belong here",
    ],
    ["a name in upper case", add(["Accept", "x"]), "a field name is not valid"],
    ["a pseudo-header in upper case", [[":Method", "GET"], ...GET.slice(1)], "a field name is not valid"],
    ["an empty name", add(["", "x"]), "a field name is not valid"],
    ["a colon alone", [[":", "x"], ...GET], "a pseudo-header does not belong here"],
    ["a colon in a name", add(["a:b", "x"]), "a field name is not valid"],
    ["a space in a name", add(["a b", "x"]), "a field name is not valid"],
    ["a line break in a name", add(["a\r\nb", "x"]), "a field name is not valid"],
    ["a byte above 0x7f in a name", add(["a\xe9", "x"]), "a field name is not valid"],
    ["NUL in a value", add(["a", "b\0c"]), "a field value is not valid"],
    ["a line break in a value", add(["a", "b\r\nx: y"]), "a field value is not valid"],
    ["LF in a pseudo-header", withPath("/\nx"), "a field value is not valid"],
    ["a space before a value", add(["a", " b"]), "a field value is not valid"],
    ["a tab behind a value", add(["a", "b\t"]), "a field value is not valid"],
    ["te: gzip", add(["te", "gzip"]), "te allows nothing but trailers"],
    ["te twice", add(["te", "trailers"], ["te", "trailers"]), "te allows nothing but trailers"],
    ["content-length with a sign", add(["content-length", "+1"]), "content-length is not valid"],
    ["content-length empty", add(["content-length", ""]), "content-length is not valid"],
    ["content-length as a list", add(["content-length", "1, 1"]), "content-length is not valid"],
    ["content-length of 16 digits", add(["content-length", "1000000000000000"]), "content-length is not valid"],
    ["content-length twice", add(["content-length", "1"], ["content-length", "1"]), "content-length is not valid"],
    ["host twice", add(["host", "example.org"], ["host", "example.org"]), "host is there twice"],
    ["host with user information", add(["host", "me@example.org"]), "host is not valid"],
    ["host of another name", add(["host", "example.com"]), "host and :authority differ"],
    ["host with another port", add(["host", "example.org:443"]), "host and :authority differ"],
    ["a method that is no token", [[":method", "GE T"], ...GET.slice(1)], ":method is not valid"],
    ["an empty method", [[":method", ""], ...GET.slice(1)], ":method is not valid"],
    ["a scheme that is none", [...GET.slice(2), [":method", "GET"], [":scheme", "x://"]], ":scheme is not valid"],
    ["a scheme in upper case", [...GET.slice(2), [":method", "GET"], [":scheme", "HTTP"]], ":scheme is not valid"],
    ...["", "a", "http://a/", "*", "/a b", "/a#b", "/\xe9"].map((path): [string, Pair[], FieldProblem] => [
      `:path "${path}"`,
      withPath(path),
      ":path is not valid",
    ]),
    ["* with a path", withPath("*a", "OPTIONS"), ":path is not valid"],
    ...["", "a@b", "a/b", "a:b", ":80", "a b", "[::1"].map((authority): [string, Pair[], FieldProblem] => [
      `:authority "${authority}"`,
      withAuthority(authority),
      ":authority is not valid",
    ]),
  ];
  for (const name of ["connection", "proxy-connection", "keep-alive", "transfer-encoding", "upgrade", "http2-settings"])
    cases.push([name, add([name, "x"]), "a connection-specific field is not allowed"]);
  for (const [what, pairs, problem] of cases) test(what, () => expect(request(pairs)).toBe(problem));
});

describe("CONNECT", () => {
  const connect: Pair[] = [
    [":method", "CONNECT"],
    [":authority", "example.org:443"],
  ];
  const extended: Pair[] = [
    [":method", "CONNECT"],
    [":protocol", "websocket"],
    [":scheme", "https"],
    [":path", "/chat"],
    [":authority", "example.org"],
  ];

  test("has :method and :authority, and nothing else", () => {
    expect(request(connect)).toBeUndefined();
    expect(fields.isConnect).toBe(true);
    expect(request([...connect, [":path", "/"]])).toBe("a pseudo-header does not belong here");
    expect(request([...connect, [":scheme", "https"]])).toBe("a pseudo-header does not belong here");
    expect(request(connect.slice(0, 1))).toBe("a pseudo-header is missing");
    expect(
      request([
        [":method", "CONNECT"],
        ["host", "example.org:443"],
      ]),
    ).toBe("a pseudo-header is missing");
    expect(request([...connect, ["content-length", "0"]])).toBe("content-length is not valid");
  });

  test("extended (RFC 8441) has all of them, and only when it was offered", () => {
    expect(request(extended, true)).toBeUndefined();
    expect([fields.protocol, fields.isConnect]).toEqual([1, true]);
    expect(request(extended, false)).toBe("a pseudo-header does not belong here");
    for (const missing of [":scheme", ":path", ":authority"])
      expect(
        request(
          extended.filter(([name]) => name !== missing),
          true,
        ),
      ).toBe("a pseudo-header is missing");
    expect(request([...GET, [":protocol", "websocket"]], true)).toBe("a pseudo-header does not belong here");
    expect(request([...extended, [":protocol", "x"]], true)).toBe("a pseudo-header is there twice");
    expect(
      request(
        extended.map(([name, value]) => [name, name === ":protocol" ? "a b" : value]),
        true,
      ),
    ).toBe(":protocol is not valid");
    expect(request(connect, true)).toBeUndefined();
  });
});

describe("responses", () => {
  const inspect = (...pairs: Pair[]): FieldProblem | undefined => inspectResponse(listOf(pairs), response);

  test("that are fine", () => {
    expect(inspect([":status", "200"], ["content-length", "5"], ["server", "x"])).toBeUndefined();
    expect([response.status, response.contentLength]).toEqual([200, 5]);
    expect(inspect([":status", "103"], ["link", "</a>"])).toBeUndefined();
    expect([response.status, response.contentLength]).toEqual([103, -1]);
  });

  test("that are malformed", () => {
    expect(inspect()).toBe("a pseudo-header is missing");
    expect(inspect(["server", "x"])).toBe("a pseudo-header is missing");
    expect(inspect([":status", "200"], [":status", "200"])).toBe("a pseudo-header is there twice");
    expect(inspect(["a", "b"], [":status", "200"])).toBe("a pseudo-header stands behind a field");
    expect(inspect([":status", "200"], [":path", "/"])).toBe("a pseudo-header does not belong here");
    expect(inspect([":method", "GET"], [":status", "200"])).toBe("a pseudo-header does not belong here");
    for (const status of ["", "20", "2000", "0200", "600", "099", "2x0", "+20", "101"])
      expect(inspect([":status", status])).toBe(":status is not valid");
    for (const name of ["connection", "transfer-encoding", "upgrade", "keep-alive", "proxy-connection", "te"])
      expect(inspect([":status", "200"], [name, "trailers"])).toBe("a connection-specific field is not allowed");
    expect(inspect([":status", "200"], ["content-length", "1x"])).toBe("content-length is not valid");
    expect(inspect([":status", "200"], ["content-length", "1"], ["content-length", "1"])).toBe(
      "content-length is not valid",
    );
    expect(inspect([":status", "200"], ["Server", "x"])).toBe("a field name is not valid");
    expect(inspect([":status", "200"], ["server", "x\r\ny: z"])).toBe("a field value is not valid");
  });
});

test("trailers", () => {
  const inspect = (...pairs: Pair[]): FieldProblem | undefined => inspectTrailers(listOf(pairs));
  expect(inspect()).toBeUndefined();
  expect(inspect(["grpc-status", "0"], ["grpc-message", ""])).toBeUndefined();
  expect(inspect([":status", "200"])).toBe("a pseudo-header does not belong here");
  expect(inspect(["a", "b"], [":path", "/"])).toBe("a pseudo-header does not belong here");
  expect(inspect(["connection", "close"])).toBe("a connection-specific field is not allowed");
  expect(inspect(["X", "y"])).toBe("a field name is not valid");
  expect(inspect(["x", "y\n"])).toBe("a field value is not valid");
  for (const name of ["content-length", "host", "set-cookie", "authorization", "trailer", "te", "content_length"])
    expect(inspect([name, "1"])).toBe("a field is not allowed in trailers");
});

test("ids of pseudo-headers and cookie", () => {
  const list = listOf([...GET, [":protocol", "x"], [":status", "1"], [":x", "y"], ["cookie", "a"], ["cookie2", "a"]]);
  expect(Array.from({ length: list.count }, (_, field) => list.id(field))).toEqual([
    ...[FIELD.method, FIELD.scheme, FIELD.path, FIELD.authority, FIELD.protocol, FIELD.status, FIELD.unknownPseudo],
    ...[FIELD.cookie, FIELD.other],
  ]);
});
