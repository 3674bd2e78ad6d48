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

t.test('tokenizer.json: ids out of range, words without end, patterns that explode', async (t) => {
  const cases: [label: string, parts: Parts, pattern: RegExp][] = [
    [
      'a type with line ends and an escape sequence in its name',
      { pre_tokenizer: { type: 'By\te\n\u001b[2J' } },
      /pre_tokenizer cannot be used: unknown type \"By\\te\\n\\u001b\[2J\"$/,
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
