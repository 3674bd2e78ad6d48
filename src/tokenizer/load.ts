// A folder with tokenizer files to the tokenizer's definition, as transformers 5.18's AutoTokenizer reads it.
import { isUtf8 } from 'node:buffer';
import { join } from 'node:path';
import { UsageError } from '../util/errors.js';
import { exists } from '../util/file-system.js';
import { parseJson, readSmallFile } from '../util/json.js';
import {
  buildTokenizerJson,
  specialToken,
  tokenizerClass,
  tokenizerClassName,
  type Vocabulary,
} from './classes.js';
import { MAX_TOKENS } from './models.js';
import { SENTENCEPIECE_FILES, conversionAdvice, fairseqVocab, parseSentencePiece } from './sentencepiece.js';
import {
  parseObject,
  parseTokenizerConfig,
  parseTokenizerJson,
  parseVocabulary,
  type NamedToken,
  type TokenizerConfig,
  type TokenizerJson,
  type TokenizerSpec,
} from './tokenizer-json.js';

const BYTE_ORDER_MARK = Buffer.of(0xef, 0xbb, 0xbf);

/**
 * tokenizer.json where there is one, else the vocabulary that is there: vocab.json with merges.txt, vocab.txt or a
 * SentencePiece model. tokenizer_config.json, special_tokens_map.json and added_tokens.json as far as they exist.
 *
 * @throws UsageError when no source is there or one is broken
 */
export async function loadTokenizer(directory: string): Promise<TokenizerSpec> {
  const config = await readConfig(directory);
  const jsonFile = join(directory, 'tokenizer.json');
  if (!(await exists(jsonFile))) return fromVocabulary(directory, config);

  const json = parseTokenizerJson(await readJson(jsonFile), jsonFile);
  const kind = tokenizerClass(config.tokenizer_class);
  // A class that does not fit the model is a mistake in the config, which transformers knows by a list of names.
  if (kind === undefined || kind.modelType !== json.model.type)
    return { tokenizerJson: withBertSettings(json, config), tokenizerConfig: config };
  const added = [...(await addedTokens(directory, config)), ...namedTokens(config, json)];
  const source = { model: json.model, charsmap: charsmapOf(json), added };
  const rebuilt = buildTokenizerJson(kind, source, config);
  return { tokenizerJson: parseTokenizerJson(rebuilt, jsonFile), tokenizerConfig: config };
}

/** tokenizer_config.json with what other files have, and the class in its place. */
async function readConfig(directory: string): Promise<TokenizerConfig> {
  const file = join(directory, 'tokenizer_config.json');
  const own = await readJson(file);
  const model = await readJson(join(directory, 'config.json'));
  // Older models name their special tokens in a file of their own, which counts unless the config lists added tokens.
  const specials =
    'added_tokens_decoder' in own ? {} : await readJson(join(directory, 'special_tokens_map.json'));
  const config = parseTokenizerConfig({ ...own, ...specials }, file);
  const name = config.tokenizer_class ?? textOf(model['tokenizer_class']);
  const className = tokenizerClassName(name, textOf(model['model_type']));
  return { ...config, ...(className !== undefined && { tokenizer_class: className }) };
}

function textOf(value: unknown): string | undefined {
  return typeof value === 'string' ? value : undefined;
}

/** Whether a folder has a tokenizer of its own, readable or not. */
export async function hasTokenizer(directory: string): Promise<boolean> {
  const names = ['tokenizer.json', ...vocabularies().map(({ files: [first = ''] }) => first)];
  const found = await Promise.all(names.map((name) => exists(join(directory, name))));
  return found.includes(true);
}

interface VocabularyFiles {
  modelType: 'BPE' | 'WordPiece' | 'Unigram';
  files: string[];
  read: (paths: string[], directory: string, config: TokenizerConfig) => Promise<TokenizerSpec>;
}

/** What older models have in place of a tokenizer.json, in the order in which it is looked for. */
function vocabularies(): VocabularyFiles[] {
  return [
    { modelType: 'BPE', files: ['vocab.json', 'merges.txt'], read: readBpe },
    { modelType: 'WordPiece', files: ['vocab.txt'], read: readWordPiece },
    ...SENTENCEPIECE_FILES.map((name): VocabularyFiles => ({
      modelType: 'Unigram',
      files: [name],
      read: readSentencePiece,
    })),
  ];
}

/** From what older models have in place of a tokenizer.json. */
async function fromVocabulary(directory: string, config: TokenizerConfig): Promise<TokenizerSpec> {
  const wanted = tokenizerClass(config.tokenizer_class)?.modelType;
  for (const { modelType, files, read } of vocabularies()) {
    if (wanted !== undefined && wanted !== modelType) continue;
    const paths = files.map((name) => join(directory, name));
    const found = await Promise.all(paths.map(exists));
    if (!found.includes(false)) return read(paths, directory, config);
  }
  throw new UsageError(
    `No tokenizer.json, and no vocab.txt, vocab.json with merges.txt or SentencePiece model in ${directory}` +
      `${wanted === undefined ? '' : ` that a ${config.tokenizer_class} reads`}: name a folder or model that has one`,
  );
}

async function readBpe(paths: string[], directory: string, config: TokenizerConfig): Promise<TokenizerSpec> {
  const [vocabFile = '', mergesFile = ''] = paths;
  const vocab = parseVocabulary(await readJson(vocabFile), vocabFile);
  const lines = linesOf(await readText(mergesFile), mergesFile);
  const merges = lines.filter((line) => line !== '' && !line.startsWith('#version'));
  return built('RobertaTokenizer', { model: { vocab, merges } }, mergesFile, directory, config);
}

async function readWordPiece(
  paths: string[],
  directory: string,
  config: TokenizerConfig,
): Promise<TokenizerSpec> {
  const [file = ''] = paths;
  const lines = linesOf(await readText(file), file);
  if (lines.at(-1) === '') lines.pop();
  // Object.fromEntries, since a token may be called __proto__; of equal lines the last counts, as in Rust.
  const vocab = Object.fromEntries(
    lines.map((line, index) => [line.replace(/\p{White_Space}+$/u, ''), index]),
  );
  return built('BertTokenizer', { model: { vocab } }, file, directory, config);
}

async function readSentencePiece(
  paths: string[],
  directory: string,
  config: TokenizerConfig,
): Promise<TokenizerSpec> {
  const [file = ''] = paths;
  const className = config.tokenizer_class ?? '';
  const kind = tokenizerClass(className);
  if (kind === undefined)
    throw new UsageError(`${file} does not identify the class of its tokenizer; ${conversionAdvice()}`);
  const { vocab, charsmap, added } = parseSentencePiece(await readSmallFile(file), file);
  const special = (name: string): string => specialToken(config, name, kind.specials);
  // ALBERT's ids are SentencePiece's own.
  const isFairseq = className !== 'AlbertTokenizer';
  const model = { vocab: isFairseq ? fairseqVocab(vocab, className, special) : vocab };
  const settings = { ...config, extra_special_tokens: added };
  return built(className, { model, charsmap }, file, directory, settings);
}

/** @param fallback the class of such files where nothing names one */
async function built(
  fallback: string,
  source: { model: Vocabulary; charsmap?: string | undefined },
  where: string,
  directory: string,
  config: TokenizerConfig,
): Promise<TokenizerSpec> {
  const className = tokenizerClass(config.tokenizer_class) === undefined ? fallback : config.tokenizer_class;
  const kind = tokenizerClass(className);
  if (kind === undefined) throw new TypeError(`no class ${className}`);
  const added = [...namedTokens(config), ...(await addedTokens(directory, config))];
  const json = buildTokenizerJson(kind, { ...source, added }, config);
  return {
    tokenizerJson: parseTokenizerJson(json, where),
    tokenizerConfig: { ...config, tokenizer_class: className },
  };
}

/** The added tokens of the config, else those of tokenizer.json, in the order of their ids. */
function namedTokens(config: TokenizerConfig, json?: TokenizerJson): NamedToken[] {
  if (config.added_tokens_decoder) return Object.values(config.added_tokens_decoder);
  const own = (json?.added_tokens ?? []).toSorted((left, right) => left.id - right.id);
  return own;
}

/** added_tokens.json, in the order of their ids; it counts where the config lists no added tokens. */
async function addedTokens(directory: string, config: TokenizerConfig): Promise<NamedToken[]> {
  const file = join(directory, 'added_tokens.json');
  const ids = Object.entries(parseVocabulary(await readJson(file), file));
  const listed = [
    ...Object.values(config),
    config['extra_special_tokens'],
    config['additional_special_tokens'],
  ];
  const specials = new Set<unknown>(listed.flat());
  return ids
    .toSorted(([, left], [, right]) => left - right)
    .map(([content]) => ({ content, special: specials.has(content) }));
}

function charsmapOf({ normalizer }: TokenizerJson): string | undefined {
  const all = normalizer?.type === 'Sequence' ? normalizer.normalizers : [normalizer];
  return all.find((one) => one?.type === 'Precompiled')?.precompiled_charsmap;
}

/** Where nothing names a class, a BERT's settings in the config still count. */
function withBertSettings(json: TokenizerJson, config: TokenizerConfig): TokenizerJson {
  const { normalizer } = json;
  if (normalizer?.type !== 'BertNormalizer' || config.tokenizer_class) return json;
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

function linesOf(text: string, where: string): string[] {
  let count = 0;
  for (let at = text.indexOf('\n'); at !== -1; at = text.indexOf('\n', at + 1)) count++;
  if (count > MAX_TOKENS)
    throw new UsageError(`${where} has more than ${MAX_TOKENS} lines, which no vocabulary has`);
  return text.split('\n').map((line) => line.replace(/\r$/, ''));
}

/** {} when the file does not exist. */
async function readJson(path: string): Promise<Record<string, unknown>> {
  if (!(await exists(path))) return {};
  return parseObject(parseJson(await readUtf8(path), path), path);
}

async function readText(path: string): Promise<string> {
  return new TextDecoder('utf-8', { fatal: true }).decode(await readUtf8(path));
}

/** UTF-8, without its byte order mark. */
async function readUtf8(path: string): Promise<Buffer> {
  const bytes = await readSmallFile(path);
  if (!isUtf8(bytes)) throw new UsageError(`${path} is not UTF-8`);
  return bytes.subarray(0, 3).equals(BYTE_ORDER_MARK) ? bytes.subarray(3) : bytes;
}
