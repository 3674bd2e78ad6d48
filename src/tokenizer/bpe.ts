// The BPE model: the characters of a piece of text, of which neighbours are merged in the order of the merges. The
// JavaScript library takes minutes and gigabytes for a word of some million characters, and keeps unknown characters
// between those that Rust lets merge.
import type { Wanted } from './chunk-cache.js';

interface BpeJson {
  vocab: Readonly<Record<string, number>>;
  merges: readonly (string | readonly [string, string])[];
  unk_token?: string | null | undefined;
  continuing_subword_prefix?: string | null | undefined;
  end_of_word_suffix?: string | null | undefined;
  fuse_unk: boolean;
  byte_fallback: boolean;
  ignore_merges: boolean;
}

/** Pieces below this length share their working memory. */
const USUAL_LENGTH = 1024;
const NONE = -1;
/** Above every id, so that a pair of ids is one number. */
const PAIR_BASE = 2 ** 21;
/** Above every place in a text: rank and place are one number too, which orders merges as Rust does. */
const RANK_BASE = 2 ** 32;

/** Pieces above this length are cut where no merge can reach across, if not all of their ids are wanted. */
const LONG = 256;

/** Ids of a piece of text; null stands for an unknown token that the vocabulary lacks. */
export function createBpe(
  json: BpeJson,
): (piece: string, wanted?: Wanted, spans?: number[]) => (number | null)[] {
  const ids = new Map(Object.entries(json.vocab));
  const { ranks, mergedIds } = readMerges(json, ids);
  const prefix = json.continuing_subword_prefix ?? '';
  const suffix = json.end_of_word_suffix ?? '';
  const unknown = json.unk_token ?? null;
  const unknownId = unknown === null ? null : (ids.get(unknown) ?? null);
  const bytes = json.byte_fallback ? byteIds(ids) : null;
  /** At most, of a UTF-16 unit. */
  const symbolsPerUnit = bytes === null ? 1 : 3 + Buffer.byteLength(prefix);

  // A linked list of symbols: by place its id and its neighbours.
  let symbols = new Int32Array(USUAL_LENGTH);
  let before = new Int32Array(USUAL_LENGTH);
  let after = new Int32Array(USUAL_LENGTH);
  // Where its text begins and ends.
  let starts = new Int32Array(USUAL_LENGTH);
  let ends = new Int32Array(USUAL_LENGTH);
  const heap = new Heap();

  /**
   * Ids of the characters, or false where one is unknown and nothing stands for it.
   *
   * @param isStart whether the piece begins here, `isEnd` whether it ends here
   */
  const readSymbols = (piece: string, isStart: boolean, isEnd: boolean): number | false => {
    const size = Math.max(USUAL_LENGTH, piece.length * symbolsPerUnit + Buffer.byteLength(suffix) + 1);
    if (symbols.length !== size) {
      symbols = new Int32Array(size);
      before = new Int32Array(size);
      after = new Int32Array(size);
      starts = new Int32Array(size);
      ends = new Int32Array(size);
    }
    let count = 0;
    const add = (id: number, start: number, end: number): void => {
      symbols[count] = id;
      starts[count] = start;
      ends[count++] = end;
    };
    let unknowns = 0;
    // Of the unknown token that waits.
    let unknownStart = 0;
    let unknownEnd = 0;
    for (let index = 0; index < piece.length;) {
      const start = index;
      const next = index + ((piece.codePointAt(index) ?? 0) > 0xffff ? 2 : 1);
      const character =
        (isStart && index === 0 ? '' : prefix) +
        piece.slice(index, next) +
        (isEnd && next === piece.length ? suffix : '');
      index = next;
      const id = ids.get(character);
      const own = id === undefined && bytes !== null ? idsOfBytes(character, bytes) : null;
      if (own !== null) {
        for (const one of own) add(one, start, next);
      } else if (id === undefined && unknown !== null) {
        if (unknownId === null) return false;
        // Of a run that is not fused the last one waits as well, as in Rust.
        if (unknowns > 0 && !json.fuse_unk) add(unknownId, unknownStart, unknownEnd);
        if (unknowns === 0 || !json.fuse_unk) unknownStart = start;
        unknownEnd = next;
        unknowns = 1;
      } else if (id !== undefined) {
        if (unknowns > 0 && unknownId !== null) add(unknownId, unknownStart, unknownEnd);
        unknowns = 0;
        add(id, start, next);
      }
    }
    if (unknowns > 0 && unknownId !== null) add(unknownId, unknownStart, unknownEnd);
    return count;
  };

  const offer = (left: number, right: number): void => {
    const rank = ranks.get((symbols[left] ?? 0) * PAIR_BASE + (symbols[right] ?? 0));
    if (rank !== undefined) heap.push(rank * RANK_BASE + left);
  };

  const merged = (piece: string, isStart: boolean, isEnd: boolean, spans?: number[]): (number | null)[] => {
    const count = readSymbols(piece, isStart, isEnd);
    if (count === false) return [null];
    for (let place = 0; place < count; place++) {
      before[place] = place - 1;
      after[place] = place + 1 < count ? place + 1 : NONE;
      if (place > 0) offer(place - 1, place);
    }
    for (let best = heap.pop(); best !== undefined; best = heap.pop()) {
      const place = best % RANK_BASE;
      const rank = (best - place) / RANK_BASE;
      const right = after[place] ?? NONE;
      // Of an earlier pair at this place: one of the two is gone, or another symbol by now.
      if ((symbols[place] ?? NONE) === NONE || right === NONE) continue;
      const pair = (symbols[place] ?? 0) * PAIR_BASE + (symbols[right] ?? 0);
      const now = ranks.get(pair);
      if (now === undefined || mergedIds[now] !== mergedIds[rank]) continue;
      symbols[place] = mergedIds[rank] ?? 0;
      symbols[right] = NONE;
      ends[place] = ends[right] ?? 0;
      const next = after[right] ?? NONE;
      after[place] = next;
      if (next !== NONE) before[next] = place;
      const previous = before[place] ?? NONE;
      if (previous !== NONE) offer(previous, place);
      if (next !== NONE) offer(place, next);
    }
    const result: number[] = [];
    for (let place = 0; place < count; place++) {
      const id = symbols[place] ?? NONE;
      if (id === NONE) continue;
      result.push(id);
      spans?.push(starts[place] ?? 0, ends[place] ?? 0);
    }
    return result;
  };

  let joints: ReadonlySet<string> | null = null;
  /** Where the piece falls apart: two characters of the vocabulary that no merge joins. */
  const isCut = (piece: string, at: number): boolean => {
    joints ??= jointsOf(json);
    const [left = '', right = ''] = [piece[at - 1], piece[at]];
    return !joints.has(left + right) && ids.has(prefix + left) && ids.has(prefix + right);
  };
  /** The first or last sections that give enough ids. */
  const someOf = (piece: string, { count, side }: Wanted): (number | null)[] => {
    const isFirst = side === 'first';
    const sections: (number | null)[][] = [];
    // The first and the last character may have other tokens than elsewhere: neither stands alone.
    let [start, end] = isFirst ? [0, 2] : [piece.length - 2, piece.length];
    for (let found = 0; found < count && end > start;) {
      while (isFirst ? end < piece.length - 1 && !isCut(piece, end) : start > 1 && !isCut(piece, start))
        if (isFirst) end++;
        else start--;
      if (isFirst && end === piece.length - 1) end++;
      if (!isFirst && start === 1) start--;
      const section = merged(piece.slice(start, end), start === 0, end === piece.length);
      sections.push(section);
      found += section.length;
      [start, end] = isFirst ? [end, Math.min(end + 1, piece.length)] : [Math.max(start - 1, 0), start];
    }
    return (isFirst ? sections : sections.toReversed()).flat();
  };

  return (piece, wanted, spans) => {
    const whole = json.ignore_merges ? ids.get(piece) : undefined;
    if (whole !== undefined) {
      spans?.push(0, piece.length);
      return [whole];
    }
    if (wanted === undefined || piece.length <= LONG || wanted.count > piece.length)
      return merged(piece, true, true, spans);
    return someOf(piece, wanted);
  };
}

/** The UTF-16 units that stand on both sides of what a merge joins. */
function jointsOf({ merges, continuing_subword_prefix: prefix }: BpeJson): Set<string> {
  return new Set(
    merges.map((merge) => {
      const [left = '', right = ''] = typeof merge === 'string' ? merge.split(' ') : merge;
      return `${left.at(-1)}${right.at(prefix?.length ?? 0)}`;
    }),
  );
}

/** Of equal merges the last counts, as in Rust. */
function readMerges(
  { merges, continuing_subword_prefix: prefix }: BpeJson,
  ids: ReadonlyMap<string, number>,
): { ranks: Map<number, number>; mergedIds: Int32Array } {
  const ranks = new Map<number, number>();
  const mergedIds = new Int32Array(merges.length);
  for (const [rank, merge] of merges.entries()) {
    const [left = '', right = ''] = typeof merge === 'string' ? merge.split(' ') : merge;
    ranks.set((ids.get(left) ?? 0) * PAIR_BASE + (ids.get(right) ?? 0), rank);
    mergedIds[rank] = ids.get(left + right.slice(prefix?.length ?? 0)) ?? 0;
  }
  return { ranks, mergedIds };
}

/** By byte, the id of `<0xNN>`. */
export function byteIds(ids: ReadonlyMap<string, number>): (number | undefined)[] {
  return Array.from({ length: 256 }, (_, byte) =>
    ids.get(`<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`),
  );
}

/** null where a byte has no token. */
export function idsOfBytes(text: string, bytes: readonly (number | undefined)[]): number[] | null {
  const found: number[] = [];
  for (const byte of Buffer.from(text)) {
    const id = bytes[byte];
    if (id === undefined) return null;
    found.push(id);
  }
  return found;
}

/** A binary heap: the lowest number first. */
class Heap {
  readonly #values: number[] = [];

  push(value: number): void {
    const values = this.#values;
    let at = values.length;
    values.push(value);
    while (at > 0) {
      const parent = (at - 1) >> 1;
      const above = values[parent] ?? 0;
      if (above <= value) break;
      values[at] = above;
      at = parent;
    }
    values[at] = value;
  }

  pop(): number | undefined {
    const values = this.#values;
    const first = values[0];
    const last = values.pop();
    if (last === undefined || values.length === 0) return first;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= values.length) break;
      if (child + 1 < values.length && (values[child + 1] ?? 0) < (values[child] ?? 0)) child++;
      const below = values[child] ?? 0;
      if (below >= last) break;
      values[at] = below;
      at = child;
    }
    values[at] = last;
    return first;
  }
}
