// The tokenizer classes of transformers 5.18. Of a tokenizer.json they take the vocabulary, the added tokens and the
// charsmap, and build all else from tokenizer_config.json; so the same serves files that come without a tokenizer.json.
import { UsageError } from '../util/errors.js';
import { quoted } from '../util/text.js';
import type { ModelJson } from './models.js';
import {
  withIds,
  type NamedToken,
  type PostProcessorJson,
  type TemplatePiece,
  type TokenizerConfig,
} from './tokenizer-json.js';

/** As in a file that was not checked yet. */
type Parts = Record<'normalizer' | 'pre_tokenizer' | 'post_processor' | 'decoder' | 'model', object | null>;

/** What a class takes of a model. */
export interface Vocabulary {
  vocab: ModelJson['vocab'];
  merges?: readonly unknown[];
}

/** What a class is given to build from. */
interface Source {
  model: Vocabulary;
  config: TokenizerConfig;
  /** Base64, of SentencePiece. */
  charsmap: string | undefined;
  /** The content and id of a named special token. */
  special: (name: string) => [content: string, id: number];
}

interface TokenizerClass {
  readonly modelType: 'WordPiece' | 'BPE' | 'Unigram';
  /** Whether its models take token types. */
  readonly tokenTypes: boolean;
  /** The named special tokens and their defaults. */
  readonly specials: ReadonlyMap<string, string>;
  /** Settings of special tokens that the files name by their content alone. */
  readonly settings?: Readonly<Record<string, Partial<NamedToken>>>;
  /** Further special tokens, where the files list none. */
  readonly extra?: readonly string[];
  readonly build: (source: Source) => Parts;
}

const bertSpecials = new Map([
  ['unk_token', '[UNK]'],
  ['sep_token', '[SEP]'],
  ['pad_token', '[PAD]'],
  ['cls_token', '[CLS]'],
  ['mask_token', '[MASK]'],
]);
const robertaSpecials = new Map([
  ['bos_token', '<s>'],
  ['eos_token', '</s>'],
  ['unk_token', '<unk>'],
  ['sep_token', '</s>'],
  ['pad_token', '<pad>'],
  ['cls_token', '<s>'],
  ['mask_token', '<mask>'],
]);
/** It takes the blank before it along. */
const lstripMask = { mask_token: { lstrip: true } };

const bert: TokenizerClass = {
  modelType: 'WordPiece',
  tokenTypes: true,
  specials: bertSpecials,
  build: ({ model, config, special }) => {
    const [cls, sep] = [special('cls_token'), special('sep_token')];
    return {
      ...bertText(model, config, special('unk_token')[0]),
      post_processor: template([cls, 'A', sep], [cls, 'A', sep, 'B', sep], 1),
      decoder: { type: 'WordPiece', prefix: '##', cleanup: true },
    };
  },
};

const roberta: TokenizerClass = {
  modelType: 'BPE',
  tokenTypes: false,
  specials: robertaSpecials,
  build: ({ model, config, special }) => {
    const addPrefixSpace = config.add_prefix_space ?? false;
    const trimOffsets = config.trim_offsets ?? true;
    return {
      normalizer: null,
      pre_tokenizer: {
        type: 'ByteLevel',
        add_prefix_space: addPrefixSpace,
        trim_offsets: true,
        use_regex: true,
      },
      post_processor: {
        type: 'RobertaProcessing',
        sep: special('sep_token'),
        cls: special('cls_token'),
        trim_offsets: trimOffsets,
        add_prefix_space: addPrefixSpace,
      },
      decoder: { type: 'ByteLevel', add_prefix_space: true, trim_offsets: true, use_regex: true },
      model: {
        type: 'BPE',
        dropout: null,
        unk_token: null,
        continuing_subword_prefix: '',
        end_of_word_suffix: '',
        fuse_unk: false,
        byte_fallback: false,
        ignore_merges: false,
        vocab: model.vocab,
        merges: model.merges ?? [],
      },
    };
  },
};

const xlmRoberta: TokenizerClass = {
  modelType: 'Unigram',
  tokenTypes: false,
  specials: robertaSpecials,
  build: ({ model, config, charsmap, special }) => {
    const [bos, eos] = [special('bos_token'), special('eos_token')];
    return {
      normalizer: charsmap === undefined ? null : precompiled(charsmap),
      ...sentencePieceWords(config),
      post_processor: template([bos, 'A', eos], [bos, 'A', eos, eos, 'B', eos], 0),
      model: unigram(model, 3),
    };
  },
};

const camembert: TokenizerClass = {
  ...xlmRoberta,
  settings: lstripMask,
  extra: ['<s>NOTUSED', '</s>NOTUSED', '<unk>NOTUSED'],
  build: (source) => {
    const [unknown] = source.special('unk_token');
    const { vocab } = source.model;
    const at = Array.isArray(vocab) ? vocab.findIndex(([piece]) => piece === unknown) : -1;
    return { ...xlmRoberta.build(source), model: unigram(source.model, Math.max(at, 0)) };
  },
};

const mpnet: TokenizerClass = {
  modelType: 'WordPiece',
  tokenTypes: false,
  specials: new Map([...robertaSpecials, ['unk_token', '[UNK]']]),
  settings: lstripMask,
  build: ({ model, config, special }) => ({
    ...bertText(model, config, special('unk_token')[0]),
    post_processor: {
      type: 'RobertaProcessing',
      sep: special('sep_token'),
      cls: special('cls_token'),
      trim_offsets: true,
      add_prefix_space: false,
    },
    decoder: { type: 'WordPiece', prefix: '##', cleanup: true },
  }),
};

const albert: TokenizerClass = {
  modelType: 'Unigram',
  tokenTypes: false,
  specials: new Map([
    ['bos_token', '[CLS]'],
    ['eos_token', '[SEP]'],
    ['unk_token', '<unk>'],
    ['sep_token', '[SEP]'],
    ['pad_token', '<pad>'],
    ['cls_token', '[CLS]'],
    ['mask_token', '[MASK]'],
  ]),
  build: ({ model, config, charsmap, special }) => {
    const cls: [string, number] = ['[CLS]', special('cls_token')[1]];
    const sep: [string, number] = ['[SEP]', special('sep_token')[1]];
    const normalizers: object[] = [
      { type: 'Replace', pattern: { String: '``' }, content: '"' },
      { type: 'Replace', pattern: { String: "''" }, content: '"' },
    ];
    if (config.keep_accents !== true) normalizers.push({ type: 'NFKD' }, { type: 'StripAccents' });
    if (config.do_lower_case ?? true) normalizers.push({ type: 'Lowercase' });
    if (charsmap !== undefined) normalizers.push(precompiled(charsmap));
    return {
      normalizer: { type: 'Sequence', normalizers },
      ...sentencePieceWords(config),
      post_processor: template([cls, 'A', sep], [cls, 'A', sep, 'B', sep], 1),
      model: unigram(model, 1),
    };
  },
};

const funnel: TokenizerClass = {
  ...bert,
  tokenTypes: false,
  specials: new Map([
    ['bos_token', '<s>'],
    ['eos_token', '</s>'],
    ['unk_token', '<unk>'],
    ['sep_token', '<sep>'],
    ['pad_token', '<pad>'],
    ['cls_token', '<cls>'],
    ['mask_token', '<mask>'],
  ]),
};

const CLASSES: Readonly<Record<string, TokenizerClass>> = {
  AlbertTokenizer: albert,
  BartTokenizer: roberta,
  BertTokenizer: bert,
  CamembertTokenizer: camembert,
  DistilBertTokenizer: { ...bert, tokenTypes: false },
  ElectraTokenizer: bert,
  FunnelTokenizer: funnel,
  LEDTokenizer: roberta,
  LayoutLMTokenizer: bert,
  LxmertTokenizer: bert,
  MPNetTokenizer: mpnet,
  MobileBertTokenizer: bert,
  MvpTokenizer: roberta,
  RobertaTokenizer: roberta,
  SqueezeBertTokenizer: bert,
  XLMRobertaTokenizer: xlmRoberta,
};

/** The class of transformers that reads a tokenizer.json as it stands. */
export const BACKEND = 'TokenizersBackend';
/** Its names in older files, and classes that add nothing to it. */
const BACKENDS = new Set([
  BACKEND,
  'PreTrainedTokenizer',
  'PythonBackend',
  'ConvBertTokenizer',
  'BloomTokenizer',
  'FNetTokenizer',
]);

/**
 * Classes of transformers 5.18 that tokenize in Python, with dictionaries or rules of their own: no tokenizer.json says
 * what they do, and they do not read one (but RoFormer's, to which they add the words of a Chinese dictionary).
 */
const IN_PYTHON = new Set(
  (
    'Bartpho BertGeneration BertJapanese Bertweet BioGpt BlenderbotSmall ByT5 CTRL Canine Clvp CpmAnt Cpm Dia Esm FSMT ' +
    'Flaubert GPTNeoXJapanese GPTSw3 M2M100 Marian Mgpstr MyT5 PLBart Perceiver Phobert Pop2Piano ProphetNet RoCBert RoFormer ' +
    'Siglip Speech2Text SpeechT5 Tapas Vits Wav2Vec2CTC Wav2Vec2PhonemeCTC XLM'
  )
    .split(' ')
    .map((name) => `${name}Tokenizer`),
);

/** What transformers takes for a model of which nothing names the tokenizer's class. */
const BY_MODEL_TYPE: Readonly<Record<string, string>> = {
  bert: 'BertTokenizer',
  electra: 'BertTokenizer',
  distilbert: 'BertTokenizer',
  funnel: 'FunnelTokenizer',
  roberta: 'RobertaTokenizer',
  'xlm-roberta': 'XLMRobertaTokenizer',
  camembert: 'CamembertTokenizer',
  mpnet: 'MPNetTokenizer',
  albert: 'AlbertTokenizer',
  modernbert: BACKEND,
};

/**
 * The class that transformers takes, without the `Fast` of older versions; undefined where nothing says which.
 *
 * @param named in tokenizer_config.json or config.json
 * @throws UsageError for a class that tokenizes in Python
 */
export function tokenizerClassName(
  named: string | null | undefined,
  { modelType, where }: { modelType?: string | undefined; where: string },
): string | undefined {
  const registered =
    modelType !== undefined && Object.hasOwn(BY_MODEL_TYPE, modelType) ? BY_MODEL_TYPE[modelType] : undefined;
  if (!named || registered === BACKEND) return registered;
  const name = named.replace(/Fast$/, '');
  if (IN_PYTHON.has(name))
    throw new UsageError(
      `${where} names ${quoted(name)}, which cuts texts with Python code of its own; bertune has no such code, so that ` +
        'the tokens would be others than in transformers: use a model whose tokenizer is a tokenizer.json',
    );
  return BACKENDS.has(name) ? BACKEND : name;
}

export function tokenizerClass(name: string | null | undefined): TokenizerClass | undefined {
  return name !== null && name !== undefined && Object.hasOwn(CLASSES, name) ? CLASSES[name] : undefined;
}

/**
 * A tokenizer.json as the class builds it, not checked yet.
 *
 * @param added tokens that the files name, in the order of their ids
 */
export function buildTokenizerJson(
  { specials, settings = {}, extra = [], build }: TokenizerClass,
  {
    model,
    charsmap,
    added,
  }: { model: Vocabulary; charsmap?: string | undefined; added: readonly NamedToken[] },
  config: TokenizerConfig,
): object {
  const tokens = withIds(model, withSpecials(added, config, { specials, settings, extra }));
  const special = (name: string): [string, number] => {
    const content = specialToken(config, name, specials);
    return [content, tokens.find((token) => token.content === content)?.id ?? 0];
  };
  const parts = build({ model, config, charsmap, special });
  return { version: '1.0', truncation: null, padding: null, added_tokens: tokens, ...parts };
}

/** In the order in which transformers adds those that are missing. */
const NAMED = ['bos_token', 'eos_token', 'unk_token', 'sep_token', 'pad_token', 'cls_token', 'mask_token'];

/**
 * The tokens with those that tokenizer_config.json names and that are not among them: the named ones, `image_token` and
 * its like, and the lists.
 *
 * @param present contents that count as there already
 */
export function withSpecials(
  added: readonly NamedToken[],
  config: TokenizerConfig,
  {
    specials = new Map(),
    settings = {},
    extra = [],
    present = [],
  }: Partial<Pick<TokenizerClass, 'specials' | 'settings' | 'extra'>> & { present?: readonly string[] },
): NamedToken[] {
  const listed = config['extra_special_tokens'] ?? config['additional_special_tokens'] ?? extra;
  const others = Object.keys(config).filter((key) => key.endsWith('_token') && !NAMED.includes(key));
  const named = [...NAMED, ...others].map((name): NamedToken | null => {
    const given: unknown = config[name];
    const content = contentOf(given) ?? (given === null ? undefined : specials.get(name));
    if (content === undefined) return null;
    return Object.assign({}, isObject(given) ? given : settings[name], { content, special: true });
  });
  const list = (Array.isArray(listed) ? listed : isObject(listed) ? Object.values(listed) : []).map(
    (token: unknown): NamedToken | null => {
      const content = contentOf(token);
      return content === undefined
        ? null
        : Object.assign({ special: true }, isObject(token) ? token : {}, { content });
    },
  );
  const all = [...added];
  const known = new Set([...present, ...added.map(({ content }) => content)]);
  for (const token of [...named, ...list]) {
    if (token === null || known.has(token.content)) continue;
    known.add(token.content);
    all.push(token);
  }
  return all;
}

/** The content of a named special token, which may be given as text or as an object with its content. */
export function specialToken(
  config: TokenizerConfig,
  name: string,
  defaults: ReadonlyMap<string, string>,
): string {
  return contentOf(config[name]) ?? defaults.get(name) ?? '';
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Of a token that is text or an object with its content. */
export function contentOf(token: unknown): string | undefined {
  if (typeof token === 'string') return token;
  const content = isObject(token) && 'content' in token ? token.content : undefined;
  return typeof content === 'string' ? content : undefined;
}

function bertText(
  model: Vocabulary,
  config: TokenizerConfig,
  unknown: string,
): Pick<Parts, 'normalizer' | 'pre_tokenizer' | 'model'> {
  return {
    normalizer: {
      type: 'BertNormalizer',
      clean_text: true,
      handle_chinese_chars: config.tokenize_chinese_chars ?? true,
      strip_accents: config.strip_accents ?? null,
      lowercase: config.do_lower_case ?? true,
    },
    pre_tokenizer: { type: 'BertPreTokenizer' },
    model: {
      type: 'WordPiece',
      unk_token: unknown,
      continuing_subword_prefix: '##',
      max_input_chars_per_word: 100,
      vocab: model.vocab,
    },
  };
}

function unigram({ vocab }: Vocabulary, unknownId: number): object {
  return { type: 'Unigram', unk_id: unknownId, vocab, byte_fallback: false };
}

function precompiled(charsmap: string): { type: 'Precompiled'; precompiled_charsmap: string } {
  return { type: 'Precompiled', precompiled_charsmap: charsmap };
}

function sentencePieceWords(config: TokenizerConfig): Pick<Parts, 'pre_tokenizer' | 'decoder'> {
  const metaspace = {
    type: 'Metaspace',
    replacement: '▁',
    prepend_scheme: (config.add_prefix_space ?? true) ? 'always' : 'never',
    split: true,
  } as const;
  const preTokenizer = {
    type: 'Sequence',
    pretokenizers: [{ type: 'WhitespaceSplit' }, metaspace],
  };
  return { pre_tokenizer: preTokenizer, decoder: metaspace };
}

/** @param secondType the token type of B and what follows it */
function template(
  single: readonly (string | [string, number])[],
  pair: readonly (string | [string, number])[],
  secondType: number,
): PostProcessorJson {
  const pieces = (list: typeof single): TemplatePiece[] => {
    const second = list.indexOf('B');
    return list.map((piece, index) => {
      const type_id = second !== -1 && index >= second ? secondType : 0;
      if (piece === 'A' || piece === 'B') return { Sequence: { id: piece, type_id } };
      return { SpecialToken: { id: piece[0], type_id } };
    });
  };
  const tokens = single.filter((piece) => typeof piece !== 'string');
  return {
    type: 'TemplateProcessing',
    single: pieces(single),
    pair: pieces(pair),
    special_tokens: Object.fromEntries(
      tokens.map(([token, id]) => [token, { id: token, ids: [id], tokens: [token] }]),
    ),
  };
}
