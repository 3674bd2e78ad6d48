// The tokenizer as a person meets it: load, encode, decode, save.
import { modelDirectory, type HubOptions } from '../hub/model.js';
import { expected } from '../util/errors.js';
import { loadTokenizer } from './load.js';
import { createDecoder } from './models.js';
import { saveTokenizer } from './save.js';
import { SequenceEncoder, type EncodeOptions, type Encoding } from './sequence-encoder.js';
import { highestId, parseTokenizerConfig, parseTokenizerJson, type TokenizerSpec } from './tokenizer-json.js';

/** transformers' stand-in for "no limit" where tokenizer_config.json names none. */
const NO_LIMIT = 1e30;
const REMOTE_CODE = 'auto_map in tokenizer_config.json is ignored: bertune runs no code from a model folder';

/**
 * A tokenizer of any class: the files say which one it is.
 *
 * @example
 * ```ts
 * import { AutoTokenizer } from 'bertune';
 *
 * const tokenizer = await AutoTokenizer.fromPretrained('bert-base-uncased');
 * const { ids, typeIds } = tokenizer.encode('What a film!', 'Great music.', { maxLength: 128 });
 * ```
 */
export class Tokenizer {
  /** The whole definition; plain data that a worker thread can be given. */
  readonly spec: TokenizerSpec;
  /** The highest token id plus one: what the model's `vocab_size` must reach. */
  readonly vocabSize: number;
  /** Tokens that the model was made for, special tokens included; 1e30 where the files name no limit. */
  readonly modelMaxLength: number;
  /** How many token types it gives: 2, or 0 where its models take none and the `typeIds` of a pair are null. */
  readonly tokenTypes: 0 | 2;
  /** How many special tokens stand before and after a single text. */
  readonly specialsAround: readonly [before: number, after: number];
  /** What a person should know about how the files were read. */
  readonly notes: readonly string[];
  readonly #encoder: SequenceEncoder;
  // Made on first use: training only encodes.
  #decode: ((ids: number[], skipSpecialTokens: boolean) => string) | undefined;
  #ids: ReadonlyMap<string, number> | undefined;
  #tokens: ReadonlyMap<number, string> | undefined;

  private constructor(spec: TokenizerSpec, notes: readonly string[] = []) {
    this.spec = spec;
    this.vocabSize = highestId(spec.tokenizerJson) + 1;
    this.modelMaxLength = spec.tokenizerConfig.model_max_length ?? spec.tokenizerConfig.max_len ?? NO_LIMIT;
    this.notes = spec.tokenizerConfig['auto_map'] === undefined ? notes : [...notes, REMOTE_CODE];
    this.#encoder = new SequenceEncoder(spec);
    this.tokenTypes = this.#encoder.tokenTypes;
    this.specialsAround = this.#encoder.specialsAround;
  }

  /**
   * Loads tokenizer.json, or the vocabulary of an older model, with tokenizer_config.json, from a folder or a Hugging
   * Face hub id.
   *
   * @throws UsageError when the files are missing or broken; RunError when the hub cannot be reached
   */
  static async fromPretrained(idOrDir: string, options: HubOptions = {}): Promise<Tokenizer> {
    const directory = await modelDirectory(idOrDir, { ...options, files: 'tokenizer' });
    const { spec, notes } = await loadTokenizer(directory);
    return new Tokenizer(spec, notes);
  }

  /**
   * A tokenizer of a definition as it stands in the files.
   *
   * @throws UsageError when a part of the definition is missing or of the wrong kind
   */
  static fromSpec(spec: { tokenizerJson: object; tokenizerConfig: object }): Tokenizer {
    return new Tokenizer({
      tokenizerJson: parseTokenizerJson(spec.tokenizerJson, 'tokenizerJson'),
      tokenizerConfig: parseTokenizerConfig(spec.tokenizerConfig, 'tokenizerConfig'),
    });
  }

  /**
   * Token ids of a text or a pair, equal to those of Hugging Face's Rust tokenizers. A pair that is too long loses
   * tokens of its longer text first (`longest_first`); the special tokens always stay.
   *
   * @throws UsageError for a text that is no string and for a `maxLength` without room for the special tokens
   */
  encode(text: string, textPair?: string, options?: EncodeOptions): Encoding {
    return this.#encoder.encode(text, textPair, options);
  }

  /** Text of token ids, word pieces joined. @throws UsageError for an id outside the vocabulary */
  decode(ids: ArrayLike<number>, options: { skipSpecialTokens?: boolean } = {}): string {
    const list = Array.from(ids);
    const wrong = list.find((id) => !Number.isInteger(id) || id < 0 || id >= this.vocabSize);
    if (wrong !== undefined) throw expected(`a token id from 0 to ${this.vocabSize - 1}`, 'ids', wrong);
    if (list.length === 0) return '';
    this.#decode ??= createDecoder(this.spec.tokenizerJson, this.spec.tokenizerConfig);
    return this.#decode(list, options.skipSpecialTokens ?? false);
  }

  /** Of a token as it stands in the vocabulary; undefined where it does not. */
  tokenToId(token: string): number | undefined {
    this.#ids ??= new Map(tokensOf(this.spec));
    return this.#ids.get(token);
  }

  /** The contrary; undefined for an id without a token. */
  idToToken(id: number): string | undefined {
    this.#tokens ??= new Map(Array.from(tokensOf(this.spec), ([token, at]) => [at, token]));
    return this.#tokens.get(id);
  }

  /** Writes tokenizer.json and tokenizer_config.json as `AutoTokenizer.from_pretrained` reads them; BERT's vocab.txt. */
  async savePretrained(directory: string): Promise<void> {
    await saveTokenizer(this.spec, directory);
  }
}

/** Tokens and their ids, the added tokens last. */
function tokensOf({ tokenizerJson: { model, added_tokens: added } }: TokenizerSpec): [string, number][] {
  const own = Array.isArray(model.vocab)
    ? model.vocab.map(([piece], id): [string, number] => [piece, id])
    : Object.entries(model.vocab);
  return [...own, ...added.map(({ content, id }): [string, number] => [content, id])];
}
