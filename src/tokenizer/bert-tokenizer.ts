// The tokenizer as a person meets it: load, encode, decode, save.
import { modelDirectory, type HubOptions } from '../hub/index.js';
import { expected } from '../util/errors.js';
import { createLibraryTokenizer, type LibraryTokenizer } from './library.js';
import { loadTokenizer } from './load.js';
import { highestId, parseTokenizerConfig, parseTokenizerJson } from './parse.js';
import { saveTokenizer } from './save.js';
import { SequenceEncoder, type EncodeOptions, type Encoding } from './sequence-encoder.js';
import type { TokenizerSpec } from './tokenizer-json.js';

/** transformers' stand-in for "no limit" where tokenizer_config.json names none. */
const NO_LIMIT = 1e30;
const REMOTE_CODE = 'auto_map in tokenizer_config.json is ignored: bertune runs no code from a model folder';

export class BertTokenizer {
  /** The whole definition; plain data that a worker thread can be given. */
  readonly spec: TokenizerSpec;
  /** The highest token id plus one: what the model's `vocab_size` must reach. */
  readonly vocabSize: number;
  /** Tokens that the model was made for, special tokens included; 1e30 where the files name no limit. */
  readonly modelMaxLength: number;
  /** What a person should know about how the files were read. */
  readonly notes: readonly string[];
  readonly #encoder: SequenceEncoder;
  #library: LibraryTokenizer | undefined;

  private constructor(spec: TokenizerSpec) {
    this.spec = spec;
    this.vocabSize = highestId(spec.tokenizerJson) + 1;
    this.modelMaxLength = spec.tokenizerConfig.model_max_length ?? NO_LIMIT;
    this.notes = spec.tokenizerConfig['auto_map'] === undefined ? [] : [REMOTE_CODE];
    this.#encoder = new SequenceEncoder(spec);
  }

  /**
   * Loads tokenizer.json, or vocab.txt with tokenizer_config.json, from a folder or a Hugging Face hub id.
   *
   * @throws UsageError when the files are missing or broken; RunError when the hub cannot be reached
   */
  static async fromPretrained(idOrDir: string, options: HubOptions = {}): Promise<BertTokenizer> {
    return new BertTokenizer(
      await loadTokenizer(await modelDirectory(idOrDir, { ...options, files: 'tokenizer' })),
    );
  }

  /** @throws UsageError when a part of the definition is missing or of the wrong kind */
  static fromSpec(spec: { tokenizerJson: object; tokenizerConfig: object }): BertTokenizer {
    return new BertTokenizer({
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
    return this.#wholeLibrary().decode(list, {
      skip_special_tokens: options.skipSpecialTokens ?? false,
      clean_up_tokenization_spaces: this.spec.tokenizerConfig.clean_up_tokenization_spaces ?? false,
    });
  }

  tokenToId(token: string): number | undefined {
    return this.#wholeLibrary().token_to_id(token);
  }

  idToToken(id: number): string | undefined {
    return this.#wholeLibrary().id_to_token(id);
  }

  /** Writes tokenizer.json, tokenizer_config.json and vocab.txt, as `AutoTokenizer.from_pretrained` reads them. */
  async savePretrained(directory: string): Promise<void> {
    await saveTokenizer(this.spec, directory);
  }

  /** Made on first use: training only encodes. */
  #wholeLibrary(): LibraryTokenizer {
    this.#library ??= createLibraryTokenizer(this.spec.tokenizerJson, this.spec.tokenizerConfig);
    return this.#library;
  }
}
