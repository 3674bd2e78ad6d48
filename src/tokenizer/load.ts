// A folder with tokenizer files to the tokenizer's definition.
import { isUtf8 } from 'node:buffer';
import { join } from 'node:path';
import { UsageError } from '../util/errors.js';
import { exists } from '../util/exists.js';
import { parseJson, readSmallFile } from '../util/json.js';
import { tokenizerJsonFromVocab } from './from-vocab.js';
import { parseAddedTokens, parseObject, parseTokenizerConfig, parseTokenizerJson } from './parse.js';
import type { TokenizerConfig, TokenizerJson, TokenizerSpec } from './tokenizer-json.js';

const BYTE_ORDER_MARK = Buffer.of(0xef, 0xbb, 0xbf);

/**
 * tokenizer.json where there is one, else vocab.txt; tokenizer_config.json, special_tokens_map.json and
 * added_tokens.json as far as they exist.
 *
 * @throws UsageError when neither source is there or one is broken
 */
export async function loadTokenizer(directory: string): Promise<TokenizerSpec> {
  const configFile = join(directory, 'tokenizer_config.json');
  const config = parseTokenizerConfig(await readJson(configFile), configFile);
  const jsonFile = join(directory, 'tokenizer.json');
  if (await exists(jsonFile)) {
    return {
      tokenizerJson: withConfig(parseTokenizerJson(await readJson(jsonFile), jsonFile), config),
      tokenizerConfig: config,
    };
  }
  const vocabFile = join(directory, 'vocab.txt');
  const vocab = await readText(vocabFile);
  if (vocab === null) {
    throw new UsageError(
      `No tokenizer.json and no vocab.txt in ${directory}: name a folder or model that has one`,
    );
  }
  // Older models name their special tokens in a file of their own, which counts unless the config lists added tokens.
  const specials =
    'added_tokens_decoder' in config ? {} : await readJson(join(directory, 'special_tokens_map.json'));
  const settings = { ...config, ...specials };
  const addedFile = join(directory, 'added_tokens.json');
  const added = parseAddedTokens(await readJson(addedFile), addedFile);
  const built = tokenizerJsonFromVocab(vocab, settings, added);
  return { tokenizerJson: parseTokenizerJson(built, vocabFile), tokenizerConfig: settings };
}

/** transformers' BertTokenizer rebuilds the normalizer from its config, so a setting there wins over tokenizer.json. */
function withConfig(json: TokenizerJson, config: TokenizerConfig): TokenizerJson {
  const { normalizer } = json;
  const byBertTokenizer = /^BertTokenizer(Fast)?$/.test(config.tokenizer_class ?? 'BertTokenizer');
  if (normalizer?.type !== 'BertNormalizer' || !byBertTokenizer) return json;
  return {
    ...json,
    normalizer: {
      ...normalizer,
      lowercase: config.do_lower_case ?? normalizer.lowercase,
      strip_accents: config.strip_accents ?? normalizer.strip_accents,
      handle_chinese_chars: config.tokenize_chinese_chars ?? normalizer.handle_chinese_chars,
    },
  };
}

/** {} when the file does not exist. */
async function readJson(path: string): Promise<Record<string, unknown>> {
  const bytes = await readBytes(path);
  return bytes === null ? {} : parseObject(parseJson(bytes, path), path);
}

/** null when the file does not exist. */
async function readText(path: string): Promise<string | null> {
  const bytes = await readBytes(path);
  return bytes === null ? null : new TextDecoder('utf-8', { fatal: true }).decode(bytes);
}

/** UTF-8, without its byte order mark; null when the file does not exist. */
async function readBytes(path: string): Promise<Buffer | null> {
  if (!(await exists(path))) return null;
  const bytes = await readSmallFile(path);
  if (!isUtf8(bytes)) throw new UsageError(`${path} is not UTF-8`);
  return bytes.subarray(0, 3).equals(BYTE_ORDER_MARK) ? bytes.subarray(3) : bytes;
}
