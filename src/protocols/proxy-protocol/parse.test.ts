import { expect, test } from "bun:test";
import fc from "fast-check";
import { type Malformed, MORE } from "../outcome.ts";
import { crc32c } from "./crc32c.ts";
import type { ProxyHeader } from "./header.ts";
import { parseProxyHeader } from "./parse.ts";

const BOTH = { v1: true, v2: true };
const SIGNATURE = "0d0a0d0a000d0a515549540a";

/**
 * Parses every beginning of `bytes`, each as a buffer of its own so that reading past the end throws. The first verdict
 * must be kept by all longer ones, whatever follows.
 */
function parse(bytes: Buffer, accepts = BOTH, maxBytes?: number): ReturnType<typeof parseProxyHeader> {
  let verdict: ReturnType<typeof parseProxyHeader> = MORE;
  for (let end = 0; end <= bytes.length; end++) {
    const result = parseProxyHeader(Buffer.from(bytes.subarray(0, end)), end, accepts, maxBytes);
    if (verdict !== MORE) expect(result).toEqual(verdict);
    if (verdict === MORE && result !== MORE && !("error" in result)) expect(result.length).toBe(end);
    verdict = result;
  }
  expect(parseProxyHeader(Buffer.concat([bytes, Buffer.alloc(64, 0x51)]), bytes.length, accepts, maxBytes)).toEqual(
    verdict,
  );
  return verdict;
}

function header(bytes: Buffer | string, maxBytes?: number): ProxyHeader {
  const result = parse(typeof bytes === "string" ? Buffer.from(bytes, "latin1") : bytes, BOTH, maxBytes);
  if (result === MORE || "error" in result) throw new Error(`not parsed: ${JSON.stringify(result)}`);
  return result;
}

function errorOf(bytes: Buffer | string, accepts = BOTH, maxBytes?: number): string {
  const result = parse(typeof bytes === "string" ? Buffer.from(bytes, "latin1") : bytes, accepts, maxBytes);
  if (result === MORE) return "more";
  return (result as Malformed).error ?? "parsed";
}

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

test("version 1 tells both ends", () => {
  const line = "PROXY TCP4 192.168.0.1 192.168.0.11 56324 443\r\n";
  expect(header(line)).toEqual({
    version: 1,
    command: "proxy",
    family: "ipv4",
    transport: "stream",
    addresses: { sourceIp: "192.168.0.1", sourcePort: 56_324, destinationIp: "192.168.0.11", destinationPort: 443 },
    tlvs: [],
    alpn: "",
    authority: "",
    uniqueId: undefined,
    networkNamespace: "",
    ssl: undefined,
    length: line.length,
  });
  expect(header("PROXY TCP4 0.0.0.0 255.255.255.255 0 65535\r\n").length).toBe(44);
});

test("version 1 gives IPv6 addresses their canonical text", () => {
  const full = "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff";
  expect(header(`PROXY TCP6 ${full} ${full} 65535 65535\r\n`).length).toBe(104);
  expect(header("PROXY TCP6 2001:DB8:0:0:0:0:0:1 ::1 1 2\r\n").addresses).toEqual({
    sourceIp: "2001:db8::1",
    sourcePort: 1,
    destinationIp: "::1",
    destinationPort: 2,
  });
  const mapped = header("PROXY TCP6 ::ffff:192.0.2.1 ::FFFF:c633:6402 1 2\r\n");
  expect(mapped.family).toBe("ipv6");
  expect(mapped.addresses?.sourceIp).toBe("192.0.2.1");
  expect(mapped.addresses?.destinationIp).toBe("198.51.100.2");
});

test("version 1 UNKNOWN keeps the connection's own addresses, whatever follows it", () => {
  const full = "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff";
  for (const rest of ["", " ", " anything at  all", ` ${full} ${full} 65535 65535`, " \0\u00ff"]) {
    const parsed = header(`PROXY UNKNOWN${rest}\r\n`);
    expect(parsed.addresses).toBeUndefined();
    expect(parsed.family).toBe("unspecified");
    expect(parsed.length).toBe(15 + rest.length);
  }
});

test("version 1 is held to its grammar", () => {
  const errors: Record<string, string> = {
    "PROXY TCP4 1.2.3.4 5.6.7.8 1 2\n": "line feed without carriage return in the PROXY line",
    "PROXY TCP4 1.2.3.4 5.6.7.8 1 2\rX": "carriage return without line feed in the PROXY line",
    "PROXY UNKNOWN \rX\r\n": "carriage return without line feed in the PROXY line",
    "PROXY UNKNOWN \n\r\n": "line feed without carriage return in the PROXY line",
    "PROXY UNKNOWNS\r\n": "unknown protocol in the PROXY line",
    "PROXY unknown\r\n": "unknown protocol in the PROXY line",
    "PROXY TCP5 1.2.3.4 5.6.7.8 1 2\r\n": "unknown protocol in the PROXY line",
    "PROXY UDP4 1.2.3.4 5.6.7.8 1 2\r\n": "unknown protocol in the PROXY line",
    "PROXY  TCP4 1.2.3.4 5.6.7.8 1 2\r\n": "unknown protocol in the PROXY line",
    "PROXY \r\n": "unknown protocol in the PROXY line",
    "PROXY\tTCP4 1.2.3.4 5.6.7.8 1 2\r\n": "no PROXY header",
    "proxy TCP4 1.2.3.4 5.6.7.8 1 2\r\n": "no PROXY header",
    "POST / HTTP/1.1\r\n": "no PROXY header",
    "GET / HTTP/1.1\r\n": "no PROXY header",
    "\x16\x03\x01": "no PROXY header",
    "\r\n\r\nGET / HTTP/1.1\r\n": "no PROXY header",
  };
  for (const [text, error] of Object.entries(errors)) expect([text, errorOf(text)]).toEqual([text, error]);
  for (const rest of ["1.2.3.4 5.6.7.8 1", "1.2.3.4 5.6.7.8 1 2 3", "1.2.3.4 5.6.7.8 1 2 ", "1.2.3.4", ""]) {
    expect([rest, errorOf(`PROXY TCP4 ${rest}\r\n`)]).toEqual([rest, "wrong number of words in the PROXY line"]);
  }
});

test("version 1 takes no address or port that could be read in two ways", () => {
  const addresses = [
    "01.2.3.4",
    "1.2.3",
    "1.2.3.256",
    "1.2.3.4.5",
    "0x1.2.3.4",
    "::1",
    "::ffff:1.2.3.4",
    "",
    "+1.2.3.4",
  ];
  for (const text of addresses) {
    expect([text, errorOf(`PROXY TCP4 ${text} 1.1.1.1 1 2\r\n`)]).toEqual([text, "bad address in the PROXY line"]);
    expect([text, errorOf(`PROXY TCP4 1.1.1.1 ${text} 1 2\r\n`)]).toEqual([text, "bad address in the PROXY line"]);
  }
  for (const text of ["1.2.3.4", "::g", "1::2::3", "12345::", "fe80::1%eth0", "[::1]", "1:2:3:4:5:6:7", ""]) {
    expect([text, errorOf(`PROXY TCP6 ${text} ::1 1 2\r\n`)]).toEqual([text, "bad address in the PROXY line"]);
  }
  for (const text of ["65536", "99999", "100000", "01", "00", "-1", "+1", "1e3", "0x1", "", "1\t"]) {
    expect([text, errorOf(`PROXY TCP4 1.1.1.1 2.2.2.2 ${text} 2\r\n`)]).toEqual([text, "bad port in the PROXY line"]);
    expect([text, errorOf(`PROXY TCP4 1.1.1.1 2.2.2.2 1 ${text}\r\n`)]).toEqual([text, "bad port in the PROXY line"]);
  }
});

test("version 1 ends within 107 bytes", () => {
  expect(header(`PROXY UNKNOWN ${"x".repeat(91)}\r\n`).length).toBe(107);
  expect(errorOf(`PROXY UNKNOWN ${"x".repeat(92)}\r\n`)).toBe("PROXY line longer than 107 bytes");
  expect(errorOf(`PROXY UNKNOWN ${"x".repeat(200)}`)).toBe("PROXY line longer than 107 bytes");
  expect(errorOf(`PROXY UNKNOWN ${"x".repeat(92)}`)).toBe("more");
});

test("a version that is not accepted is refused", () => {
  const line = Buffer.from("PROXY UNKNOWN\r\n");
  const block = binary("2000");
  expect(errorOf(line, { v1: false, v2: true })).toBe("PROXY version 1 is not accepted here");
  expect(errorOf(block, { v1: true, v2: false })).toBe("PROXY version 2 is not accepted here");
  expect(errorOf(line, { v1: true, v2: false })).toBe("parsed");
  expect(errorOf(block, { v1: false, v2: true })).toBe("parsed");
});

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
    expect(errorOf(binary(`${first}111`, IPV4))).toBe("unknown version of the PROXY header");
  for (const command of ["22", "2f"]) expect(errorOf(binary(`${command}11`, IPV4))).toBe("unknown PROXY command");
  for (const family of ["41", "f1", "13", "1f", "10", "01", "33", "30", "20"])
    expect(errorOf(binary(`21${family}`, Buffer.alloc(216)))).toBe(
      "unknown address family or transport in the PROXY header",
    );
});

test("version 2 is refused by its length before it is waited for", () => {
  expect(errorOf(binary("2111", IPV4.slice(2)))).toBe("PROXY header too short for its addresses");
  expect(errorOf(binary("2121", Buffer.alloc(35)))).toBe("PROXY header too short for its addresses");
  expect(errorOf(binary("2131", Buffer.alloc(215)))).toBe("PROXY header too short for its addresses");
  expect(errorOf(Buffer.from(`${SIGNATURE}2111ffff`, "hex"))).toBe("PROXY header too long");
  expect(errorOf(Buffer.from(`${SIGNATURE}21110ff1`, "hex"))).toBe("PROXY header too long");
  expect(errorOf(Buffer.from(`${SIGNATURE}21110ff0`, "hex"))).toBe("more");
  expect(errorOf(Buffer.from(`${SIGNATURE}2000ffff`, "hex"))).toBe("PROXY header too long");
  expect(errorOf(binary("2111", IPV4, tlv(4, "")), BOTH, 30)).toBe("PROXY header too long");
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
    expect([rest, errorOf(binary("2111", IPV4, rest))]).toEqual([rest, overrun]);
  const tls = (value: string): Buffer => tlv(0x20, Buffer.from(value, "hex"));
  expect(errorOf(binary("2111", IPV4, tls("01000000")))).toBe("TLS entry of the PROXY header too short");
  for (const rest of ["21", "2100", "210001", "21000341"])
    expect([rest, errorOf(binary("2111", IPV4, tls(`0100000000${rest}`)))]).toEqual([rest, overrun]);
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
  for (const [entry, error] of errors) expect(errorOf(binary("2111", IPV4, entry))).toBe(error);
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
      expect([broken, errorOf(copy)]).toEqual([broken, "wrong checksum of the PROXY header"]);
    }
  }
});

test("no bytes make it throw or answer by how they were split", () => {
  const anything = fc.uint8Array({ maxLength: 160 });
  const beginnings = fc.constantFrom("", "PROXY ", "PROXY TCP4 1.2.3.4 ", "PROXY UNKNOWN", "\r\n\r\n\0\r\nQUIT\n");
  const block = fc
    .tuple(fc.constantFrom("2111", "2121", "2100", "2131", "2000"), fc.uint8Array({ maxLength: 260 }))
    .map(([kind, rest]) => binary(kind, Buffer.from(rest)));
  const prefixed = fc
    .tuple(beginnings, anything)
    .map(([beginning, rest]) => Buffer.concat([Buffer.from(beginning, "latin1"), rest]));
  fc.assert(
    fc.property(fc.oneof(prefixed, block), (bytes) => void parse(bytes)),
    { numRuns: 1_000 },
  );
});

test("no change to a good header makes it throw or answer by how it was split", () => {
  const tls = tlv(0x20, Buffer.concat([Buffer.from("0100000000", "hex"), tlv(0x21, "TLSv1.3"), tlv(0x22, "me")]));
  const good = [
    Buffer.from("PROXY TCP4 192.168.0.1 192.168.0.11 56324 443\r\nGET"),
    Buffer.from("PROXY TCP6 2001:db8::1 ::ffff:1.2.3.4 56324 443\r\nGET"),
    binary("2111", IPV4, tlv(1, "h2"), tlv(2, "a.test"), tls, tlv(5, "id"), tlv(4, "")),
  ];
  const change = fc.record({
    at: fc.nat(200),
    byte: fc.oneof(fc.nat(255), fc.constantFrom(0, 1, 0x0a, 0x0d, 0x20, 0x30, 0xff)),
    how: fc.constantFrom("set", "insert", "delete", "cut"),
  });
  fc.assert(
    fc.property(fc.constantFrom(...good), fc.array(change, { minLength: 1, maxLength: 4 }), (start, changes) => {
      let bytes = [...start];
      for (const { at, byte, how } of changes) {
        const place = at % (bytes.length + 1);
        if (how === "set") bytes[Math.min(place, bytes.length - 1)] = byte;
        else if (how === "cut") bytes = bytes.slice(0, Math.max(1, place));
        else bytes.splice(place, how === "delete" ? 1 : 0, ...(how === "delete" ? [] : [byte]));
      }
      parse(Buffer.from(bytes));
    }),
    { numRuns: 1_000 },
  );
});
