// Text to token ids, without special tokens: BERT's own text handling in front of the library's WordPiece, with a
// cache per white-space separated chunk; any other kind of tokenizer.json goes to the library as a whole.
import { UsageError } from '../util/errors.js';
import { createAddedTokenSplitter } from './added-tokens.js';
import { createNormalizer, splitWords } from './bert-words.js';
import { ChunkCache } from './chunk-cache.js';
import type { IdBuffer } from './id-buffer.js';
import { createLibraryTokenizer } from './library.js';
import { highestId } from './parse.js';
import type { BertStyleJson, TokenizerConfig, TokenizerJson, TokenizerSpec } from './tokenizer-json.js';
import { isBertStyle } from './tokenizer-json.js';

/** Appends the ids of `text` to `ids`; may stop once `limit` ids were added, but may also add more. */
export type TextToIds = (text: string, ids: IdBuffer, limit: number) => void;

/** 131,072 chunks in 8 MB; the 6,000 reviews of imdb-small hold 116,000 different ones. */
const CACHED_CHUNKS_BITS = 17;
const LONE_SURROGATE = /\p{Surrogate}/u;

export function createTextToIds(spec: TokenizerSpec): TextToIds {
  const { tokenizerJson: json, tokenizerConfig: config } = spec;
  if (!isBertStyle(json)) {
    return createOtherEncode(json, config);
  }
  const encode = createBertEncode(json, config);
  // A chunk's ids do not depend on its neighbours, unless an added token spans them.
  if (json.added_tokens.some(({ content }) => /\s/.test(content))) {
    return (text, ids) => ids.append(encode(wellFormed(text)));
  }
  const cache = new ChunkCache(CACHED_CHUNKS_BITS, encode);
  return (text, ids, limit) => appendChunks(text, ids, limit, cache);
}

function createOtherEncode(json: TokenizerJson, config: TokenizerConfig): TextToIds {
  const library = createLibraryTokenizer({ ...json, post_processor: null }, config);
  const highest = highestId(json);
  return (text, ids) => {
    const found: readonly unknown[] = library.encode(wellFormed(text), { add_special_tokens: false }).ids;
    ids.append(found.map((id) => ownId(id, highest)));
  };
}

/** The library gives undefined for a piece without an id where no token stands for what is unknown. */
function ownId(id: unknown, highest: number): number {
  if (typeof id === 'number' && id >= 0 && id <= highest) return id;
  throw new UsageError(
    'This tokenizer.json cannot be used: a text has a piece that is not in the vocabulary, which lacks an unknown token',
  );
}

function createBertEncode(json: BertStyleJson, config: TokenizerConfig): (text: string) => number[] {
  const wordPiece = createLibraryTokenizer({ ...json, added_tokens: [] }, config).model;
  const unknown = json.model.vocab[json.model.unk_token] ?? 0;
  const normalize = createNormalizer(json.normalizer);
  const splitRaw = createAddedTokenSplitter(json.added_tokens.filter(({ normalized }) => !normalized));
  const splitNormalized = createAddedTokenSplitter(
    json.added_tokens
      .filter(({ normalized }) => normalized)
      .map((token) => Object.assign({}, token, { content: normalize(token.content) })),
  );
  return (text) => {
    const ids: number[] = [];
    const sections = splitRaw(wellFormed(text)).flatMap((section) =>
      typeof section === 'number' ? section : splitNormalized(normalize(section)),
    );
    for (const section of sections) {
      if (typeof section === 'number') ids.push(section);
      else {
        for (const piece of wordPiece.encode(splitWords(section))) {
          ids.push(wordPiece.tokens_to_ids.get(piece) ?? unknown);
        }
      }
    }
    return ids;
  };
}

/** Cuts at space, tab, LF and CR, which end a word under every setting of the normalizer. */
function appendChunks(text: string, ids: IdBuffer, limit: number, cache: ChunkCache): void {
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
}

/** Half a surrogate pair has no UTF-8 form: every reader of bytes sees U+FFFD instead. */
function wellFormed(text: string): string {
  return LONE_SURROGATE.test(text) ? text.replace(/\p{Surrogate}/gu, '\uFFFD') : text;
}
