// The few signatures of @huggingface/tokenizers 0.2.0 that are used. Its own declaration files import without
// extensions, so under `nodenext` every type of it would silently be `any`.
import { Tokenizer } from '@huggingface/tokenizers';
import { UsageError, messageOf } from '../util/errors.js';
import type { TokenizerConfig, TokenizerJson } from './tokenizer-json.js';

/** The library's whole tokenizer. Synchronous; knows neither truncation nor offsets. */
export interface LibraryTokenizer {
  encode(text: string, options: { add_special_tokens: boolean }): { ids: number[] };
  /** Throws on an empty list. */
  decode(
    ids: number[],
    options: { skip_special_tokens: boolean; clean_up_tokenization_spaces: boolean },
  ): string;
  token_to_id(token: string): number | undefined;
  id_to_token(id: number): string | undefined;
  /** The model alone: words in, vocabulary entries out. */
  readonly model: {
    encode(words: string[]): string[];
    readonly tokens_to_ids: ReadonlyMap<string, number>;
  };
}

const LibraryTokenizerClass: new (json: TokenizerJson, config: TokenizerConfig) => LibraryTokenizer =
  Tokenizer;

/** @throws UsageError naming the component of tokenizer.json that the library does not know */
export function createLibraryTokenizer(json: TokenizerJson, config: TokenizerConfig): LibraryTokenizer {
  try {
    return new LibraryTokenizerClass(json, config);
  } catch (error) {
    const message = messageOf(error).replaceAll(/\s+/g, ' '); // it quotes the file
    throw new UsageError(`This tokenizer.json cannot be used: ${message}`);
  }
}
