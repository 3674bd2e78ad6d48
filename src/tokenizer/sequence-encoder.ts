// One text or pair to the ids a model takes: special tokens in place, truncated, token types. Used by the tokenizer and
// by its worker threads.
import { UsageError, expected } from '../util/errors.js';
import { IdBuffer } from './id-buffer.js';
import type { Piece, Template } from './template.js';
import { createTemplate, specialCount } from './template.js';
import type { TextToIds } from './text-ids.js';
import { createTextToIds } from './text-ids.js';
import type { TokenizerSpec } from './tokenizer-json.js';
import { longestFirst } from './truncation.js';

/** Token ids of one text or pair, special tokens included; nothing is ever padded. */
export interface Encoding {
  /** [tokens] */
  ids: Int32Array;
  /** [tokens], 0 for the first text and 1 for the second; null for a single text, where all are 0. */
  typeIds: Int32Array | null;
}

export interface EncodeOptions {
  /** Tokens that may stay, special tokens included. Default: no truncation, as in transformers. */
  maxLength?: number;
  /** Default true. */
  addSpecialTokens?: boolean;
}

export class SequenceEncoder {
  readonly #append: TextToIds;
  readonly #template: Template;
  readonly #keepTail: boolean;
  readonly #buffer = new IdBuffer();

  constructor(spec: TokenizerSpec) {
    this.#append = createTextToIds(spec);
    this.#template = createTemplate(spec.tokenizerJson.post_processor);
    this.#keepTail = spec.tokenizerConfig.truncation_side === 'left';
  }

  /** @throws UsageError for a text that is no string and for a `maxLength` below the number of special tokens */
  encode(text: string, textPair?: string, options: EncodeOptions = {}): Encoding {
    if (typeof text !== 'string') throw expected('a string', 'text', text);
    if (textPair !== undefined && typeof textPair !== 'string')
      throw expected('a string', 'textPair', textPair);
    const whole = textPair === undefined ? this.#template.single : this.#template.pair;
    const template =
      options.addSpecialTokens === false ? whole.filter((piece) => 'sequence' in piece) : whole;
    const budget = textBudget(options.maxLength, specialCount(template));

    this.#buffer.clear();
    const a = this.#sequence(text, textPair === undefined ? budget : Infinity);
    const b = textPair === undefined ? ([0, 0] as const) : this.#sequence(textPair, Infinity);
    const [keepA, keepB] = longestFirst(a[1] - a[0], b[1] - b[0], budget);
    const encoding = this.#assemble(template, { A: this.#kept(a, keepA), B: this.#kept(b, keepB) });
    return { ids: encoding.ids, typeIds: textPair === undefined ? null : encoding.typeIds };
  }

  /** Tokenizes into the buffer and returns the place: [start, end). */
  #sequence(text: string, limit: number): readonly [start: number, end: number] {
    const start = this.#buffer.length;
    this.#append(text, this.#buffer, this.#keepTail ? Infinity : limit);
    return [start, this.#buffer.length];
  }

  #kept([start, end]: readonly [number, number], count: number): Int32Array {
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

function textBudget(maxLength: number | undefined, specials: number): number {
  if (maxLength === undefined) return Infinity;
  if (!Number.isInteger(maxLength) || maxLength < 1)
    throw expected('a whole number above 0', 'maxLength', maxLength);
  if (maxLength < specials) {
    throw new UsageError(`maxLength ${maxLength} leaves no room: the special tokens alone take ${specials}`);
  }
  return maxLength - specials;
}
