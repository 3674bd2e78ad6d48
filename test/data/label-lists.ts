// Labels of several numbers: which of names, zeros and ones by position, probabilities and numbers to predict they are. Expected
// values: what Hugging Face's heads take for labels of that shape; the numbers themselves.
import path from 'node:path';
import t from 'tap';
import { inferTask, labelArray } from '../../dist/data/index.js';
import { loadDataset } from '../../dist/index.js';
import {
  folderOf,
  labelled,
  LABELS,
  openContent,
  openPaths,
  type Overrides,
  refusal,
} from '../fixtures/splits.js';

const single = 'single_label_classification';
const multi = 'multi_label_classification';
const regression = 'regression';

/** So many rows, in turn. */
const repeated = (labels: readonly unknown[], rows = 20): unknown[] =>
  Array.from({ length: rows }, (_, i) => labels[i % labels.length]);

const jsonLines = (labels: readonly unknown[]): string =>
  labels.map((label, i) => JSON.stringify({ text: `text ${i}`, label })).join('\n');

type Case = [
  what: string,
  labels: unknown[],
  overrides: Overrides,
  problemType: string,
  names: string[],
  targets: number[],
  note: RegExp | null,
];

const HOT: unknown[] = [
  [1, 0],
  [0, 1],
];
const CASES: Case[] = [
  [
    'two labels',
    HOT,
    {},
    multi,
    ['LABEL_0', 'LABEL_1'],
    [1, 0, 0, 1],
    /\[1, 0\] at .* zeros and ones by position/,
  ],
  [
    'three, and a row of none',
    [
      [1, 1, 0],
      [0, 0, 0],
    ],
    {},
    multi,
    ['LABEL_0', 'LABEL_1', 'LABEL_2'],
    [1, 1, 0, 0, 0, 0],
    /zeros and ones by position, one for each of 3 labels/,
  ],
  [
    'truth values',
    [
      [true, false],
      [false, true],
    ],
    {},
    multi,
    ['LABEL_0', 'LABEL_1'],
    [1, 0, 0, 1],
    /by position/,
  ],
  [
    'names given',
    HOT,
    { knownLabels: ['calm', 'angry'] },
    multi,
    ['calm', 'angry'],
    [1, 0, 0, 1],
    /by position/,
  ],
  [
    'more names than places',
    HOT,
    { knownLabels: ['a', 'b', 'c'] },
    multi,
    ['a', 'b', 'c'],
    [1, 1, 0, 1, 1, 0],
    /ids of classes/,
  ],
  ['names asked for', HOT, { labelFormat: 'names' }, multi, ['0', '1'], [1, 1, 1, 1], null],
  ['one of them a row', HOT, { problemType: single }, single, ['LABEL_0', 'LABEL_1'], [0, 1], /by position/],
  [
    'lists that differ in length',
    [[0], [0, 1]],
    {},
    multi,
    ['0', '1'],
    [1, 0, 1, 1],
    /\[0, 1\] at .* ids of classes/,
  ],
  [
    'ids of two classes, of which few rows have one',
    [...Array.from({ length: 19 }, () => [0, 1]), [0]],
    {},
    multi,
    ['0', '1'],
    [1, 1, 1, 1],
    /\[0, 1\] at .* ids of classes/,
  ],
  [
    'lists of one',
    [['b'], ['a']],
    {},
    multi,
    ['a', 'b'],
    [0, 1, 1, 0],
    /exactly one label; problemType single/,
  ],
  ['lists of one, asked for', [['b'], ['a']], { problemType: single }, single, ['a', 'b'], [1, 0], null],
  [
    'integers of one length, asked for',
    [
      [3, 7],
      [7, 9],
    ],
    { problemType: multi },
    multi,
    ['3', '7', '9'],
    [1, 1, 0, 0, 1, 1],
    /ids of classes/,
  ],
  [
    'probabilities of one label a row',
    [
      [0.25, 0.75],
      [1, 0],
    ],
    {},
    single,
    ['LABEL_0', 'LABEL_1'],
    [0.25, 0.75, 1, 0],
    /\[0\.25, 0\.75\] at .* probabilities of 2 labels, of which a row has one; problemType multi_label/,
  ],
  [
    'probabilities, each for itself',
    [
      [0.25, 0.5],
      [1, 1],
    ],
    {},
    multi,
    ['LABEL_0', 'LABEL_1'],
    [0.25, 0.5, 1, 1],
    /each for itself; problemType regression takes them as numbers/,
  ],
  [
    'the same, as numbers to predict',
    [
      [0.25, 0.5],
      [1, 1],
    ],
    { problemType: regression },
    regression,
    ['LABEL_0', 'LABEL_1'],
    [0.25, 0.5, 1, 1],
    null,
  ],
  [
    'several numbers to predict',
    [
      [2.5, 3, 1],
      [2, -3, 1.5],
    ],
    {},
    regression,
    ['LABEL_0', 'LABEL_1', 'LABEL_2'],
    [2.5, 3, 1, 2, -3, 1.5],
    /\[2\.5, 3, 1\] at .* 3 numbers to predict/,
  ],
  ['one number in a list', [[2.5], [3]], {}, regression, ['LABEL_0'], [2.5, 3], null],
  [
    'an object: zeros and ones by name',
    [
      { toxic: 1, rude: 0 },
      { rude: 1, toxic: 1 },
    ],
    {},
    multi,
    ['toxic', 'rude'],
    [1, 0, 1, 1],
    null,
  ],
  [
    'an object: probabilities by name',
    [
      { neg: 0.25, pos: 0.75 },
      { pos: 0, neg: 1 },
    ],
    {},
    single,
    ['neg', 'pos'],
    [0.25, 0.75, 1, 0],
    /probabilities of 2 labels/,
  ],
];

void t.test('what lists of numbers are', async (test) => {
  for (const [what, labels, overrides, problemType, names, targets, note] of CASES) {
    const split = await labelled(test, repeated(labels), overrides);
    const { problemType: asked, knownLabels } = overrides;
    const task = inferTask([split], {
      forTraining: true,
      ...(asked !== undefined && { problemType: asked }),
      ...(knownLabels !== undefined && { labelList: knownLabels }),
    });
    test.same({ ...task }, { problemType, labels: names, numLabels: names.length }, what);
    test.same(labelArray(split, task).slice(0, targets.length), targets, what);
    if (note === null) test.notMatch(split.notes.join(), /are read as/, what);
    else test.match(split.notes.join(), note, what);
  }
});

void t.test('one decimal among tags is a tag, and one word among decimals a fault', async (test) => {
  const tags = Array.from({ length: 200 }, (_, i) => (i === 7 ? ['3.8'] : i % 3 === 0 ? [] : [`py${i % 5}`]));
  const task = inferTask([await labelled(test, tags)]);
  test.same([task.problemType, task.labels], [multi, ['3.8', 'py0', 'py1', 'py2', 'py3', 'py4']]);
  const targets = Array.from({ length: 20 }, (_, i) => (i === 7 ? ['none', 'none'] : [i + 0.5, i]));
  const split = await labelled(test, targets, { badRows: 'skip' });
  test.same([inferTask([split]).problemType, split.size], ['regression', 19]);
});

void t.test('lists written as text, as JSON, Python and NumPy write them', async (test) => {
  const lists: [cell: string, members: string[]][] = [
    ["['happy', 'calm']", ['calm', 'happy']],
    ["('happy', 'calm')", ['calm', 'happy']],
    ["{'happy', 'calm'}", ['calm', 'happy']],
    ["['happy' 'calm']", ['calm', 'happy']],
    ["frozenset({'happy', 'calm'})", ['calm', 'happy']],
    ["array(['happy', 'calm'], dtype=object)", ['calm', 'happy']],
    ["[np.str_('happy'), np.str_('calm')]", ['calm', 'happy']],
    ['{happy,calm}', ['calm', 'happy']],
    ['{"happy, really",calm}', ['calm', 'happy, really']],
    ['["happy", "calm"]', ['calm', 'happy']],
    ['[happy, calm]', ['calm', 'happy']],
    ['[very happy, calm]', ['calm', 'very happy']],
    [`["it's", 'a "b"']`, ['a "b"', "it's"]],
    [String.raw`['it\'s', "a\nb\u00e9"]`, ['a\nbé', "it's"]],
    ['[]', []],
  ];
  for (const [cell, members] of lists) {
    const quoted = `"${cell.replaceAll('"', '""')}"`;
    const split = await openContent(test, 'a.csv', `text,label\na,${quoted}\nb,['x']\n`);
    test.equal(split.labelKind, 'list', cell);
    test.same(split.labels?.at(0).toSorted(), members, cell);
  }
  for (const cells of [
    ['[1, 0]', '[0, 1]'],
    ['[1 0]', '[0 1]'],
    ['[1. 0.]', '[0. 1.]'],
    ['[True, False]', '[False, True]'],
    ['(1, 0)', '(0, 1)'],
    ['{1,0}', '{0,1}'],
    ['array([1, 0])', 'array([0, 1], dtype=int8)'],
    ["tensor([1., 0.], device='cuda:0')", "tensor([0., 1.], device='cuda:0')"],
    ['[np.int64(1), np.int64(0)]', '[np.int64(0), np.int64(1)]'],
    ['[np.float32(1.0), np.float32(0.0)]', '[np.float32(0.0), np.float32(1.0)]'],
    ['[np.True_, np.False_]', '[np.False_, np.True_]'],
  ]) {
    const rows = cells.map((cell) => `a,"${cell}"\n`).join('');
    const split = await openContent(test, 'a.csv', `text,label\n${rows}`);
    const task = inferTask([split]);
    test.same([task.problemType, [...labelArray(split, task)]], [multi, [1, 0, 0, 1]], rows);
  }
  const soft = await openContent(test, 'a.csv', 'text,label\na,"[0.25, 0.75]"\nb,"[1.0, 0.0]"\n');
  test.same([...labelArray(soft, inferTask([soft]))], [0.25, 0.75, 1, 0]);
});

void t.test('what a printed list cannot say', async (test) => {
  const rows = (...cells: string[]): string => cells.map((cell) => `a,"${cell}"\n`).join('');
  for (const cells of [
    ['[1 0 ... 0 1]', '[0 0 ... 1 1]'],
    ['array([1, 0, ..., 0, 1])', 'array([0, 0, ..., 1, 1])'],
    ['[0.25 0.5 ... 0.125 0.125]', '[0.5 0.25 ... 0.125 0.125]'],
  ])
    test.match(
      await refusal(test, 'a.csv', `text,label\n${rows(...cells)}`),
      /line 2, column "label": the list was cut short \("\.\.\."\) when it was printed; write it whole/,
      cells.join(' '),
    );
  const objects = await openContent(
    test,
    'a.csv',
    `text,label\n${rows("{'toxic': 1, 'rude': 0}", "{'toxic': 0, 'rude': 1}")}`,
  );
  test.match(objects.notes.join(), /is taken as one name: objects are read in JSON Lines and Parquet/);
  const full = await labelled(
    test,
    [
      [0, 1],
      [1, 0],
      [0, 1],
    ],
    { labelFormat: 'names' },
  );
  test.match(full.notes.join(), /Every row has all of the 2 labels that occur; are these the labels\?/);
  for (const [cell, other] of [
    ['(5.5)', '(7)'],
    ['{x: 1}', '{y: 2}'],
    ['(a, b)', '(c, d)'],
  ] as const) {
    const split = await openContent(test, 'a.csv', `text,label\n${rows(cell, other)}`);
    test.same(split.labelValues, [cell, other].toSorted(), 'no list');
  }
});

void t.test('several columns of probabilities or numbers', async (test) => {
  const csv = (rows: string): string => `text,food,service\n${rows}`;
  const labelColumn = ['food', 'service'];
  const scores = await openContent(test, 'a.csv', csv('a,4.5,3\nb, 2.0,1\n'), { labelColumn });
  const task = inferTask([scores], { forTraining: true });
  test.same({ ...task }, { problemType: regression, labels: labelColumn, numLabels: 2 });
  test.same([...labelArray(scores, task)], [4.5, 3, 2, 1]);
  const turned = { problemType: regression, labels: ['service', 'food'] } as const;
  test.same([...labelArray(scores, turned)], [3, 4.5, 1, 2], 'by the names of the model');
  const soft = await openContent(test, 'a.csv', csv('a,0.0,1.0\nb,0.25,0.75\n'), { labelColumn });
  test.same({ ...inferTask([soft]) }, { problemType: single, labels: labelColumn, numLabels: 2 });
  test.match(soft.notes.join(), /\[0\.25, 0\.75\] at .*a\.csv line 3 are read as probabilities/);
  const spaced = await openContent(test, 'a.csv', csv('a, 0, 1\nb, 1, 1\n'), { labelColumn });
  test.same([...labelArray(spaced, inferTask([spaced]))], [0, 1, 1, 1]);
});

void t.test('what is none of them, or could be two', async (test) => {
  const cases: [labels: unknown[], overrides: Overrides, message: RegExp][] = [
    [
      [
        [5, 3],
        [4, 2],
      ],
      {},
      /^The column "label" holds lists of 2 integers, such as \[5,3\]: problemType multi_label_classification takes them as ids of classes, regression as 2 numbers to predict$/,
    ],
    [
      [
        [80, 9, 11],
        [79, 10, 11],
      ],
      {},
      /percentages divided by 100 are probabilities of the classes$/,
    ],
    [
      [...repeated(HOT), [2, 0]],
      {},
      /line 21, column "label": expected 0 or 1, or true or false, but found "2"/,
    ],
    [
      [...repeated(HOT), [1]],
      {},
      /line 21, column "label": expected 2 zeros and ones, one for each label, but found 1; labelFormat names/,
    ],
    [
      [...repeated(HOT), ['good']],
      {},
      /line 21, column "label": expected 2 zeros and ones, one for each label, but found 1; labelFormat names/,
    ],
    [
      repeated([
        [1, 0],
        [0, 1],
        [1, 0, 0],
      ]),
      {},
      /line 3, column "label": expected 2 zeros and ones, one for each label, but found 3; labelFormat names/,
    ],
    [
      [...repeated([[1, 1, 0]]), [1, 1]],
      {},
      /line 21, column "label": expected 3 zeros and ones, one for each label, but found 2; labelFormat names/,
    ],
    [
      [...repeated(HOT), [1]],
      { labelFormat: 'multi_hot' },
      /line 21, column "label": expected 2 zeros and ones, one for each label, but found 1; labelFormat names/,
    ],
    [
      [...repeated([[0.25, 0.75]]), [0.5]],
      {},
      /line 21, column "label": expected 2 probabilities, one for each label, but found 1/,
    ],
    [
      [...repeated([[2.5, 3]]), [2.5, 'good']],
      {},
      /line 21, column "label": the label "good" is not a number/,
    ],
    [[...repeated([[2.5, 3]]), [2.5, null]], {}, /line 21, column "label": the label is missing/],
    [
      [[2.5, 3]],
      { problemType: multi },
      /expected a probability from 0 to 1 for each label but found "2\.5"/,
    ],
    [
      [['a', 'b']],
      { problemType: single },
      /the list holds 2 labels, where single_label_classification takes one/,
    ],
    [
      HOT,
      { labelFormat: 'numbers', problemType: single },
      /^labelFormat numbers does not go with problemType single/,
    ],
    [HOT, { labelFormat: 'names', softLabels: true }, /^softLabels does not go with labelFormat names/],
  ];
  for (const [labels, overrides, message] of cases)
    test.match(await refusal(test, 'a.jsonl', jsonLines(labels), overrides), message);
});

void t.test('the other splits are read as the training rows are', async (test) => {
  const folder = folderOf(test, {
    'train.jsonl': jsonLines([[0], [1], [0, 1], [2]]),
    'validation.jsonl': jsonLines([
      [0, 1],
      [1, 2],
    ]),
    'hot.jsonl': jsonLines(HOT),
  });
  const at = (name: string): string => path.join(folder, name);
  const ids = await loadDataset({ train: at('train.jsonl'), validation: at('validation.jsonl') });
  test.same([...ids.validation.labels([0, 1])], [1, 1, 0, 0, 1, 1]);
  await ids.close();
  await test.rejects(loadDataset({ train: at('hot.jsonl'), validation: at('train.jsonl') }), {
    message:
      /validation data .*\n.*line 1, .*expected 2 zeros and ones, one for each label, but found 1; labelFormat names/,
  });
});

void t.test('Parquet: lists of any type, and the names that datasets gives their ids', async (test) => {
  const open = (name: string): ReturnType<typeof openPaths> => openPaths(test, [path.join(LABELS, name)]);
  for (const type of ['int64', 'bool', 'float-fixed', 'large']) {
    const split = await open(`hot-${type}.parquet`);
    test.same([...labelArray(split, inferTask([split]))], [1, 0, 0, 1, 1, 1, 0, 0], type);
  }
  for (const [name, labels] of [
    ['soft-float', ['LABEL_0', 'LABEL_1']],
    ['soft-struct', ['neg', 'pos']],
  ] as const) {
    const split = await open(`${name}.parquet`);
    const task = inferTask([split]);
    test.same([task.problemType, task.labels], [single, labels], name);
    test.same([...labelArray(split, task)], [0.25, 0.75, 1, 0, 0.5, 0.5, 0, 1], name);
  }
  for (const list of ['list', 'large-list', 'fixed-list']) {
    const split = await open(`names-${list}.parquet`);
    test.same(inferTask([split]).labels, ['joy', 'anger', 'fear'], list);
    test.same(
      [split.labels?.at(0), split.labels?.at(1)],
      [
        ['joy', 'fear'],
        ['anger', 'joy'],
      ],
      list,
    );
  }
});

void t.test('what the rows showed is how others of their kind are read', async (test) => {
  const folder = folderOf(test, {
    'joined.csv': 'text,label\na,red;blue\nb,blue\nc,green;red\n',
    'hot.jsonl': jsonLines(repeated(HOT)),
    'plain.csv': 'text,label\na,yes\nb,no\n',
    'scores.jsonl': jsonLines(repeated([0.5, 2.25])),
  });
  const readingOf = async (file: string, problemType?: typeof multi): Promise<object> => {
    const data = await loadDataset({ train: path.join(folder, file) }, problemType && { problemType });
    test.teardown(() => data.close());
    return data.train.reading;
  };
  const csv = { quoting: 'minimal', foldLabels: false };
  test.same(await readingOf('joined.csv', multi), { ...csv, labelFormat: 'names', labelDelimiter: ';' });
  test.same(await readingOf('hot.jsonl'), { foldLabels: false, labelFormat: 'multi_hot' });
  test.same(await readingOf('plain.csv'), csv);
  test.same(await readingOf('scores.jsonl'), { foldLabels: false });
  const asked = { naLabels: ['?', 'n/a'], maxRowBytes: 4096, escape: '\\' };
  const data = await loadDataset({ train: path.join(folder, 'plain.csv') }, asked);
  test.same(data.train.reading, { ...csv, ...asked }, 'and what was asked for');
  await data.close();
});

// As Label Studio's CSV and doccano's write several labels of a text.
void t.test('several labels in the CSV of annotation tools', async (test) => {
  const choices = 'text,sentiment\na,"{""choices"":[""Pos"",""So, so""]}"\nb,Neg\nc,"So, so"\n';
  for (const overrides of [{}, { problemType: multi } as const]) {
    const split = await openContent(test, 'a.csv', choices, overrides);
    test.same(inferTask([split]).labels, ['Neg', 'Pos', 'So, so']);
    test.same(
      (await split.preview(3)).map(({ label }) => label),
      ['["Pos", "So, so"]', '[Neg]', '["So, so"]'],
    );
  }
  const joined = 'text,label\na,pos#new\nb,neg\nc,pos\n';
  const one = await openContent(test, 'a.csv', joined);
  test.match(one.notes.join(), /"pos#new" is taken as one name; .* labelDelimiter "#" reads it as 2 labels/);
  const several = await openContent(test, 'a.csv', joined, { problemType: multi });
  test.same(inferTask([several]).labels, ['neg', 'new', 'pos']);
  const names = await openContent(test, 'a.csv', 'text,label\na,C#\nb,F#\nc,#1\n', { problemType: multi });
  test.same([inferTask([names]).labels, names.notes.join().includes('#"')], [['#1', 'C#', 'F#'], false]);
});
