// The shapes of tokenizer.json and tokenizer_config.json, as far as this project reads them.
import type { BertNormalizerConfig } from './bert-words.js';

/** A token matched in the raw text (`normalized: false`) or in the normalized one, before anything splits it. */
export interface AddedToken {
  id: number;
  content: string;
  single_word: boolean;
  lstrip: boolean;
  rstrip: boolean;
  normalized: boolean;
  special: boolean;
}

export interface WordPieceModel {
  type: 'WordPiece';
  unk_token: string;
  continuing_subword_prefix: string;
  max_input_chars_per_word: number;
  vocab: Record<string, number>;
}

/** A component this project leaves to the library. */
export interface OtherComponent {
  type?: string | undefined;
  [key: string]: unknown;
}

export type TemplatePiece =
  { SpecialToken: { id: string; type_id: number } } | { Sequence: { id: 'A' | 'B'; type_id: number } };

export interface TemplateProcessing {
  type: 'TemplateProcessing';
  single: TemplatePiece[];
  pair: TemplatePiece[];
  special_tokens: Record<string, { id: string; ids: number[]; tokens: string[] }>;
}

/** BertProcessing and RobertaProcessing: a [SEP] and a [CLS], each with its id. */
export interface ClsSepProcessing {
  type: 'BertProcessing' | 'RobertaProcessing';
  sep: [string, number];
  cls: [string, number];
}

/** tokenizer.json, checked. Keys that are not named here are kept and written back. */
export interface TokenizerJson {
  version: string;
  truncation: unknown;
  padding: unknown;
  added_tokens: AddedToken[];
  normalizer: BertNormalizerConfig | OtherComponent | null;
  pre_tokenizer: OtherComponent | null;
  post_processor: TemplateProcessing | ClsSepProcessing | null;
  decoder: OtherComponent | null;
  model: WordPieceModel | OtherComponent;
}

/** tokenizer_config.json. Keys that are not named here are kept and written back. */
export interface TokenizerConfig {
  tokenizer_class?: string | null | undefined;
  model_max_length?: number | null | undefined;
  do_lower_case?: boolean | null | undefined;
  strip_accents?: boolean | null | undefined;
  tokenize_chinese_chars?: boolean | null | undefined;
  truncation_side?: 'left' | 'right' | null | undefined;
  clean_up_tokenization_spaces?: boolean | null | undefined;
  /** By id, as text; without it the tokens of special_tokens_map.json and added_tokens.json count. */
  added_tokens_decoder?: Record<string, Omit<AddedToken, 'id'>> | null | undefined;
  [key: string]: unknown;
}

/** All that defines a tokenizer; plain data, so that it can be sent to a worker thread. */
export interface TokenizerSpec {
  tokenizerJson: TokenizerJson;
  tokenizerConfig: TokenizerConfig;
}

/** A tokenizer.json whose text handling is BERT's own, which this project does itself. */
export interface BertStyleJson extends TokenizerJson {
  normalizer: BertNormalizerConfig;
  model: WordPieceModel;
}

/** Whether normalizer, pre-tokenizer and model are BERT's; anything else is left to the library as a whole. */
export function isBertStyle(json: TokenizerJson): json is BertStyleJson {
  return (
    json.normalizer?.type === 'BertNormalizer' &&
    json.pre_tokenizer?.type === 'BertPreTokenizer' &&
    json.model.type === 'WordPiece'
  );
}
