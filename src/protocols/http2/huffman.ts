/** Huffman coded strings (RFC 7541 section 5.2): encoded symbol by symbol, decoded byte by byte from one state table. */
import { END_OF_STRING, HUFFMAN_CODES, HUFFMAN_LENGTHS } from "./huffman-table.ts";

// An entry of the decoding table: the state after the byte, how many symbols it completes (0 to 2), and which.
const STATE_MASK = 0xff;
const COUNT_SHIFT = 8;
const FIRST_SHIFT = 10;
const SECOND_SHIFT = 18;
/** No string continues like this: its bits spell END_OF_STRING. */
const REFUSED = -1;
/** Codes longer than this are written in two steps, so that they and up to 7 waiting bits fit 32 bits. */
const LONGEST_STEP = 24;

/** ACCEPTED[state] is 1 where a string may end: on a symbol's last bit, or after at most 7 bits, all ones. */
const ACCEPTED = new Uint8Array(256);
const TRANSITIONS = decodingTable();

/** Most bytes that a string of `length` coded bytes decodes to: no symbol takes less than 5 bits. */
export function huffmanDecodedBound(length: number): number {
  return ((length * 8) / 5) | 0;
}

/**
 * Decodes `source` from `start` to `end` into `target` at `at`, which must have room for `huffmanDecodedBound` bytes.
 * Returns the end in `target`, or -1 when the string holds END_OF_STRING or is not padded as RFC 7541 section 5.2 says.
 */
export function decodeHuffman(source: Uint8Array, start: number, end: number, target: Uint8Array, at: number): number {
  let state = 0;
  let cursor = at;
  for (let position = start; position < end; position++) {
    const entry = TRANSITIONS[(state << 8) | (source[position] as number)] as number;
    if (entry < 0) return -1;
    state = entry & STATE_MASK;
    const count = (entry >> COUNT_SHIFT) & 3;
    if (count === 0) continue;
    target[cursor++] = (entry >> FIRST_SHIFT) & 0xff;
    if (count === 2) target[cursor++] = (entry >> SECOND_SHIFT) & 0xff;
  }
  return ACCEPTED[state] === 1 ? cursor : -1;
}

/** How many bytes the Huffman code of these bytes takes. */
export function huffmanLength(source: Uint8Array, start: number, end: number): number {
  let bits = 0;
  for (let position = start; position < end; position++) bits += HUFFMAN_LENGTHS[source[position] as number] as number;
  return (bits + 7) >>> 3;
}

/** Encodes into `target` at `at`, which must have room for `huffmanLength` bytes. Returns the end in `target`. */
export function encodeHuffman(source: Uint8Array, start: number, end: number, target: Uint8Array, at: number): number {
  let cursor = at;
  let pending = 0;
  let bits = 0;
  for (let position = start; position < end; position++) {
    const symbol = source[position] as number;
    let code = HUFFMAN_CODES[symbol] as number;
    let length = HUFFMAN_LENGTHS[symbol] as number;
    if (length > LONGEST_STEP) {
      length -= LONGEST_STEP;
      pending = (pending << length) | (code >>> LONGEST_STEP);
      for (bits += length; bits >= 8; ) {
        bits -= 8;
        target[cursor++] = pending >>> bits;
      }
      code &= 0xffffff;
      length = LONGEST_STEP;
    }
    pending = (pending << length) | code;
    for (bits += length; bits >= 8; ) {
      bits -= 8;
      target[cursor++] = pending >>> bits;
    }
  }
  // The rest of the last byte is filled with ones, the beginning of END_OF_STRING.
  if (bits > 0) target[cursor++] = (pending << (8 - bits)) | (0xff >>> bits);
  return cursor;
}

/** The code's tree: for each inner node its two children; a leaf is -1 - symbol. Node 0 is the root. */
function codeTree(): Int16Array {
  const children = new Int16Array(2 * 256);
  let nodes = 1;
  for (let symbol = 0; symbol < HUFFMAN_CODES.length; symbol++) {
    const code = HUFFMAN_CODES[symbol] as number;
    let node = 0;
    for (let bit = (HUFFMAN_LENGTHS[symbol] as number) - 1; bit > 0; bit--) {
      const branch = node * 2 + ((code >>> bit) & 1);
      if (children[branch] === 0) children[branch] = nodes++;
      node = children[branch] as number;
    }
    children[node * 2 + (code & 1)] = -1 - symbol;
  }
  return children;
}

/** All states (inner nodes of the tree, 256 of them) times all bytes. */
function decodingTable(): Int32Array {
  const children = codeTree();
  const table = new Int32Array(256 * 256);
  for (let state = 0; state < 256; state++) {
    for (let byte = 0; byte < 256; byte++) table[(state << 8) | byte] = transition(children, state, byte);
  }
  for (let node = 0, depth = 0; depth < 8; depth++) {
    ACCEPTED[node] = 1;
    node = children[node * 2 + 1] as number;
  }
  return table;
}

function transition(children: Int16Array, state: number, byte: number): number {
  let node = state;
  let count = 0;
  let symbols = 0;
  for (let bit = 7; bit >= 0; bit--) {
    node = children[node * 2 + ((byte >>> bit) & 1)] as number;
    if (node >= 0) continue;
    const symbol = -1 - node;
    if (symbol === END_OF_STRING) return REFUSED;
    symbols |= symbol << (count === 0 ? FIRST_SHIFT : SECOND_SHIFT);
    count++;
    node = 0;
  }
  return node | (count << COUNT_SHIFT) | symbols;
}
