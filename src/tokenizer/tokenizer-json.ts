// The edge: tokenizer.json and tokenizer_config.json as they lie on disk, checked once. Keys that are not named here
// are kept and written back.
import { z } from 'zod';
import { UsageError } from '../util/errors.js';
import { oneLine } from '../util/text.js';
import { addedToken, addedTokenSettings, withIds, type AddedToken } from './added-tokens.js';
import { idSchema as id, modelSchemas, vocabularySchema, type ModelJson } from './models.js';
import { normalizerSchema, normalizerStepSchema, type NormalizerJson } from './normalizers.js';
import { requireKnownPatterns } from './patterns.js';
import { preTokenizerSchema, preTokenizerStepSchema, type PreTokenizerJson } from './pre-tokenizers.js';

/** More would be looked for in every text, one by one; published tokenizers have up to a few thousand. */
const MAX_ADDED_TOKENS = 20_000;
const MAX_TEMPLATE_PIECES = 32;
/** Of sequences within sequences. */
const MAX_DEPTH = 8;

const typeId = z.int().min(0).max(1).default(0);
const templatePiece = z.union([
  z.object({ SpecialToken: z.object({ id: z.string(), type_id: typeId }) }),
  z.object({ Sequence: z.object({ id: z.enum(['A', 'B']), type_id: typeId }) }),
]);
const template = (...orders: string[]) =>
  z
    .array(templatePiece)
    .max(MAX_TEMPLATE_PIECES)
    .refine(
      (pieces) =>
        orders.includes(
          pieces.flatMap((piece) => ('Sequence' in piece ? piece.Sequence.id : [])).join(' and '),
        ),
      `expected the texts ${orders.join(' or ')}, each once`,
    );
const tokenAndId = z.tuple([z.string(), id]);
const clsSepProcessing = { sep: tokenAndId, cls: tokenAndId };
const templateProcessing = z
  .looseObject({
    type: z.literal('TemplateProcessing'),
    single: template('A'),
    pair: template('A and B', 'B and A'),
    special_tokens: z.record(
      z.string(),
      z.object({
        id: z.string(),
        ids: z.array(id).min(1).max(MAX_TEMPLATE_PIECES),
        tokens: z.array(z.string()),
      }),
    ),
  })
  .refine(
    ({ single, pair, special_tokens: tokens }) =>
      [...single, ...pair].every(
        (piece) => 'Sequence' in piece || Object.hasOwn(tokens, piece.SpecialToken.id),
      ),
    'a template has a token that special_tokens lacks',
  );
const simplePostProcessor = z.discriminatedUnion('type', [
  templateProcessing,
  z.looseObject({ type: z.literal('BertProcessing'), ...clsSepProcessing }),
  z.looseObject({ type: z.literal('RobertaProcessing'), ...clsSepProcessing }),
  /** Sets offsets right, and no tokens. */
  z.looseObject({ type: z.literal('ByteLevel') }),
]);
const postProcessor = z.discriminatedUnion('type', [
  ...simplePostProcessor.options,
  z.looseObject({
    type: z.literal('Sequence'),
    processors: z
      .array(simplePostProcessor)
      .refine(
        (all) => all.filter(({ type }) => type !== 'ByteLevel').length < 2,
        'expected one that places special tokens',
      ),
  }),
]);

const component = z.looseObject({ type: z.string().optional() });
const tokenizerJson = z.looseObject({
  version: z.string().default('1.0'),
  truncation: z.unknown().default(null),
  padding: z.unknown().default(null),
  added_tokens: z.array(addedToken).max(MAX_ADDED_TOKENS).default([]),
  normalizer: component.nullable().default(null),
  pre_tokenizer: component.nullable().default(null),
  post_processor: postProcessor.nullable().default(null),
  /** Left to the library. */
  decoder: component.nullable().default(null),
  model: component,
});

const tokenizerConfig = z.looseObject({
  tokenizer_class: z.string().nullish(),
  model_max_length: z.number().positive().nullish(),
  /** Of older files, where there is no `model_max_length`. */
  max_len: z.number().positive().nullish(),
  model_input_names: z.array(z.string()).nullish(),
  do_lower_case: z.boolean().nullish(),
  strip_accents: z.boolean().nullish(),
  tokenize_chinese_chars: z.boolean().nullish(),
  keep_accents: z.boolean().nullish(),
  add_prefix_space: z.boolean().nullish(),
  trim_offsets: z.boolean().nullish(),
  truncation_side: z.enum(['left', 'right']).nullish(),
  clean_up_tokenization_spaces: z.boolean().nullish(),
  /** Whether special tokens in a text are read as text. */
  split_special_tokens: z.boolean().nullish(),
  /** By id, as text; without it the tokens of tokenizer.json or added_tokens.json count. */
  added_tokens_decoder: z.record(z.string().regex(/^\d+$/), addedTokenSettings).nullish(),
});

export type PostProcessorJson = z.infer<typeof postProcessor>;
export type TemplatePiece = z.infer<typeof templatePiece>;
export type TemplateProcessing = z.infer<typeof templateProcessing>;
export type TokenizerConfig = z.infer<typeof tokenizerConfig>;
/** tokenizer.json, checked. */
export interface TokenizerJson {
  version: string;
  truncation: unknown;
  padding: unknown;
  added_tokens: AddedToken[];
  normalizer: NormalizerJson | null;
  pre_tokenizer: PreTokenizerJson | null;
  post_processor: PostProcessorJson | null;
  decoder: z.infer<typeof component> | null;
  model: ModelJson;
}

/** All that defines a tokenizer; plain data, so that it can be sent to a worker thread. */
export interface TokenizerSpec {
  tokenizerJson: TokenizerJson;
  tokenizerConfig: TokenizerConfig;
}

/** @throws UsageError naming `where` and what is wrong */
export function parseTokenizerJson(json: unknown, where: string): TokenizerJson {
  const parsed = check(tokenizerJson, withFlatProcessors(json), where);
  const { normalizer: normalizerJson, pre_tokenizer: preTokenizerJson, decoder, model } = parsed;
  requireKnownPatterns({ normalizer: normalizerJson, pre_tokenizer: preTokenizerJson, decoder }, where);
  const parsedModel = parseModel(model, `${where}, model`);
  const tokenizer: TokenizerJson = {
    ...parsed,
    added_tokens: withIds(parsedModel, parsed.added_tokens),
    normalizer: parseComponent(normalizerSchema, normalizerJson, {
      list: 'normalizers',
      where: `${where}, normalizer`,
    }),
    pre_tokenizer: parseComponent(preTokenizerSchema, preTokenizerJson, {
      list: 'pretokenizers',
      where: `${where}, pre_tokenizer`,
    }),
    model: parsedModel,
  };
  requireOwnIds(tokenizer, where);
  return tokenizer;
}

/** The steps of a component, also of a `Sequence` within a `Sequence`. */
function stepsOf(json: unknown, list: string, depth = 0): unknown[] {
  if (typeof json !== 'object' || json === null || !('type' in json) || json.type !== 'Sequence')
    return [json];
  const steps: unknown = new Map(Object.entries(json)).get(list);
  if (!Array.isArray(steps) || depth > MAX_DEPTH) return [json];
  return steps.flatMap((step) => stepsOf(step, list, depth + 1));
}

function withFlatProcessors(json: unknown): unknown {
  if (typeof json !== 'object' || json === null || !('post_processor' in json)) return json;
  const { post_processor: processor } = json;
  const steps = stepsOf(processor, 'processors');
  if (steps.length === 1 && steps[0] === processor) return json;
  return { ...json, post_processor: Object.assign({}, processor, { processors: steps }) };
}

const KNOWN_TYPES = new Set(
  [...normalizerStepSchema.options, ...preTokenizerStepSchema.options].flatMap((option) => {
    const { type } = option.shape;
    return type instanceof z.ZodEnum ? type.options : [type.value];
  }) as string[],
);

/**
 * Of an unknown type the message names it: a union of schemas would list what each of them lacks.
 *
 * @param list what a `Sequence` calls its steps
 */
function parseComponent<T>(
  schema: z.ZodType<T>,
  json: Record<string, unknown> | null,
  { list, where }: { list: string; where: string },
): T | null {
  if (json === null) return null;
  const steps = stepsOf(json, list);
  for (const step of steps) {
    const type = typeof step === 'object' && step !== null && 'type' in step ? step.type : null;
    if (typeof type !== 'string' || !KNOWN_TYPES.has(type))
      throw new UsageError(
        `${where} cannot be used: unknown type ${JSON.stringify(type).slice(0, 100)}; docs/tokenizers.md lists those that there are`,
      );
  }
  return check(schema, json['type'] === 'Sequence' ? { ...json, [list]: steps } : json, where);
}

/** Files from before 2021, bert-base-uncased's among them, do not name the model's type. */
function parseModel(json: Record<string, unknown>, where: string): ModelJson {
  const type =
    json['type'] ?? ('merges' in json ? 'BPE' : Array.isArray(json['vocab']) ? 'Unigram' : 'WordPiece');
  const schema = Object.entries(modelSchemas).find(([name]) => name === type)?.[1];
  if (schema === undefined)
    throw new UsageError(`${where} cannot be used: unknown type ${JSON.stringify(type).slice(0, 100)}`);
  return check<ModelJson>(schema, json, where);
}

/** Special tokens are put in by their ids alone. @throws UsageError for an id that no token has */
function requireOwnIds(tokenizer: TokenizerJson, where: string): void {
  const { post_processor: processor } = tokenizer;
  const parts = processor?.type === 'Sequence' ? processor.processors : [processor];
  const ids = parts.flatMap((part) => {
    if (part === null || part.type === 'ByteLevel') return [];
    return part.type === 'TemplateProcessing'
      ? Object.values(part.special_tokens).flatMap((token) => token.ids)
      : [part.cls[1], part.sep[1]];
  });
  const highest = highestId(tokenizer);
  const foreign = ids.find((special) => special > highest);
  if (foreign !== undefined)
    throw new UsageError(
      `${where} cannot be used: its post_processor has the token id ${foreign}, but ids end at ${highest}`,
    );
}

/** The highest id of a token, -1 where there is none. */
export function highestId({
  model: { vocab },
  added_tokens: added,
}: Pick<TokenizerJson, 'model' | 'added_tokens'>): number {
  // Unigram lists its tokens in the order of their ids; the other models map tokens to ids.
  const ids = Array.isArray(vocab) ? [vocab.length - 1] : Object.values(vocab);
  let highest = -1;
  for (const own of ids) highest = Math.max(highest, own);
  for (const token of added) highest = Math.max(highest, token.id);
  return highest;
}

/** @throws UsageError naming `where` and what is wrong */
export function parseTokenizerConfig(json: unknown, where: string): TokenizerConfig {
  return check(tokenizerConfig, json, where);
}

/** @throws UsageError naming `where` and what is wrong */
export function parseAddedTokens(tokens: readonly AddedToken[], where: string): AddedToken[] {
  return check(tokenizerJson.shape.added_tokens, tokens, where);
}

/** A map of tokens to ids: vocab.json, added_tokens.json. @throws UsageError naming the file and what is wrong */
export function parseVocabulary(json: unknown, where: string): Record<string, number> {
  return check(vocabularySchema, json, where);
}

/** @throws UsageError naming the file when the value is not a JSON object */
export function parseObject(json: unknown, where: string): Record<string, unknown> {
  return check(z.looseObject({}), json, where);
}

function check<T>(schema: z.ZodType<T>, json: unknown, where: string): T {
  const result = schema.safeParse(json);
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  const place = issue === undefined || issue.path.length === 0 ? '' : ` ${oneLine(issue.path.join('.'))}:`;
  throw new UsageError(`${where} cannot be used:${place} ${issue?.message}`);
}
