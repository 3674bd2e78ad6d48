// One text or pair to the ids a model takes: special tokens in place, truncated, token types. Used by the tokenizer and
// by its worker threads.
import { UsageError, expected } from '../util/errors.js';
import { IdBuffer, type Wanted } from './chunk-cache.js';
import { tokenizerClass } from './classes.js';
import { createOffsetTokenizer, type TokensWithOffsets } from './offsets.js';
import { createTextToIds, type TextToIds } from './text-ids.js';
import type {
  PostProcessorJson,
  TemplatePiece,
  TemplateProcessing,
  TokenizerSpec,
} from './tokenizer-json.js';

/**
 * Token ids of one text or pair, special tokens included; nothing is ever padded.
 *
 * @example
 * ```ts
 * import { pack, type Encoding } from 'bertune';
 *
 * const encoding: Encoding = { ids: Int32Array.of(101, 2023, 102), typeIds: null };
 * const batch = pack([encoding]);
 * ```
 */
export interface Encoding {
  /** [tokens] */
  ids: Int32Array;
  /**
   * [tokens], 0 for the first text and 1 for the second. null where all are 0: for a single text, and for a model
   * without token types.
   */
  typeIds: Int32Array | null;
  /**
   * [2 * tokens], start and end of each token in the text, in UTF-16 units as for `text.slice(start, end)`; 0 and 0 for special
   * tokens. Where it was asked for.
   */
  offsets?: Int32Array;
}

/** A special token by its id, or the place of the first (A) or second (B) text. */
type Piece = { typeId: number } & ({ id: number } | { sequence: 'A' | 'B' });

/** In the buffer. */
type Place = readonly [start: number, end: number];

/** Where the special tokens go. */
interface Template {
  single: readonly Piece[];
  pair: readonly Piece[];
}

/**
 * What `encode` takes beside the texts.
 *
 * @example
 * ```ts
 * import { AutoTokenizer, type EncodeOptions } from 'bertune';
 *
 * const options: EncodeOptions = { maxLength: 16, addSpecialTokens: false };
 * const tokenizer = await AutoTokenizer.fromPretrained('bert-base-uncased');
 * console.log(tokenizer.encode('What a film!', undefined, options).ids);
 * ```
 */
export interface EncodeOptions {
  /** Whether `offsets` are wanted, of a single text; it then takes several times as long. */
  withOffsets?: boolean;
  /** Tokens that may stay, special tokens included. Default: no truncation, as in transformers. */
  maxLength?: number;
  /** Default true. */
  addSpecialTokens?: boolean;
  /** How many token types the model has; below 2, `typeIds` is null. Default: as many as the tokenizer gives. */
  tokenTypes?: number;
}

export class SequenceEncoder {
  readonly #spec: TokenizerSpec;
  /** Made on first use: texts are seldom read with offsets. */
  #withOffsets: ((text: string) => TokensWithOffsets) | undefined;
  /** How many token types the tokenizer gives: 2, or 0 where its models take none. */
  readonly tokenTypes: 0 | 2;
  /** How many special tokens stand before and after a single text. */
  readonly specialsAround: readonly [before: number, after: number];
  readonly #append: TextToIds;
  readonly #template: Template;
  readonly #keepTail: boolean;
  readonly #buffer = new IdBuffer();

  constructor(spec: TokenizerSpec) {
    this.#spec = spec;
    this.#append = createTextToIds(spec.tokenizerJson, spec.tokenizerConfig.split_special_tokens !== true);
    this.#template = createTemplate(spec.tokenizerJson.post_processor);
    const { single } = this.#template;
    const place = single.findIndex((piece) => 'sequence' in piece);
    this.specialsAround = [place, single.length - 1 - place];
    this.tokenTypes = takesTokenTypes(spec) ? 2 : 0;
    this.#keepTail = spec.tokenizerConfig.truncation_side === 'left';
  }

  /** @throws UsageError for a text that is no string and for a `maxLength` below the number of special tokens */
  encode(text: string, textPair?: string, options: EncodeOptions = {}): Encoding {
    if (typeof text !== 'string') throw expected('a string', 'text', text);
    if (textPair !== undefined && typeof textPair !== 'string')
      throw expected('a string', 'textPair', textPair);
    if (options.withOffsets === true) return this.#encodeWithOffsets(text, textPair, options);
    const whole = textPair === undefined ? this.#template.single : this.#template.pair;
    const template =
      options.addSpecialTokens === false ? whole.filter((piece) => 'sequence' in piece) : whole;
    const budget = textBudget(options.maxLength, specialCount(template));

    let [a, b] = this.#sequences(text, textPair, budget);
    // Of an odd budget the longer text gets one token more: which one that is takes all of both.
    const areBothLong = a[1] - a[0] >= budget && b[1] - b[0] >= budget;
    if (areBothLong && budget % 2 === 1) [a, b] = this.#sequences(text, textPair, Infinity);
    const [keepA, keepB] = longestFirst(a[1] - a[0], b[1] - b[0], budget);
    const encoding = this.#assemble(template, { A: this.#kept(a, keepA), B: this.#kept(b, keepB) });
    const tokenTypes = Math.min(options.tokenTypes ?? this.tokenTypes, this.tokenTypes);
    const hasTypes = textPair !== undefined && tokenTypes > 1;
    return { ids: encoding.ids, typeIds: hasTypes ? encoding.typeIds : null };
  }

  #encodeWithOffsets(text: string, textPair: string | undefined, options: EncodeOptions): Encoding {
    if (textPair !== undefined) throw new UsageError('Offsets are those of single texts, not of pairs');
    const around = options.addSpecialTokens !== false;
    const template = around ? this.#template.single : [];
    const budget = textBudget(options.maxLength, specialCount(template));
    this.#withOffsets ??= createOffsetTokenizer(this.#spec);
    const all = this.#withOffsets(text);
    const kept = Math.min(all.ids.length, budget);
    const first = this.#keepTail ? all.ids.length - kept : 0;
    const own = all.ids.subarray(first, first + kept);
    const [before] = around ? this.specialsAround : [0];
    const ids = around ? this.#assemble(template, { A: own, B: own }).ids : own;
    const offsets = new Int32Array(2 * ids.length);
    offsets.set(all.offsets.subarray(2 * first, 2 * (first + kept)), 2 * before);
    return { ids, typeIds: null, offsets };
  }

  /** Tokenizes into the buffer, each text up to `count` ids or more, and returns the places: [start, end). */
  #sequences(text: string, textPair: string | undefined, count: number): [Place, Place] {
    const wanted: Wanted = { count, side: this.#keepTail ? 'last' : 'first' };
    this.#buffer.clear();
    this.#append(text, this.#buffer, wanted);
    const middle = this.#buffer.length;
    if (textPair !== undefined) this.#append(textPair, this.#buffer, wanted);
    return [
      [0, middle],
      [middle, this.#buffer.length],
    ];
  }

  #kept([start, end]: Place, count: number): Int32Array {
    return this.#keepTail ? this.#buffer.view(end - count, end) : this.#buffer.view(start, start + count);
  }

  #assemble(
    template: readonly Piece[],
    sequences: Record<'A' | 'B', Int32Array>,
  ): { ids: Int32Array; typeIds: Int32Array } {
    const length = template.reduce(
      (sum, piece) => sum + ('id' in piece ? 1 : sequences[piece.sequence].length),
      0,
    );
    const ids = new Int32Array(length);
    const typeIds = new Int32Array(length);
    let at = 0;
    for (const piece of template) {
      const source = 'id' in piece ? [piece.id] : sequences[piece.sequence];
      ids.set(source, at);
      typeIds.fill(piece.typeId, at, at + source.length);
      at += source.length;
    }
    return { ids, typeIds };
  }
}

/** Whether the tokenizer's models take token types: as its config says, or its class, or the template for pairs. */
export function takesTokenTypes({ tokenizerJson, tokenizerConfig }: TokenizerSpec): boolean {
  const { model_input_names: inputs, tokenizer_class: className } = tokenizerConfig;
  return (
    inputs?.includes('token_type_ids') ??
    tokenizerClass(className)?.tokenTypes ??
    createTemplate(tokenizerJson.post_processor).pair.some(({ typeId }) => typeId > 0)
  );
}

function textBudget(maxLength: number | undefined, specials: number): number {
  if (maxLength === undefined) return Infinity;
  if (!Number.isInteger(maxLength) || maxLength < 1)
    throw expected('a whole number above 0', 'maxLength', maxLength);
  if (maxLength < specials) {
    throw new UsageError(`maxLength ${maxLength} leaves no room: the special tokens alone take ${specials}`);
  }
  return maxLength - specials;
}

function createTemplate(processor: PostProcessorJson | null): Template {
  const a: Piece = { sequence: 'A', typeId: 0 };
  if (processor?.type === 'Sequence') {
    const places = processor.processors.find(({ type }) => type !== 'ByteLevel');
    return createTemplate(places ?? null);
  }
  if (processor === null || processor.type === 'ByteLevel')
    return { single: [a], pair: [a, { sequence: 'B', typeId: 1 }] };
  if (processor.type === 'TemplateProcessing')
    return { single: pieces(processor, processor.single), pair: pieces(processor, processor.pair) };
  const roberta = processor.type === 'RobertaProcessing';
  const typeId = roberta ? 0 : 1;
  const sep: Piece = { id: processor.sep[1], typeId: 0 };
  const single: Piece[] = [{ id: processor.cls[1], typeId: 0 }, a, sep];
  const second: Piece[] = [{ sequence: 'B', typeId }, Object.assign({}, sep, { typeId })];
  return { single, pair: [...single, ...(roberta ? [sep] : []), ...second] };
}

function pieces(processor: TemplateProcessing, template: readonly TemplatePiece[]): Piece[] {
  return template.flatMap((piece): Piece[] => {
    if ('Sequence' in piece) return [{ sequence: piece.Sequence.id, typeId: piece.Sequence.type_id }];
    const { id, type_id: typeId } = piece.SpecialToken;
    return (processor.special_tokens[id]?.ids ?? []).map((token) => ({ id: token, typeId }));
  });
}

/** The number of special tokens among the pieces. */
function specialCount(template: readonly Piece[]): number {
  return template.filter((piece) => 'id' in piece).length;
}

/**
 * The kept lengths of a pair by `longest_first`, transformers' default strategy. The longer text gives way
 * until both are equal, then both share what is left and the longer one gets the odd token. Source:
 * `truncate_encodings` in tokenizers/src/utils/truncation.rs.
 *
 * @param budget what may stay of both together, special tokens not counted
 */
export function longestFirst(first: number, second: number, budget: number): [first: number, second: number] {
  if (first + second <= budget) return [first, second];
  const shorter = Math.min(first, second);
  let kept: [number, number] = [shorter, Math.max(shorter, budget - shorter)];
  if (kept[0] + kept[1] > budget) kept = [Math.floor(budget / 2), Math.ceil(budget / 2)];
  return first > second ? [kept[1], kept[0]] : kept;
}
