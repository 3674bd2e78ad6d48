// The ids of short pieces of text seen before: a hash table in flat arrays. A Map would need a new string for every
// look-up, and took twice the time. When it is full it starts afresh, with more room as long as there is more to have.

/** Longer pieces (links, encoded data) seldom come twice. */
export const MAX_CACHED_LENGTH = 64;
/** What a byte counts. */
const MAX_IDS = 255;
const CHARACTERS_PER_ENTRY = 12;
const IDS_PER_ENTRY = 4;
/** Of a new table, 64 kB: most tokenizers that are loaded see few texts. */
const FIRST_BITS = 10;
/** By how much it grows. */
const MORE_BITS = 3;
/** Start and step of the FNV-1a hash, over UTF-16 units. */
const HASH_START = 0x811c9dc5 | 0;
const HASH_STEP = 0x01000193;

/** The arrays of one size. */
class Table {
  readonly mask: number;
  // By slot; a length of 0 marks an empty one.
  readonly hashes: Int32Array;
  readonly lengths: Uint8Array;
  readonly characterStarts: Int32Array;
  readonly idStarts: Int32Array;
  readonly idCounts: Uint8Array;
  // The entries' contents, end to end.
  readonly characters: Uint16Array;
  readonly ids: Int32Array;
  characterEnd = 0;
  idEnd = 0;
  entries = 0;

  constructor(readonly bits: number) {
    const entries = 2 ** bits;
    const slots = entries * 2;
    this.mask = slots - 1;
    this.hashes = new Int32Array(slots);
    this.lengths = new Uint8Array(slots);
    this.characterStarts = new Int32Array(slots);
    this.idStarts = new Int32Array(slots);
    this.idCounts = new Uint8Array(slots);
    this.characters = new Uint16Array(entries * CHARACTERS_PER_ENTRY);
    this.ids = new Int32Array(entries * IDS_PER_ENTRY);
  }

  hasRoomFor(length: number, ids: number): boolean {
    return (
      this.entries * 2 <= this.mask &&
      this.characterEnd + length <= this.characters.length &&
      this.idEnd + ids <= this.ids.length
    );
  }

  /** The chunk's slot, or the empty one that it would take. */
  slotOf(text: string, start: number, length: number, hash: number): number {
    const { mask, characters } = this;
    let slot = (hash ^ (hash >>> 15)) & mask;
    while (this.lengths[slot] !== 0) {
      if (this.hashes[slot] === hash && this.lengths[slot] === length) {
        const at = this.characterStarts[slot] ?? 0;
        let same = 0;
        while (same < length && characters[at + same] === text.charCodeAt(start + same)) same++;
        if (same === length) return slot;
      }
      slot = (slot + 1) & mask;
    }
    return slot;
  }

  add(text: string, start: number, length: number, hash: number, ids: readonly number[]): void {
    const slot = this.slotOf(text, start, length, hash);
    this.entries++;
    this.hashes[slot] = hash;
    this.lengths[slot] = length;
    this.characterStarts[slot] = this.characterEnd;
    this.idStarts[slot] = this.idEnd;
    this.idCounts[slot] = ids.length;
    for (let index = 0; index < length; index++) {
      this.characters[this.characterEnd++] = text.charCodeAt(start + index);
    }
    this.ids.set(ids, this.idEnd);
    this.idEnd += ids.length;
  }

  clear(): void {
    this.lengths.fill(0);
    this.entries = 0;
    this.characterEnd = 0;
    this.idEnd = 0;
  }
}

export class ChunkCache {
  readonly #encode: (chunk: string) => readonly number[];
  readonly #mostBits: number;
  #table: Table;

  /**
   * @param mostBits the table comes to take 2 ** mostBits entries, at 60 bytes each
   * @param encode the ids of a chunk that is not in the table
   */
  constructor(mostBits: number, encode: (chunk: string) => readonly number[]) {
    this.#encode = encode;
    this.#mostBits = mostBits;
    this.#table = new Table(Math.min(FIRST_BITS, mostBits));
  }

  /** Appends the ids of the chunk from `start` to before `end`, of 1 to {@link MAX_CACHED_LENGTH} units. */
  append(text: string, start: number, end: number, ids: IdBuffer): void {
    const length = end - start;
    const table = this.#table;
    const hash = hashOf(text, start, end);
    const slot = table.slotOf(text, start, length, hash);
    if (table.lengths[slot] === 0) {
      const found = this.#encode(text.slice(start, end));
      ids.append(found);
      if (found.length > MAX_IDS) return;
      if (!table.hasRoomFor(length, found.length)) this.#startAfresh();
      this.#table.add(text, start, length, hash, found);
      return;
    }
    const idStart = table.idStarts[slot] ?? 0;
    ids.appendRange(table.ids, idStart, idStart + (table.idCounts[slot] ?? 0));
  }

  #startAfresh(): void {
    const { bits } = this.#table;
    if (bits < this.#mostBits) this.#table = new Table(Math.min(bits + MORE_BITS, this.#mostBits));
    else this.#table.clear();
  }
}

function hashOf(text: string, start: number, end: number): number {
  let hash = HASH_START;
  for (let index = start; index < end; index++) hash = Math.imul(hash ^ text.charCodeAt(index), HASH_STEP);
  return hash;
}

/** How many ids are wanted, from which end of the text. */
export interface Wanted {
  count: number;
  side: 'first' | 'last';
}

/** A list of token ids that grows in place and is used again for the next text. */
export class IdBuffer {
  #ids = new Int32Array(1024);
  #length = 0;

  get length(): number {
    return this.#length;
  }

  clear(): void {
    this.#length = 0;
  }

  append(ids: readonly number[]): void {
    this.#reserve(ids.length);
    const target = this.#ids;
    for (const id of ids) target[this.#length++] = id;
  }

  /** Appends `source[start]` to `source[end - 1]`. */
  appendRange(source: Int32Array, start: number, end: number): void {
    this.#reserve(end - start);
    const target = this.#ids;
    let at = this.#length;
    for (let index = start; index < end; index++) target[at++] = source[index] ?? 0;
    this.#length = at;
  }

  /** Turns the ids from `start` on around. */
  reverse(start: number): void {
    this.#ids.subarray(start, this.#length).reverse();
  }

  /** A view, valid until the next `append` or `clear`. */
  view(start: number, end: number): Int32Array {
    return this.#ids.subarray(start, end);
  }

  #reserve(count: number): void {
    const needed = this.#length + count;
    if (needed <= this.#ids.length) return;
    const grown = new Int32Array(Math.max(needed, this.#ids.length * 2));
    grown.set(this.#ids.subarray(0, this.#length));
    this.#ids = grown;
  }
}
