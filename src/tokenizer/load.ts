// A folder with tokenizer files to the tokenizer's definition, as transformers 5.18's AutoTokenizer reads it.
import { isUtf8 } from 'node:buffer';
import { join } from 'node:path';
import { UsageError } from '../util/errors.js';
import { exists } from '../util/file-system.js';
import { parseJson, readSmallFile } from '../util/json.js';
import { quoted } from '../util/text.js';
import { BACKEND, tokenizerClassName } from './class-names.js';
import { specialToken, withIds, withSpecials, type NamedToken } from './added-tokens.js';
import { buildTokenizerJson, tokenizerClass, type Vocabulary } from './classes.js';
import { MAX_TOKENS } from './models.js';
import { SENTENCEPIECE_FILES, conversionAdvice, fairseqVocab, parseSentencePiece } from './sentencepiece.js';
import {
  parseAddedTokens,
  parseObject,
  parseTokenizerConfig,
  parseTokenizerJson,
  parseVocabulary,
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
export async function loadTokenizer(directory: string): Promise<LoadedTokenizer> {
  const config = await readConfig(directory);
  const jsonFile = join(directory, 'tokenizer.json');
  if (!(await exists(jsonFile))) return { spec: await fromVocabulary(directory, config), notes: [] };

  const json = parseTokenizerJson(await readJson(jsonFile), jsonFile);
  const kind = tokenizerClass(config.tokenizer_class);
  const added = await listedTokens(directory, config, json);
  const tokenizerConfig = { ...config, truncation_side: config.truncation_side ?? sideOf(json) };
  // A class that does not fit the model is a mistake in the config, which transformers knows by a list of names.
  if (kind === undefined || kind.modelType !== json.model.type) {
    const present = json.added_tokens.map(({ content }) => content);
    const all = withSpecials(added, config, { present });
    const tokens = withIds(json.model, json.added_tokens, all);
    const added_tokens = parseAddedTokens(tokens, `the special tokens in ${directory}`);
    const { tokenizer_class: name } = config;
    return {
      spec: {
        tokenizerJson: withBertSettings({ ...json, added_tokens }, config),
        tokenizerConfig: { ...tokenizerConfig, tokenizer_class: BACKEND },
      },
      notes: !name || name === BACKEND ? [] : [asItStands(name)],
    };
  }
  const source = { model: json.model, charsmap: charsmapOf(json), added };
  const tokenizerJson = parseTokenizerJson(buildTokenizerJson(kind, source, config), jsonFile);
  return { spec: { tokenizerJson, tokenizerConfig }, notes: caseNotes(json, tokenizerJson, config) };
}

interface LoadedTokenizer {
  spec: TokenizerSpec;
  /** What a person should know about how the files were read. */
  notes: string[];
}

function asItStands(className: string): string {
  return (
    `bertune does not build a ${className}: its tokenizer.json is used as it stands, and is saved as ${BACKEND}, so ` +
    'that Python reads it alike'
  );
}

/** Where the class does other than tokenizer.json says. */
function caseNotes(file: TokenizerJson, made: TokenizerJson, config: TokenizerConfig): string[] {
  const [before, after] = [file.normalizer, made.normalizer];
  if (before?.type !== 'BertNormalizer' || after?.type !== 'BertNormalizer') return [];
  if (before.lowercase === after.lowercase) return [];
  return [
    `tokenizer.json ${before.lowercase ? 'lower-cases' : 'keeps capitals'}, but a ${config.tokenizer_class} ` +
      `${after.lowercase ? 'lower-cases without' : 'keeps capitals with'} "do_lower_case": false in tokenizer_config.json, ` +
      'as in transformers: that counts',
  ];
}

/** Where the config is silent, the side of a tokenizer.json's own truncation. */
function sideOf({ truncation }: TokenizerJson): 'left' | undefined {
  const isLeft =
    typeof truncation === 'object' && truncation !== null && 'direction' in truncation
      ? truncation.direction === 'Left'
      : false;
  return isLeft ? 'left' : undefined;
}

/** tokenizer_config.json with what other files have, and the class in its place. */
async function readConfig(directory: string): Promise<TokenizerConfig> {
  const file = join(directory, 'tokenizer_config.json');
  const own = await readJson(file);
  const modelFile = join(directory, 'config.json');
  const model = await readJson(modelFile);
  // Older models name their special tokens in a file of their own, which counts unless the config lists added tokens.
  const specials =
    'added_tokens_decoder' in own ? {} : await readJson(join(directory, 'special_tokens_map.json'));
  const config = parseTokenizerConfig({ ...own, ...specials, ...extraTokens(own, specials) }, file);
  const className = tokenizerClassName(config.tokenizer_class || textOf(model['tokenizer_class']), {
    modelType: textOf(model['model_type']),
    where: config.tokenizer_class ? file : modelFile,
  });
  return { ...config, tokenizer_class: className };
}

/** The list of further special tokens: of both files where both have the newer name, else the one that counts. */
function extraTokens(
  own: Record<string, unknown>,
  specials: Record<string, unknown>,
): { extra_special_tokens?: unknown } {
  const older = own['additional_special_tokens'];
  const ofConfig = isEmpty(own['extra_special_tokens']) ? older : own['extra_special_tokens'];
  const more = specials['extra_special_tokens'];
  if (Array.isArray(more))
    return { extra_special_tokens: [...(Array.isArray(ofConfig) ? ofConfig : []), ...more] };
  const listed = more ?? ofConfig ?? specials['additional_special_tokens'];
  return listed === undefined ? {} : { extra_special_tokens: listed };
}

function isEmpty(value: unknown): boolean {
  return value === undefined || value === null || (Array.isArray(value) && value.length === 0);
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
  const { tokenizer_class: name } = config;
  const wanted = tokenizerClass(name)?.modelType;
  if (name && wanted === undefined)
    throw new UsageError(
      `${directory} has no tokenizer.json, and ${quoted(name)} is no class whose vocabulary bertune reads; ${conversionAdvice()}`,
    );
  for (const { modelType, files, read } of vocabularies()) {
    if (wanted !== undefined && wanted !== modelType) continue;
    const paths = files.map((file) => join(directory, file));
    const found = await Promise.all(paths.map(exists));
    if (!found.includes(false)) return read(paths, directory, config);
  }
  throw new UsageError(
    `No tokenizer.json, and no vocab.txt, vocab.json with merges.txt or SentencePiece model in ${directory}` +
      `${wanted === undefined ? '' : ` that a ${name} reads`}: name a folder or model that has one`,
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
  const added = await listedTokens(directory, config);
  const json = buildTokenizerJson(kind, { ...source, added }, config);
  return {
    tokenizerJson: parseTokenizerJson(json, where),
    tokenizerConfig: { ...config, tokenizer_class: className },
  };
}

/**
 * The added tokens in the order of their ids: those of the config, else those of added_tokens.json and tokenizer.json,
 * which wins where both have an id.
 */
async function listedTokens(
  directory: string,
  config: TokenizerConfig,
  json?: TokenizerJson,
): Promise<NamedToken[]> {
  const byId = new Map<number, NamedToken>();
  if (config.added_tokens_decoder) {
    for (const [id, token] of Object.entries(config.added_tokens_decoder)) byId.set(Number(id), token);
  } else {
    for (const [id, token] of await addedTokens(directory, config)) byId.set(id, token);
    for (const { id, ...token } of json?.added_tokens ?? []) byId.set(id, token);
  }
  return Array.from(byId)
    .toSorted(([left], [right]) => left - right)
    .map(([, token]) => token);
}

/** added_tokens.json, by id. */
async function addedTokens(directory: string, config: TokenizerConfig): Promise<[number, NamedToken][]> {
  const file = join(directory, 'added_tokens.json');
  const ids = Object.entries(parseVocabulary(await readJson(file), file));
  const specials = new Set(withSpecials([], config, {}).map(({ content }) => content));
  return ids.map(([content, id]) => [id, { content, special: specials.has(content) }]);
}

function charsmapOf({ normalizer }: TokenizerJson): string | undefined {
  const all = normalizer?.type === 'Sequence' ? normalizer.normalizers : [normalizer];
  return all.find((one) => one?.type === 'Precompiled')?.precompiled_charsmap;
}

/** Where nothing names a class, a BERT's settings in the config count, as for `BertTokenizer.from_pretrained`. */
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
