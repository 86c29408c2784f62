import { expect, test } from "bun:test";
import fc from "fast-check";
import { formatIp, parseIp } from "../../base/ip.ts";
import type { ProxyAddresses, ProxyHeader, ProxyTlv } from "./header.ts";
import { parseProxyHeader } from "./parse.ts";
import { type HeaderTarget, type OutgoingHeader, writeProxyHeaderV1, writeProxyHeaderV2 } from "./write.ts";

const ADDRESSES: ProxyAddresses = {
  sourceIp: "192.0.2.1",
  sourcePort: 56_324,
  destinationIp: "198.51.100.2",
  destinationPort: 443,
};

/** Grows to just what is asked for, and moves each time. */
class Target implements HeaderTarget {
  bytes = Buffer.alloc(0);
  length = 0;

  reserve(count: number): void {
    const larger = Buffer.alloc(this.length + count, 0xee);
    this.bytes.copy(larger, 0, 0, this.length);
    this.bytes = larger;
  }
}

function line(addresses: ProxyAddresses | undefined): string {
  const writer = new Target();
  expect(writeProxyHeaderV1(writer, addresses)).toBe(true);
  return writer.bytes.toString("latin1", 0, writer.length);
}

function block(header: OutgoingHeader): Buffer {
  const writer = new Target();
  expect(writeProxyHeaderV2(writer, header)).toBe(true);
  return Buffer.from(writer.bytes.subarray(0, writer.length));
}

function readBack(bytes: Buffer, maxBytes = 65_551): ProxyHeader {
  const parsed = parseProxyHeader(bytes, bytes.length, { v1: true, v2: true }, maxBytes);
  if (parsed === 0 || "error" in parsed) throw new Error(`refused: ${JSON.stringify(parsed)}`);
  expect(parsed.length).toBe(bytes.length);
  return parsed;
}

test("version 1 is one line", () => {
  expect(line(ADDRESSES)).toBe("PROXY TCP4 192.0.2.1 198.51.100.2 56324 443\r\n");
  expect(line({ ...ADDRESSES, sourceIp: "2001:DB8:0::1", destinationIp: "::1" })).toBe(
    "PROXY TCP6 2001:db8::1 ::1 56324 443\r\n",
  );
  expect(line(undefined)).toBe("PROXY UNKNOWN\r\n");
});

test("two families become IPv6", () => {
  const mixed = { ...ADDRESSES, destinationIp: "2001:db8::2" };
  expect(line(mixed)).toBe("PROXY TCP6 ::ffff:192.0.2.1 2001:db8::2 56324 443\r\n");
  expect(readBack(block({ addresses: mixed }))).toMatchObject({ family: "ipv6", addresses: mixed });
});

test("version 2 to the byte", () => {
  expect(block({ addresses: ADDRESSES }).toString("hex")).toBe(
    "0d0a0d0a000d0a515549540a2111000cc0000201c6336402dc0401bb",
  );
  expect(block({ addresses: undefined }).toString("hex")).toBe("0d0a0d0a000d0a515549540a20000000");
  expect(block({ addresses: ADDRESSES, transport: "datagram", authority: "a" }).toString("hex")).toBe(
    "0d0a0d0a000d0a515549540a21120010c0000201c6336402dc0401bb02000161",
  );
});

test("a header goes behind what is there already, and its checksum is of itself alone", () => {
  const writer = new Target();
  writer.reserve(6);
  writer.length = writer.bytes.write("before");
  expect(writeProxyHeaderV2(writer, { addresses: ADDRESSES, checksum: true, alpn: "h2" })).toBe(true);
  expect(writer.bytes.toString("latin1", 0, 6)).toBe("before");
  expect(readBack(Buffer.from(writer.bytes.subarray(6, writer.length))).alpn).toBe("h2");
});

test("entries received are passed on, but not padding, the old checksum, and what is said anew", () => {
  const received: ProxyTlv[] = [
    { type: 0x04, value: Buffer.from("padding") },
    { type: 0x02, value: Buffer.from("old.test") },
    { type: 0x20, value: Buffer.from("0100000000210007544c5376312e33", "hex") },
    { type: 0x03, value: Buffer.from("01020304", "hex") },
    { type: 0xe0, value: Buffer.from("custom") },
    { type: 0xe0, value: Buffer.from("custom again") },
  ];
  const parsed = readBack(block({ addresses: ADDRESSES, received, authority: "new.test", checksum: true }));
  expect(parsed.authority).toBe("new.test");
  expect(parsed.ssl?.version).toBe("TLSv1.3");
  expect(parsed.tlvs.map(({ type }) => type)).toEqual([0x02, 0x20, 0xe0, 0xe0, 0x03]);
  expect(readBack(block({ addresses: ADDRESSES, received })).authority).toBe("old.test");
});

test("what cannot be said is refused, and nothing is written", () => {
  const writer = new Target();
  const bad: Partial<ProxyAddresses>[] = [
    { sourceIp: "" },
    { sourceIp: "name.test" },
    { destinationIp: "fe80::1%eth0" },
    { sourcePort: -1 },
    { sourcePort: 1.5 },
    { destinationPort: 65_536 },
    { destinationPort: Number.NaN },
  ];
  for (const part of bad) {
    expect(writeProxyHeaderV1(writer, { ...ADDRESSES, ...part })).toBe(false);
    expect(writeProxyHeaderV2(writer, { addresses: { ...ADDRESSES, ...part } })).toBe(false);
  }
  const tooMuch: Partial<OutgoingHeader>[] = [
    { alpn: "" },
    { alpn: "x".repeat(256) },
    { authority: "\u00e4".repeat(128) },
    { uniqueId: Buffer.alloc(129) },
    { received: [{ type: 0xe0, value: Buffer.alloc(65_521) }] },
  ];
  for (const part of tooMuch) expect(writeProxyHeaderV2(writer, { addresses: ADDRESSES, ...part })).toBe(false);
  expect(writer.length).toBe(0);
  const largest = [{ type: 0xe0, value: Buffer.alloc(65_520) }];
  expect(readBack(block({ addresses: ADDRESSES, received: largest })).length).toBe(65_551);
});

test("what is written is read back the same", () => {
  const ip = fc.oneof(fc.ipV4(), fc.ipV6()).map((text) => formatIp(parseIp(text) as readonly number[]));
  const port = fc.nat(65_535);
  const addresses = fc.record({ sourceIp: ip, sourcePort: port, destinationIp: ip, destinationPort: port });
  const bytes = (maxLength: number) => fc.uint8Array({ minLength: 1, maxLength }).map((values) => Buffer.from(values));
  const header = fc.record({
    addresses,
    transport: fc.constantFrom("stream" as const, "datagram" as const),
    alpn: bytes(255).map((value) => value.toString("latin1")),
    authority: fc.stringMatching(/^[a-z0-9.-]{1,255}$/),
    uniqueId: bytes(128),
    checksum: fc.boolean(),
  });
  fc.assert(
    fc.property(header, (outgoing) => {
      const { checksum: _, ...expected } = outgoing;
      expect(readBack(block(outgoing))).toMatchObject({ ...expected, version: 2, command: "proxy" });
      expect(readBack(Buffer.from(line(outgoing.addresses), "latin1")).addresses).toEqual(outgoing.addresses);
    }),
    { numRuns: 500 },
  );
});
