// Trains the quickstart's tokenizer from its training mails into configs/quickstart-model. The result is committed;
// to make it again: npm run build && node scripts/quickstart/tokenizer.mjs
import { createReadStream } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { parse } from 'csv-parse';
import { buildTokenizerJson, tokenizerClass } from '../../dist/tokenizer/classes.js';
import { BertTokenizer } from '../../dist/tokenizer/index.js';
import { createNormalizer } from '../../dist/tokenizer/normalizers.js';
import { splitWords } from '../../dist/tokenizer/pre-tokenizers.js';
import { prepareQuickstartData } from './data.mjs';
import { trainWordPiece } from './word-piece.mjs';

const SPECIALS = ['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]'];
const ENTRIES = 8192;
/** Rarer ones become [UNK] instead of taking two entries each. */
const CHARACTERS = 120;
/** Longer words are links and encoded data. */
const LONGEST_WORD = 24;

const { train } = await prepareQuickstartData();
const normalize = createNormalizer({
  type: 'BertNormalizer',
  clean_text: true,
  handle_chinese_chars: true,
  strip_accents: null,
  lowercase: true,
});
/** @type {Map<string, number>} */
const words = new Map();
/** @type {Map<string, number>} */
const characters = new Map();
for await (const { text } of createReadStream(train).pipe(parse({ columns: true }))) {
  for (const word of splitWords(normalize(text))) {
    if (word.length > LONGEST_WORD) continue;
    words.set(word, (words.get(word) ?? 0) + 1);
    for (const character of word) characters.set(character, (characters.get(character) ?? 0) + 1);
  }
}
const frequent = [...characters]
  .toSorted(([left, leftCount], [right, rightCount]) => rightCount - leftCount || (left < right ? -1 : 1))
  .slice(0, CHARACTERS)
  .map(([character]) => character)
  .toSorted();
const entries = [...SPECIALS, ...trainWordPiece(words, ENTRIES - SPECIALS.length, frequent)];
const tokenizerConfig = { tokenizer_class: 'BertTokenizer', do_lower_case: true, model_max_length: 512 };
const bert = tokenizerClass(tokenizerConfig.tokenizer_class);
if (bert === undefined) throw new Error('there is no BertTokenizer');
const vocab = Object.fromEntries(entries.map((entry, id) => [entry, id]));
const tokenizerJson = buildTokenizerJson(bert, { model: { vocab }, added: [] }, tokenizerConfig);
const directory = fileURLToPath(new URL('../../configs/quickstart-model', import.meta.url));
await BertTokenizer.fromSpec({ tokenizerJson, tokenizerConfig }).savePretrained(directory);
process.stderr.write(`${entries.length} entries in ${directory}\n`);
