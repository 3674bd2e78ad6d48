// Tokenization: text to packed token ids, equal to Hugging Face's Rust tokenizers.
export { BertTokenizer } from './bert-tokenizer.js';
export { createTokenizerPool, type TokenizerPool } from './pool.js';
export { createWindows } from './windows.js';
export type { TextExample } from './messages.js';
export type { EncodeOptions, Encoding } from './sequence-encoder.js';
export type { TokenizerConfig, TokenizerJson, TokenizerSpec } from './tokenizer-json.js';
