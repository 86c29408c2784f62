# Writes ketama.json: the points and picks of a libketama-style ring, computed apart from our own code.
# Four little-endian 32-bit points from each MD5 of "id-k", 160 points for each endpoint, a key belongs to the next point.
import bisect, hashlib, json, struct

ids = [f"10.0.0.{n}:80" for n in range(1, 6)]
ring = []
for i, name in enumerate(ids):
    for block in range(40):
        digest = hashlib.md5(f"{name}-{block}".encode()).digest()
        ring += [(point, i) for point in struct.unpack("<4I", digest)]
ring.sort(key=lambda pair: (pair[0], ids[pair[1]]))
points = [point for point, _ in ring]

def mix32(h):
    h ^= h >> 16
    h = (h * 0x85EBCA6B) & 0xFFFFFFFF
    h ^= h >> 13
    h = (h * 0xC2B2AE35) & 0xFFFFFFFF
    return h ^ (h >> 16)

picks = []
for key in range(1000):
    at = bisect.bisect_left(points, mix32(key * 2654435761 & 0xFFFFFFFF))
    picks.append(ring[at % len(ring)][1])
json.dump({"ids": ids, "firstPoints": [struct.unpack("<4I", hashlib.md5(f"{n}-0".encode()).digest()) for n in ids], "picks": picks}, open("ketama.json", "w"))
