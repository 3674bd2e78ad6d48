// tokenizer.json from what older models carry instead: vocab.txt, the settings in tokenizer_config.json and the added
// tokens, put together as transformers 5.18 does (models/bert/tokenization_bert.py).
import { UsageError } from '../util/errors.js';
import type { AddedToken, TemplatePiece, TokenizerConfig, TokenizerJson } from './tokenizer-json.js';

/** Twice the largest vocabulary of a published BERT (LaBSE, 501,153 tokens). */
const MAX_LINES = 1_000_000;

/** The named special tokens and their defaults, in the order in which transformers adds the missing ones. */
export const SPECIAL_TOKENS: ReadonlyMap<string, string> = new Map([
  ['unk_token', '[UNK]'],
  ['sep_token', '[SEP]'],
  ['pad_token', '[PAD]'],
  ['cls_token', '[CLS]'],
  ['mask_token', '[MASK]'],
]);

/**
 * @param vocabText one token a line, its id the line's number from 0
 * @param config tokenizer_config.json, or {} for the defaults of an uncased BERT
 * @param addedTokens added_tokens.json: further tokens and their ids
 */
export function tokenizerJsonFromVocab(
  vocabText: string,
  config: TokenizerConfig,
  addedTokens: Readonly<Record<string, number>> = {},
): TokenizerJson {
  if (countLines(vocabText) > MAX_LINES)
    throw new UsageError(`vocab.txt has more than ${MAX_LINES} lines, which no BERT has`);
  const lines = vocabText.split('\n');
  if (lines.at(-1) === '') lines.pop();
  // Object.fromEntries, since a token may be called __proto__; of equal lines the last counts, as in Rust.
  const vocab = Object.fromEntries(
    lines.map((line, index) => [line.replace(/\p{White_Space}+$/u, ''), index]),
  );
  const added = collectAddedTokens(vocab, lines.length, config, addedTokens);
  const idOf = (token: string): number => added.find(({ content }) => content === token)?.id ?? 0;
  const cls = specialToken(config, 'cls_token');
  const sep = specialToken(config, 'sep_token');
  const single: TemplatePiece[] = [special(cls, 0), sequence('A', 0), special(sep, 0)];

  return {
    version: '1.0',
    truncation: null,
    padding: null,
    added_tokens: added,
    normalizer: {
      type: 'BertNormalizer',
      clean_text: true,
      handle_chinese_chars: config.tokenize_chinese_chars ?? true,
      strip_accents: config.strip_accents ?? null,
      lowercase: config.do_lower_case ?? true,
    },
    pre_tokenizer: { type: 'BertPreTokenizer' },
    post_processor: {
      type: 'TemplateProcessing',
      single,
      pair: [...single, sequence('B', 1), special(sep, 1)],
      special_tokens: Object.fromEntries(
        [cls, sep].map((token) => [token, { id: token, ids: [idOf(token)], tokens: [token] }]),
      ),
    },
    decoder: { type: 'WordPiece', prefix: '##', cleanup: true },
    model: {
      type: 'WordPiece',
      unk_token: specialToken(config, 'unk_token'),
      continuing_subword_prefix: '##',
      max_input_chars_per_word: 100,
      vocab,
    },
  };
}

/** The content of a named special token, which may be given as text or as an object with its content. */
export function specialToken(config: TokenizerConfig, name: string): string {
  return contentOf(config[name]) ?? SPECIAL_TOKENS.get(name) ?? '';
}

function countLines(text: string): number {
  let count = 0;
  for (let at = text.indexOf('\n'); at !== -1; at = text.indexOf('\n', at + 1)) count++;
  return count;
}

function special(token: string, typeId: number): TemplatePiece {
  return { SpecialToken: { id: token, type_id: typeId } };
}

function sequence(name: 'A' | 'B', typeId: number): TemplatePiece {
  return { Sequence: { id: name, type_id: typeId } };
}

/** Tokens with a given id first, then named and extra special tokens; what no vocabulary line has gets the next id. */
function collectAddedTokens(
  vocab: Readonly<Record<string, number>>,
  vocabSize: number,
  config: TokenizerConfig,
  addedTokens: Readonly<Record<string, number>>,
): AddedToken[] {
  const named = [...SPECIAL_TOKENS.keys()].map((name) => specialToken(config, name));
  const extra = config['extra_special_tokens'] ?? config['additional_special_tokens'];
  const specials = [
    ...named,
    ...(Array.isArray(extra) ? extra : []).flatMap((token) => contentOf(token) ?? []),
  ];
  const decoder = Object.values(config.added_tokens_decoder ?? {});
  const plain = Object.entries(addedTokens).toSorted(([, left], [, right]) => left - right);

  const tokens = new Map<string, AddedToken>();
  let nextId = vocabSize;
  const add = (content: string, settings: Partial<AddedToken>): void => {
    if (tokens.has(content)) return;
    const id = Object.hasOwn(vocab, content) ? (vocab[content] ?? 0) : nextId++;
    const { single_word = false, lstrip = false, rstrip = false, special: isSpecial = false } = settings;
    const normalized = settings.normalized ?? !isSpecial;
    tokens.set(content, { id, content, single_word, lstrip, rstrip, normalized, special: isSpecial });
  };
  for (const token of decoder) add(token.content, token);
  for (const [content] of plain) add(content, { special: specials.includes(content) });
  for (const content of specials) add(content, { special: true });
  return [...tokens.values()].toSorted((left, right) => left.id - right.id);
}

function contentOf(token: unknown): string | undefined {
  if (typeof token === 'string') return token;
  const content =
    typeof token === 'object' && token !== null && 'content' in token ? token.content : undefined;
  return typeof content === 'string' ? content : undefined;
}
