import { describe, expect, test } from "bun:test";
import { seededRandom } from "../../base/random.ts";
import { HeaderList } from "./header-list.ts";
import { COMPRESSION_FAILED, DECODED, type HpackDecoder, TOO_LARGE } from "./hpack-decoder.ts";
import { HpackEncoder } from "./hpack-encoder.ts";
import { STATIC_COUNT, STATIC_TABLE } from "./hpack-static-table.ts";
import { encode, hex, newDecoder, type Pair, pairsOf } from "./testing.ts";

const list = new HeaderList();
const decodeHex = (decoder: HpackDecoder, block: string): Pair[] => {
  const bytes = hex(block);
  expect([decoder.decode(bytes, 0, bytes.length, list), decoder.problem]).toEqual([DECODED, undefined]);
  return pairsOf(list);
};
const failing = (block: string, decoder = newDecoder()): string | undefined => {
  const bytes = hex(block);
  expect(decoder.decode(bytes, 0, bytes.length, list)).toBe(COMPRESSION_FAILED);
  return decoder.problem;
};

describe("RFC 7541 appendix C", () => {
  test("C.2: single fields", () => {
    const decoder = newDecoder();
    expect(decodeHex(decoder, "400a637573746f6d2d6b65790d637573746f6d2d686561646572")).toEqual([
      ["custom-key", "custom-header"],
    ]);
    expect(decoder.tableBytes).toBe(55);
    expect(decodeHex(newDecoder(), "040c2f73616d706c652f70617468")).toEqual([[":path", "/sample/path"]]);
    expect(decodeHex(newDecoder(), "100870617373776f726406736563726574")).toEqual([["password", "secret"]]);
    expect(list.neverIndexed(0)).toBe(true);
    expect(decodeHex(newDecoder(), "82")).toEqual([[":method", "GET"]]);
  });

  const requests: Pair[][] = [
    [
      [":method", "GET"],
      [":scheme", "http"],
      [":path", "/"],
      [":authority", "www.example.com"],
    ],
    [
      [":method", "GET"],
      [":scheme", "http"],
      [":path", "/"],
      [":authority", "www.example.com"],
      ["cache-control", "no-cache"],
    ],
    [
      [":method", "GET"],
      [":scheme", "https"],
      [":path", "/index.html"],
      [":authority", "www.example.com"],
      ["custom-key", "custom-value"],
    ],
  ];
  const huffmanRequests = [
    "828684418cf1e3c2e5f23a6ba0ab90f4ff",
    "828684be5886a8eb10649cbf",
    "828785bf408825a849e95ba97d7f8925a849e95bb8e8b4bf",
  ];
  for (const [name, blocks] of [
    [
      "C.3: requests without Huffman",
      [
        "828684410f7777772e6578616d706c652e636f6d",
        "828684be58086e6f2d6361636865",
        "828785bf400a637573746f6d2d6b65790c637573746f6d2d76616c7565",
      ],
    ],
    ["C.4: requests with Huffman", huffmanRequests],
  ] as const) {
    test(name, () => {
      const decoder = newDecoder();
      for (const [index, size] of [57, 110, 164].entries()) {
        expect(decodeHex(decoder, blocks[index] as string)).toEqual(requests[index] as Pair[]);
        expect(decoder.tableBytes).toBe(size);
      }
    });
  }

  test("C.4: the encoder writes the same", () => {
    const encoder = new HpackEncoder();
    for (const [index, pairs] of requests.entries())
      expect(encode(encoder, pairs).toString("hex")).toBe(huffmanRequests[index] as string);
  });

  const location: Pair = ["location", "https://www.example.com"];
  const responses: Pair[][] = [
    [[":status", "302"], ["cache-control", "private"], ["date", "Mon, 21 Oct 2013 20:13:21 GMT"], location],
    [[":status", "307"], ["cache-control", "private"], ["date", "Mon, 21 Oct 2013 20:13:21 GMT"], location],
    [
      [":status", "200"],
      ["cache-control", "private"],
      ["date", "Mon, 21 Oct 2013 20:13:22 GMT"],
      location,
      ["content-encoding", "gzip"],
      ["set-cookie", "foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1"],
    ],
  ];
  for (const [name, blocks] of [
    [
      "C.5: responses without Huffman, with eviction",
      [
        `4803333032580770726976617465611d4d6f6e2c203231204f637420323031332032303a31333a323120474d54
         6e1768747470733a2f2f7777772e6578616d706c652e636f6d`,
        "4803333037c1c0bf",
        `88c1611d4d6f6e2c203231204f637420323031332032303a31333a323220474d54c05a04677a69707738666f6f3d4153444a
         4b48514b425a584f5157454f50495541585157454f49553b206d61782d6167653d333630303b2076657273696f6e3d31`,
      ],
    ],
    [
      "C.6: responses with Huffman, with eviction",
      [
        "488264025885aec3771a4b6196d07abe941054d444a8200595040b8166e082a62d1bff6e919d29ad171863c78f0b97c8e9ae82ae43d3",
        "4883640effc1c0bf",
        `88c16196d07abe941054d444a8200595040b8166e084a62d1bffc05a839bd9ab77ad94e7821dd7f2e6c7b335dfdfcd5b3960
         d5af27087f3672c1ab270fb5291f9587316065c003ed4ee5b1063d5007`,
      ],
    ],
  ] as const) {
    test(name, () => {
      const decoder = newDecoder(256);
      for (const [index, size] of [222, 222, 215].entries()) {
        expect(decodeHex(decoder, blocks[index] as string)).toEqual(responses[index] as Pair[]);
        expect(decoder.tableBytes).toBe(size);
      }
    });
  }
});

test("the static table by its indices", () => {
  for (let index = 1; index <= STATIC_COUNT; index++) {
    const [pair] = decodeHex(newDecoder(), (0x80 | index).toString(16));
    expect(pair).toEqual([STATIC_TABLE.name(index - 1), STATIC_TABLE.value(index - 1)]);
  }
  expect([STATIC_TABLE.name(0), STATIC_TABLE.name(30), STATIC_TABLE.name(60)]).toEqual([
    ":authority",
    "content-type",
    "www-authenticate",
  ]);
});

test("what breaks HPACK ends the decoder", () => {
  expect(failing("80")).toBe("an index is beyond the tables");
  expect(failing("be")).toBe("an index is beyond the tables");
  expect(failing("7e00")).toBe("an index is beyond the tables");
  expect(failing("ff80808080808001")).toBe("an integer is cut off or too large");
  expect(failing("ff")).toBe("an integer is cut off or too large");
  expect(failing("40")).toBe("an integer is cut off or too large");
  expect(failing("4005616263")).toBe("a string is longer than the block");
  expect(failing("000161")).toBe("an integer is cut off or too large");
  expect(failing("0001617fffff7f")).toBe("a string is longer than the block");
  expect(failing("008161fffff0")).toBe("a string is not valid Huffman code");
  const decoder = newDecoder();
  failing("80", decoder);
  expect(failing("82", decoder)).toBe("an index is beyond the tables");
  expect(list.count).toBe(0);
});

describe("table size updates", () => {
  test("stand at the beginning, twice at most, within the limit", () => {
    expect(decodeHex(newDecoder(), "203fe11f82")).toEqual([[":method", "GET"]]);
    expect(failing("2020203f82")).toBe("a table size update is not at the beginning of a block");
    expect(failing("8220")).toBe("a table size update is not at the beginning of a block");
    expect(failing("3fe21f")).toBe("a table size update is above the limit");
  });

  test("must come when the limit was lowered, and empty the table", () => {
    const decoder = newDecoder();
    decodeHex(decoder, "4001610162");
    decoder.setTableLimit(0);
    expect(failing("be", decoder)).toBe("a table size update is missing");
    const other = newDecoder();
    decodeHex(other, "4001610162");
    other.setTableLimit(0);
    expect(decodeHex(other, "2082")).toEqual([[":method", "GET"]]);
    expect(other.tableBytes).toBe(0);
    expect(decodeHex(other, "4001610162")).toEqual([["a", "b"]]);
    expect(other.tableBytes).toBe(0);
  });

  test("an entry larger than the table empties it", () => {
    const decoder = newDecoder(64);
    decodeHex(decoder, "4001610162");
    expect(decoder.tableBytes).toBe(34);
    const long = "61".repeat(40);
    decodeHex(decoder, `400162 28${long}`);
    expect(decoder.tableBytes).toBe(0);
  });

  test("a name taken from an entry that its own insertion evicts (section 4.4)", () => {
    const decoder = newDecoder(40);
    decodeHex(decoder, "40026162 0163");
    expect(decodeHex(decoder, "7e 0164")).toEqual([["ab", "d"]]);
    expect(decodeHex(decoder, "be")).toEqual([["ab", "d"]]);
  });
});

describe("limits", () => {
  test("a list over its bytes or fields is refused, and the tables stay right", () => {
    for (const decoder of [newDecoder(4_096, 100), newDecoder(4_096, 65_536, 2)]) {
      const block = hex("4001610162 4001630164 4001650166 82");
      expect(decoder.decode(block, 0, block.length, list)).toBe(TOO_LARGE);
      expect(list.count).toBeLessThanOrEqual(2);
      expect(list.listBytes).toBeLessThanOrEqual(100);
      expect(decoder.tableBytes).toBe(3 * 34);
      expect(decodeHex(decoder, "bec0")).toEqual([
        ["e", "f"],
        ["a", "b"],
      ]);
    }
  });

  test("exactly at the limits is fine", () => {
    const decoder = newDecoder(4_096, 68, 2);
    expect(decodeHex(decoder, "4001610162 4001630164")).toHaveLength(2);
    expect(list.listBytes).toBe(68);
    expect(decodeHex(decoder, "bebf")).toHaveLength(2);
  });

  test("an HPACK bomb costs no memory: 16,000 references to an entry of 4 KB", () => {
    const decoder = newDecoder(4_096, 16_384);
    const value = Buffer.alloc(4_000, "a");
    const block = Buffer.concat([hex("4001787fa11e"), value, Buffer.alloc(16_000, 0xbe)]);
    expect(decoder.decode(block, 0, block.length, list)).toBe(TOO_LARGE);
    expect(list.bytes.length).toBeLessThan(64 * 1_024);
    expect(decodeHex(decoder, "be")).toHaveLength(1);
  });
});

test("the list's bytes are the lines of an HTTP/1.1 head", () => {
  decodeHex(newDecoder(), "82 408825a849e95ba97d7f8925a849e95bb8e8b4bf");
  expect(list.bytes.toString("latin1", 0, list.length + 2)).toBe(":method: GET\r\ncustom-key: custom-value\r\n\r\n");
});

test("a table that is filled many times over keeps its entries right", () => {
  const random = seededRandom(3);
  for (const tableBytes of [0, 64, 100, 512, 4_096, 20_000]) {
    const encoder = new HpackEncoder(tableBytes);
    encoder.setPeerTableLimit(tableBytes);
    const decoder = newDecoder(tableBytes);
    for (let block = 0; block < 300; block++) {
      const pairs = Array.from({ length: random.below(12) }, (): Pair => {
        return [`x-${random.below(30)}`, "v".repeat(random.below(60)) + random.below(40)];
      });
      const bytes = encode(encoder, pairs);
      expect(decoder.decode(bytes, 0, bytes.length, list)).toBe(DECODED);
      expect(pairsOf(list)).toEqual(pairs);
      expect(decoder.tableBytes).toBe(encoder.tableBytes);
      expect(decoder.tableBytes).toBeLessThanOrEqual(tableBytes);
    }
  }
});

describe("fuzz", () => {
  const check = (decoder: HpackDecoder, bytes: Buffer): void => {
    const result = decoder.decode(bytes, 0, bytes.length, list);
    expect([DECODED, TOO_LARGE, COMPRESSION_FAILED]).toContain(result);
    expect(list.listBytes).toBeLessThanOrEqual(4_096);
    expect(list.count).toBeLessThanOrEqual(50);
    expect(decoder.tableBytes).toBeLessThanOrEqual(4_096);
    expect(list.bytes.length).toBeLessThanOrEqual(16_384);
    if (result === DECODED) pairsOf(list);
  };

  test("random bytes", () => {
    const random = seededRandom(11);
    for (let round = 0; round < 3_000; round++) {
      const decoder = newDecoder(4_096, 4_096, 50);
      for (let block = 0; block < 3; block++)
        check(decoder, Buffer.from(Array.from({ length: random.below(120) }, () => random.below(256))));
    }
  });

  test("blocks with a byte changed, removed or cut", () => {
    const random = seededRandom(12);
    const pairs: Pair[] = [
      [":method", "GET"],
      [":authority", "a.example"],
      [":path", "/x?y=1"],
      ["user-agent", "curl/8.5.0"],
      ["accept", "*/*"],
      ["cookie", "session=0123456789abcdef0123456789"],
    ];
    for (let round = 0; round < 3_000; round++) {
      const encoder = new HpackEncoder();
      const decoder = newDecoder(4_096, 4_096, 50);
      for (let block = 0; block < 3; block++) {
        const bytes = encode(encoder, pairs);
        const at = random.below(bytes.length);
        const how = random.below(4);
        if (how === 0) bytes[at] = random.below(256);
        else if (how === 1) bytes[at] = (bytes[at] as number) ^ (1 << random.below(8));
        check(decoder, how === 2 ? bytes.subarray(0, at) : bytes);
      }
    }
  });
});
