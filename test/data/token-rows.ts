// Data of token classification: CoNLL files, words with labels, texts with marked parts, and their labels by token.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';

import { ConllParser, SENTENCE_COLUMNS, type ConllColumns } from '../../dist/data/conll.js';
import type { RawRecord } from '../../dist/data/records.js';
import { spanRow } from '../../dist/data/span-rows.js';
import { alignSpans, alignWords, createTokenAligner } from '../../dist/data/token-labels.js';
import { joinWords, wordRow } from '../../dist/data/token-rows.js';
import { taskOf } from '../../dist/index.js';
import { Tokenizer } from '../../dist/tokenizer/index.js';
import { createOffsetTokenizer } from '../../dist/tokenizer/offsets.js';

const usage = (message: string | RegExp) => ({ name: 'UsageError', message });

/** The sentences of a file that comes in pieces of so many bytes. */
function recordsOf(text: string, columns: ConllColumns, size: number, maxRowBytes = 1000): RawRecord[] {
  const parser = new ConllParser(columns, maxRowBytes);
  const bytes = Buffer.from(text);
  const at = { offset: 0, line: 1 };
  const records: RawRecord[] = [];
  for (let end = size; ; end += size) {
    records.push(...parser.parse(bytes.subarray(at.offset, end), at, end >= bytes.length));
    if (end >= bytes.length) return records;
  }
}

const sentencesOf = (text: string, columns: ConllColumns = {}, size = 1000) =>
  recordsOf(text, columns, size).map(({ value, number: line }) => ({
    tokens: value(SENTENCE_COLUMNS.words),
    labels: value(SENTENCE_COLUMNS.labels),
    line,
  }));

t.test('CoNLL files, with blanks and with tabs', (t) => {
  const conll2003 =
    '-DOCSTART- -X- -X- O\n\nEU NNP B-NP B-ORG\nrejects VBZ B-VP O\n\n\nPeter NNP B-NP B-PER\r\nBlackburn NNP I-NP I-PER\n';
  t.same(sentencesOf(conll2003), [
    { tokens: ['EU', 'rejects'], labels: ['B-ORG', 'O'], line: 3 },
    { tokens: ['Peter', 'Blackburn'], labels: ['B-PER', 'I-PER'], line: 7 },
  ]);
  t.same(sentencesOf(conll2003, { label: 1 })[0]?.labels, ['NNP', 'VBZ']);
  t.same(sentencesOf('\uFEFF# id = 1\n1\tNew York\tB-LOC\n2\t#\tO\n\n# id 2\n1\tx\tO', { token: 1 }), [
    { tokens: ['New York', '#'], labels: ['B-LOC', 'O'], line: 2 },
    { tokens: ['x'], labels: ['O'], line: 6 },
  ]);
  // A hash is a word where a label follows.
  t.same(sentencesOf('# O\ntag O\n'), [{ tokens: ['#', 'tag'], labels: ['O', 'O'], line: 1 }]);
  for (const size of [1, 7])
    t.same(sentencesOf(conll2003, {}, size), sentencesOf(conll2003), `in pieces of ${size} bytes`);
  t.same(sentencesOf(''), []);
  t.same(sentencesOf('a   O \n')[0]?.labels, ['O']);
  t.same(sentencesOf('a\nb\n', { label: null })[0], { tokens: ['a', 'b'], labels: ['O', 'O'], line: 1 });
  t.end();
});

t.test('what is wrong in a CoNLL file, by line and column', (t) => {
  const faultOf = (text: string, columns: ConllColumns = {}, limit = 1000) => {
    const { number: line, problem: reason } =
      recordsOf(text, columns, 1000, limit).find(({ problem }) => problem !== null) ?? {};
    return { line, reason };
  };
  t.same(faultOf('a O\n\nb X O\n'), { line: 3, reason: '3 columns, but line 1 has 2: "b X O"' });
  t.same(faultOf('a\n'), { line: 1, reason: 'a token without a label: "a"' });
  t.same(faultOf('a\tO\nb\t\n'), { line: 2, reason: 'column 2 is empty' });
  t.same(faultOf('a O\n', { label: 4 }), { line: 1, reason: 'no column 5 among 2' });
  t.same(faultOf('x O\n\n' + 'a O\n'.repeat(9), {}, 32), {
    line: 3,
    reason: 'the sentence is longer than 32 bytes (maxRowBytes); a blank line ends one',
  });
  t.end();
});

t.test('words with labels, by name and by number', (t) => {
  const columns = { tokens: 'tokens', labels: 'ner_tags' };
  const names = ['O', 'B-PER', 'I-PER'];
  const row = { tokens: ['Ada', 'Lovelace', 'wrote'], ner_tags: [1, 2, 0n] };
  const wanted = {
    text: 'Ada Lovelace wrote',
    words: [
      { start: 0, end: 3 },
      { start: 4, end: 12 },
      { start: 13, end: 18 },
    ],
    labels: ['B-PER', 'I-PER', 'O'],
  };
  t.same(wordRow(row, columns, names, 'row 1'), wanted);
  t.same(wordRow({ ...row, ner_tags: ['B-PER', 'I-PER', 'O'] }, columns, null, 'row 1'), wanted);
  const fails = (changes: object, message: string, own: string[] | null = names): void => {
    t.throws(() => wordRow({ ...row, ...changes }, columns, own, 'a.jsonl:7'), usage(message));
  };
  fails({ ner_tags: [1, 2] }, 'a.jsonl:7: 3 words in tokens, but 2 labels in ner_tags');
  fails({ ner_tags: [1, 3, 0] }, 'a.jsonl:7: ner_tags[1] is 3, but there are 3 labels');
  fails({ ner_tags: [1, 0.5, 0] }, 'a.jsonl:7: ner_tags[1] is 0.5, but there are 3 labels');
  fails(
    {},
    'a.jsonl:7: ner_tags[0] is the number 1, and nothing gives the names of the labels; labelList does, in the order of their numbers',
    null,
  );
  fails({ ner_tags: ['O', null, 'O'] }, 'a.jsonl:7: ner_tags[1] is null, expected a label');
  fails({ tokens: ['a', 1, 'b'] }, 'a.jsonl:7: tokens[1] is a number, expected a word');
  fails({ tokens: 'a b c' }, 'a.jsonl:7: tokens is a string, expected a list');
  fails({ ner_tags: undefined }, 'a.jsonl:7: ner_tags is missing, expected a list');
  t.end();
});

const TEXT = '👩 Ada Lovelace lived in London.';
// Python counts the emoji as one character, JavaScript as two units.
const WANTED = {
  text: TEXT,
  spans: [
    { start: 3, end: 15, label: 'PER' },
    { start: 25, end: 31, label: 'LOC' },
  ],
};

t.test('texts with marked parts, as annotation tools export them', (t) => {
  t.equal(TEXT.slice(3, 15), 'Ada Lovelace');
  t.equal(TEXT.slice(25, 31), 'London');
  const triples = [
    [24, 30, 'LOC'],
    [2, 14, 'PER'],
  ];
  const objects = triples.map(([start, end, label]) => ({ start, end, label }));
  const forms: Record<string, unknown> = {
    spaCy: { text: TEXT, entities: triples },
    'objects under entities': { text: TEXT, entities: objects },
    'doccano, triples': { id: 1, text: TEXT, label: triples },
    'doccano, objects': {
      text: TEXT,
      label: [],
      entities: triples.map(([start_offset, end_offset, label]) => ({
        id: 1,
        start_offset,
        end_offset,
        label,
      })),
    },
    Prodigy: {
      text: TEXT,
      tokens: [{ text: '👩', start: 0, end: 1, id: 0 }],
      spans: objects.map((one) => ({ ...one, token_start: 0, token_end: 1 })),
      answer: 'accept',
    },
    'Label Studio': {
      id: 1,
      data: { text: TEXT },
      annotations: [
        { was_cancelled: true, result: [] },
        {
          result: WANTED.spans.map(({ start, end, label }) => ({
            from_name: 'label',
            to_name: 'text',
            type: 'labels',
            value: { start, end, text: TEXT.slice(start, end), labels: [label] },
          })),
        },
      ],
    },
    'Label Studio, JSON-MIN': {
      text: TEXT,
      label: WANTED.spans.map(({ start, end, label }) => ({
        start,
        end,
        text: TEXT.slice(start, end),
        labels: [label],
      })),
    },
  };
  for (const [name, row] of Object.entries(forms)) t.same(spanRow(row, 'row 1'), WANTED, name);
  t.same(spanRow({ text: 'a', entities: [] }, 'row 1'), { text: 'a', spans: [] });
  for (const other of [
    { text: 'a', label: 'b' },
    { text: 'a', labels: ['b'] },
    { entities: [] },
    'a',
    ['a', 'b'],
  ])
    t.equal(spanRow(other, 'row 1'), null, JSON.stringify(other));
  t.end();
});

t.test('marked parts that cannot be', (t) => {
  const fails = (mark: unknown, message: string, text = 'Ada, Bob'): void => {
    t.throws(() => spanRow({ text, entities: [mark] }, 'a.jsonl:3'), usage(message));
  };
  const outside = (place: string) =>
    `a.jsonl:3: entities[0] goes from ${place}, which is outside of its text or empty`;
  fails([0, 9, 'PER'], outside('0 to 9'));
  fails([0, 2, 'PER'], outside('0 to 2'), '👩');
  fails([-1, 3, 'PER'], outside('-1 to 3'));
  fails([3, 3, 'PER'], outside('3 to 3'));
  fails([0, 3, ''], 'a.jsonl:3: entities[0] has no label');
  fails(['0', 3, 'PER'], 'a.jsonl:3: entities[0] has no whole numbers start and end');
  fails(
    { start: 0, end: 3, label: 'PER', text: 'Bob' },
    'a.jsonl:3: entities[0] marks "Bob", but there stands "Ada"',
  );
  t.throws(
    () =>
      spanRow(
        {
          text: 'Ada, Bob',
          entities: [
            [0, 3, 'PER'],
            [2, 8, 'X'],
          ],
        },
        'a.jsonl:3',
      ),
    usage('a.jsonl:3: "Ada" and "a, Bob" overlap; each token can have one label'),
  );
  t.end();
});

t.test('labels of tokens', (t) => {
  const row = joinWords(['Jean-Luc', '\u200b', 'saw', 'Köln'], ['B-PER', 'O', 'O', 'B-LOC']);
  // Jean | - | Luc |  saw | Kö | ln, where a token has the blank before it and the third word has none.
  const offsets = [0, 4, 4, 5, 5, 8, 10, 14, 14, 17, 17, 19];
  t.equal(row.text.slice(10, 14), ' saw');
  t.same(alignWords(row, offsets, 'first'), {
    labels: ['B-PER', null, null, 'O', 'B-LOC', null],
    lost: 1,
  });
  t.same(alignWords(row, offsets, 'all').labels, ['B-PER', 'I-PER', 'I-PER', 'O', 'B-LOC', 'I-LOC']);
  t.same(alignWords(row, offsets.slice(0, 6), 'first'), { labels: ['B-PER', null, null], lost: 3 });
  const spans = [
    { start: 5, end: 8, label: 'PER' },
    { start: 15, end: 19, label: 'LOC' },
  ];
  t.same(alignSpans({ text: row.text, spans }, [...offsets, 19, 19]), {
    labels: ['O', 'O', 'B-PER', 'O', 'B-LOC', 'I-LOC', null],
    lost: 0,
  });
  t.same(alignSpans({ text: row.text, spans }, offsets.slice(0, 4)), { labels: ['O', 'O'], lost: 2 });
  t.end();
});

t.test('all tokens of a word, in a scheme that marks the last one', (t) => {
  const { text, words } = joinWords(['Ada', 'Lovelace', 'met', 'Bob'], []);
  const offsets = Int32Array.of(0, 1, 1, 3, 4, 8, 8, 12, 13, 16, 17, 18, 18, 20);
  const encoding = { ids: new Int32Array(7), typeIds: null, offsets };
  const tokensOf = (labels: string[], given: string[], which: 'first' | 'all'): (string | undefined)[] => {
    const align = createTokenAligner(taskOf('token_classification', labels), which);
    return Array.from(
      align?.([{ text, marks: { words, labels: given } }], [encoding]) ?? [],
      (id) => labels[id],
    );
  };
  const iobes = ['O', 'B-P', 'I-P', 'E-P', 'S-P'];
  const given = ['B-P', 'E-P', 'O', 'S-P'];
  t.same(tokensOf(iobes, given, 'all'), ['B-P', 'I-P', 'I-P', 'E-P', 'O', 'B-P', 'E-P']);
  t.same(tokensOf(iobes, given, 'first'), ['B-P', undefined, 'E-P', undefined, 'O', 'S-P', undefined]);
  t.same(tokensOf(['O', 'B-P', 'I-P', 'L-P', 'U-P'], ['B-P', 'L-P', 'O', 'U-P'], 'all'), [
    'B-P',
    'I-P',
    'I-P',
    'L-P',
    'O',
    'B-P',
    'L-P',
  ]);
  t.end();
});

t.test('with tokenizers: each word has its label once, and what is labelled is the word', (t) => {
  const text = readFileSync(join(import.meta.dirname, '../fixtures/tokenizer-kinds.json'), 'utf8');
  const { tokenizers } = JSON.parse(text) as { tokenizers: Record<string, object> };
  const words = ['Zoë', "don't", '漢字', 'o\u0308ber', '👩\u200d👧', 'x', 'Straße,', '12.345', '–', 'naïve'];
  const labels = words.map((_, at) => `B-${at}`);
  for (const [name, tokenizerJson] of Object.entries(tokenizers)) {
    const { spec } = Tokenizer.fromSpec({ tokenizerJson, tokenizerConfig: {} });
    const row = joinWords(words, labels);
    const { offsets } = createOffsetTokenizer(spec)(row.text);
    const first = alignWords(row, offsets, 'first');
    t.same(
      first.labels.filter((label) => label !== null),
      labels,
      name,
    );
    const all = alignWords(row, offsets, 'all').labels;
    const found = words.map((_, word) => {
      const own = all.flatMap((label, at) => (label?.slice(2) === String(word) ? [at] : []));
      return row.text.slice(offsets[2 * (own[0] ?? 0)], offsets[2 * (own.at(-1) ?? 0) + 1]).trim();
    });
    t.same(found, words, name);
  }
  t.end();
});
