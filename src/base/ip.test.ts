import { expect, test } from "bun:test";
import { BlockList, isIP } from "node:net";
import fc from "fast-check";
import { formatIp, NetworkSet, parseIp, parseIpv4, parseNetwork } from "./ip.ts";

test("addresses are read strictly", () => {
  expect(parseIpv4("127.0.0.1")).toBe(0x7f000001);
  expect(parseIpv4("255.255.255.255")).toBe(0xffffffff);
  for (const text of [
    "",
    "1.2.3",
    "1.2.3.4.5",
    "1.2.3.256",
    "01.2.3.4",
    "1..2.3",
    "1.2.3.",
    " 1.2.3.4",
    "1.2.3.4 ",
    "1.2.3.+4",
  ]) {
    expect(parseIp(text)).toBeUndefined();
  }
  expect(parseIp("::1")).toEqual([0, 0, 0, 1]);
  expect(parseIp("2001:db8::8a2e:370:7334")).toEqual([0x20010db8, 0, 0x8a2e, 0x03707334]);
  expect(parseIp("::ffff:10.0.0.1")).toEqual([0x0a000001]);
  for (const text of [
    ":",
    ":::",
    "1::2::3",
    "1:2:3:4:5:6:7",
    "1:2:3:4:5:6:7:8:9",
    "::12345",
    "fe80::1%eth0",
    "::1.2.3",
    "1.2.3.4::",
  ]) {
    expect(parseIp(text)).toBeUndefined();
  }
});

test("what node accepts is accepted, and nothing else", () => {
  const texts = fc.oneof(fc.ipV4(), fc.ipV6(), fc.stringMatching(/^[0-9a-f:.]{0,20}$/));
  fc.assert(
    fc.property(texts, (text) => {
      expect(parseIp(text) !== undefined).toBe(isIP(text) !== 0);
    }),
    { numRuns: 2_000 },
  );
});

test("addresses are written in one canonical form", () => {
  const canonical: Record<string, string> = {
    "0.0.0.0": "0.0.0.0",
    "255.1.0.254": "255.1.0.254",
    "::ffff:192.0.2.1": "192.0.2.1",
    "0:0:0:0:0:0:0:0": "::",
    "::1": "::1",
    "1::": "1::",
    "2001:DB8:0:0:8:800:200C:417A": "2001:db8::8:800:200c:417a",
    "2001:db8:0:1:1:1:1:1": "2001:db8:0:1:1:1:1:1",
    "2001:0:0:1:0:0:0:1": "2001:0:0:1::1",
    "2001:db8:0:0:1:0:0:1": "2001:db8::1:0:0:1",
    "1:2:3:4:5:6:0:0": "1:2:3:4:5:6::",
  };
  for (const [text, expected] of Object.entries(canonical)) {
    expect(formatIp(parseIp(text) as readonly number[])).toBe(expected);
  }
  fc.assert(
    fc.property(fc.oneof(fc.ipV4(), fc.ipV6()), (text) => {
      const address = parseIp(text) as readonly number[];
      const formatted = formatIp(address);
      expect(parseIp(formatted)).toEqual(address);
      if (address.length === 4) expect(new URL(`http://[${formatted}]/`).hostname).toBe(`[${formatted}]`);
    }),
    { numRuns: 1_000 },
  );
});

test("networks need zero bits behind their prefix", () => {
  expect(parseNetwork("10.0.0.0/8")).toEqual({ address: [0x0a000000], prefix: 8 });
  expect(parseNetwork("10.0.0.1")).toEqual({ address: [0x0a000001], prefix: 32 });
  expect(parseNetwork("0.0.0.0/0")).toEqual({ address: [0], prefix: 0 });
  for (const text of ["10.0.0.1/8", "10.0.0.0/33", "10.0.0.0/", "10.0.0.0/-1", "::/129", "x/8"]) {
    expect(parseNetwork(text)).toBeUndefined();
  }
});

test("sets agree with node's BlockList", () => {
  const networks = fc.array(fc.tuple(fc.nat(0xffffffff), fc.integer({ min: 0, max: 32 })), { maxLength: 8 });
  fc.assert(
    fc.property(networks, fc.array(fc.nat(0xffffffff), { maxLength: 20 }), (entries, probes) => {
      const oracle = new BlockList();
      const parsed = entries.map(([value, prefix]) => {
        const masked = prefix === 0 ? 0 : (value & (0xffffffff << (32 - prefix))) >>> 0;
        oracle.addSubnet(dotted(masked), prefix);
        return { address: [masked], prefix };
      });
      const set = new NetworkSet(parsed);
      for (const probe of [...probes, ...parsed.map((network) => network.address[0] as number)]) {
        expect(set.has(dotted(probe))).toBe(oracle.check(dotted(probe)));
      }
    }),
    { numRuns: 300 },
  );
});

test("families are kept apart and nonsense belongs nowhere", () => {
  const set = new NetworkSet([{ address: [0, 0, 0, 0], prefix: 0 }]);
  expect(set.has("::1")).toBe(true);
  expect(set.has("1.2.3.4")).toBe(false);
  expect(set.has("nonsense")).toBe(false);
});

function dotted(value: number): string {
  return [24, 16, 8, 0].map((shift) => (value >>> shift) & 255).join(".");
}
