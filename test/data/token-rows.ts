// Data of token classification: CoNLL files, words with labels, texts with marked parts, and their labels by token.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';

import { ConllParser, SENTENCE_COLUMNS, type ConllColumns } from '../../dist/data/conll.js';
import type { RawRecord } from '../../dist/data/records.js';
import { spanRow } from '../../dist/data/span-rows.js';
import {
  alignSpans,
  alignWords,
  createTokenAligner,
  truncatedEntities,
} from '../../dist/data/token-labels.js';
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
  recordsOf(text, columns, size).map((record) => ({
    tokens: record.value(SENTENCE_COLUMNS.words),
    labels: record.value(SENTENCE_COLUMNS.labels),
    line: record.number,
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

t.test('places in code points and in UTF-16 units', (t) => {
  const row = (entity: object, text = TEXT) => ({ text, entities: [entity] });
  const [london, ada] = [
    { label: 'LOC', text: 'London' },
    { label: 'PER', word: 'Ada Lovelace' },
  ];
  const [characters, units] = [
    { start: 24, end: 30 },
    { start: 25, end: 31 },
  ];
  const wanted = { text: TEXT, spans: [WANTED.spans[1]] };
  for (const place of [characters, units])
    t.same(spanRow(row({ ...place, ...london }), 'row 1'), wanted, 'as the text shows');
  t.same(spanRow(row({ ...units, label: 'LOC' }), 'row 1', 'utf-16'), wanted, 'on request');
  t.same(spanRow(row({ ...units, label: 'LOC' }), 'row 1', 'auto', 'utf-16'), wanted, 'as other rows');
  t.same(spanRow(row({ ...characters, label: 'LOC' }), 'row 1'), wanted, 'else code points');
  // One part that repeats its text decides for the others of its row.
  const mixed = {
    text: TEXT,
    entities: [
      { ...units, label: 'LOC' },
      { start: 3, end: 15, ...ada },
    ],
  };
  t.same(spanRow(mixed, 'row 1'), WANTED);
  // transformers' pipeline has words in lower case, which decide nothing.
  t.same(spanRow(row({ ...characters, entity_group: 'LOC', word: 'london' }), 'row 1'), wanted);
  t.same(spanRow(row({ start: 24n, end: 30n, label: 'LOC' }), 'row 1'), wanted, 'integers of Parquet');

  const fails = (
    entities: object[],
    offsets: 'auto' | 'code-points' | 'utf-16',
    message: string,
    text = TEXT,
  ) => t.throws(() => spanRow({ text, entities }, 'a.jsonl:3', offsets), usage(message));
  fails(
    [{ ...units, ...london }],
    'code-points',
    'a.jsonl:3: entities[0] marks "London", but there stands "ondon." when places count code points; if they count UTF-16 units, give entityOffsets utf-16',
  );
  fails(
    [{ ...characters, ...london }],
    'utf-16',
    'a.jsonl:3: entities[0] marks "London", but there stands " Londo" when places count UTF-16 units; if they count code points, give entityOffsets code-points',
  );
  fails(
    [
      { ...characters, ...london },
      { start: 3, end: 15, ...ada },
    ],
    'auto',
    'a.jsonl:3: the places of "London" count code points, and those of "Ada Lovelace" UTF-16 units; count all in one of them',
  );
  fails(
    [{ start: 26, end: 32, label: 'LOC' }],
    'auto',
    'a.jsonl:3: entities[0] goes from 26 to 32, which is outside of its text or empty when places count code points; if they count UTF-16 units, give entityOffsets utf-16',
  );
  fails(
    [{ start: 1, end: 3, label: 'PER' }],
    'utf-16',
    'a.jsonl:3: entities[0] begins or ends inside of "👩" when places count UTF-16 units; if they count code points, give entityOffsets code-points',
  );
  t.end();
});

t.test('with their texts places are read alike in both units, whatever the text', (t) => {
  const parts = ['Ada', ' ', '👩', '𝒳', 'é', 'e\u0301', '中', '👩\u200d🚀', 'x'];
  for (let seed = 1; seed <= 300; seed++) {
    const pick = (i: number): string =>
      parts[Math.floor(Math.abs(Math.sin(seed * 31 + i * 7)) * parts.length)] ?? '';
    const pieces = Array.from({ length: 2 + (seed % 9) }, (_, i) => pick(i));
    const text = pieces.join('');
    // Every second piece is marked.
    const spans = pieces.flatMap((piece, i) => {
      const start = pieces.slice(0, i).join('').length;
      return i % 2 === 0 ? [{ start, end: start + piece.length, label: 'X' }] : [];
    });
    const own = spans.map((span) => ({ ...span, text: text.slice(span.start, span.end) }));
    const length = (piece: string): number => Array.from(piece).length; // as Python's len
    const python = own.map((one) => ({
      ...one,
      start: length(text.slice(0, one.start)),
      end: length(text.slice(0, one.end)),
    }));
    const wanted = { text, spans };
    t.same(spanRow({ text, entities: own }, '', 'utf-16'), wanted);
    t.same(spanRow({ text, entities: python }, '', 'code-points'), wanted);
    // Where a text stands at both places, such as one of two equal neighbours, it does not show the unit.
    const shows = (list: typeof own, other: (place: number) => number): boolean =>
      list.some(({ start, end, text: marked }) => text.slice(other(start), other(end)) !== marked);
    const unitOf = (place: number): number => Array.from(text).slice(0, place).join('').length;
    if (shows(own, unitOf)) t.same(spanRow({ text, entities: own }, ''), wanted, `UTF-16: ${text}`);
    if (shows(python, (place) => place)) t.same(spanRow({ text, entities: python }, ''), wanted, text);
  }
  t.end();
});

t.test('labels of tokens', (t) => {
  const row = joinWords(['Jean-Luc', '\u200b', 'saw', 'Köln'], ['B-PER', 'O', 'O', 'B-LOC']);
  // Jean | - | Luc |  saw | Kö | ln, where a token has the blank before it and the third word has none.
  const offsets = [0, 4, 4, 5, 5, 8, 10, 14, 14, 17, 17, 19];
  t.equal(row.text.slice(10, 14), ' saw');
  t.same(alignWords(row, offsets, 'first'), ['B-PER', null, null, 'O', 'B-LOC', null]);
  t.same(alignWords(row, offsets, 'all'), ['B-PER', 'I-PER', 'I-PER', 'O', 'B-LOC', 'I-LOC']);
  t.same(alignWords(row, offsets.slice(0, 6), 'first'), ['B-PER', null, null]);
  const spans = [
    { start: 5, end: 8, label: 'PER' },
    { start: 15, end: 19, label: 'LOC' },
  ];
  const marked = { text: row.text, spans };
  t.same(alignSpans(marked, [...offsets, 19, 19]), ['O', 'O', 'B-PER', 'O', 'B-LOC', 'I-LOC', null]);
  t.same(alignSpans(marked, offsets.slice(0, 4)), ['O', 'O']);
  const { text, ...words } = row;
  for (const [marks, of] of [
    [words, 'words'],
    [{ spans }, 'marked parts'],
  ] as const) {
    t.equal(truncatedEntities({ text, marks }, [0, 0, ...offsets, 0, 0]), 0, `all ${of}`);
    t.equal(truncatedEntities({ text, marks }, offsets.slice(0, 8)), 1, `of ${of} the second is cut off`);
    t.equal(truncatedEntities({ text, marks }, offsets.slice(0, 10)), 0, `a part of ${of} is enough`);
    t.equal(truncatedEntities({ text, marks }, []), 2, `none of ${of}`);
  }
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
      first.filter((label) => label !== null),
      labels,
      name,
    );
    const all = alignWords(row, offsets, 'all');
    const found = words.map((_, word) => {
      const own = all.flatMap((label, at) => (label?.slice(2) === String(word) ? [at] : []));
      return row.text.slice(offsets[2 * (own[0] ?? 0)], offsets[2 * (own.at(-1) ?? 0) + 1]).trim();
    });
    t.same(found, words, name);
  }
  t.end();
});
