// The Unigram model: of all ways to cut a piece of text into vocabulary entries, the one with the highest sum of
// scores. The JavaScript library compares other sums where two ways are equal, and so cuts `50000` otherwise than Rust.

import { byteIds, idsOfBytes } from './bpe.js';
import type { Wanted } from './chunk-cache.js';

/** What it reads of the model in a tokenizer.json. */
interface UnigramJson {
  vocab: readonly (readonly [piece: string, score: number])[];
  unk_id?: number | null | undefined;
  byte_fallback: boolean;
}

/** How far the score of an unknown character lies below the lowest one. */
const UNKNOWN_PENALTY = 10;
const NO_ID = -1;
/** Pieces below this length share their working memory. */
const USUAL_LENGTH = 1024;
/** Odd, so that neighbouring nodes spread over the table. */
const NODE_STEP = 0x9e3779b1 | 0;

/** What finds the vocabulary entries that begin at a place, by UTF-16 units: a trie with its edges in one hash table. */
class Trie {
  readonly #mask: number;
  // By slot: the edge's origin (the root is 1, 0 marks an empty slot), its unit, and the node that it leads to.
  readonly #origins: Int32Array;
  readonly #units: Uint16Array;
  readonly #targets: Int32Array;
  /** By node; NO_ID where no entry ends. */
  readonly #ids: Int32Array;
  #nodes = 1;

  constructor(pieces: readonly string[]) {
    const most = pieces.reduce((sum, piece) => sum + piece.length, 2);
    const slots = 2 ** Math.ceil(Math.log2(most * 2));
    this.#mask = slots - 1;
    this.#origins = new Int32Array(slots);
    this.#units = new Uint16Array(slots);
    this.#targets = new Int32Array(slots);
    this.#ids = new Int32Array(most + 1).fill(NO_ID);
    for (const [id, piece] of pieces.entries()) this.#add(piece, id);
  }

  /** The node after `unit`, 0 where no entry continues so; the root is 1. */
  next(node: number, unit: number): number {
    return this.#targets[this.#slotOf(node, unit)] ?? 0;
  }

  idAt(node: number): number {
    return this.#ids[node] ?? NO_ID;
  }

  /** Of equal pieces the last counts, as in Rust. */
  #add(piece: string, id: number): void {
    if (piece === '') return;
    let node = 1;
    for (let index = 0; index < piece.length; index++) {
      const unit = piece.charCodeAt(index);
      const slot = this.#slotOf(node, unit);
      if (this.#origins[slot] === 0) {
        this.#origins[slot] = node;
        this.#units[slot] = unit;
        this.#targets[slot] = ++this.#nodes;
      }
      node = this.#targets[slot] ?? 0;
    }
    this.#ids[node] = id;
  }

  #slotOf(node: number, unit: number): number {
    const hash = Math.imul(node, NODE_STEP) ^ Math.imul(unit, 0x85ebca6b);
    let slot = (hash ^ (hash >>> 15)) & this.#mask;
    while (this.#origins[slot] !== 0 && (this.#origins[slot] !== node || this.#units[slot] !== unit))
      slot = (slot + 1) & this.#mask;
    return slot;
  }
}

/** Ids of a piece of text; null stands for an unknown one where the model has no token for it. */
export function createUnigram(
  json: UnigramJson,
): (text: string, wanted?: Wanted, spans?: number[]) => (number | null)[] {
  const { vocab, unk_id: unknownId = null, byte_fallback: byteFallback } = json;
  const scores = Float64Array.from(vocab, ([, score]) => score);
  const unknownScore = scores.reduce((lowest, score) => Math.min(lowest, score), Infinity) - UNKNOWN_PENALTY;
  const trie = new Trie(vocab.map(([piece]) => piece));
  const bytes = byteFallback ? byteIds(new Map(vocab.map(([piece], id) => [piece, id]))) : null;

  // Of the best way to each place: its score, where its last entry begins (-1: there is no way yet) and its id.
  let best = new Float64Array(USUAL_LENGTH);
  let starts = new Int32Array(USUAL_LENGTH);
  let ids = new Int32Array(USUAL_LENGTH);

  /**
   * Goes over the text once; each step goes as far as the longest entry. Every way through the text goes through a place
   * that no entry spans: what lies before it is decided.
   *
   * @param onDecided takes such places, and says whether to go on
   * @returns whether it went to the end
   */
  const fill = (text: string, onDecided?: (end: number) => boolean): boolean => {
    const size = Math.max(USUAL_LENGTH, text.length + 1);
    if (best.length !== size) {
      best = new Float64Array(size);
      starts = new Int32Array(size);
      ids = new Int32Array(size);
    }
    starts.fill(-1, 0, text.length + 1);
    best[0] = 0;
    let reach = 0;
    const offer = (end: number, score: number, start: number, id: number): void => {
      if (starts[end] !== -1 && score <= (best[end] ?? 0)) return;
      best[end] = score;
      starts[end] = start;
      ids[end] = id;
    };
    for (let start = 0; start < text.length;) {
      const next = start + ((text.codePointAt(start) ?? 0) > 0xffff ? 2 : 1);
      if (onDecided !== undefined && start === reach && start > 0 && !onDecided(start)) return false;
      const soFar = best[start] ?? 0;
      let isKnown = false;
      let node = 1;
      for (let end = start; end < text.length;) {
        node = trie.next(node, text.charCodeAt(end++));
        if (node === 0) break;
        const id = trie.idAt(node);
        if (id === NO_ID) continue;
        offer(end, (scores[id] ?? 0) + soFar, start, id);
        if (end > reach) reach = end;
        if (end === next) isKnown = true;
      }
      if (!isKnown) offer(next, unknownScore + soFar, start, NO_ID);
      if (next > reach) reach = next;
      start = next;
    }
    return true;
  };

  const idOf = (text: string): number => {
    let node = 1;
    for (let index = 0; index < text.length && node !== 0; index++)
      node = trie.next(node, text.charCodeAt(index));
    return trie.idAt(node);
  };
  /** A run of unknown characters is one unknown token, or the tokens of its bytes. */
  const idsOfUnknown = (text: string): (number | null)[] => {
    const id = idOf(text);
    if (id !== NO_ID) return [id];
    return (bytes && idsOfBytes(text, bytes)) ?? [unknownId];
  };

  const isUnknownAt = (end: number): boolean => {
    const id = ids[end] ?? NO_ID;
    return id === NO_ID || id === unknownId;
  };
  /** What the best way has between two places that it goes through. */
  const between = (text: string, first: number, last: number, spans?: number[]): (number | null)[] => {
    const result: (number | null)[] = [];
    const reversed: number[] = [];
    let unknownEnd = -1;
    for (let end = last; end > first; end = starts[end] ?? 0) {
      const isUnknown = isUnknownAt(end);
      if (isUnknown && unknownEnd === -1) unknownEnd = end;
      const before = starts[end] ?? 0;
      if (!isUnknown) {
        result.push(ids[end] ?? NO_ID);
        if (spans !== undefined) reversed.push(end, before);
      }
      if (!isUnknown || (before > first && isUnknownAt(before))) continue;
      for (const one of idsOfUnknown(text.slice(before, unknownEnd)).toReversed()) {
        result.push(one);
        if (spans !== undefined) reversed.push(unknownEnd, before);
      }
      unknownEnd = -1;
    }
    for (const place of reversed.toReversed()) spans?.push(place);
    return result.toReversed();
  };

  return (text, wanted, spans) => {
    // From the end the sums of scores would be others, and equal ones fall otherwise.
    if (wanted === undefined || wanted.side === 'last') {
      fill(text);
      return between(text, 0, text.length, spans);
    }
    const result: (number | null)[] = [];
    let done = 0;
    const take = (end: number): boolean => {
      // The next characters may still belong to the unknown token.
      if (isUnknownAt(end) && end < text.length) return true;
      for (const id of between(text, done, end)) result.push(id);
      done = end;
      return result.length < wanted.count;
    };
    if (fill(text, take)) take(text.length);
    return result;
  };
}
