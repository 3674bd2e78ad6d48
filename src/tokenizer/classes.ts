// The tokenizer classes of transformers 5.18. Of a tokenizer.json they take the vocabulary, the added tokens and the
// charsmap, and build all else from tokenizer_config.json; so the same serves files that come without a tokenizer.json.
import { specialToken, withIds, withSpecials, type NamedToken } from './added-tokens.js';
import type { ModelJson } from './models.js';
import type { PostProcessorJson, TemplatePiece, TokenizerConfig } from './tokenizer-json.js';

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
