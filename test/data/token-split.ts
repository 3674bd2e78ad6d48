// Data sets of token classification: the forms in which people have them, how their labels are read, and what is wrong with them.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';

import { loadDataset, type DatasetDict } from '../../dist/index.js';

const folder = t.testdir();
let files = 0;
function file(ending: string, content: unknown): string {
  mkdirSync(folder, { recursive: true });
  const path = join(folder, `rows${files++}.${ending}`);
  const text =
    ending === 'jsonl' && Array.isArray(content)
      ? content.map((row) => JSON.stringify(row)).join('\n')
      : content;
  writeFileSync(path, typeof text === 'string' ? text : JSON.stringify(text));
  return path;
}

const TOKENS = ['Ada', 'Lovelace', 'lived', 'in', 'London', '.'];
const TAGS = ['B-PER', 'I-PER', 'O', 'O', 'B-LOC', 'O'];
const LABELS = ['O', 'B-LOC', 'I-LOC', 'B-PER', 'I-PER'];
const TEXT = TOKENS.join(' ');
const SHOWN = 'Ada Lovelace (PER), London (LOC)';
const SPANS = [
  { start: 0, end: 12, label: 'PER' },
  { start: 22, end: 28, label: 'LOC' },
];

async function using<T>(
  data: Parameters<typeof loadDataset>[0] | { train: Iterable<object> },
  options: object,
  use: (data: DatasetDict) => Promise<T> | T,
): Promise<T> {
  const opened = await loadDataset(data as { train: string }, options);
  try {
    return await use(opened);
  } finally {
    await opened.close();
  }
}

t.test('words with labels, and texts with marked parts, are recognized by what they hold', async (t) => {
  const label = (value: unknown) => file('jsonl', [{ id: 1, ...(value as object) }]);
  const forms: Record<string, string> = {
    'tokens and tags': label({ tokens: TOKENS, ner_tags: TAGS }),
    'words and labels': label({ words: TOKENS, labels: TAGS }),
    entities: label({ text: TEXT, entities: SPANS }),
    doccano: label({ text: TEXT, label: SPANS.map(({ start, end, label: kind }) => [start, end, kind]) }),
    Prodigy: file('jsonl', [
      { text: TEXT, spans: SPANS, answer: 'accept' },
      { text: 'Zoe', spans: [{ start: 0, end: 3, label: 'ORG' }], answer: 'reject' },
      { text: 'Zoe', spans: [], answer: 'ignore' },
    ]),
    'a JSON array as spaCy has it': file('json', [
      [TEXT, { entities: SPANS.map(({ start, end, label: kind }) => [start, end, kind]) }],
    ]),
    'Label Studio': file('json', [
      {
        id: 1,
        data: { text: TEXT },
        annotations: [
          {
            result: SPANS.map(({ start, end, label: kind }) => ({
              type: 'labels',
              value: { start, end, text: TEXT.slice(start, end), labels: [kind] },
            })),
          },
          { result: [] },
        ],
      },
    ]),
    CoNLL: file('conll', TOKENS.map((token, i) => `${token} NN ${TAGS[i]}`).join('\n')),
    'IOB1, as CoNLL-2003': file('iob', 'Ada I-PER\nLovelace I-PER\nlived O\nin O\nLondon I-LOC\n. O\n'),
    IOBES: file('conll', 'Ada\tB-PER\nLovelace\tE-PER\nlived\tO\nin\tO\nLondon\tS-LOC\n.\tO\n'),
  };
  for (const [name, train] of Object.entries(forms))
    await using({ train }, {}, async ({ task, train: rows }) => {
      t.equal(task.problemType, 'token_classification', name);
      t.same(task.labels, LABELS, name);
      t.equal(rows.size, 1, `${name}: rows`);
      const [first] = await rows.preview(1);
      t.match(first, { text: TEXT, label: SHOWN }, name);
      // Words are what stands between blanks, with punctuation apart: here the same.
      t.same(Array.from(rows.labels([0])), [3, 4, 0, 0, 1, 0], `${name}: labels of words`);
    });
  const classified = file('jsonl', [
    { text: TEXT, entities: SPANS, label: 'greeting' },
    { text: 'b', entities: [], label: 'other' },
  ]);
  await using({ train: classified }, {}, ({ task }) =>
    t.equal(
      task.problemType,
      'single_label_classification',
      'beside a label of the text entities are no labels',
    ),
  );
  await using({ train: classified }, { task: 'token-classification' }, ({ task }) =>
    t.same(task.labels, LABELS),
  );
  const texts = file('txt', TOKENS.map((token, i) => `${token} ${TAGS[i]}`).join('\n'));
  await using({ train: texts }, { task: 'token-classification' }, ({ task }) => t.same(task.labels, LABELS));
  await using({ train: [{ tokens: TOKENS, ner_tags: TAGS }] }, {}, ({ task }) => t.same(task.labels, LABELS));
});

t.test('Parquet as datasets and pyarrow write it', async (t) => {
  const fixtures = join(import.meta.dirname, '../fixtures/token-rows');
  const text = readFileSync(join(fixtures, 'rows.json'), 'utf8');
  const rows = JSON.parse(text) as { tokens: string[]; ner_tags: string[] }[];
  const labelList = ['O', 'B-PER', 'I-PER', 'B-LOC', 'I-LOC'];
  const read = (name: string, options: object = {}) =>
    using({ train: join(fixtures, `${name}.parquet`) }, options, async ({ train, task }) => {
      const { examples } = await train.read([0, 1, 2]);
      return examples.map(({ text: own, marks }, row): { text: string; tags?: unknown; spans?: unknown } =>
        // The words of a text with marked parts are others.
        marks !== undefined && 'words' in marks
          ? { text: own, tags: Array.from(train.labels([row]), (id) => task.labels[id]) }
          : { text: own, spans: marks?.spans.map(({ start, end, label }) => [own.slice(start, end), label]) },
      );
    });
  const wanted = rows.map(({ tokens, ner_tags: tags }) => ({ text: tokens.join(' '), tags }));
  t.same(await read('class-labels'), wanted, 'ids whose names the file has');
  t.same(await read('strings'), wanted, 'names');
  t.same(await read('ids', { labelList }), wanted, 'ids whose names are given');
  await t.rejects(read('ids'), {
    name: 'UsageError',
    message:
      /row 1: ner_tags\[0\] is the number 1, and nothing gives the names of the labels; labelList does/,
  });
  t.same(
    (await read('entities')).map(({ spans }) => spans),
    [
      [
        ['Ada Lovelace', 'PER'],
        ['London', 'LOC'],
      ],
      [
        ['Zoë', 'PER'],
        ['New York', 'LOC'],
      ],
      [],
    ],
  );
});

t.test('columns of other names', async (t) => {
  const kindOf = (row: object, options: object) =>
    using({ train: file('jsonl', [row, row]) }, options, ({ task }) => task.problemType);
  const named = { textColumn: 'wordforms', labelColumn: 'bio_tags' };
  const own = { wordforms: TOKENS, bio_tags: TAGS, text: 'x', label: 'y' };
  t.equal(await kindOf(own, named), 'token_classification');
  t.equal(await kindOf({ text: TEXT, ents: SPANS }, { labelColumn: 'ents' }), 'token_classification');
  t.equal(
    await kindOf({ body: TEXT, ents: SPANS }, { textColumn: 'body', labelColumn: 'ents' }),
    'token_classification',
  );
  const rows = [
    { text: TEXT, entities: SPANS, mood: 'good' },
    { text: 'b', entities: [], mood: 'bad' },
  ];
  await using({ train: rows }, { labelColumn: 'mood' }, ({ task }) =>
    t.equal(task.problemType, 'single_label_classification', 'the named column decides'),
  );
  await using(
    { train: file('jsonl', [{ body: TEXT, ents: SPANS }]) },
    { textColumn: 'body', labelColumn: 'ents' },
    async ({ train }) => {
      t.match(train.split.columns, { text: 'body', label: 'ents' });
      t.match(await train.preview(1), [{ text: TEXT, label: SHOWN }]);
    },
  );
});

t.test('a column that is not there is never another one', async (t) => {
  const fails = (train: string, options: object, message: RegExp) =>
    t.rejects(
      using({ train }, { task: 'token-classification', ...options }, () => undefined),
      { name: 'UsageError', message },
      String(message),
    );
  const words = file('jsonl', [{ tokens: TOKENS, ner_tags: TAGS }]);
  await fails(words, { labelColumn: 'tags' }, /has no column "tags"; it has tokens, ner_tags/);
  await fails(words, { textColumn: 'words' }, /has no column "words"; it has tokens, ner_tags/);
  await fails(words, { textColumn: '2' }, /has no column "2"/);
  const conll = file('conll', 'a B-X\n');
  await fails(
    conll,
    { labelColumn: 'ner_tags' },
    /the columns of CoNLL files have numbers, from 1 or as -1 from the end, and labelColumn is "ner_tags"/,
  );
  await fails(
    conll,
    { validationSplit: 0.5, validationGroupColumn: 'document' },
    /a CoNLL file has no column "document"; leave validationGroupColumn out/,
  );
  const spans = (ents: unknown) =>
    file('jsonl', [
      { text: TEXT, ents: SPANS },
      { text: 'a', ents, entities: [] },
    ]);
  await fails(
    spans('none'),
    { labelColumn: 'ents' },
    /line 2: ents is a string, expected a list of marked parts/,
  );
  await fails(
    spans(null),
    { labelColumn: 'ents' },
    /line 2: no ents; give an empty list for a text without any/,
  );
});

t.test('a text file that begins with -DOCSTART- is one of CoNLL', async (t) => {
  const train = file('txt', '-DOCSTART- -X- O\n\nAda NNP B-PER\nlives VB O\n');
  await using({ train }, {}, ({ task, train: rows }) => {
    t.same(task.labels, ['O', 'B-PER', 'I-PER']);
    t.equal(rows.size, 1);
  });
});

t.test('places of entities in either unit', async (t) => {
  const text = '👩 Ada lived in London.';
  const entities = [{ label: 'LOC', start: 16, end: 22, text: 'London', score: 0.9 }];
  // An emoji is one character to Python: without its text London would be taken from its second letter on.
  const rows = [
    { row: 0, text: 'no entity', entities: [] },
    { row: 1, text, entities },
  ];
  await using({ train: rows }, {}, async ({ train }) => {
    t.match(await train.preview(2), [{ label: 'no entity' }, { label: 'London (LOC)' }]);
    t.match(train.split.notes, [/^train: the places of entities count UTF-16 units, as their texts show$/]);
  });
  const [bare] = [{ text, entities: [{ label: 'LOC', start: 16, end: 22 }] }];
  await using({ train: [bare] }, { entityOffsets: 'utf-16' }, async ({ train }) => {
    t.match(await train.preview(1), [{ label: 'London (LOC)' }]);
    t.match(train.reading, { entityOffsets: 'utf-16' }, 'a model remembers it');
    t.match((await train.identity()).columns, { entityOffsets: 'utf-16' }, 'a resumed run needs the same');
  });
  await t.rejects(
    using({ train: rows }, { entityOffsets: 'code-points' }, () => undefined),
    {
      message: /row 2: entities\[0\] marks "London", but there stands "ondon\.".* give entityOffsets utf-16/,
    },
  );
  await t.rejects(
    using({ train: [{ text: 'a', label: 'b' }] }, { entityOffsets: 'utf-16' }, () => undefined),
    { message: /^entityOffsets is for texts with marked parts, and these rows are none/ },
  );
});

t.test('which rows were left out, and how labels are read, is noted', async (t) => {
  const answers = file('jsonl', [
    { text: TEXT, spans: SPANS, answer: 'accept' },
    { text: 'Zoe', spans: [], answer: 'reject' },
    { text: 'Zoe', spans: [] },
  ]);
  await using({ train: answers }, {}, ({ train }) => {
    t.equal(train.size, 2, 'a row without an answer counts');
    t.match(train.split.notes, [/1 row left out, the first at .*line 2: it has the answer "reject"/]);
  });
  const stray = file('conll', 'a B-X\nb I-X\n\nc I-X\nd B-X\n\ne O\nf I-Y\n');
  await using({ train: stray }, {}, ({ train }) => {
    t.match(train.split.notes, [/^2 labels stand where IOB2 does not allow it, .* the first at .*line 4/]);
    t.same(Array.from(train.labels([0, 1, 2])), [1, 2, 2, 1, 0, 4], 'and stay as they are');
  });
  const iobes = file('conll', 'a S-X\nb B-X\nc E-X\n');
  await using({ train: iobes }, {}, ({ train }) =>
    t.match(train.split.notes, [/The labels are IOBES, and read as IOB2/]),
  );
  const labelList = ['O', 'B-X', 'I-X', 'E-X', 'S-X'];
  await using({ train: iobes }, { labelList }, ({ train, task }) => {
    t.same(task.labels, labelList);
    t.same(Array.from(train.labels([0])), [4, 1, 3], 'as the labels that are given');
  });
  await using({ train: iobes }, { labelList: ['O', 'X'] }, ({ train }) =>
    t.same(Array.from(train.labels([0])), [1, 1, 1], 'or without prefixes'),
  );
});

t.test('what is wrong, by line and column', async (t) => {
  const fails = async (train: string, message: RegExp, options: object = {}) =>
    t.rejects(
      using({ train }, { task: 'token-classification', ...options }, () => undefined),
      { name: 'UsageError', message },
      String(message),
    );
  const good = { tokens: TOKENS, ner_tags: TAGS };
  const rows = (row: object) => file('jsonl', [good, row]);
  await fails(
    rows({ tokens: ['a'], ner_tags: ['O', 'O'] }),
    /line 2: 1 words in tokens, but 2 labels in ner_tags/,
  );
  await fails(
    rows({ tokens: ['a', 7], ner_tags: ['O', 'O'] }),
    /line 2: tokens\[1\] is a number, expected a word/,
  );
  await fails(rows({ tokens: ['a'], ner_tags: [9] }), /line 2: ner_tags\[0\] is 9, but there are 3 labels/, {
    labelList: ['O', 'B-PER', 'I-PER'],
  });
  await fails(
    file('jsonl', [{ tokens: ['a'], ner_tags: [1] }]),
    /line 1: ner_tags\[0\] is the number 1, and nothing gives the names of the labels; labelList does/,
  );
  await fails(
    rows({ tokens: ['a'], ner_tags: ['B-DOG'] }),
    /line 2: the label "B-DOG" is unknown; expected /,
    {
      labelList: LABELS,
    },
  );
  await fails(
    file('jsonl', [
      { text: TEXT, entities: SPANS },
      { text: 'ab', entities: [{ start: 1, end: 9, label: 'X' }] },
    ]),
    /line 2: entities\[0\] goes from 1 to 9, which is outside of its text/,
  );
  await fails(
    file('jsonl', [
      { text: TEXT, entities: SPANS },
      {
        text: 'abc',
        entities: [
          { start: 0, end: 2, label: 'X' },
          { start: 1, end: 3, label: 'Y' },
        ],
      },
    ]),
    /line 2: "ab" and "bc" overlap/,
  );
  await fails(file('conll', 'a O\nb\n'), /line 2: 1 columns, but line 1 has 2: "b"/);
  await fails(file('conll', 'a O\nb O\n'), /hold no entity: all labels are "O"/);
  await fails(
    file('csv', 'text,label\na,b\n'),
    /of tokens there are no CSV files\. .* is a CoNLL file: rename it to \.conll/,
  );
  await fails(
    file('jsonl', [{ text: 'a', label: 'b' }]),
    /has no words with labels and no marked parts; it has the columns text, label/,
  );
  await fails(rows(good), /naLabels does not go with token classification/, { naLabels: ['x'] });
  await fails(rows(good), /has no column "pos"; it has tokens, ner_tags/, { labelColumn: 'pos' });
  await t.rejects(loadDataset({ train: file('conll', 'a B-X\n') }, { task: 'sequence-classification' }), {
    message: /is a CoNLL file, which is for token classification; give task token-classification/,
  });
  const skipping = { badRows: 'skip', task: 'token-classification' };
  await using({ train: file('conll', 'a B-X\n\nb\n\nc I-X\n') }, skipping, ({ train }) => {
    t.equal(train.size, 2);
    t.match(train.split.badRows.first, [{ line: 3, reason: /a token without a label|1 columns/ }]);
  });
});

t.test('rows are set aside with each type of entity on both sides', async (t) => {
  const rows = Array.from({ length: 40 }, (_, i) => ({
    tokens: [`w${i}`, 'x'],
    ner_tags: [i % 10 === 0 ? 'B-RARE' : 'B-USUAL', 'O'],
  }));
  await using({ train: rows }, { validationSplit: 0.5 }, ({ train, validation, task }) => {
    const rare = (data: typeof train): number =>
      Array.from(data.labels(Uint32Array.from({ length: data.size }, (_, row) => row))).filter(
        (id) => id === task.labels.indexOf('B-RARE'),
      ).length;
    t.same([train.size, validation.size, rare(train), rare(validation)], [20, 20, 2, 2]);
  });
});
