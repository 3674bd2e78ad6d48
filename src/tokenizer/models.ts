// The models of a tokenizer.json: a piece of text to token ids. Decoding comes from @huggingface/tokenizers.
import { Tokenizer } from '@huggingface/tokenizers';
import { z } from 'zod';
import { UsageError, messageOf } from '../util/errors.js';
import { createBpe } from './bpe.js';
import type { Wanted } from './chunk-cache.js';
import { createUnigram } from './unigram.js';

/** Twice the largest vocabulary of a published BERT (LaBSE, 501,153 tokens). */
export const MAX_TOKENS = 1_000_000;
/** The search for the pieces of a word takes up to the third power of its length; published tokenizers have 100. */
const MAX_WORD_LENGTH = 1000;
/** A text is looked up in steps of a character, each up to the longest piece; published tokenizers have 16 to 64. */
const MAX_PIECE_LENGTH = 256;

export const idSchema = z
  .int()
  .min(0)
  .max(MAX_TOKENS - 1);

// Not z.record, which would copy the vocabulary entry by entry and drop a token named __proto__.
export const vocabularySchema = z.custom<Record<string, number>>(
  (value) =>
    typeof value === 'object' &&
    value !== null &&
    Object.values(value).every((at) => Number.isInteger(at) && at >= 0 && at < MAX_TOKENS),
  `expected an object of token ids from 0 to ${MAX_TOKENS - 1}`,
);

const wordPiece = z
  .looseObject({
    type: z.literal('WordPiece').default('WordPiece'),
    unk_token: z.string(),
    continuing_subword_prefix: z.string(),
    max_input_chars_per_word: z.int().positive().max(MAX_WORD_LENGTH).default(100),
    vocab: vocabularySchema,
  })
  .refine((model) => Object.hasOwn(model.vocab, model.unk_token), 'the vocabulary lacks the unknown token');

const bpe = z
  .looseObject({
    type: z.literal('BPE').default('BPE'),
    dropout: z.literal(0, 'BPE with dropout gives other ids each time; set it to null').nullish(),
    unk_token: z.string().nullish(),
    continuing_subword_prefix: z.string().nullish(),
    end_of_word_suffix: z.string().nullish(),
    fuse_unk: z.boolean().default(false),
    byte_fallback: z.boolean().default(false),
    ignore_merges: z.boolean().default(false),
    vocab: vocabularySchema,
    merges: z.custom<(string | [string, string])[]>(Array.isArray, 'expected a list of pairs'),
  })
  .superRefine(({ vocab, merges, continuing_subword_prefix: prefix }, context) => {
    const wrong = merges.find((merge) => !isMergeOf(vocab, merge, prefix ?? ''));
    if (wrong !== undefined)
      context.addIssue(
        `the merge ${JSON.stringify(wrong ?? null).slice(0, 100)} is no pair of pieces whose union is in the vocabulary`,
      );
  });

const unigram = z
  .looseObject({
    type: z.literal('Unigram').default('Unigram'),
    unk_id: idSchema.nullish(),
    byte_fallback: z.boolean().default(false),
    vocab: z
      .array(z.tuple([z.string().max(MAX_PIECE_LENGTH), z.number()]))
      .min(1)
      .max(MAX_TOKENS)
      .refine(
        (pieces) => !pieces.some(([piece]) => LONE_SURROGATE.test(piece)),
        'a piece is not valid Unicode',
      ),
  })
  .refine(
    ({ vocab, unk_id: unknown }) => (unknown ?? 0) < vocab.length,
    'the vocabulary lacks the unknown token',
  );

const wordLevel = z.looseObject({
  type: z.literal('WordLevel'),
  vocab: vocabularySchema,
  unk_token: z.string(),
});

const LONE_SURROGATE = /\p{Surrogate}/u;

function isMergeOf(vocab: Record<string, number>, merge: unknown, prefix: string): boolean {
  const parts: unknown = typeof merge === 'string' ? merge.split(' ') : merge;
  if (!Array.isArray(parts) || parts.length !== 2) return false;
  const [left, right]: unknown[] = parts;
  if (typeof left !== 'string' || typeof right !== 'string' || !right.startsWith(prefix)) return false;
  return [left, right, left + right.slice(prefix.length)].every((piece) => Object.hasOwn(vocab, piece));
}

export const modelSchemas = { WordPiece: wordPiece, BPE: bpe, Unigram: unigram, WordLevel: wordLevel };
export type ModelJson = z.infer<(typeof modelSchemas)[keyof typeof modelSchemas]>;

/**
 * The few signatures of @huggingface/tokenizers 0.2.0 that are used. Its own declaration files import without
 * extensions, so under `nodenext` every type of it would silently be `any`.
 */
interface LibraryTokenizer {
  /** Throws on an empty list. */
  decode(
    ids: number[],
    options: { skip_special_tokens: boolean; clean_up_tokenization_spaces: boolean },
  ): string;
}

const LibraryTokenizerClass: new (json: object, config: object) => LibraryTokenizer = Tokenizer;

/** What it reads of a tokenizer.json. */
interface LibraryJson {
  model: ModelJson;
  added_tokens: readonly object[];
  decoder?: object | null;
}

/**
 * The ids of a piece of text that the pre-tokenizer gave: all of them, or of a long piece at least those wanted.
 *
 * @param spans where all are wanted, takes start and end of each token in the piece
 */
export type Model = (piece: string, wanted?: Wanted, spans?: number[]) => number[];

export function createModel(json: ModelJson): Model {
  switch (json.type) {
    case 'Unigram': {
      const encode = createUnigram(json);
      return (piece, wanted, spans) => encode(piece, wanted, spans).map(requireId);
    }
    case 'WordLevel': {
      const unknown = ownId(json.vocab, json.unk_token);
      return (piece, _wanted, spans) => {
        spans?.push(0, piece.length);
        return [requireId(ownId(json.vocab, piece) ?? unknown)];
      };
    }
    case 'BPE': {
      const encode = createBpe(json);
      return (piece, wanted, spans) => encode(piece, wanted, spans).map(requireId);
    }
  }
  return createWordPiece(json);
}

/** From the left the longest piece of the vocabulary, again and again; a word that cannot be cut so is unknown. */
function createWordPiece(json: z.infer<typeof wordPiece>): Model {
  const ids = new Map(Object.entries(json.vocab));
  const { continuing_subword_prefix: prefix, max_input_chars_per_word: most } = json;
  const unknown = requireId(ids.get(json.unk_token));
  return (word, _wanted, spans) => {
    const before = spans?.length ?? 0;
    const unknownWord = (): number[] => {
      spans?.splice(before, Infinity, 0, word.length);
      return [unknown];
    };
    // A character has one or two UTF-16 units.
    if (word.length > most && (word.length > 2 * most || Array.from(word).length > most))
      return unknownWord();
    const found: number[] = [];
    for (let start = 0; start < word.length;) {
      let end = word.length;
      let id: number | undefined;
      for (; end > start; end -= isLowSurrogate(word, end - 1) ? 2 : 1) {
        const piece = word.slice(start, end);
        id = ids.get(start > 0 ? prefix + piece : piece);
        if (id !== undefined) break;
      }
      if (id === undefined) return unknownWord();
      found.push(id);
      spans?.push(start, end);
      start = end;
    }
    return found;
  };
}

function isLowSurrogate(text: string, index: number): boolean {
  const code = text.charCodeAt(index);
  return code >= 0xdc00 && code <= 0xdfff;
}

/** Ids to text, by the decoder of the tokenizer.json. */
export function createDecoder(
  json: LibraryJson,
  config: { clean_up_tokenization_spaces?: boolean | null | undefined },
): (ids: number[], skipSpecialTokens: boolean) => string {
  const library = createLibrary(json, config);
  return (ids, skipSpecialTokens) =>
    library.decode(ids, {
      skip_special_tokens: skipSpecialTokens,
      clean_up_tokenization_spaces: config.clean_up_tokenization_spaces ?? false,
    });
}

/** @throws UsageError naming the component of tokenizer.json that the library does not know */
function createLibrary(json: LibraryJson, config: object): LibraryTokenizer {
  // What comes before and after the model is this project's own.
  const others = { decoder: null, ...json, normalizer: null, pre_tokenizer: null, post_processor: null };
  try {
    return new LibraryTokenizerClass(others, config);
  } catch (error) {
    const message = messageOf(error).replaceAll(/\s+/g, ' '); // it quotes the file
    throw new UsageError(`This tokenizer.json cannot be used: ${message}`);
  }
}

function ownId(vocab: Readonly<Record<string, number>>, token: string): number | undefined {
  return Object.hasOwn(vocab, token) ? vocab[token] : undefined;
}

function requireId(id: number | null | undefined): number {
  if (typeof id === 'number') return id;
  throw new UsageError(
    'This tokenizer.json cannot be used: a text has a piece that is not in the vocabulary, which lacks an unknown token',
  );
}
