// The edge: tokenizer.json and tokenizer_config.json as they lie on disk, checked once.
import { z } from 'zod';
import { UsageError } from '../util/errors.js';
import type { BertNormalizerConfig } from './bert-words.js';
import { requireNoPatterns } from './patterns.js';
import type { OtherComponent, TokenizerConfig, TokenizerJson, WordPieceModel } from './tokenizer-json.js';

/** Twice the largest vocabulary of a published BERT (LaBSE, 501,153 tokens). */
const MAX_TOKENS = 1_000_000;
/** More would be looked for in every text, one by one; published tokenizers have up to a few thousand. */
const MAX_ADDED_TOKENS = 20_000;
const MAX_ADDED_TOKEN_LENGTH = 1000;
/** The search for the pieces of a word takes up to the third power of its length; published tokenizers have 100. */
const MAX_WORD_LENGTH = 1000;

const id = z
  .int()
  .min(0)
  .max(MAX_TOKENS - 1);

const addedTokenSettings = z.looseObject({
  content: z.string().max(MAX_ADDED_TOKEN_LENGTH),
  single_word: z.boolean().default(false),
  lstrip: z.boolean().default(false),
  rstrip: z.boolean().default(false),
  normalized: z.boolean().default(false),
  special: z.boolean().default(false),
});
const addedToken = z.looseObject({ id, ...addedTokenSettings.shape });

const otherComponent = z.looseObject({ type: z.string().optional() });

const bertNormalizer = z.looseObject({
  type: z.literal('BertNormalizer'),
  clean_text: z.boolean().default(true),
  handle_chinese_chars: z.boolean().default(true),
  strip_accents: z.boolean().nullable().default(null),
  lowercase: z.boolean().default(true),
});

const typeId = z.int().min(0).max(1).default(0);
const templatePieces = z.array(
  z.union([
    z.object({ SpecialToken: z.object({ id: z.string(), type_id: typeId }) }),
    z.object({ Sequence: z.object({ id: z.enum(['A', 'B']), type_id: typeId }) }),
  ]),
);
const tokenAndId = z.tuple([z.string(), id]);
const clsSepProcessing = { sep: tokenAndId, cls: tokenAndId };

const postProcessor = z.discriminatedUnion('type', [
  z.looseObject({
    type: z.literal('TemplateProcessing'),
    single: templatePieces,
    pair: templatePieces,
    special_tokens: z.record(
      z.string(),
      z.object({ id: z.string(), ids: z.array(id).min(1), tokens: z.array(z.string()) }),
    ),
  }),
  z.looseObject({ type: z.literal('BertProcessing'), ...clsSepProcessing }),
  z.looseObject({ type: z.literal('RobertaProcessing'), ...clsSepProcessing }),
]);

// Not z.record, which would copy the vocabulary entry by entry and drop a token named __proto__.
const vocabulary = z.custom<Record<string, number>>(
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
    vocab: vocabulary,
  })
  .refine((model) => Object.hasOwn(model.vocab, model.unk_token), 'the vocabulary lacks the unknown token');

/** The vocabularies of the models that the library reads: BPE and WordLevel have ids, Unigram scores. */
const otherModel = z
  .looseObject({
    type: z.string().optional(),
    vocab: z.union([z.array(z.tuple([z.string(), z.number()])).max(MAX_TOKENS), vocabulary]),
    unk_id: id.nullish(),
  })
  .refine(
    ({ vocab, unk_id: unknown }) => !Array.isArray(vocab) || (unknown ?? 0) < vocab.length,
    'the vocabulary lacks the unknown token',
  );

const tokenizerJsonSchema = z.looseObject({
  version: z.string().default('1.0'),
  truncation: z.unknown().default(null),
  padding: z.unknown().default(null),
  added_tokens: z.array(addedToken).max(MAX_ADDED_TOKENS).default([]),
  normalizer: otherComponent.nullable().default(null),
  pre_tokenizer: otherComponent.nullable().default(null),
  post_processor: postProcessor.nullable().default(null),
  decoder: otherComponent.nullable().default(null),
  model: otherComponent,
});

const tokenizerConfigSchema = z.looseObject({
  tokenizer_class: z.string().nullish(),
  model_max_length: z.number().positive().nullish(),
  do_lower_case: z.boolean().nullish(),
  strip_accents: z.boolean().nullish(),
  tokenize_chinese_chars: z.boolean().nullish(),
  truncation_side: z.enum(['left', 'right']).nullish(),
  clean_up_tokenization_spaces: z.boolean().nullish(),
  added_tokens_decoder: z.record(z.string().regex(/^\d+$/), addedTokenSettings).nullish(),
});

/** @throws UsageError naming `where` and what is wrong */
export function parseTokenizerJson(json: unknown, where: string): TokenizerJson {
  const parsed = check(tokenizerJsonSchema, json, where);
  const { normalizer, pre_tokenizer: preTokenizer, decoder, model } = parsed;
  requireNoPatterns({ normalizer, pre_tokenizer: preTokenizer, decoder }, where);
  const tokenizer: TokenizerJson = {
    ...parsed,
    normalizer:
      normalizer?.type === 'BertNormalizer'
        ? check<BertNormalizerConfig>(bertNormalizer, normalizer, `${where}, normalizer`)
        : normalizer,
    model: isWordPiece(model)
      ? check<WordPieceModel>(wordPiece, model, `${where}, model`)
      : check<OtherComponent>(otherModel, model, `${where}, model`),
  };
  requireOwnIds(tokenizer, where);
  return tokenizer;
}

/** Special tokens are put in by their ids alone. @throws UsageError for an id that no token has */
function requireOwnIds(tokenizer: TokenizerJson, where: string): void {
  const { post_processor: processor } = tokenizer;
  if (processor === null) return;
  const ids =
    processor.type === 'TemplateProcessing'
      ? Object.values(processor.special_tokens).flatMap((token) => token.ids)
      : [processor.cls[1], processor.sep[1]];
  const highest = highestId(tokenizer);
  const foreign = ids.find((special) => special > highest);
  if (foreign !== undefined)
    throw new UsageError(
      `${where} cannot be used: its post_processor has the token id ${foreign}, but ids end at ${highest}`,
    );
}

/** The highest id of a token, -1 where there is none. */
export function highestId({ model: { vocab }, added_tokens: added }: TokenizerJson): number {
  // Unigram lists its tokens in the order of their ids; the other models map tokens to ids.
  const ids = Array.isArray(vocab) ? [vocab.length - 1] : Object.values(vocab ?? {});
  return [...ids, ...added.map((token) => token.id)].reduce((highest, one) => Math.max(highest, one), -1);
}

/** @throws UsageError naming `where` and what is wrong */
export function parseTokenizerConfig(json: unknown, where: string): TokenizerConfig {
  return check<TokenizerConfig>(tokenizerConfigSchema, json, where);
}

/** added_tokens.json: tokens and their ids. @throws UsageError naming the file and what is wrong */
export function parseAddedTokens(json: unknown, where: string): Record<string, number> {
  return check(vocabulary, json, where);
}

/** @throws UsageError naming the file when the value is not a JSON object */
export function parseObject(json: unknown, where: string): Record<string, unknown> {
  return check(z.looseObject({}), json, where);
}

/** Files from before 2021, bert-base-uncased's among them, do not name the model's type. */
function isWordPiece(model: Record<string, unknown>): boolean {
  return (
    model['type'] === 'WordPiece' ||
    (model['type'] === undefined && 'continuing_subword_prefix' in model && !('merges' in model))
  );
}

function check<T>(schema: z.ZodType<T>, json: unknown, where: string): T {
  const result = schema.safeParse(json);
  if (result.success) return result.data;
  throw new UsageError(`${where} cannot be used:\n${z.prettifyError(result.error)}`);
}
