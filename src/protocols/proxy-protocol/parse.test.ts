import { expect, test } from "bun:test";
import fc from "fast-check";
import { changed, errorOf, everySplit, parsed } from "../../../test/support/every-split.ts";
import type { ProxyHeader } from "./header.ts";
import { parseProxyHeader } from "./parse.ts";

const BOTH = { v1: true, v2: true };
const LOCAL_BLOCK = "\r\n\r\n\0\r\nQUIT\n\x20\0\0\0";

function parse(text: string | Buffer, accepts = BOTH): ReturnType<typeof parseProxyHeader> {
  const bytes = typeof text === "string" ? Buffer.from(text, "latin1") : text;
  return everySplit((beginning, end) => parseProxyHeader(beginning, end, accepts), bytes);
}

const header = (text: string): ProxyHeader => parsed(parse(text));
const refusal = (text: string, accepts = BOTH): string => errorOf(parse(text, accepts));

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
  for (const [text, error] of Object.entries(errors)) expect([text, refusal(text)]).toEqual([text, error]);
  for (const rest of ["1.2.3.4 5.6.7.8 1", "1.2.3.4 5.6.7.8 1 2 3", "1.2.3.4 5.6.7.8 1 2 ", "1.2.3.4", ""]) {
    expect([rest, refusal(`PROXY TCP4 ${rest}\r\n`)]).toEqual([rest, "wrong number of words in the PROXY line"]);
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
    expect([text, refusal(`PROXY TCP4 ${text} 1.1.1.1 1 2\r\n`)]).toEqual([text, "bad address in the PROXY line"]);
    expect([text, refusal(`PROXY TCP4 1.1.1.1 ${text} 1 2\r\n`)]).toEqual([text, "bad address in the PROXY line"]);
  }
  for (const text of ["1.2.3.4", "::g", "1::2::3", "12345::", "fe80::1%eth0", "[::1]", "1:2:3:4:5:6:7", ""]) {
    expect([text, refusal(`PROXY TCP6 ${text} ::1 1 2\r\n`)]).toEqual([text, "bad address in the PROXY line"]);
  }
  for (const text of ["65536", "99999", "100000", "01", "00", "-1", "+1", "1e3", "0x1", "", "1\t"]) {
    expect([text, refusal(`PROXY TCP4 1.1.1.1 2.2.2.2 ${text} 2\r\n`)]).toEqual([text, "bad port in the PROXY line"]);
    expect([text, refusal(`PROXY TCP4 1.1.1.1 2.2.2.2 1 ${text}\r\n`)]).toEqual([text, "bad port in the PROXY line"]);
  }
});

test("version 1 ends within 107 bytes", () => {
  expect(header(`PROXY UNKNOWN ${"x".repeat(91)}\r\n`).length).toBe(107);
  expect(refusal(`PROXY UNKNOWN ${"x".repeat(92)}\r\n`)).toBe("PROXY line longer than 107 bytes");
  expect(refusal(`PROXY UNKNOWN ${"x".repeat(200)}`)).toBe("PROXY line longer than 107 bytes");
  expect(refusal(`PROXY UNKNOWN ${"x".repeat(92)}`)).toBe("more");
});

test("a version that is not accepted is refused", () => {
  expect(refusal("PROXY UNKNOWN\r\n", { v1: false, v2: true })).toBe("PROXY version 1 is not accepted here");
  expect(refusal(LOCAL_BLOCK, { v1: true, v2: false })).toBe("PROXY version 2 is not accepted here");
  expect(refusal("PROXY UNKNOWN\r\n", { v1: true, v2: false })).toBe("parsed");
  expect(refusal(LOCAL_BLOCK, { v1: false, v2: true })).toBe("parsed");
});

test("no bytes make it throw or answer by how they were split", () => {
  const beginnings = fc.constantFrom("", "P", "PROXY ", "PROXY TCP4 1.2.3.4 ", "PROXY UNKNOWN", "\r\n\r\n");
  const bytes = fc
    .tuple(beginnings, fc.uint8Array({ maxLength: 120 }))
    .map(([beginning, rest]) => Buffer.concat([Buffer.from(beginning, "latin1"), rest]));
  fc.assert(
    fc.property(bytes, (input) => void parse(input)),
    { numRuns: 500 },
  );
});

test("no change to a good line makes it throw or answer by how it was split", () => {
  const good = [
    Buffer.from("PROXY TCP4 192.168.0.1 192.168.0.11 56324 443\r\nGET"),
    Buffer.from("PROXY TCP6 2001:db8::1 ::ffff:1.2.3.4 56324 443\r\nGET"),
  ];
  fc.assert(
    fc.property(changed(good), (bytes) => void parse(bytes)),
    { numRuns: 500 },
  );
});
