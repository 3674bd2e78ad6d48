// Text to token ids, without special tokens: added tokens, normalizer, pre-tokenizer, model. What comes often is
// remembered: the ids of a chunk of text where chunks do not depend on each other, else those of a piece of the model.
// Where only so many ids are wanted, the model sees no more of the text than those take.
import { createAddedTokenSplitter } from './added-tokens.js';
import { ChunkCache, MAX_CACHED_LENGTH, type IdBuffer, type Wanted } from './chunk-cache.js';
import { createModel, type Model } from './models.js';
import { createNormalizer, keepsChunksApart } from './normalizers.js';
import {
  chunkingOf,
  createPieceStream,
  createPreTokenizer,
  readsPlace,
  type PieceStream,
} from './pre-tokenizers.js';
import type { TokenizerJson } from './tokenizer-json.js';
import { SPACE, hasFlag } from './unicode.js';

/** Appends the ids of `text` in their order to `ids`: all of them, or at least those that are wanted. */
export type TextToIds = (text: string, ids: IdBuffer, wanted: Wanted) => void;

/** 131,072 chunks in 8 MB; the 6,000 reviews of imdb-small hold 116,000 different ones. */
const CACHED_CHUNKS_BITS = 17;
const LONE_SURROGATE = /\p{Surrogate}/u;
/** How far into a text what the normalizer drops is looked for. */
const DROPPED_LENGTH = 16;

/** @param readSpecials whether special tokens in a text are tokens, and not text */
export function createTextToIds(json: TokenizerJson, readSpecials: boolean): TextToIds {
  const { added_tokens: added } = json;
  const chunking = chunkingOf(json.pre_tokenizer);
  const pipeline = new Pipeline(json, readSpecials);
  const hasSpaces = added.some(({ content }) => /\s/.test(content));
  if (chunking === 'words' && keepsChunksApart(json.normalizer) && !hasSpaces) return byWords(pipeline);
  // NFC changes no white space and composes nothing with it.
  const keepsSpaces = json.normalizer === null || json.normalizer.type === 'NFC';
  const isRaw = !added.some(({ normalized }) => normalized);
  if (chunking === 'byte-level' && keepsSpaces && isRaw) return byteLevel(json, pipeline);
  return byPieces(pipeline);
}

/** The steps one after another. */
class Pipeline {
  readonly #normalize: (text: string) => string;
  readonly #preTokenize: (text: string, isFirst: boolean) => string[];
  readonly #splitNormalized: (text: string) => (string | number)[];
  readonly #streamPieces: PieceStream | null;
  readonly #readsPlace: boolean;
  readonly model: Model;
  /** Added tokens that are looked for in the text as it is given. */
  readonly splitRaw: (text: string) => (string | number)[];

  constructor(
    { normalizer, pre_tokenizer: preTokenizer, model, added_tokens: added }: TokenizerJson,
    readSpecials: boolean,
  ) {
    this.#normalize = createNormalizer(normalizer);
    this.#preTokenize = createPreTokenizer(preTokenizer);
    this.#streamPieces = createPieceStream(preTokenizer);
    this.#readsPlace = normalizer !== null && readsPlace(preTokenizer);
    this.model = createModel(model);
    this.splitRaw = createAddedTokenSplitter(
      added.filter(({ normalized }) => !normalized),
      readSpecials,
    );
    this.#splitNormalized = createAddedTokenSplitter(
      added
        .filter(({ normalized }) => normalized)
        .map((token) => Object.assign({}, token, { content: this.#normalize(token.content) })),
      readSpecials,
    );
  }

  ids(text: string): number[] {
    return this.pieces(text).flatMap((piece) => (typeof piece === 'number' ? piece : this.model(piece)));
  }

  /** Of a long text, piece by piece, as many as are wanted. */
  append(text: string, ids: IdBuffer, wanted: Wanted): void {
    const sections = this.splitRaw(text).map((section, index) => ({ section, isFirst: index === 0 }));
    appendParts(inOrder(sections, wanted), ids, wanted, ({ section, isFirst }, left) => {
      if (typeof section === 'number') ids.append([section]);
      else this.#appendSection(section, isFirst, ids, left);
    });
  }

  #appendSection(text: string, isFirst: boolean, ids: IdBuffer, wanted: Wanted): void {
    const stream = this.#streamPieces;
    if (stream === null) {
      appendParts(inOrder(this.#sectionPieces(text, isFirst), wanted), ids, wanted, (piece, left) =>
        ids.append(typeof piece === 'number' ? [piece] : this.model(piece, left)),
      );
      return;
    }
    const parts = this.#splitNormalized(this.#normalize(text));
    appendParts(inOrder(parts, wanted), ids, wanted, (part, left) => {
      if (typeof part === 'number') ids.append([part]);
      else
        appendParts(stream(part, left.side), ids, left, (piece, rest) => ids.append(this.model(piece, rest)));
    });
  }

  /** Pieces for the model, and ids of added tokens. */
  pieces(text: string): (string | number)[] {
    return this.splitRaw(text).flatMap((section, index) =>
      typeof section === 'number' ? [section] : this.#sectionPieces(section, index === 0),
    );
  }

  #sectionPieces(text: string, isFirst: boolean): (string | number)[] {
    const keepsPlace = isFirst && !(this.#readsPlace && dropsStart(text, this.#normalize));
    return this.#splitNormalized(this.#normalize(text)).flatMap((section, index): (string | number)[] =>
      typeof section === 'number' ? [section] : this.#preTokenize(section, keepsPlace && index === 0),
    );
  }
}

/** Rust asks for the place in the text as it was given: what follows a dropped beginning is not the first. */
export function dropsStart(text: string, normalize: (text: string) => string): boolean {
  const most = Math.min(text.length, DROPPED_LENGTH);
  return Array.from({ length: most }, (_, index) => text.slice(0, index + 1)).some(
    (start) => normalize(start) === '',
  );
}

/** Appends part after part, those on the wanted side first, until there are enough ids. */
function appendParts<T>(
  parts: Iterable<T>,
  ids: IdBuffer,
  { count, side }: Wanted,
  append: (part: T, left: Wanted) => void,
): void {
  const first = ids.length;
  const enough = first + count;
  for (const part of parts) {
    if (ids.length >= enough) break;
    const start = ids.length;
    append(part, { count: enough - start, side });
    if (side === 'last') ids.reverse(start);
  }
  if (side === 'last') ids.reverse(first);
}

function inOrder<T>(parts: readonly T[], { side }: Wanted): readonly T[] {
  return side === 'first' ? parts : parts.toReversed();
}

/** Chunks between space, tab, LF and CR, which end a word under every setting. */
function byWords(pipeline: Pipeline): TextToIds {
  const append = cached(
    (chunk) => pipeline.ids(wellFormed(chunk)),
    (chunk, ids, wanted) => pipeline.append(wellFormed(chunk), ids, wanted),
  );
  return (text, ids, wanted) => {
    const first = ids.length;
    const enough = first + wanted.count;
    if (wanted.side === 'first') {
      for (let start = 0; start < text.length && ids.length < enough;) {
        let end = start;
        while (end < text.length && !isSeparator(text.charCodeAt(end))) end++;
        append(text, start, end, ids, wanted, enough);
        start = end + 1;
      }
      return;
    }
    for (let end = text.length; end > 0 && ids.length < enough;) {
      let start = end;
      while (start > 0 && !isSeparator(text.charCodeAt(start - 1))) start--;
      const at = ids.length;
      append(text, start, end, ids, wanted, enough);
      ids.reverse(at);
      end = start - 1;
    }
    ids.reverse(first);
  };
}

function isSeparator(code: number): boolean {
  return code === 0x20 || code === 0x0a || code === 0x0d || code === 0x09;
}

type AppendChunk = (
  text: string,
  start: number,
  end: number,
  ids: IdBuffer,
  wanted: Wanted,
  enough: number,
) => void;

/** A short chunk is looked up; of a long one no more is tokenized than is wanted. */
function cached(encode: (chunk: string) => number[], appendLong: TextToIds): AppendChunk {
  const cache = new ChunkCache(CACHED_CHUNKS_BITS, encode);
  return (text, start, end, ids, { side }, enough) => {
    if (end - start > MAX_CACHED_LENGTH)
      appendLong(text.slice(start, end), ids, { count: enough - ids.length, side });
    else if (end > start) cache.append(text, start, end, ids);
  };
}

/**
 * Chunks of GPT-2's pattern: what is not white space with the blank before it; a run of white space without its last
 * character, which is a chunk of its own unless it is that blank.
 */
function byteLevel(json: TokenizerJson, pipeline: Pipeline): TextToIds {
  const addsSpace = json.pre_tokenizer?.type === 'ByteLevel' && json.pre_tokenizer.add_prefix_space;
  const chunkPipeline = new Pipeline(
    {
      ...json,
      added_tokens: [],
      pre_tokenizer: { type: 'ByteLevel', add_prefix_space: false, use_regex: true },
    },
    true,
  );
  const appendChunk = cached(
    (chunk) => chunkPipeline.ids(chunk),
    (chunk, ids, wanted) => chunkPipeline.append(chunk, ids, wanted),
  );
  const appendText = (text: string, ids: IdBuffer, wanted: Wanted): void => {
    const enough = ids.length + wanted.count;
    if (wanted.side === 'last') {
      appendParts(byteLevelChunks(text).toReversed(), ids, wanted, ([start, end]) =>
        appendChunk(text, start, end, ids, wanted, enough),
      );
      return;
    }
    for (let start = 0; start < text.length && ids.length < enough;) {
      const end = byteLevelChunkEnd(text, start);
      appendChunk(text, start, end, ids, wanted, enough);
      start = end;
    }
  };
  return (text, ids, wanted) =>
    appendParts(inOrder(pipeline.splitRaw(wellFormed(text)), wanted), ids, wanted, (section, left) => {
      if (typeof section === 'number') ids.append([section]);
      else if (section !== '')
        appendText(addsSpace && !section.startsWith(' ') ? ` ${section}` : section, ids, left);
    });
}

function byteLevelChunks(text: string): [start: number, end: number][] {
  const chunks: [number, number][] = [];
  for (let start = 0; start < text.length;) {
    const end = byteLevelChunkEnd(text, start);
    chunks.push([start, end]);
    start = end;
  }
  return chunks;
}

function byteLevelChunkEnd(text: string, start: number): number {
  let end = start;
  while (end < text.length && isSpace(text, end)) end++;
  const spaces = end - start;
  if (end === text.length) return end;
  if (spaces > 1) return end - 1;
  if (spaces === 1 && text[start] !== ' ') return end;
  while (end < text.length && !isSpace(text, end)) end++;
  return end;
}

/** All white space lies in the basic plane: each UTF-16 unit can be asked. */
function isSpace(text: string, index: number): boolean {
  const code = text.charCodeAt(index);
  return code === 0x20 || ((code < 0x20 || code > 0x7e) && hasFlag(text, index, SPACE));
}

/** Each piece of the model by itself. */
function byPieces(pipeline: Pipeline): TextToIds {
  const append = cached(
    (piece) => pipeline.model(piece),
    (piece, ids, wanted) => ids.append(pipeline.model(piece, wanted)),
  );
  return (text, ids, wanted) => {
    const enough = ids.length + wanted.count;
    appendParts(inOrder(pipeline.pieces(wellFormed(text)), wanted), ids, wanted, (piece) => {
      if (typeof piece === 'number') ids.append([piece]);
      else append(piece, 0, piece.length, ids, wanted, enough);
    });
  };
}

/** Half a surrogate pair has no UTF-8 form: every reader of bytes sees U+FFFD instead. */
export function wellFormed(text: string): string {
  return LONE_SURROGATE.test(text) ? text.replace(/\p{Surrogate}/gu, '\uFFFD') : text;
}
