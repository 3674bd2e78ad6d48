// The tokenizer's definition to the files that transformers 5.18 writes, and vocab.txt for older tools of BERT.
import { join } from 'node:path';
import { writeFileAtomic } from '../util/files.js';
import { contentOf, specialToken } from './added-tokens.js';
import { BACKEND } from './class-names.js';
import { tokenizerClass } from './classes.js';
import { takesTokenTypes } from './sequence-encoder.js';
import type { TokenizerConfig, TokenizerJson, TokenizerSpec } from './tokenizer-json.js';

/** What transformers does not write either: where the tokenizer came from, and what tokenizer.json has already. */
const NOT_SAVED = [
  'added_tokens_decoder',
  'additional_special_tokens',
  'auto_map', // Python code to run
  'is_local',
  'local_files_only',
  'max_len', // now model_max_length
  'name_or_path',
  'special_tokens_map_file',
  'tokenizer_file',
  'vocab_file',
];

/** Writes tokenizer.json, tokenizer_config.json and, for WordPiece, vocab.txt; makes the folder. */
export async function saveTokenizer(spec: TokenizerSpec, directory: string): Promise<void> {
  await writeFileAtomic(join(directory, 'tokenizer.json'), tokenizerJsonText(spec.tokenizerJson));
  await writeFileAtomic(join(directory, 'tokenizer_config.json'), tokenizerConfigText(spec));
  const { model } = spec.tokenizerJson;
  if (model.type === 'WordPiece') await writeFileAtomic(join(directory, 'vocab.txt'), vocabText(model.vocab));
}

/** tokenizer.json with the vocabulary in the order of its ids; JSON.stringify would put "0", "1" ... first. */
function tokenizerJsonText(json: TokenizerJson): string {
  const { vocab } = json.model;
  if (Array.isArray(vocab)) return JSON.stringify(json, null, 2);
  const mark = 'the vocabulary';
  const entries = inOrder(vocab).map(([token, id]) => `\n      ${JSON.stringify(token)}: ${id}`);
  const text = JSON.stringify({ ...json, model: { ...json.model, vocab: mark } }, null, 2);
  const at = text.lastIndexOf(`"vocab": "${mark}"`) + '"vocab": '.length;
  return `${text.slice(0, at)}{${entries.join(',')}\n    }${text.slice(at + mark.length + 2)}`;
}

function tokenizerConfigText(spec: TokenizerSpec): string {
  const { tokenizerJson: json, tokenizerConfig: config } = spec;
  const saved: TokenizerConfig = { backend: 'tokenizers', ...config };
  const extra = config['extra_special_tokens'] ?? config['additional_special_tokens'];
  if (Array.isArray(extra) && extra.length > 0) saved['extra_special_tokens'] = extra.map(asText);
  // How a token takes its blanks along stands in tokenizer.json; transformers refuses objects without their `__type`.
  for (const key of Object.keys(saved)) if (key.endsWith('_token')) saved[key] = asText(saved[key]);
  for (const key of NOT_SAVED) delete saved[key];
  const { normalizer } = json;
  // Any other class would rebuild parts of tokenizer.json.
  const kind = tokenizerClass(config.tokenizer_class);
  saved.tokenizer_class = kind?.modelType === json.model.type ? config.tokenizer_class : BACKEND;
  // transformers 5.18 takes none for this class, whatever tokenizer.json has.
  if (saved.tokenizer_class === BACKEND)
    saved.model_input_names ??= [
      'input_ids',
      ...(takesTokenTypes(spec) ? ['token_type_ids'] : []),
      'attention_mask',
    ];
  const specials = tokenizerClass(saved.tokenizer_class)?.specials ?? new Map<string, string>();
  for (const name of specials.keys())
    if (config[name] !== null) saved[name] = specialToken(config, name, specials);
  // Else the class would take its own defaults.
  if (normalizer?.type === 'BertNormalizer') {
    saved.do_lower_case = normalizer.lowercase;
    saved.strip_accents = normalizer.strip_accents;
    saved.tokenize_chinese_chars = normalizer.handle_chinese_chars;
  }
  saved.model_max_length = config.model_max_length ?? config.max_len ?? 1e30;
  const sorted = Object.fromEntries(
    Object.entries(saved).toSorted(([left], [right]) => (left < right ? -1 : 1)),
  );
  // Python writes the integer of 1e30, its "no limit".
  const text = JSON.stringify(sorted, null, 2).replace(
    '"model_max_length": 1e+30',
    `"model_max_length": ${BigInt(1e30)}`,
  );
  return `${text}\n`;
}

function asText(token: unknown): unknown {
  return contentOf(token) ?? token;
}

function vocabText(vocab: Readonly<Record<string, number>>): string {
  return inOrder(vocab)
    .map(([token]) => `${token}\n`)
    .join('');
}

function inOrder(vocab: Readonly<Record<string, number>>): [token: string, id: number][] {
  return Object.entries(vocab).toSorted(([, left], [, right]) => left - right);
}
