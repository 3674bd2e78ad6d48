// Tokenization: text to packed token ids, equal to Hugging Face's Rust tokenizers.
export {
  Tokenizer,
  Tokenizer as AlbertTokenizer,
  Tokenizer as AutoTokenizer,
  Tokenizer as BertTokenizer,
  Tokenizer as CamembertTokenizer,
  Tokenizer as DebertaV2Tokenizer,
  Tokenizer as DistilBertTokenizer,
  Tokenizer as ElectraTokenizer,
  Tokenizer as MPNetTokenizer,
  Tokenizer as RobertaTokenizer,
  Tokenizer as XLMRobertaTokenizer,
} from './tokenizer.js';
// transformers' names. They are all one: the files say which class a tokenizer is of, as with its AutoTokenizer.
export { hasTokenizer } from './load.js';
export { createTokenizerPool, type TextExample, type TokenizerPool } from './pool.js';
export { createWindows } from './windows.js';
export type { EncodeOptions, Encoding } from './sequence-encoder.js';
export type { TokenizerConfig, TokenizerJson, TokenizerSpec } from './tokenizer-json.js';
