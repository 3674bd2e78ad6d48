// JSON in the shapes that people have it in. Expected: the rows that datasets 5.2 reads from the same files, with `field` for
// those in an object, and that pandas.read_json reads from to_json's forms.
import path from 'node:path';
import { gzipSync } from 'node:zlib';
import t from 'tap';
import { inferTask } from '../../dist/data/index.js';
import { namedArrays } from '../../dist/data/json-scan.js';
import { loadDataset } from '../../dist/index.js';
import { cpuMs } from '../fixtures/refuses.js';
import { folderOf, messageOf, openContent, type Overrides, refusal, textsOf } from '../fixtures/splits.js';

const ROWS = Array.from({ length: 9 }, (_, i) => ({
  text: `row ${i} {"a": [1,\n2]} \\" }{ NaN`,
  label: i % 2 === 0 ? 'x' : 'y',
}));
const TEXTS = ROWS.map(({ text }) => text);
const each = (join: string, space?: number): string =>
  ROWS.map((row) => JSON.stringify(row, null, space)).join(join);
const byColumn = (of: (values: string[]) => unknown): string =>
  JSON.stringify({ text: of(TEXTS), label: of(ROWS.map(({ label }) => label)) });
const numbered = <T>(values: readonly T[]): Record<string, T> =>
  Object.fromEntries(values.map((value, i) => [String(i), value]));

const SHAPES: Record<string, string> = {
  'an object a line': each('\n'),
  'with blank lines and CRLF': `\n${each('\r\n\r\n')}\r\n`,
  'commas behind the lines': `${each(',\n')},\n`,
  glued: each(''),
  'separated by commas': each(', '),
  'separated by blanks': each(' '),
  indented: each('\n', 2),
  'indented, with commas': each(',\n', 2),
  'indented with tabs, glued': ROWS.map((row) => JSON.stringify(row, null, '\t')).join(''),
  'an array': `[${each(',')}]`,
  'an indented array': `\n[\n${each(',\n', 1)}\n]\n`,
  'an array a line': `[${each(',\n')}\n]`,
  'a comma too many': `[${each(',')},]`,
  'arrays behind one another': `[${each(',').slice(0, each(',').indexOf('},{') + 1)}]\n[${each(',').slice(each(',').indexOf('},{') + 2)}]`,
  data: JSON.stringify({ version: 1, data: ROWS, licence: { name: 'x', tags: ['a'] } }),
  'data, indented': JSON.stringify({ description: 'of texts', data: ROWS }, null, 2),
  splits: JSON.stringify({ test: ROWS.slice(0, 2), train: ROWS }),
  "orient='columns'": byColumn(numbered),
  lists: byColumn((values) => values),
  "orient='index'": JSON.stringify(numbered(ROWS)),
  "orient='split'": JSON.stringify({
    columns: ['text', 'label'],
    index: ROWS.map((_, i) => i),
    data: ROWS.map(({ text, label }) => [text, label]),
  }),
  "orient='table'": JSON.stringify({
    schema: { fields: [{ name: 'index', type: 'integer' }], primaryKey: ['index'] },
    data: ROWS.map((row, index) => ({ index, ...row })),
  }),
};

void t.test('the same rows in every shape, whatever the name of the file', async (test) => {
  for (const [shape, content] of Object.entries(SHAPES)) {
    for (const name of ['a.json', 'a.jsonl', 'a.ndjson', 'a.json.gz']) {
      for (const mark of ['', '\ufeff']) {
        const bytes = Buffer.from(mark + content);
        const split = await openContent(test, name, name.endsWith('.gz') ? gzipSync(bytes) : bytes);
        test.same([await textsOf(split), split.labelValues], [TEXTS, ['x', 'y']], `${shape}, ${name}`);
        test.match(await split.read([7, 2]), [{ text: TEXTS[7] }, { text: TEXTS[2] }]);
      }
    }
  }
});

void t.test('where an object has the rows, a note says so', async (test) => {
  const notes = async (content: string): Promise<readonly string[]> =>
    (await openContent(test, 'a.json', content)).notes.map((note) => note.replace(/^.*a\.json/, 'a.json'));
  test.same(await notes(SHAPES['data'] ?? ''), ['a.json: the rows are read from "data"']);
  test.same(await notes(SHAPES['splits'] ?? ''), ['a.json: the rows are read from "train"']);
  test.same(await notes(SHAPES["orient='split'"] ?? ''), [
    'a.json: the rows are lists under "data", with their names in "columns"',
  ]);
  test.same(await notes(SHAPES['glued'] ?? ''), []);
  const several = JSON.stringify({ good: ROWS.slice(0, 5), bad: ROWS.slice(5) });
  test.equal(
    await refusal(test, 'a.json', several),
    'a.json has several lists of rows: good, bad; name one with jsonField',
  );
  const named = await openContent(test, 'a.json', several, { jsonField: 'bad' });
  test.same(await textsOf(named), TEXTS.slice(5));
  test.equal(
    await refusal(test, 'a.json', several, { jsonField: 'worse' }),
    'a.json has no rows in "worse"; name one of its members with jsonField: good, bad',
  );
  test.match(
    await refusal(test, 'a.json', each('\n'), { jsonField: 'data' }),
    /a\.json is no single JSON object, so jsonField does not apply/,
  );
  const single = await openContent(test, 'a.jsonl', '{"text":"one","label":"x","spans":[{"start":0}]}\n');
  test.same(await textsOf(single), ['one'], 'one row that has a list of objects');
  const file = path.join(folderOf(test, { 's.json': SHAPES['splits'] ?? '' }), 's.json');
  const both = await loadDataset({ train: file, test: file });
  test.same([both.train.size, both.test.size], [9, 2], 'each split has its own');
  await both.close();
});

// Longer than a row may be: it is not parsed as a whole.
void t.test('an object with the rows that is larger than a row may be', async (test) => {
  const options = { maxRowBytes: 1024 };
  const many = Array.from({ length: 3000 }, (_, i) => ({ text: `row ${i}`, label: i % 2 }));
  for (const content of [
    JSON.stringify({ version: '1', data: many }),
    JSON.stringify({ data: many, more: 'x'.repeat(5000) }, null, 1),
    JSON.stringify({ labels: ['x', 'y'], train: many, test: [] }),
  ]) {
    const split = await openContent(test, 'a.json', content, options);
    test.same([split.size, (await split.read([2999]))[0]?.text], [3000, 'row 2999']);
    test.match(split.notes, [/a\.json: the rows are read from "(data|train)"/]);
  }
  const second = JSON.stringify({ head: [{ a: 1 }], rows: many });
  test.match(
    await refusal(test, 'a.json', second, options),
    'a.json has lists in head, rows within its first 1024 bytes; name the one with the rows with jsonField',
  );
  const named = await openContent(test, 'a.json', second, { ...options, jsonField: 'rows' });
  test.equal(named.size, 3000);
  const cut = JSON.stringify({ data: many }).slice(0, 60_000);
  test.match(
    await refusal(test, 'a.json', cut, options),
    /the JSON array is never closed \(truncated file\?\)/,
  );
});

void t.test('the layout of a file with many brackets is found in linear time', async (test) => {
  const rows = '"data": [{"text": "a", "label": "x"}, {"text": "b", "label": "y"}]';
  const [nested, lists] = ['['.repeat(150_000) + ']'.repeat(150_000), '"l": [{}], '.repeat(200_000)];
  for (const [what, content, options] of [
    ['arrays in arrays', `{"deep": ${nested}, ${rows}}`, { maxRowBytes: 310_000 }],
    ['many arrays', `{${lists} ${rows}, "more": "${'x'.repeat(2 ** 22)}"}`, { maxRowBytes: 2 ** 22 }],
  ] as const) {
    const started = cpuMs();
    const split = await openContent(test, 'a.json', content, { ...options, jsonField: 'data' });
    test.same(await textsOf(split), ['a', 'b'], what);
    test.ok(cpuMs() - started < 5000, `${what}: ${Math.round(cpuMs() - started)} ms`);
  }
  const objects = Buffer.from(`${'{"l": [], "o": '.repeat(20)}0${'}'.repeat(20)}`);
  test.equal(namedArrays(objects, 0).length, 16, 'deeper arrays would take quadratic memory');
  const annotation = { result: [{ from_name: 'stars', value: { rating: 5 } }] };
  const task = {
    id: 1,
    data: { text: 'a', more: 0.5 },
    annotations: Array.from({ length: 3000 }, () => annotation),
  };
  const started = cpuMs();
  const split = await openContent(test, 'a.json', JSON.stringify([task]), { labelColumn: 'stars' });
  test.equal(split.size, 3000);
  test.ok(cpuMs() - started < 5000, `many annotations: ${Math.round(cpuMs() - started)} ms`);
});

void t.test('NaN and Infinity, as Python writes them', async (test) => {
  const rows = [
    '{"text": "NaN is \\" NaN", "label": 1.5, "x": NaN}',
    '{"x": -Infinity, "text": "b", "label": 2.5}',
    '{"x": [NaN, Infinity], "text": "c", "label": 3.0}',
  ];
  for (const content of [rows.join('\n'), `[${rows.join()}]`, rows.join('').replaceAll(',', ',\n')]) {
    const split = await openContent(test, 'a.json', content, { passthroughColumns: ['x'] });
    test.same(await textsOf(split), ['NaN is " NaN', 'b', 'c']);
    test.equal(split.labelKind, 'float');
    test.same((await split.read([0]))[0]?.passthrough, [null]);
  }
  test.match(
    await refusal(test, 'a.jsonl', '{"text": "a", "label": 1}\n{"text": "b", "label": NaN}\n'),
    /line 2, column "label": the label is missing/,
  );
  test.match(
    await refusal(test, 'a.jsonl', '{"text": NaN, "label": 1}\n'),
    /line 1, column "text": the text is missing/,
  );
  test.match(await refusal(test, 'a.jsonl', '{"text": "a", "label": nan}\n'), /line 1: broken JSON/);
});

void t.test('exports of Label Studio, doccano and Prodigy', async (test) => {
  const task = (id: number, text: string, ...choices: string[][]): unknown => ({
    id,
    annotations: choices.map((chosen) => ({
      result: [{ from_name: 'sentiment', to_name: 'text', type: 'choices', value: { choices: chosen } }],
    })),
    data: { text },
    predictions: [],
  });
  const open = async (rows: readonly unknown[], name = 'a.json'): Promise<[string[], string, unknown]> => {
    const content =
      name === 'a.json' ? JSON.stringify(rows, null, 2) : rows.map((row) => JSON.stringify(row)).join('\n');
    const split = await openContent(test, name, content);
    const labels = (await split.preview(9)).map(({ label }) => label);
    return [await textsOf(split), split.labelKind, labels];
  };
  for (const name of ['a.json', 'a.jsonl']) {
    test.same(
      await open([task(1, 'a', ['Bad']), task(2, 'b', ['Good'], ['Bad']), task(3, 'c', ['Good'])], name),
      [['a', 'b', 'b', 'c'], 'string', ['Bad', 'Good', 'Bad', 'Good']],
      'a row for each annotation, as in JSON-MIN',
    );
    test.same(await open([task(1, 'a', ['Bad', 'Old']), task(2, 'b', ['Good'])], name), [
      ['a', 'b'],
      'list',
      ['[Bad, Old]', '[Good]'],
    ]);
  }
  const cancelled = {
    ...(task(4, 'd', ['Bad']) as object),
    annotations: [{ was_cancelled: true, result: [] }],
  };
  test.match(
    await refusal(test, 'a.json', JSON.stringify([task(1, 'a', ['Bad']), cancelled])),
    /row 2, column "sentiment": the label is missing/,
  );
  test.same(
    await open([
      { id: 0, text: 'a', sentiment: { choices: ['Bad', 'Old'] } },
      { id: 1, text: 'b', sentiment: 'Good' },
    ]),
    [['a', 'b'], 'list', ['[Bad, Old]', '[Good]']],
    'JSON-MIN',
  );
  test.same(
    await open(
      [
        { id: 1, text: 'a', label: ['pos', 'new'], Comments: [] },
        { id: 2, text: 'b', label: ['neg'], Comments: [] },
      ],
      'a.jsonl',
    ),
    [['a', 'b'], 'list', ['[pos, new]', '[neg]']],
    'doccano',
  );
  test.same(
    await open(
      [
        { id: 1, text: 'a', annotations: [{ label: 2, user: 1 }] },
        { id: 2, text: 'b', annotations: [{ label: 1, user: 1 }] },
      ],
      'a.jsonl',
    ),
    [['a', 'b'], 'integer', ['2', '1']],
    'doccano 1.0',
  );
  const options = [
    { id: 'POS', text: 'positive' },
    { id: 'NEG', text: 'negative' },
  ];
  test.same(
    await open(
      [
        { text: 'a', options, accept: ['POS'], answer: 'accept' },
        { text: 'b', options, accept: ['NEG'], answer: 'accept' },
      ],
      'a.jsonl',
    ),
    [['a', 'b'], 'string', ['POS', 'NEG']],
    'Prodigy',
  );
  const multiple = { options, config: { choice_style: 'multiple' }, answer: 'accept' };
  test.same(
    await open(
      [
        { text: 'a', ...multiple, accept: ['POS'] },
        { text: 'b', ...multiple, accept: ['POS', 'NEG'] },
      ],
      'a.jsonl',
    ),
    [['a', 'b'], 'list', ['[POS]', '[POS, NEG]']],
  );
});

void t.test('a note says which export a file is taken for', async (test) => {
  const notesOf = async (rows: readonly object[], overrides: Overrides = {}): Promise<string[]> => {
    const split = await openContent(
      test,
      'a.jsonl',
      rows.map((row) => JSON.stringify(row)).join('\n'),
      overrides,
    );
    return split.notes
      .filter((note) => note.includes('an export of'))
      .map((note) => note.replaceAll(/\S*(a\.jsonl)/g, '$1'));
  };
  const taken = (tool: string, where: string): string[] => [
    `a.jsonl is taken for an export of ${tool}: ${where}`,
  ];
  const choices = { from_name: 'mood', type: 'choices', value: { choices: ['good'] } };
  const stars = { from_name: 'stars', type: 'rating', value: { rating: 4 } };
  const tasks = [[], [choices, stars], [choices, stars]].map((result, id) => ({
    id,
    data: { review: `text ${id}` },
    annotations: [{ result }],
  }));
  const options = { badRows: 'skip', textColumn: 'review' } as const;
  test.same(
    await notesOf(tasks, { ...options, labelColumn: 'mood' }),
    taken('Label Studio', 'text from data.review, label from the choices of "mood" in annotations'),
  );
  test.same(
    await notesOf(tasks, { ...options, labelColumn: 'stars' }),
    taken('Label Studio', 'text from data.review, label from the rating of "stars" in annotations'),
  );
  test.same(await notesOf(tasks, { needsLabels: false }), taken('Label Studio', 'text from data.review'));
  test.same(
    await notesOf([
      { text: 'a', sentiment: { choices: ['bad', 'old'] } },
      { text: 'b', sentiment: 'good' },
    ]),
    taken('Label Studio', 'text from text, label from sentiment.choices'),
  );
  const chosen = [
    { text: 'a', options: [{ id: 'x' }, { id: 'y' }], accept: ['x'] },
    { text: 'b', options: [{ id: 'x' }, { id: 'y' }], accept: ['y'] },
  ];
  test.same(await notesOf(chosen), taken('Prodigy', 'text from text, label from accept'));
  const annotated = ['x', 'y'].map((label) => ({ text: label, annotations: [{ label, user: 1 }] }));
  test.same(await notesOf(annotated), taken('doccano', 'text from text, label from annotations.label'));
  // Columns that are columns in the file need no remark.
  test.same(await notesOf(chosen, { needsLabels: false }), []);
  test.same(await notesOf([{ text: 'a', label: ['x'], Comments: [] }]), []);
});

void t.test('annotations are no label where a row has its own', async (test) => {
  const rows = (...objects: object[]): string => objects.map((one) => JSON.stringify(one)).join('\n');
  const labelsOf = async (content: string): Promise<unknown> => {
    const split = await openContent(test, 'a.jsonl', content);
    return (await split.preview(9)).map(({ text, label }) => [text, label]);
  };
  const entity = { label: 'ORG', start_offset: 0, end_offset: 1 };
  const own = [
    ['a', 'good'],
    ['b', 'bad'],
  ];
  test.same(
    await labelsOf(
      rows(
        { text: 'a', sentiment: 'good', annotations: [{ label: 3, user: 1 }] },
        { text: 'b', sentiment: 'bad', annotations: [entity] },
      ),
    ),
    own,
  );
  const choice = { options: [{ id: 'POS' }, { id: 'NEG' }], accept: ['POS'] };
  test.same(
    await labelsOf(
      rows({ text: 'a', sentiment: 'good', ...choice }, { text: 'b', sentiment: 'bad', ...choice }),
    ),
    own,
  );
  const task = { data: { source: 'web' }, annotations: [] };
  test.same(
    await labelsOf(rows({ text: 'a', label: 'good', ...task }, { text: 'b', label: 'bad', ...task })),
    own,
  );
  test.match(
    await refusal(
      test,
      'a.jsonl',
      rows({ text: 'a', annotations: [entity] }, { text: 'b', annotations: [] }),
    ),
    /a\.jsonl has no column with a usual name for the label; .*"annotations"/,
  );
  const empty = await openContent(test, 'a.jsonl', rows({ text: 'a', label: [] }, { text: 'b', label: [] }));
  test.throws(() => inferTask([empty]), { message: /column "label": every list of labels is empty/ });
});

void t.test('numbers are read as they are written, also where an object has the rows', async (test) => {
  for (const [cells, problemType, labels] of [
    [['5.0', '4.0'], 'regression', ['LABEL_0']],
    [
      ['9007199254740993', '9007199254740992'],
      'single_label_classification',
      ['9007199254740992', '9007199254740993'],
    ],
  ] as const) {
    const list = `[${cells.map((cell, i) => `{"text":"t${i}","label":${cell}}`).join()}]`;
    // pandas' to_json; pandas 3.1.1's read_json(dtype=False) has these numbers, too: 5.0 stays a float.
    const [first, second] = cells;
    const tables = [
      `{"text":{"0":"t0","1":"t1"},"label":{"0":${first},"1":${second}}}`,
      `{"text":["t0","t1"],"label":[${cells.join(', ')}]}`,
      `{"0":{"text":"t0","label":${first}},"1":{"text":"t1","label":${second}}}`,
      `{"columns":["text","label"],"index":[0,1],"data":[["t0",${first}],["t1",${second}]]}`,
      `{"columns":["n","text","label"],"data":[[NaN,"t0",${first}],[-1.5e3,"t1",${second}]]}`,
    ];
    for (const [content, options] of [
      [list, {}],
      [`{"version":[1],"data":${list},"n":[2]}`, {}],
      [`{"other":[{"a":[{}]}],"data":${list}}`, { jsonField: 'data' }],
      [`{"train":[{"text":"old","label":"x"}],"train":${list}}`, {}],
      [`{"meta":{"a":1},"rows":${tables[1]}}`, { jsonField: 'rows' }],
      ...tables.map((table) => [table, {}] as const),
      // The key is there twice, so that it takes the whole object to find the number.
      [cells.map((cell, i) => `{"text":"t${i}","x":{"label":1.5},"label":${cell}}`).join('\n'), {}],
    ] as const) {
      const split = await openContent(test, 'a.json', content, options);
      const task = inferTask([split]);
      test.same(
        [task.problemType, task.labels, await textsOf(split)],
        [problemType, labels, ['t0', 't1']],
        content,
      );
    }
  }
});

void t.test('faults are placed', async (test) => {
  const lines = '{"text":"a","label":"x"}\n{"text":"b","label":}\n{"text":"c","label":"y"}\n';
  test.match(await refusal(test, 'a.json', lines), /a\.json line 2: broken JSON/);
  test.match(await refusal(test, 'a.jsonl', '{"text":"a\n{"text":"b","label":"x"}\n'), /line 1: broken JSON/);
  test.match(
    await refusal(test, 'a.jsonl', '{"text":"a"\n{"text":"b","label":"x"}\n'),
    /line 1: broken JSON/,
  );
  const glued = '{"text":"a","label":"x"}{"text":"b","label":}{"text":"c","label":"y"}';
  test.match(await refusal(test, 'a.jsonl', glued), /a\.jsonl row 2: broken JSON/);
  test.match(
    await refusal(test, 'a.json', '[{"text":"a","label":"x"}] more'),
    /row 2: expected another JSON object or the end, but found "m"/,
  );
  test.match(
    await refusal(test, 'a.json', '{\n"text":"a","label":"x"\n}\n{\n"text":"b"'),
    /row 2: a JSON object is never closed \(truncated file\?\)/,
  );
  test.match(
    await refusal(test, 'a.json', '[["a","x"],["b","y"]]'),
    /row 1: a list has no names for its columns; write each row as a JSON object/,
  );
  const texts = await openContent(test, 'a.json', '["one", "two"]', { needsLabels: false });
  test.same(await textsOf(texts), ['one', 'two'], 'a list of texts');
  test.match(
    await messageOf(test, openContent(test, 'a.json', '17')),
    /row 1: expected a JSON array of objects, or JSON objects, but found "1"/,
  );
});

void t.test('names that stand for two values are refused', async (test) => {
  const columns = { columns: ['text', 'label', 'label'], data: [['a', 'x', 'y']] };
  test.equal(
    await refusal(test, 'a.json', JSON.stringify(columns)),
    'a.json has several columns called "label"; give each a name of its own',
  );
  const row = { label: 'x', data: { text: 'a', label: 'y' } };
  test.match(
    await refusal(test, 'a.jsonl', JSON.stringify(row)),
    /a\.jsonl line 1, column "data": expected text but found an object\n/,
    'a label inside and one outside',
  );
});

void t.test('wrappers within wrappers, tables by split or by name, and rows in an envelope', async (test) => {
  const columns = { text: TEXTS, label: ROWS.map(({ label }) => label) };
  const rows = [...ROWS.entries()];
  const wrapped: Record<string, [unknown, string]> = {
    'a list below two names': [{ status: 'ok', answer: { count: 9, items: ROWS } }, 'answer.items'],
    'the hub': [
      {
        features: [{ feature_idx: 0, name: 'text', type: { dtype: 'string' } }],
        rows: rows.map(([row_idx, row]) => ({ row_idx, row, truncated_cells: [] })),
      },
      'rows',
    ],
    'a search': [
      { took: 1, hits: { total: 9, hits: rows.map(([id, _source]) => ({ _id: `${id}`, _source })) } },
      'hits.hits',
    ],
    'a map': [
      { type: 'F', features: ROWS.map((properties) => ({ type: 'F', geometry: { at: [1] }, properties })) },
      'features',
    ],
    'lists by column below a name': [{ data: columns }, 'data'],
    'lists by column for each split': [{ train: columns, test: { text: ['no'], label: ['x'] } }, 'train'],
    'rows by number for each split': [{ train: numbered(ROWS), test: numbered(ROWS.slice(1)) }, 'train'],
    "orient='index' with names": [Object.fromEntries(rows.map(([i, row]) => [`r${i}`, row])), 'by name'],
    'beside a text': [{ title: 'of texts', version: 2, data: ROWS, authors: [{ name: 'a' }] }, 'data'],
  };
  for (const [shape, [content, note]] of Object.entries(wrapped))
    for (const space of [undefined, 2]) {
      const split = await openContent(test, 'a.json', JSON.stringify(content, null, space));
      test.same([await textsOf(split), split.labelValues], [TEXTS, ['x', 'y']], shape);
      test.match(split.notes, [new RegExp(note)], shape);
    }
  const lines = rows.map(([_id, _source]) => JSON.stringify({ _id, _source })).join('\n');
  test.same(await textsOf(await openContent(test, 'a.jsonl', lines)), TEXTS, 'a line for each');
  const nested = JSON.stringify({ a: { b: ROWS.slice(0, 4), c: ROWS.slice(4) } });
  test.equal(
    await refusal(test, 'a.json', nested),
    'a.json has several lists of rows: a.b, a.c; name one with jsonField',
  );
  test.same(
    await textsOf(await openContent(test, 'a.json', nested, { jsonField: 'a.c' })),
    TEXTS.slice(4),
    'names with points between',
  );
  test.equal(
    await refusal(test, 'a.json', nested, { jsonField: 'c' }),
    'a.json has no rows in "c"; name one of its members with jsonField: a, a.b, a.c',
  );
  const digits = '{"data":{"rows":[{"text":"t0","label":5.0},{"text":"t1","label":4.0}]}}';
  const split = await openContent(test, 'a.json', digits);
  test.equal(inferTask([split]).problemType, 'regression', 'numbers as they are written');
  const long = JSON.stringify({
    v: { w: Array.from({ length: 300 }, (_, i) => ({ text: `row ${i}`, label: i % 2 })) },
  });
  test.equal((await openContent(test, 'a.json', long, { maxRowBytes: 512 })).size, 300);
});

void t.test('a row is no table, and lists are no texts', async (test) => {
  const open = async (object: object): Promise<unknown> => {
    const split = await openContent(test, 'a.json', JSON.stringify(object), { needsLabels: false });
    return textsOf(split);
  };
  const result = [{ from_name: 'mood', to_name: 'text', value: { choices: ['good'] } }];
  test.same(await open({ text: 'one', tokens: [{ text: 'o', id: 0 }].map(({ id }) => ({ id })) }), ['one']);
  test.same(
    await open({ data: { text: 'one' }, annotations: [{ result }] }),
    ['one'],
    'a task of Label Studio',
  );
  test.same(
    await open({ text: 'one', options: [{ id: 'A' }], accept: ['A'] }),
    ['one'],
    'an example of Prodigy',
  );
  test.same(await open({ user: { bio: 'x', description: 'nobody' }, text: 'one' }), ['one']);
  test.match(
    await refusal(test, 'a.json', '{"data": []}'),
    /a\.json: no rows, only a header or an empty list/,
  );
  test.match(await refusal(test, 'a.json', '{}'), /it has no columns; name them/);
  for (const cells of ['["a b","x"]\n["c d","y"]\n', '["a b","x"],\n["c d","y"]\n'])
    for (const needsLabels of [true, false])
      test.match(
        await messageOf(test, openContent(test, 'a.jsonl', cells, { needsLabels })),
        /line 1: a list has no names for its columns/,
      );
});

void t.test('labels of exports that are not whole', async (test) => {
  const labelsOf = async (...rows: object[]): Promise<unknown> => {
    const split = await openContent(test, 'a.jsonl', rows.map((row) => JSON.stringify(row)).join('\n'));
    return (await split.preview(9)).map(({ text, label }) => [text, label]);
  };
  test.same(
    await labelsOf(
      { text: 'a', accept: ['A'], answer: 'accept' },
      { text: 'b', accept: ['B'], answer: 'accept' },
    ),
    [
      ['a', 'A'],
      ['b', 'B'],
    ],
    'Prodigy without its options',
  );
  test.same(
    await labelsOf({ text: 'a', cats: { A: 1, B: 0 } }, { text: 'b', cats: { A: 0, B: 1 } }),
    [
      ['a', '[A]'],
      ['b', '[B]'],
    ],
    'spaCy',
  );
  const task = (text: string, choice: string): object => ({
    data: { text },
    annotations: [
      {
        result: [
          { from_name: 'label', value: { start: 0, end: 1, text: text.slice(0, 1), labels: ['PER'] } },
          { from_name: 'mood', value: { start: 0, end: 1, text: text.slice(0, 1), labels: ['PER'] } },
          { from_name: 'sentiment', value: { choices: [choice] } },
        ],
      },
    ],
  });
  test.same(
    await labelsOf(task('a', 'A'), task('b', 'B')),
    [
      ['a', 'A'],
      ['b', 'B'],
    ],
    'marks of a part of the text are no labels of the whole',
  );
});
