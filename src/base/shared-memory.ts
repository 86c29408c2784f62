/** Memory that the supervisor and its workers share: one file under /dev/shm, mapped by each of them. */
/** A piece of memory to lay tables over. Offsets of tables must be multiples of 8. */
export interface Region {
  readonly buffer: ArrayBufferLike;
  readonly byteOffset: number;
  readonly byteLength: number;
}

/** Private memory of this process, for `workers: 0`, tests and the simulator. */
export function localRegion(bytes: number): Region {
  return { buffer: new ArrayBuffer(bytes), byteOffset: 0, byteLength: bytes };
}

/** Maps a file; untouched pages cost nothing. */
export function openSharedRegion(path: string): Region {
  const bytes = Bun.mmap(path, { shared: true });
  return { buffer: bytes.buffer, byteOffset: bytes.byteOffset, byteLength: bytes.byteLength };
}

/** The next `bytes` of a region, for laying several tables one after another. */
export function subregion(region: Region, byteOffset: number, bytes: number): Region {
  if (byteOffset % 8 !== 0 || byteOffset + bytes > region.byteLength) {
    throw new RangeError(`subregion: ${bytes} bytes at ${byteOffset} do not fit in ${region.byteLength}`);
  }
  return { buffer: region.buffer, byteOffset: region.byteOffset + byteOffset, byteLength: bytes };
}
