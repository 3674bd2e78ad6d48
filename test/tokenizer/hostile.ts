// Tokenizer files by someone who means harm.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';

import { BertTokenizer } from '../../dist/index.js';
import { cpuMs, refuses } from '../fixtures/refuses.js';

const folder = t.testdir();

interface Parts {
  [key: string]: unknown;
}

const TOKENIZER: Parts = {
  version: '1.0',
  added_tokens: [],
  normalizer: { type: 'BertNormalizer' },
  pre_tokenizer: { type: 'BertPreTokenizer' },
  model: {
    type: 'WordPiece',
    unk_token: '[UNK]',
    continuing_subword_prefix: '##',
    vocab: { '[UNK]': 0, '[CLS]': 1, '[SEP]': 2, a: 3 },
  },
};

const BYTE_LEVEL = { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true };
const bpe = (parts: Parts): Parts => ({
  model: { type: 'BPE', vocab: { a: 0, b: 1, ab: 2 }, merges: [], ...parts },
});
const unigram = (vocab: unknown[]): Parts => ({ model: { type: 'Unigram', unk_id: 0, vocab } });
const template = (single: string[]): Parts => {
  const piece = (id: string): object =>
    id === 'A' || id === 'B' ? { Sequence: { id, type_id: 0 } } : { SpecialToken: { id, type_id: 0 } };
  const special_tokens = { '[CLS]': { id: '[CLS]', ids: [1], tokens: ['[CLS]'] } };
  const pair = ['A', 'B'].map(piece);
  return { post_processor: { type: 'TemplateProcessing', single: single.map(piece), pair, special_tokens } };
};

t.test('tokenizer.json: ids out of range, words without end, patterns that explode', async (t) => {
  const cases: [label: string, parts: Parts, pattern: RegExp][] = [
    [
      'a type with line ends and an escape sequence in its name',
      { pre_tokenizer: { type: 'By\te\n\u001b[2J' } },
      /pre_tokenizer cannot be used: unknown type "By\\te\\n\\u001b\[2J"; docs\/tokenizers\.md lists/,
    ],
    ['an id past 32 bits', { added_tokens: [{ id: 2 ** 32 + 3, content: 'x' }] }, /id/],
    [
      'a special token that is none',
      { post_processor: { type: 'BertProcessing', cls: ['[CLS]', 99_999], sep: ['[SEP]', 2] } },
      /token id 99999, but ids end at 3/,
    ],
    [
      'words of a gigabyte',
      { model: { ...(TOKENIZER['model'] as Parts), max_input_chars_per_word: 1e9 } },
      /max_input_chars_per_word/,
    ],
    [
      'a pattern',
      { pre_tokenizer: { type: 'Split', pattern: { Regex: '(a+)+$' }, behavior: 'Isolated', invert: false } },
      /pre_tokenizer has the regular expression/,
    ],
    [
      'a pattern in a sequence',
      {
        normalizer: {
          type: 'Sequence',
          normalizers: [{ type: 'Replace', pattern: { Regex: '(a|a)*b' }, content: '' }],
        },
      },
      /normalizer has the regular expression/,
    ],
    [
      'an unknown token that is none',
      { model: { type: 'Unigram', unk_id: 4, vocab: [['<unk>', 0]] } },
      /the vocabulary lacks the unknown token/,
    ],
    ['a component without a type', { normalizer: {} }, /normalizer cannot be used: unknown type null/],
    [
      'a charsmap that is cut short',
      { normalizer: { type: 'Precompiled', precompiled_charsmap: 'EAAAAAAA' } },
      /precompiled_charsmap is cut short or damaged/,
    ],
    [
      'normalizers without end',
      { normalizer: { type: 'Sequence', normalizers: Array.from({ length: 33 }, () => ({ type: 'NFKC' })) } },
      /normalizers/,
    ],
    [
      'a normalizer that puts in a book',
      { normalizer: { type: 'Replace', pattern: { String: 'a' }, content: 'x'.repeat(257) } },
      /content/,
    ],
    [
      'bytes of bytes',
      { pre_tokenizer: { type: 'Sequence', pretokenizers: [BYTE_LEVEL, BYTE_LEVEL] } },
      /ByteLevel stands twice/,
    ],
    [
      'merges of what is no piece',
      bpe({ merges: [['a', 'c']] }),
      /the merge \["a","c"\] is no pair of pieces/,
    ],
    ['a merge of three', bpe({ merges: ['a b ab'] }), /the merge "a b ab" is no pair/],
    ['merges that are none', bpe({ merges: [{ toString: 1 }] }), /is no pair/],
    ['other ids each time', bpe({ dropout: 0.5 }), /dropout/],
    ['a piece of a book', unigram([['x'.repeat(257), 0]]), /vocab/],
    ['half a character', unigram([['\ud83d', 0]]), /not valid Unicode/],
    ['a vocabulary of nothing', unigram([]), /vocab/],
    ['a score that is none', unigram([['a', '1']]), /vocab/],
    ['a template that writes a text twice', template(['A', 'A']), /single/],
    ['a template without a text', template([]), /single/],
    ['a template without end', template(['A', ...Array.from({ length: 40 }, () => '[CLS]')]), /single/],
    ['a vocabulary of texts', { model: { type: 'BPE', vocab: { a: 'x' }, merges: [] } }, /vocab/],
    [
      'added tokens by the hundred thousand',
      { added_tokens: Array.from({ length: 20_001 }, (_, id) => ({ id, content: `t${id}` })) },
      /added_tokens/,
    ],
  ];
  for (const [label, parts, pattern] of cases) {
    const directory = join(folder, `tokenizer ${label}`);
    mkdirSync(directory);
    writeFileSync(join(directory, 'tokenizer.json'), JSON.stringify({ ...TOKENIZER, ...parts }));
    await refuses(t, label, pattern, () => BertTokenizer.fromPretrained(directory));
  }
  const infinite = join(folder, 'infinite');
  mkdirSync(infinite);
  const text = JSON.stringify({ ...TOKENIZER, decoder: { type: 'Metaspace', replacement: 0 } });
  writeFileSync(join(infinite, 'tokenizer.json'), text.replace('"replacement":0', '"replacement":1e999'));
  await refuses(t, 'infinity, which is saved as null', /a number that is out of range/, () =>
    BertTokenizer.fromPretrained(infinite),
  );
  const added = join(folder, 'added');
  mkdirSync(added);
  writeFileSync(join(added, 'vocab.txt'), '[UNK]\n[CLS]\n[SEP]\n');
  writeFileSync(join(added, 'added_tokens.json'), '{"x":3,"y":{"toString":1,"valueOf":1}}');
  await refuses(t, 'ids that are none', /added_tokens.json cannot be used/, () =>
    BertTokenizer.fromPretrained(added),
  );
  const known = {
    pre_tokenizer: { type: 'Split', pattern: { Regex: '\\s+' }, behavior: 'Removed', invert: false },
  };
  t.same(
    [
      ...BertTokenizer.fromSpec({ tokenizerJson: { ...TOKENIZER, ...known }, tokenizerConfig: {} }).encode(
        'a',
      ).ids,
    ],
    [3],
  );
  const lines = join(folder, 'lines');
  mkdirSync(lines);
  writeFileSync(join(lines, 'vocab.txt'), '\n'.repeat(1_000_001));
  await refuses(t, 'a vocabulary of empty lines', /more than 1000000 lines/, () =>
    BertTokenizer.fromPretrained(lines),
  );
});

t.test('a text gets only ids that the vocabulary has', (t) => {
  const vocab = { a: 0, b: 1 };
  const model = { type: 'BPE', vocab, merges: [], unk_token: '[UNK]' };
  const tokenizerJson = { ...TOKENIZER, model };
  const tokenizer = BertTokenizer.fromSpec({ tokenizerJson, tokenizerConfig: {} });
  t.same([...tokenizer.encode('ab').ids], [0, 1]);
  t.throws(() => tokenizer.encode('ac'), { name: 'UsageError', message: /lacks an unknown token$/ });
  t.end();
});

t.test('tokenizer_config.json: code to run is neither run nor passed on', async (t) => {
  const tokenizerConfig = { auto_map: { AutoTokenizer: ['evil.Tokenizer', null] } };
  const tokenizer = BertTokenizer.fromSpec({ tokenizerJson: TOKENIZER, tokenizerConfig });
  t.match(tokenizer.notes, [/^auto_map in tokenizer_config.json is ignored/]);
  const saved = join(folder, 'saved');
  await tokenizer.savePretrained(saved);
  t.notOk(readFileSync(join(saved, 'tokenizer_config.json'), 'utf8').includes('evil'));
  t.same((await BertTokenizer.fromPretrained(saved)).notes, []);
});

t.test('added tokens at every place of a long word take linear time', (t) => {
  const tokenizerJson = { ...TOKENIZER, added_tokens: [{ id: 4, content: 'é', single_word: true }] };
  const tokenizer = BertTokenizer.fromSpec({ tokenizerJson, tokenizerConfig: {} });
  const started = cpuMs();
  t.equal(tokenizer.encode('é'.repeat(300_000)).ids.length, 1, 'one unknown word');
  t.ok(cpuMs() - started < 5000, `${Math.round(cpuMs() - started)} ms`);
  t.end();
});

t.test('a normalizer may not make a text endlessly longer', (t) => {
  const double = { type: 'Replace', pattern: { String: 'a' }, content: 'aa' };
  const normalizer = { type: 'Sequence', normalizers: Array.from({ length: 20 }, () => double) };
  const tokenizer = BertTokenizer.fromSpec({
    tokenizerJson: { ...TOKENIZER, normalizer },
    tokenizerConfig: {},
  });
  t.throws(() => tokenizer.encode('a'.repeat(1000)), {
    name: 'UsageError',
    message: /its normalizer makes a text more than 32 times as long$/,
  });
  t.end();
});

t.test('a charsmap that points outside of itself', (t) => {
  // A root whose only child, `a`, has a value far behind the replacements.
  const units = Uint32Array.from({ length: 512 }, () => 0);
  const offset = 256 << 10;
  units[0] = offset;
  units[256 ^ 0x61] = (((256 ^ 0x61 ^ 300) << 10) | 0x100 | 0x61) >>> 0;
  units[300] = 0x80000000 + 1_000_000;
  const size = Buffer.alloc(4);
  size.writeUInt32LE(units.byteLength);
  const map = Buffer.concat([size, Buffer.from(units.buffer), Buffer.from('b\0')]).toString('base64');
  const normalizer = { type: 'Precompiled', precompiled_charsmap: map };
  const encode = (): unknown =>
    BertTokenizer.fromSpec({ tokenizerJson: { ...TOKENIZER, normalizer }, tokenizerConfig: {} }).encode('a');
  t.throws(encode, {
    name: 'UsageError',
    message: /precompiled_charsmap has a replacement outside of its bytes/,
  });
  t.end();
});

t.test('vocabularies without a tokenizer.json', async (t) => {
  const varint = (value: number): number[] =>
    value < 128 ? [value] : [(value % 128) + 128, ...varint(Math.floor(value / 128))];
  const field = (number: number, bytes: Buffer): Buffer =>
    Buffer.concat([Buffer.from([number * 8 + 2, ...varint(bytes.length)]), bytes]);
  const piece = (text: string, score: number): Buffer => {
    const float = Buffer.alloc(5, 0x15);
    float.writeFloatLE(score, 1);
    return field(1, Buffer.concat([field(1, Buffer.from(text)), float]));
  };
  const pieces = (score: number): Buffer =>
    Buffer.concat(['<unk>', '<s>', '</s>', 'a', 'b'].map((text) => piece(text, score)));
  const spm = (bytes: Buffer): Record<string, Buffer | string> => ({
    'sentencepiece.bpe.model': bytes,
    'tokenizer_config.json': '{"tokenizer_class": "XLMRobertaTokenizer"}',
  });
  const bpeFiles = (vocab: string, merges: string): Record<string, string> => ({
    'vocab.json': vocab,
    'merges.txt': merges,
  });
  const cases: [label: string, files: Record<string, Buffer | string>, pattern: RegExp][] = [
    ['noise', spm(Buffer.alloc(100, 0xff)), /is not a SentencePiece model: broken at byte/],
    ['a message of nothing', spm(Buffer.alloc(0)), /is not a SentencePiece model: fewer than 4 pieces/],
    ['a field of a petabyte', spm(Buffer.from([0x0a, ...varint(2 ** 50)])), /broken at byte/],
    ['a file that is cut short', spm(pieces(-1).subarray(0, -3)), /broken at byte/],
    ['a score without end', spm(pieces(Infinity)), /the score of piece 0 is not finite/],
    ['a score that is none', spm(pieces(Number.NaN)), /the score of piece 0 is not finite/],
    [
      'another kind of model',
      spm(Buffer.concat([pieces(-1), field(2, Buffer.from([3 * 8, 2]))])),
      /of another kind than Unigram; convert it once with Python/,
    ],
    [
      'a charsmap of noise',
      spm(Buffer.concat([pieces(-1), field(3, field(2, Buffer.alloc(9, 1)))])),
      /charsmap/,
    ],
    [
      'a model alone',
      { 'sentencepiece.bpe.model': pieces(-1) },
      /does not identify the class of its tokenizer; .*convert it once with Python/,
    ],
    [
      'merges of what is no piece',
      bpeFiles('{"a": 0}', 'a b\n'),
      /merges.txt, model cannot be used: [^\n]*"a b"/,
    ],
    ['merges of a line', bpeFiles('{"a": 0}', 'aaa\n'), /"aaa" is no pair/],
    ['ids that are none', bpeFiles('{"a": -1}', ''), /vocab.json cannot be used/],
    [
      'a vocabulary of another class',
      { 'vocab.txt': 'a\n', 'tokenizer_config.json': '{"tokenizer_class": "RobertaTokenizer"}' },
      /No tokenizer.json, .* that a RobertaTokenizer reads/,
    ],
  ];
  for (const [label, files, pattern] of cases) {
    const directory = join(folder, `vocabulary ${label}`);
    mkdirSync(directory);
    for (const [name, content] of Object.entries(files)) writeFileSync(join(directory, name), content);
    await refuses(t, label, pattern, () => BertTokenizer.fromPretrained(directory));
  }
});

t.test('a word of some hundred thousand characters takes about linear time', (t) => {
  const merges = ['a b', 'ab ab', 'abab abab'];
  const vocab = { a: 0, b: 1, ab: 2, abab: 3, abababab: 4 };
  const scores = Object.keys(vocab).map((text) => [text, -1]);
  const kinds: Parts[] = [
    { ...bpe({ vocab, merges }), normalizer: null, pre_tokenizer: BYTE_LEVEL },
    { ...unigram(scores), normalizer: { type: 'NFKC' }, pre_tokenizer: { type: 'WhitespaceSplit' } },
    { ...unigram(scores), normalizer: null, pre_tokenizer: null },
  ];
  for (const parts of kinds) {
    const tokenizer = BertTokenizer.fromSpec({
      tokenizerJson: { ...TOKENIZER, ...parts },
      tokenizerConfig: {},
    });
    const started = cpuMs();
    t.equal(tokenizer.encode('ab'.repeat(200_000)).ids.length, 50_000);
    t.ok(cpuMs() - started < 5000, `${Math.round(cpuMs() - started)} ms`);
  }
  t.end();
});
