// Text to token ids, without special tokens: added tokens, normalizer, pre-tokenizer, model. What comes often is
// remembered: the ids of a chunk of text where chunks do not depend on each other, else those of a piece of the model.
import { createAddedTokenSplitter } from './added-tokens.js';
import { ChunkCache, type IdBuffer } from './chunk-cache.js';
import { createModel } from './models.js';
import { createNormalizer, keepsChunksApart } from './normalizers.js';
import { chunkingOf, createPreTokenizer } from './pre-tokenizers.js';
import type { TokenizerJson } from './tokenizer-json.js';
import { SPACE, hasFlag } from './unicode.js';

/** Appends the ids of `text` to `ids`; may stop once `limit` ids were added, but may also add more. */
export type TextToIds = (text: string, ids: IdBuffer, limit: number) => void;

/** 131,072 chunks in 8 MB; the 6,000 reviews of imdb-small hold 116,000 different ones. */
const CACHED_CHUNKS_BITS = 17;
const LONE_SURROGATE = /\p{Surrogate}/u;

export function createTextToIds(json: TokenizerJson): TextToIds {
  const { added_tokens: added } = json;
  const chunking = chunkingOf(json.pre_tokenizer);
  const pipeline = new Pipeline(json);
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
  readonly model: (piece: string) => number[];
  /** Added tokens that are looked for in the text as it is given. */
  readonly splitRaw: (text: string) => (string | number)[];

  constructor({ normalizer, pre_tokenizer: preTokenizer, model, added_tokens: added }: TokenizerJson) {
    this.#normalize = createNormalizer(normalizer);
    this.#preTokenize = createPreTokenizer(preTokenizer);
    this.model = createModel(model);
    this.splitRaw = createAddedTokenSplitter(added.filter(({ normalized }) => !normalized));
    this.#splitNormalized = createAddedTokenSplitter(
      added
        .filter(({ normalized }) => normalized)
        .map((token) => Object.assign({}, token, { content: this.#normalize(token.content) })),
    );
  }

  ids(text: string): number[] {
    return this.pieces(text).flatMap((piece) => (typeof piece === 'number' ? piece : this.model(piece)));
  }

  /** Pieces for the model, and ids of added tokens. */
  pieces(text: string): (string | number)[] {
    return this.splitRaw(text).flatMap((section, index) =>
      typeof section === 'number' ? [section] : this.#sectionPieces(section, index === 0),
    );
  }

  #sectionPieces(text: string, isFirst: boolean): (string | number)[] {
    return this.#splitNormalized(this.#normalize(text)).flatMap((section, index): (string | number)[] =>
      typeof section === 'number' ? [section] : this.#preTokenize(section, isFirst && index === 0),
    );
  }
}

/** Chunks between space, tab, LF and CR, which end a word under every setting. */
function byWords(pipeline: Pipeline): TextToIds {
  const cache = new ChunkCache(CACHED_CHUNKS_BITS, (chunk) => pipeline.ids(wellFormed(chunk)));
  return (text, ids, limit) => {
    const enough = ids.length + limit;
    let start = 0;
    for (let index = 0; index <= text.length; index++) {
      const code = index < text.length ? text.charCodeAt(index) : 0x20;
      if (code !== 0x20 && code !== 0x0a && code !== 0x0d && code !== 0x09) continue;
      if (index > start) {
        cache.append(text, start, index, ids);
        if (ids.length >= enough) return;
      }
      start = index + 1;
    }
  };
}

/**
 * Chunks of GPT-2's pattern: what is not white space with the blank before it; a run of white space without its last
 * character, which is a chunk of its own unless it is that blank.
 */
function byteLevel(json: TokenizerJson, pipeline: Pipeline): TextToIds {
  const addsSpace = json.pre_tokenizer?.type === 'ByteLevel' && json.pre_tokenizer.add_prefix_space;
  const chunkPipeline = new Pipeline({
    ...json,
    added_tokens: [],
    pre_tokenizer: { type: 'ByteLevel', add_prefix_space: false, use_regex: true },
  });
  const cache = new ChunkCache(CACHED_CHUNKS_BITS, (chunk) => chunkPipeline.ids(chunk));
  const append = (text: string, ids: IdBuffer, enough: number): void => {
    for (let start = 0; start < text.length && ids.length < enough;) {
      const end = byteLevelChunkEnd(text, start);
      cache.append(text, start, end, ids);
      start = end;
    }
  };
  return (text, ids, limit) => {
    const enough = ids.length + limit;
    for (const section of pipeline.splitRaw(wellFormed(text))) {
      if (ids.length >= enough) return;
      if (typeof section === 'number') ids.append([section]);
      else append(addsSpace && !section.startsWith(' ') ? ` ${section}` : section, ids, enough);
    }
  };
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
  const cache = new ChunkCache(CACHED_CHUNKS_BITS, (piece) => pipeline.model(piece));
  return (text, ids, limit) => {
    const enough = ids.length + limit;
    for (const piece of pipeline.pieces(wellFormed(text))) {
      if (ids.length >= enough) return;
      if (typeof piece === 'number') ids.append([piece]);
      else if (piece !== '') cache.append(piece, 0, piece.length, ids);
    }
  };
}

/** Half a surrogate pair has no UTF-8 form: every reader of bytes sees U+FFFD instead. */
function wellFormed(text: string): string {
  return LONE_SURROGATE.test(text) ? text.replace(/\p{Surrogate}/gu, '\uFFFD') : text;
}
