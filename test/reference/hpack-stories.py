# Writes hpack-stories.json: field blocks as the encoder of nghttp2 makes them, to be decoded by ours. Needs libnghttp2.
# A story is what one encoder made, block by block: the limit of the table, and for each block its size if it changes
# before this block, the fields, and the bytes in hexadecimal.
import ctypes
import json
import random

library = ctypes.CDLL("libnghttp2.so.14")


class Field(ctypes.Structure):
    _fields_ = [
        ("name", ctypes.c_char_p),
        ("value", ctypes.c_char_p),
        ("name_length", ctypes.c_size_t),
        ("value_length", ctypes.c_size_t),
        ("flags", ctypes.c_uint8),
    ]


class Encoder:
    def __init__(self, limit):
        self.pointer = ctypes.c_void_p()
        assert library.nghttp2_hd_deflate_new(ctypes.byref(self.pointer), ctypes.c_size_t(limit)) == 0

    def resize(self, limit):
        assert library.nghttp2_hd_deflate_change_table_size(self.pointer, ctypes.c_size_t(limit)) == 0

    def encode(self, fields):
        array = (Field * max(1, len(fields)))()
        for index, (name, value) in enumerate(fields):
            name, value = name.encode("latin1"), value.encode("latin1")
            array[index] = Field(name, value, len(name), len(value), 1 if name == b"x-secret" else 0)
        out = ctypes.create_string_buffer(200_000)
        length = library.nghttp2_hd_deflate_hd(self.pointer, out, ctypes.c_size_t(200_000), array, ctypes.c_size_t(len(fields)))
        assert length >= 0, length
        return out.raw[:length].hex()


chance = random.Random(7541)
AGENT = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"


def browser(index):
    fields = [[":method", chance.choice(["GET", "GET", "POST"])], [":scheme", "https"],
              [":authority", chance.choice(["www.example.org", "static.example.org"])],
              [":path", chance.choice(["/", "/index.html", f"/images/{index}.webp", f"/search?q={chance.randrange(1000)}"])],
              ["user-agent", AGENT], ["accept", chance.choice(["*/*", "text/html,application/xhtml+xml", "image/webp"])],
              ["accept-language", "en-GB,en;q=0.5"], ["accept-encoding", "gzip, deflate"],
              ["referer", f"https://www.example.org/page/{index // 4}"],
              ["cookie", f"session={'%032x' % (index // 8)}; theme=dark"]]
    if index % 5 == 0:
        fields.append(["if-none-match", '"%x"' % chance.getrandbits(64)])
    if index % 7 == 0:
        fields += [["authorization", "Bearer " + "%x" % chance.getrandbits(200)], ["x-secret", "s%d" % index]]
    return fields


def response(index):
    fields = [[":status", chance.choice(["200", "200", "304", "404", "503", "206"])],
              ["date", "Mon, 02 Mar 2026 10:%02d:%02d GMT" % (index // 60, index % 60)], ["server", "origin/1.2"],
              ["content-type", chance.choice(["text/html; charset=utf-8", "application/json", "image/webp"])],
              ["content-length", str(chance.randrange(100_000))], ["cache-control", chance.choice(["no-store", "max-age=3600"])],
              ["vary", "accept-encoding"]]
    if index % 3 == 0:
        fields.append(["set-cookie", "id=%x; Path=/; Secure; HttpOnly" % chance.getrandbits(128)])
    return fields


def anything(_index):
    value = lambda: "".join(chr(chance.randrange(1, 256)) for _ in range(chance.choice([0, 1, 5, 40, 300])))
    return [["x-%d" % chance.randrange(20), value()] for _ in range(chance.randrange(12))]


def story(name, make, count, limit=4096, sizes=None):
    encoder = Encoder(limit)
    blocks = []
    for index in range(count):
        block = {}
        if sizes and index in sizes:
            for size in sizes[index]:
                encoder.resize(size)
            block["size"] = sizes[index][-1]
        block["fields"] = make(index)
        block["wire"] = encoder.encode(block["fields"])
        blocks.append(block)
    return {"name": name, "limit": limit, "blocks": blocks}


print(json.dumps([
    story("a browser's requests", browser, 40),
    story("responses", response, 40),
    story("any bytes", anything, 25),
    story("a table of 256 bytes", browser, 20, limit=256),
    story("no table", response, 12, limit=0),
    story("a table of 64 KiB", browser, 25, limit=65_536),
    story("a table that is made smaller, larger and empty", browser, 24, sizes={4: [512], 9: [0], 14: [0, 4096], 19: [100, 3000]}),
], indent=None, separators=(",", ":")))
