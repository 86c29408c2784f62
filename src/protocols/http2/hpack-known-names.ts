/** What the encoder knows of a name before it looks in the dynamic table: its static entries, and if it may be indexed. */
import { nameHash, same } from "./field-names.ts";
import { STATIC_COUNT, STATIC_TABLE } from "./hpack-static-table.ts";

/** Put in the dynamic table, so that the next one costs a byte. */
export const INDEX = 0;
/** Not put in the table: values that hardly ever come back would only push out those that do. */
export const SKIP = 1;
/** Never put in a table, here or further on: values that must not be guessed by watching sizes (RFC 7541 section 7.1.3). */
export const NEVER = 2;
/** Never put in a table when short: only a long value takes too many guesses. */
export const NEVER_WHEN_SHORT = 3;
export type IndexingPolicy = typeof INDEX | typeof SKIP | typeof NEVER | typeof NEVER_WHEN_SHORT;

const POLICIES: readonly (readonly [IndexingPolicy, readonly string[]])[] = [
  [NEVER, ["authorization", "proxy-authorization", "set-cookie"]],
  [NEVER_WHEN_SHORT, ["cookie"]],
  [
    SKIP,
    [
      ...[":path", "age", "content-length", "content-range", "etag", "if-modified-since", "if-none-match"],
      ...["last-modified", "location", "range", "x-request-id", "traceparent", "tracestate", "x-correlation-id"],
    ],
  ],
];

interface Known {
  readonly bytes: Buffer;
  policy: IndexingPolicy;
  /** Index of the first static entry of this name, 0 for none; the others follow it. */
  staticIndex: number;
  staticEntries: number;
}

const SLOTS = 256;
const SPREAD = 0x9e3779b1;
const NAMES: Known[] = [];
/** Position in NAMES plus one; names that share a slot stand in the next free ones. */
const SLOT_NAMES = new Uint8Array(SLOTS);
const STATIC_KNOWN = new Uint8Array(STATIC_COUNT + 1);
build();

/** The name (lower case) at `start`..`end` with this `nameHash`: a number for the functions below, -1 when unknown. */
export function findKnown(bytes: Uint8Array, start: number, end: number, hash: number): number {
  for (let slot = slotOf(hash); ; slot = (slot + 1) % SLOTS) {
    const name = (SLOT_NAMES[slot] as number) - 1;
    if (name < 0 || same(bytes, start, end, (NAMES[name] as Known).bytes)) return name;
  }
}

/** How fields of this name are indexed. */
export function policyOf(known: number): IndexingPolicy {
  return known < 0 ? INDEX : (NAMES[known] as Known).policy;
}

/** Index of the first static entry of this name, or 0. */
export function staticIndexOf(known: number): number {
  return known < 0 ? 0 : (NAMES[known] as Known).staticIndex;
}

/** How many static entries this name has. */
export function staticEntriesOf(known: number): number {
  return known < 0 ? 0 : (NAMES[known] as Known).staticEntries;
}

/** What `findKnown` finds for the name of the static entry with this index. */
export function knownOfStatic(index: number): number {
  return STATIC_KNOWN[index] as number;
}

function slotOf(hash: number): number {
  return Math.imul(hash, SPREAD) >>> 24;
}

function build(): void {
  for (let field = 0; field < STATIC_COUNT; field++) {
    const known = add(STATIC_TABLE.name(field));
    if (known.staticEntries++ === 0) known.staticIndex = field + 1;
    STATIC_KNOWN[field + 1] = NAMES.indexOf(known);
  }
  for (const [policy, names] of POLICIES) {
    for (const name of names) add(name).policy = policy;
  }
}

function add(name: string): Known {
  const bytes = Buffer.from(name);
  const hash = nameHash(bytes, 0, bytes.length);
  const found = findKnown(bytes, 0, bytes.length, hash);
  if (found >= 0) return NAMES[found] as Known;
  const known: Known = { bytes, policy: INDEX, staticIndex: 0, staticEntries: 0 };
  let slot = slotOf(hash);
  while (SLOT_NAMES[slot] !== 0) slot = (slot + 1) % SLOTS;
  SLOT_NAMES[slot] = NAMES.push(known);
  return known;
}
