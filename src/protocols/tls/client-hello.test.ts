import { expect, test } from "bun:test";
import fc from "fast-check";
import { changed, errorOf, everySplit, parsed } from "../../../test/support/every-split.ts";
import { MORE } from "../outcome.ts";
import { type ClientHello, PLAIN_TEXT, parseClientHello } from "./client-hello.ts";

const parse = (bytes: Buffer) => everySplit(parseClientHello, bytes);
const helloOf = (bytes: Buffer): ClientHello => parsed(parse(bytes));

/** Bytes behind their length, which takes `size` bytes. */
function sized(size: 1 | 2 | 3, ...parts: readonly (Buffer | string)[]): Buffer {
  const content = Buffer.concat(parts.map((part) => (typeof part === "string" ? Buffer.from(part, "latin1") : part)));
  const length = Buffer.alloc(size);
  length.writeUIntBE(content.length, 0, size);
  return Buffer.concat([length, content]);
}

function extension(type: number, content: Buffer): Buffer {
  return Buffer.concat([Buffer.from([type >>> 8, type & 0xff]), sized(2, content)]);
}

const nameExtension = (name: string): Buffer =>
  extension(0, sized(2, Buffer.concat([Buffer.from([0]), sized(2, name)])));
const alpnExtension = (...names: string[]): Buffer => extension(16, sized(2, ...names.map((name) => sized(1, name))));
const versionsExtension = (hex: string): Buffer => extension(43, sized(1, Buffer.from(hex, "hex")));

interface Parts {
  readonly version?: string;
  readonly sessionId?: Buffer;
  readonly suites?: Buffer;
  readonly compressions?: Buffer;
  readonly extensions?: readonly Buffer[] | undefined;
  readonly behind?: Buffer;
}

/** The message without its records. */
function message(parts: Parts = {}): Buffer {
  const { version = "0303", sessionId = Buffer.alloc(32, 1), suites = Buffer.from("13011302", "hex") } = parts;
  const { compressions = Buffer.from([0]), behind = Buffer.alloc(0) } = parts;
  const extensions = "extensions" in parts ? parts.extensions : [nameExtension("example.test")];
  const body = Buffer.concat([
    Buffer.from(version, "hex"),
    Buffer.alloc(32, 0x5a),
    sized(1, sessionId),
    sized(2, suites),
    sized(1, compressions),
    extensions === undefined ? Buffer.alloc(0) : sized(2, ...extensions),
    behind,
  ]);
  return Buffer.concat([Buffer.from([1]), sized(3, body)]);
}

/** Cuts a message into records of at most `size` bytes. */
function records(bytes: Buffer, size = 16_384): Buffer {
  const parts: Buffer[] = [];
  for (let at = 0; at < bytes.length; at += size)
    parts.push(Buffer.from([22, 3, 1]), sized(2, bytes.subarray(at, at + size)));
  return Buffer.concat(parts);
}

const hello = (extensions: readonly Buffer[]): Buffer => records(message({ extensions }));

test("name, protocols and versions are read", () => {
  const bytes = hello([
    extension(0x2a2a, Buffer.alloc(0)),
    nameExtension("WWW.Example.Test"),
    extension(10, sized(2, Buffer.from("001d0017", "hex"))),
    alpnExtension("\x1a\x1a", "h2", "http/1.1"),
    versionsExtension("7a7a03040303"),
    extension(0xfafa, Buffer.from([0])),
  ]);
  expect(helloOf(bytes)).toEqual({
    serverName: "www.example.test",
    alpn: ["h2", "http/1.1"],
    versions: [0x0304, 0x0303],
    legacyVersion: 0x0303,
    length: bytes.length,
  });
});

test("what a client left out is empty", () => {
  const nothing = { serverName: "", alpn: [], versions: [] };
  expect(helloOf(records(message({ extensions: undefined, version: "0301" })))).toMatchObject({
    ...nothing,
    legacyVersion: 0x0301,
  });
  expect(helloOf(hello([]))).toMatchObject({ ...nothing, legacyVersion: 0x0303 });
  expect(helloOf(records(message({ sessionId: Buffer.alloc(0) }))).serverName).toBe("example.test");
});

test("a message may be cut into records anywhere, its header included", () => {
  const whole = message({ extensions: [alpnExtension("h2"), nameExtension("cut.test")] });
  for (const size of [1, 2, 3, 4, 5, 7, 50, whole.length - 1, whole.length]) {
    const bytes = records(whole, size);
    expect(helloOf(bytes)).toMatchObject({ serverName: "cut.test", alpn: ["h2"], length: bytes.length });
  }
});

test("a hello of post-quantum size takes several records", () => {
  const keyShare = extension(51, sized(2, Buffer.from("11ec", "hex"), sized(2, Buffer.alloc(1_216, 9))));
  const whole = message({ extensions: [keyShare, extension(21, Buffer.alloc(30_000)), nameExtension("large.test")] });
  const bytes = records(whole, 16_384);
  for (const end of [0, 5, 16_388, 16_389, 16_390, bytes.length - 1])
    expect(parseClientHello(bytes.subarray(0, end), end)).toBe(MORE);
  expect(parseClientHello(bytes, bytes.length)).toMatchObject({ serverName: "large.test", length: bytes.length });
});

test("size and number of records are bounded", () => {
  const padded = (count: number): Buffer => message({ extensions: [extension(21, Buffer.alloc(count))] });
  const largest = records(padded(65_431));
  expect(largest.length).toBe(65_536);
  expect(errorOf(parseClientHello(largest, largest.length))).toBe("parsed");
  const larger = records(padded(65_432));
  expect(errorOf(parseClientHello(larger, larger.length))).toBe("ClientHello too long");
  expect(errorOf(parse(Buffer.from("160301000401ffffff", "hex")))).toBe("ClientHello too long");
  const crumbs = records(padded(1_100), 1);
  expect(errorOf(parseClientHello(crumbs, crumbs.length))).toBe("ClientHello in too many records");
});

test("names are checked; addresses are no names", () => {
  for (const name of ["a", "a_b.test", "xn--bcher-kva.example", "1.2.3.4.test", "a".repeat(63)])
    expect(helloOf(hello([nameExtension(name)])).serverName).toBe(name);
  for (const name of ["1.2.3.4", "::1", "2001:db8::1", "127.1", "2130706433", "1.2.3.400"])
    expect(helloOf(hello([nameExtension(name)])).serverName).toBe("");
  const long = `${"a".repeat(63)}.${"b".repeat(63)}.${"c".repeat(63)}.${"d".repeat(63)}`;
  expect(helloOf(hello([nameExtension(long)])).serverName).toBe(long);
  const bad = ["", "a\0b", "a.test\0", "a..b", ".a", "a.", "-a", "a-", "a b", "a/b", "\u00e4.test", "a:1", "[::1]"];
  for (const name of [...bad, "a".repeat(64), `${long}.e`, "*.test"]) {
    expect([name, errorOf(parse(hello([nameExtension(name)])))]).toEqual([name, "bad server name in the ClientHello"]);
  }
});

test("lists whose lengths do not add up are refused", () => {
  const raw = (type: number, hex: string): string => errorOf(parse(hello([extension(type, Buffer.from(hex, "hex"))])));
  for (const hex of [
    "",
    "00",
    "0000",
    "0003000000",
    "000500000161",
    "00040000016100",
    "00040000026161",
    "0004010001ff",
  ])
    expect([hex, raw(0, hex)]).toEqual([hex, "bad server name in the ClientHello"]);
  // Two names in one list.
  expect(raw(0, "00080000016100000162")).toBe("bad server name in the ClientHello");
  for (const hex of ["", "0000", "000100", "00020168ff", "0003026832ff", "00030368", "0003026832".slice(0, 8)])
    expect([hex, raw(16, hex)]).toEqual([hex, "bad ALPN list in the ClientHello"]);
  for (const hex of ["", "00", "0103", "03030403", "040304", "0203040303"])
    expect([hex, raw(43, hex)]).toEqual([hex, "bad version list in the ClientHello"]);
  expect(errorOf(parse(hello([nameExtension("a.test"), nameExtension("b.test")])))).toBe(
    "extension twice in the ClientHello",
  );
});

test("fields whose lengths do not add up are refused", () => {
  const wrong: Parts[] = [
    { sessionId: Buffer.alloc(33) },
    { suites: Buffer.alloc(0) },
    { suites: Buffer.alloc(3) },
    { compressions: Buffer.alloc(0) },
    { behind: Buffer.from([0]) },
    { extensions: undefined, behind: Buffer.from([0]) },
    { extensions: undefined, behind: Buffer.from("0004", "hex") },
    { extensions: [Buffer.from("000000", "hex")] },
    { extensions: [Buffer.from("00000001", "hex")] },
  ];
  for (const parts of wrong) expect(errorOf(parse(records(message(parts))))).toBe("length in the ClientHello wrong");
  for (const version of ["0203", "0404", "fefd"])
    expect(errorOf(parse(records(message({ version }))))).toBe("version of the ClientHello unknown");
  const whole = message();
  for (let length = 0; length < whole.length - 4; length++) {
    const cut = Buffer.concat([Buffer.from([1]), sized(3, whole.subarray(4, 4 + length))]);
    const result = errorOf(parse(records(cut)));
    // At one place the cut leaves a message of before there were extensions.
    expect(result).toBe(length === 2 + 32 + 33 + 6 + 2 ? "parsed" : "length in the ClientHello wrong");
  }
});

test("only a ClientHello, alone, in handshake records is one", () => {
  const good = records(message());
  const behind = records(Buffer.concat([message(), Buffer.from([0])]));
  expect(errorOf(parse(behind))).toBe("bytes behind the ClientHello in its record");
  const secondType = records(message(), 20);
  secondType[25] = 23;
  expect(errorOf(parse(secondType))).toBe("record of another type within the ClientHello");
  expect(errorOf(parse(Buffer.from("1603010000", "hex")))).toBe("bad length of a TLS record");
  expect(errorOf(parse(Buffer.from("1603014001", "hex")))).toBe("bad length of a TLS record");
  expect(errorOf(parse(Buffer.from("1602010010", "hex")))).toBe("not TLS");
  const serverHello = Buffer.from(good);
  serverHello[5] = 2;
  expect(errorOf(parse(serverHello))).toBe("handshake message other than a ClientHello");
  // What comes behind in a record of its own is not ours to judge.
  expect(parseClientHello(Buffer.concat([good, good]), good.length * 2)).toMatchObject({ length: good.length });
});

test("what is not TLS is told apart", () => {
  for (const text of ["GET / HTTP/1.1\r\n", "OPTIONS * HTTP/1.1\r\n", "PRI * HTTP/2.0\r\n", "VERSION-CONTROL"]) {
    const expected = text.startsWith("VERSION") ? "not TLS" : PLAIN_TEXT.error;
    expect([text, errorOf(parse(Buffer.from(text)))]).toEqual([text, expected]);
  }
  expect(parseClientHello(Buffer.from("GET / HTTP/1.1\r\n"), 16)).toBe(PLAIN_TEXT);
  expect(errorOf(parse(Buffer.from("GE")))).toBe("more");
  expect(errorOf(parse(Buffer.from("A".repeat(40))))).toBe("not TLS");
  for (const hex of ["00", "20", "61", "170303", "0d0a", "80ff02", "ffffff"])
    expect([hex, errorOf(parse(Buffer.from(hex, "hex")))]).toEqual([hex, "not TLS"]);
  expect(errorOf(parse(Buffer.from("15030100020228", "hex")))).toBe("TLS alert instead of a ClientHello");
  expect(errorOf(parse(Buffer.from("802e0100020015000000", "hex")))).toBe("SSLv2 hello");
});

test("no bytes make it throw or answer by how they were split", () => {
  const beginnings = fc.constantFrom("", "16", "160301", "1603010020", "160301002001", "16030100200100001c0303", "47");
  const bytes = fc
    .tuple(beginnings, fc.uint8Array({ maxLength: 120 }))
    .map(([hex, rest]) => Buffer.concat([Buffer.from(hex, "hex"), rest]));
  fc.assert(
    fc.property(bytes, (input) => void parse(input)),
    { numRuns: 1_000 },
  );
});

test("no change to a good hello makes it throw or answer by how it was split", () => {
  const whole = message({
    extensions: [nameExtension("a.test"), alpnExtension("h2", "http/1.1"), versionsExtension("03040303")],
  });
  const good = [records(whole), records(whole, 40), records(whole, 3)];
  fc.assert(
    fc.property(changed(good), (bytes) => void parse(bytes)),
    { numRuns: 500 },
  );
});

test("what is built from any name and protocols is read back, however it is cut into records", () => {
  const label = fc.stringMatching(/^[a-z]([a-z0-9-]{0,10}[a-z0-9])?$/);
  const name = fc.array(label, { minLength: 1, maxLength: 5 }).map((labels) => labels.join("."));
  // Two of the letters are among the values that stand for nothing (RFC 8701).
  const protocol = fc.stringMatching(/^[a-z0-9./-]{1,20}$/).filter((text) => !["jj", "zz"].includes(text));
  const protocols = fc.array(protocol, { minLength: 1, maxLength: 5 });
  fc.assert(
    fc.property(name, protocols, fc.integer({ min: 1, max: 300 }), (serverName, alpn, size) => {
      const bytes = records(message({ extensions: [alpnExtension(...alpn), nameExtension(serverName)] }), size);
      expect(parseClientHello(bytes, bytes.length)).toMatchObject({ serverName, alpn, length: bytes.length });
    }),
    { numRuns: 500 },
  );
});
