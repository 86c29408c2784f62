import { expect, test } from "bun:test";
import fc from "fast-check";
import { changed, errorOf, everySplit, parsed } from "../../../test/support/every-split.ts";
import { crc32c } from "./crc32c.ts";
import type { ProxyHeader } from "./header.ts";
import { parseProxyHeader } from "./parse.ts";

const BOTH = { v1: true, v2: true };
const SIGNATURE = "0d0a0d0a000d0a515549540a";

function parse(bytes: Buffer, maxBytes?: number): ReturnType<typeof parseProxyHeader> {
  return everySplit((beginning, end) => parseProxyHeader(beginning, end, BOTH, maxBytes), bytes);
}

const header = (bytes: Buffer, maxBytes?: number): ProxyHeader => parsed(parse(bytes, maxBytes));
const refusal = (bytes: Buffer, maxBytes?: number): string => errorOf(parse(bytes, maxBytes));

function binary(commandAndFamily: string, ...parts: readonly (string | Buffer)[]): Buffer {
  const rest = Buffer.concat(parts.map((part) => (typeof part === "string" ? Buffer.from(part, "hex") : part)));
  const fixed = Buffer.from(`${SIGNATURE}${commandAndFamily}0000`, "hex");
  fixed.writeUInt16BE(rest.length, 14);
  return Buffer.concat([fixed, rest]);
}

function tlv(type: number, value: Buffer | string): Buffer {
  const bytes = Buffer.from(value);
  return Buffer.concat([Buffer.from([type, bytes.length >>> 8, bytes.length & 0xff]), bytes]);
}

const IPV4 = "c0000201c6336402dcba01bb";

test("version 2 tells both ends, of streams and datagrams", () => {
  const stream = header(binary("2111", IPV4));
  expect(stream).toMatchObject({ version: 2, command: "proxy", family: "ipv4", transport: "stream", length: 28 });
  expect(stream.addresses).toEqual({
    sourceIp: "192.0.2.1",
    sourcePort: 56_506,
    destinationIp: "198.51.100.2",
    destinationPort: 443,
  });
  expect(header(binary("2112", IPV4)).transport).toBe("datagram");
  const six = "20010db8000000000000000000000001".concat("00000000000000000000ffffc0000201", "00010002");
  const parsed = header(binary("2121", six));
  expect(parsed).toMatchObject({ family: "ipv6", transport: "stream", length: 52 });
  expect(parsed.addresses).toEqual({
    sourceIp: "2001:db8::1",
    sourcePort: 1,
    destinationIp: "192.0.2.1",
    destinationPort: 2,
  });
  expect(header(binary("2122", six)).transport).toBe("datagram");
});

test("version 2 keeps the connection's own addresses where it brings none that could be used", () => {
  expect(header(binary("2000"))).toMatchObject({ command: "local", family: "unspecified", length: 16 });
  // The block of LOCAL is skipped unseen, whatever it claims to be.
  for (const rest of ["11", "ff"]) {
    const local = header(binary(`20${rest}`, IPV4, "ffffff"));
    expect(local).toMatchObject({ command: "local", addresses: undefined, length: 31 });
    expect(local.tlvs).toEqual([]);
  }
  expect(header(binary("2100", tlv(2, "a.test")))).toMatchObject({ command: "proxy", authority: "a.test" });
  const unix = header(binary("2131", Buffer.alloc(216, 0x2f), tlv(2, "b.test")));
  expect(unix).toMatchObject({ family: "unix", transport: "stream", addresses: undefined, authority: "b.test" });
  expect(header(binary("2132", Buffer.alloc(216))).transport).toBe("datagram");
});

test("version 2 has no other versions, commands, families and transports", () => {
  for (const first of ["1", "3", "0", "f"])
    expect(refusal(binary(`${first}111`, IPV4))).toBe("unknown version of the PROXY header");
  for (const command of ["22", "2f"]) expect(refusal(binary(`${command}11`, IPV4))).toBe("unknown PROXY command");
  for (const family of ["41", "f1", "13", "1f", "10", "01", "33", "30", "20"])
    expect(refusal(binary(`21${family}`, Buffer.alloc(216)))).toBe(
      "unknown address family or transport in the PROXY header",
    );
});

test("version 2 is refused by its length before it is waited for", () => {
  expect(refusal(binary("2111", IPV4.slice(2)))).toBe("PROXY header too short for its addresses");
  expect(refusal(binary("2121", Buffer.alloc(35)))).toBe("PROXY header too short for its addresses");
  expect(refusal(binary("2131", Buffer.alloc(215)))).toBe("PROXY header too short for its addresses");
  expect(refusal(Buffer.from(`${SIGNATURE}2111ffff`, "hex"))).toBe("PROXY header too long");
  expect(refusal(Buffer.from(`${SIGNATURE}21110ff1`, "hex"))).toBe("PROXY header too long");
  expect(refusal(Buffer.from(`${SIGNATURE}21110ff0`, "hex"))).toBe("more");
  expect(refusal(Buffer.from(`${SIGNATURE}2000ffff`, "hex"))).toBe("PROXY header too long");
  expect(refusal(binary("2111", IPV4, tlv(4, "")), 30)).toBe("PROXY header too long");
  expect(header(binary("2111", IPV4, tlv(4, "")), 31).length).toBe(31);
});

test("entries are read, and kept as they came", () => {
  const parsed = header(
    binary(
      "2111",
      IPV4,
      tlv(1, "h2"),
      tlv(4, "padding"),
      tlv(4, ""),
      tlv(2, "ex\u00e4mple.test"),
      tlv(5, Buffer.alloc(128, 7)),
      tlv(0x30, "blue"),
      tlv(0xe0, "one"),
      tlv(0xe0, "two"),
    ),
  );
  expect(parsed).toMatchObject({ alpn: "h2", authority: "ex\u00e4mple.test", networkNamespace: "blue" });
  expect(parsed.uniqueId).toEqual(Buffer.alloc(128, 7));
  expect(parsed.tlvs.map(({ type }) => type)).toEqual([1, 4, 4, 2, 5, 0x30, 0xe0, 0xe0]);
  expect(parsed.tlvs.slice(-2).map(({ value }) => value.toString())).toEqual(["one", "two"]);
});

test("values outlive the buffer they were parsed from", () => {
  const bytes = binary("2111", IPV4, tlv(5, "unique"));
  const parsed = parseProxyHeader(bytes, bytes.length, BOTH) as ProxyHeader;
  bytes.fill(0);
  expect(parsed.uniqueId?.toString()).toBe("unique");
});

test("what the client's TLS was like is read", () => {
  const inner = [tlv(0x21, "TLSv1.3"), tlv(0x22, "client \u00fc"), tlv(0x23, "AES"), tlv(0x24, "SHA256")];
  const value = Buffer.concat([Buffer.from("0500000001", "hex"), ...inner, tlv(0x25, "RSA2048"), tlv(0x7f, "new")]);
  expect(header(binary("2111", IPV4, tlv(0x20, value))).ssl).toEqual({
    overTls: true,
    certificateOnConnection: false,
    certificateInSession: true,
    verifyResult: 1,
    version: "TLSv1.3",
    commonName: "client \u00fc",
    cipher: "AES",
    signatureAlgorithm: "SHA256",
    keyAlgorithm: "RSA2048",
  });
  const bare = header(binary("2111", IPV4, tlv(0x20, Buffer.alloc(5)))).ssl;
  expect(bare).toMatchObject({ overTls: false, verifyResult: 0, version: "", commonName: "" });
});

test("entries whose lengths do not add up are refused", () => {
  const overrun = "PROXY entry longer than what it is in";
  for (const rest of ["04", "0400", "040001", "04000200", "04ffff00", "0400000400", "e0000101ee"])
    expect([rest, refusal(binary("2111", IPV4, rest))]).toEqual([rest, overrun]);
  const tls = (value: string): Buffer => tlv(0x20, Buffer.from(value, "hex"));
  expect(refusal(binary("2111", IPV4, tls("01000000")))).toBe("TLS entry of the PROXY header too short");
  for (const rest of ["21", "2100", "210001", "21000341"])
    expect([rest, refusal(binary("2111", IPV4, tls(`0100000000${rest}`)))]).toEqual([rest, overrun]);
});

test("entries that mean nothing, or two things, are refused", () => {
  const errors: [Buffer, string][] = [
    [tlv(1, ""), "bad ALPN in the PROXY header"],
    [tlv(1, "x".repeat(256)), "bad ALPN in the PROXY header"],
    [tlv(2, "x".repeat(256)), "bad authority in the PROXY header"],
    [tlv(2, "a\r\nb"), "bad authority in the PROXY header"],
    [tlv(2, "a\0b"), "bad authority in the PROXY header"],
    [tlv(2, Buffer.from([0xff])), "bad authority in the PROXY header"],
    [tlv(5, Buffer.alloc(129)), "unique id in the PROXY header too long"],
    [tlv(0x30, "a\nb"), "bad network namespace in the PROXY header"],
    [tlv(0x20, Buffer.concat([Buffer.alloc(5), tlv(0x22, "a\nb")])), "bad text in the TLS entry of the PROXY header"],
    [tlv(3, Buffer.alloc(3)), "wrong checksum of the PROXY header"],
    [tlv(3, Buffer.alloc(5)), "wrong checksum of the PROXY header"],
    [Buffer.concat([tlv(2, "a"), tlv(2, "a")]), "PROXY entry sent twice"],
    [Buffer.concat([tlv(3, Buffer.alloc(4)), tlv(3, Buffer.alloc(4))]), "PROXY entry sent twice"],
    [tlv(0x20, Buffer.concat([Buffer.alloc(5), tlv(0x22, "a"), tlv(0x22, "b")])), "PROXY entry sent twice"],
  ];
  for (const [entry, error] of errors) expect(refusal(binary("2111", IPV4, entry))).toBe(error);
});

test("the checksum is verified wherever it stands", () => {
  const others = [tlv(2, "a.test"), tlv(0xe1, Buffer.from([3, 0, 4]))];
  for (let place = 0; place <= others.length; place++) {
    const entries = others.toSpliced(place, 0, tlv(3, Buffer.alloc(4)));
    const bytes = binary("2111", IPV4, ...entries);
    const at = 28 + Buffer.concat(others.slice(0, place)).length + 3;
    bytes.writeUInt32BE(crc32c(bytes, 0, bytes.length), at);
    expect(header(bytes).length).toBe(bytes.length);
    for (const broken of [16, 27, at, at + 3, bytes.length - 1]) {
      const copy = Buffer.from(bytes);
      copy[broken] = (copy[broken] as number) ^ 1;
      expect([broken, refusal(copy)]).toEqual([broken, "wrong checksum of the PROXY header"]);
    }
  }
});

test("no bytes make it throw or answer by how they were split", () => {
  const kinds = fc.constantFrom("2111", "2112", "2121", "2100", "2131", "2000");
  const bytes = fc
    .tuple(kinds, fc.uint8Array({ maxLength: 260 }))
    .map(([kind, rest]) => binary(kind, Buffer.from(rest)));
  fc.assert(
    fc.property(bytes, (input) => void parse(input)),
    { numRuns: 500 },
  );
});

test("no change to a good header makes it throw or answer by how it was split", () => {
  const tls = tlv(0x20, Buffer.concat([Buffer.from("0100000000", "hex"), tlv(0x21, "TLSv1.3"), tlv(0x22, "me")]));
  const good = binary("2111", IPV4, tlv(1, "h2"), tlv(2, "a.test"), tls, tlv(5, "id"), tlv(4, ""));
  fc.assert(
    fc.property(changed([good]), (bytes) => void parse(bytes)),
    { numRuns: 1_000 },
  );
});
