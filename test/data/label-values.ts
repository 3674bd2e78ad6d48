// The same label is the same in every format and spelling that means it. Expected: scripts/reference/label_fixtures.py, whose
// cells are as pandas reads them; the rest is what the formats hold.
import { readFileSync } from 'node:fs';
import path from 'node:path';
import t from 'tap';
import { inferTask, labelArray, sortLabels, type Split } from '../../dist/data/index.js';
import {
  canonical,
  differenceOf,
  foldKey,
  isNumberText,
  numberOf,
  numberProblem,
  withoutBlanks,
} from '../../dist/data/label-values.js';
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

interface Expected {
  cells: {
    cell: string;
    kind: 'integer' | 'number' | 'boolean' | 'text';
    value: number | boolean | string;
  }[];
  moments: Record<'micros' | 'nanos', string[]>;
}
const expected: Expected = JSON.parse(readFileSync(path.join(LABELS, 'expected.json'), 'utf8'));

const rowsOf = (split: Split): (string | undefined)[] =>
  Array.from({ length: split.size }, (_, row) => split.labels?.at(row).join('|'));

void t.test('numbers and truth values are those of pandas', (test) => {
  for (const { cell, kind, value } of expected.cells) {
    test.equal(isNumberText(cell), kind === 'integer' || kind === 'number', JSON.stringify(cell));
    test.equal(numberOf(cell), kind === 'text' ? null : Number(value), JSON.stringify(cell));
    test.equal(canonical(cell), kind === 'text' ? null : String(value), JSON.stringify(cell));
  }
  test.equal(canonical('9007199254740993'), '9007199254740993');
  test.same(sortLabels(['9007199254740993', '9007199254740992', '10', '9']), [
    '9',
    '10',
    '9007199254740992',
    '9007199254740993',
  ]);
  test.end();
});

void t.test('long cells take time in proportion to their length', (test) => {
  const readings = [withoutBlanks, isNumberText, numberOf, canonical, numberProblem];
  const cells: ((length: number) => string)[] = [
    (length) => `a${' '.repeat(length)}b`,
    (length) => `${'1'.repeat(length)}x`,
    (length) => `+${' '.repeat(length)}x`,
    (length) => `1${' '.repeat(length)}x`,
  ];
  /** Microseconds for 3200 characters in cells of one length. */
  const costOf = (length: number): number => {
    const texts = cells.map((cell) => cell(length));
    const runs = Array.from({ length: 3 }, () => {
      const start = process.cpuUsage();
      for (let done = 0; done < 3200; done += length)
        for (const text of texts) for (const read of readings) read(text);
      const { user, system } = process.cpuUsage(start);
      return user + system;
    });
    return Math.min(...runs);
  };
  costOf(200); // compiles
  test.ok(costOf(1600) < 4 * costOf(200) + 5000, 'the same for few long cells as for many short ones');
  for (const blanks of [' \t\r\n\v\f', '']) test.equal(withoutBlanks(`${blanks}a b${blanks}`), 'a b');
  test.equal(withoutBlanks(' \n '), '');
  test.end();
});

void t.test('a label means the same in each format', async (test) => {
  const written: [
    name: string,
    json: string[],
    csv: string[],
    parquet: string[],
    type: string,
    labels: string[],
  ][] = [
    [
      'decimals',
      ['5.0', '4.0', '5.0', '1.0'],
      [],
      ['float16', 'float32', 'float64', 'decimal-1'],
      'regression',
      ['LABEL_0'],
    ],
    ['integers', ['5', '4', '5', '1'], [], ['int64', 'decimal-0'], single, ['1', '4', '5']],
    ['texts of digits', ['"5"', '"4"', '"5"', '"1"'], ['5', '4', '5', '1'], [], single, ['1', '4', '5']],
    [
      'truth values',
      ['true', 'false', 'true', 'false'],
      ['True', 'FALSE', 'true', 'False'],
      ['bool'],
      single,
      ['false', 'true'],
    ],
    [
      'beyond 2^53',
      ['9007199254740993', '9007199254740992', '9007199254740993', '9007199254740992'],
      [],
      ['large'],
      single,
      ['9007199254740992', '9007199254740993'],
    ],
    ['exponents', ['1e0', '2E0', '1.0e0', '20e-1'], [], [], 'regression', ['LABEL_0']],
  ];
  for (const [name, json, csv, parquet, problemType, labels] of written) {
    const objects = json.map(
      (label, i) => `{"n": 1.5, "meta": {"label": 7.5}, "text": "a \\" 2.5 ${i}", "label": ${label}}`,
    );
    const cells = csv.length === 0 ? json : csv;
    const splits = [
      await openContent(test, 'a.jsonl', objects.join('\n')),
      await openContent(test, 'a.json', `[${objects.join(', ')}]`),
      await openContent(
        test,
        'a.csv',
        `text,label\n${cells.map((cell, i) => `text ${i},${cell}\n`).join('')}`,
      ),
      ...(await Promise.all(parquet.map((file) => openPaths(test, [path.join(LABELS, `${file}.parquet`)])))),
    ];
    const [first] = splits;
    for (const split of splits) {
      const task = inferTask([split], { forTraining: true });
      test.same([task.problemType, task.labels], [problemType, labels], name);
      test.same(rowsOf(split), first === undefined ? [] : rowsOf(first), name);
    }
  }
  const tenths = await openPaths(test, [path.join(LABELS, 'tenths-float32.parquet')], {
    problemType: single,
  });
  test.same(tenths.labelValues, ['0.1', '0.7'], 'single precision, as it is written');
  const wholes = ['9007199254740993.0', '9007199254740992.00', '+9007199254740993.', '-9007199254740993.0'];
  test.same(
    [...wholes, '-0.0', '1.50'].map(canonical),
    ['9007199254740993', '9007199254740992', '9007199254740993', '-9007199254740993', '0', '1.5'],
    'whole numbers as decimals, beyond what a double holds',
  );
  const large = await openPaths(test, [path.join(LABELS, 'large-decimal.parquet')]);
  test.same(rowsOf(large), ['9007199254740993', '9007199254740992', '1', '2'], 'decimals to the last digit');
  test.match(
    await refusal(test, 'a.jsonl', '{"text":"a","label":1.5}\n{"text":"b","label":1e999}'),
    /line 2, column "label"/,
  );
});

void t.test('numbers with blanks around them, and those that are none', async (test) => {
  const spaced = 'text, label\na, 0\nb, 1\nc, +1\n';
  const split = await openContent(test, 'a.csv', spaced);
  test.same([split.labelKind, split.labelValues, rowsOf(split)], ['integer', ['0', '1'], ['0', '1', '1']]);
  const folder = folderOf(test, { 'train.csv': spaced, 'validation.csv': 'text,label\na,1\nb,0\n' });
  const data = await loadDataset({
    train: path.join(folder, 'train.csv'),
    validation: path.join(folder, 'validation.csv'),
  });
  test.same(
    [data.task.labels, [...data.validation.labels([0, 1])]],
    [
      ['0', '1'],
      [1, 0],
    ],
  );
  await data.close();
  const scores = await openContent(test, 'a.csv', 'text,label\na, 1.5\nb, 2 \n');
  test.same([...labelArray(scores, inferTask([scores]))], [1.5, 2]);
  for (const [cell, why] of [
    ['"2,5"', /is not a number, as other labels are; write the decimals behind a point/],
    ['"1.234,5"', /write the decimals behind a point/],
    ['"12,345"', /write the decimals behind a point/],
    ["1'000", /write thousands without a separator/],
    ['50%', /leave out the sign %/],
    ['$5', /leave out \$/],
    ['5 EUR', /leave out EUR/],
    ['\u22121', /write it with the digits 0 to 9/],
    ['good', /naLabels leaves out rows without a number/],
    ['-inf', /the label "-inf" is infinite or too large; numbers to predict are finite/],
    ['1e400', /the label "1e400" is infinite or too large/],
  ] as const)
    test.match(await refusal(test, 'a.csv', `text,label\na,1.5\nb,2.5\nc,${cell}\n`), why, cell);
  const percent = await openContent(test, 'a.csv', 'text,label\na,50%\nb,75%\n');
  test.match(percent.notes.join(), /"50%" is taken as a name; to make it a number, leave out the sign %/);
});

void t.test('labels that are nearly the same', async (test) => {
  const pairs: [a: string, b: string, difference: string][] = [
    ['bad', ' bad', 'white space'],
    ['very bad', 'very\u00a0 bad', 'white space'],
    ['Bad', 'bad', 'case'],
    ['Straße', 'STRASSE', 'case'],
    ['ABC', '\uff21\uff22\uff23', 'width or composition of characters'],
    ['caf\u00e9', 'cafe\u0301', 'width or composition of characters'],
    ['bad', 'b\u200bad', 'invisible characters'],
    ['\ufeffbad', 'bad', 'invisible characters'],
    ['Bad', 'bad ', 'case and white space'],
    ['5', '5.0', 'the way the number is written'],
  ];
  const others = ['good', 'fair', 'poor'];
  for (const [a, b, difference] of pairs) {
    test.equal(foldKey(a), foldKey(b), JSON.stringify([a, b]));
    test.equal(differenceOf(a, b), difference, JSON.stringify([a, b]));
    const split = await labelled(test, [a, b, ...others]);
    test.equal(split.labelValues.length, 2 + others.length);
    test.match(split.notes.join(), `differ only in ${difference}; foldLabels makes them one`);
    const folded = await labelled(test, [a, b, ...others], { foldLabels: true });
    test.equal(folded.labelValues.length, 1 + others.length);
    test.notMatch(folded.notes.join(), /differ/);
  }
  for (const [a, b] of [
    ['cafe', 'café'],
    ['a b', 'ab'],
    ['+', '-'],
    ['1', '-1'],
  ] as const)
    test.not(foldKey(a), foldKey(b));

  const most = await labelled(test, [' bad', ' bad', 'BAD', 'good'], { foldLabels: true });
  test.same(
    [most.labelValues, rowsOf(most)],
    [
      ['bad', 'good'],
      ['bad', 'bad', 'bad', 'good'],
    ],
    'the most frequent, trimmed',
  );
  const folder = folderOf(test, {
    'train.csv': 'text,label\na,Bad\nb, good\n',
    'validation.csv': 'text,label\na,bad\nb,good\n',
  });
  const files = { train: path.join(folder, 'train.csv'), validation: path.join(folder, 'validation.csv') };
  const data = await loadDataset(files, { foldLabels: true });
  test.same(
    [data.task.labels, [...data.validation.labels([0, 1])]],
    [
      ['Bad', 'good'],
      [0, 1],
    ],
    'as the training rows spell them',
  );
  await data.close();
  const known: Overrides = { knownLabels: ['Bad', 'good'] };
  test.match(
    await refusal(test, 'a.csv', 'text,label\na,bad \n', known),
    /the label "bad " is unknown; expected "Bad", which differs only in case and white space \(foldLabels/,
  );
  const fits = await openContent(test, 'a.csv', 'text,label\na,bad \nb,GOOD\n', {
    ...known,
    foldLabels: true,
  });
  test.same([...labelArray(fits, { problemType: single, labels: ['Bad', 'good'] })], [0, 1]);
});

void t.test('several labels in a cell', async (test) => {
  const rows = (delimiter: string): string =>
    ['happy', `happy${delimiter}calm`, 'sad', `sad${delimiter}angry`]
      .map((cell, i) => `text ${i},"${cell}"\n`)
      .join('');
  for (const delimiter of ['|', ';', ',', ', ', ' ; ']) {
    const content = `text,label\n${rows(delimiter)}`;
    const plain = await openContent(test, 'a.csv', content);
    const bare = delimiter.trim();
    test.match(
      plain.notes.join(),
      `is taken as one name; problemType multi_label_classification with labelDelimiter "${bare}" reads it as 2 labels`,
    );
    const split = await openContent(test, 'a.csv', content, { problemType: 'multi_label_classification' });
    test.same(split.labelValues, ['angry', 'calm', 'happy', 'sad'], delimiter);
    if (bare !== '|')
      test.match(
        split.notes.join(),
        `[happy, calm] at ${split.place(1)} are read as several labels, written with "${bare}"`,
      );
  }
  for (const delimiter of ['\n', '\t', '；', '、', '，']) {
    const content = `text,label\n${rows(delimiter)}`;
    const plain = await openContent(test, 'a.csv', content);
    test.match(plain.notes.join(), `labelDelimiter ${JSON.stringify(delimiter)} reads it as 2 labels`);
    const split = await openContent(test, 'a.csv', content, { problemType: 'multi_label_classification' });
    test.same(split.labelValues, ['angry', 'calm', 'happy', 'sad'], JSON.stringify(delimiter));
  }
  for (const [cell, other, names] of [
    ['happy;calm;', 'sad;', ['calm', 'happy', 'sad']],
    ['"happy";"calm"', '"sad"', ['calm', 'happy', 'sad']],
    ["'happy', 'calm'", "'sad'", ['calm', 'happy', 'sad']],
    ['"happy, really","calm"', '"sad"', ['calm', 'happy, really', 'sad']],
  ] as const) {
    const split = await labelled(test, [cell, other], { problemType: 'multi_label_classification' });
    test.same(split.labelValues, names, cell);
  }
  const commas = await labelled(test, ['Yes, please', 'No, thanks', 'Yes, please']);
  test.same(commas.notes, [], 'a comma that joins nothing');
});

void t.test('a time is no label', async (test) => {
  const labelColumn = 'micros';
  const opening = openPaths(test, [path.join(LABELS, 'moments.parquet')], {
    textColumn: 'text',
    labelColumn,
  });
  await test.rejects(opening, { message: /column "micros": expected a string or a number but found a date/ });
});

void t.test('several labels in a cell that nothing usual joins', async (test) => {
  const multi = { problemType: 'multi_label_classification' } as const;
  for (const delimiter of ['/', ' & ', '+', ' ']) {
    const labels = ['happy', `happy${delimiter}calm`, 'sad', `sad${delimiter}angry`];
    const split = await labelled(test, labels, multi);
    const bare = delimiter.trim() || delimiter;
    test.match(
      split.notes.join(),
      `The label ${JSON.stringify(labels[1])} is taken as one name; labelDelimiter "${bare}" reads it as 2 labels`,
    );
    test.same((await labelled(test, labels)).notes, [], 'names, unless several are asked for');
  }
  const mixed = await labelled(test, ['happy;calm', 'sad,calm', 'calm'], multi);
  test.match(mixed.notes.join(), '"sad,calm" is taken as one name; labelDelimiter "," reads it as 2 labels');
  const one = await labelled(test, ['happy', 'sad', 'happy'], multi);
  test.same(one.notes, [
    'No row has more than one label, since none holds the delimiter "|"; labelDelimiter names another',
  ]);
  test.same((await labelled(test, [['happy'], ['sad']], multi)).notes, [], 'lists have no delimiter');
  const inLists = await labelled(test, [['happy,calm'], ['happy'], ['calm', 'happy']]);
  test.match(inLists.notes.join(), '"happy,calm" is taken as one name: what is a list already is not split');
  const given = await labelled(test, ['happy,calm', 'sad'], { labelDelimiter: ',' });
  test.same([given.labelKind, given.labelValues], ['list', ['calm', 'happy', 'sad']], 'by the delimiter');
  const entity = await labelled(test, ['R&amp;D', 'R&D', 'sales']);
  test.same(entity.notes, [], 'a reference to a character joins nothing');
  test.match(
    await refusal(test, 'a.csv', 'text,label\na,x||y\n', multi),
    /line 2, column "label": the label is missing between two delimiters "\|"/,
  );
  const hot = ['1 0 1', '0 1 0'];
  test.match((await labelled(test, hot)).notes.join(), 'with labelDelimiter " " reads it as 3 labels');
  test.same((await labelled(test, hot, multi)).labels?.at(0), ['LABEL_0', 'LABEL_2']);
  test.match((await labelled(test, ['0.5 0.5', '0.25 0.75'])).notes.join(), 'reads it as 2 numbers');
});

void t.test('moments that are carried over stay exact', async (test) => {
  for (const [file, columns] of [
    ['moments', ['micros', 'nanos', 'zoned']],
    ['moments-int96', ['nanos']],
  ] as const) {
    const split = await openPaths(test, [path.join(LABELS, `${file}.parquet`)], {
      needsLabels: false,
      passthroughColumns: columns,
    });
    const read = await split.read([0, 1, 2, 3]);
    const wanted = (name: 'micros' | 'nanos' | 'zoned'): string[] =>
      expected.moments[name === 'zoned' ? 'micros' : name];
    for (const [at, column] of columns.entries())
      test.same(
        read.map(({ passthrough }) => String(passthrough?.[at]).replace(/0*Z$/, 'Z')),
        wanted(column).map((moment) => moment.replace(/0*Z$/, 'Z')),
        `${file} ${column}`,
      );
  }
});

// pandas 3.1.1 reads these as numbers with decimal=',' and, for 1.234,5, thousands='.'.
void t.test('a column of decimal commas is one fault', async (test) => {
  const csv = (cells: readonly string[]): string =>
    `text,label\n${cells.map((cell, i) => `t${i},"${cell}"\n`).join('')}`;
  const asked = { problemType: 'regression' } as const;
  const message = (column: string, example: string): string =>
    `The column "${column}" has numbers with decimal commas, such as "${example}"; write them with a point, ` +
    "e.g. read the file with pandas' decimal=',' and save it again";
  for (const badRows of ['stop', 'skip'] as const)
    for (const [cells, example] of [
      [['3,5', '4,0'], '3,5'],
      [['2', ' 4,25 ', '', '1.234,5'], '4,25'],
      [['1,234', '-,5', '2'], '-,5'],
    ] as const)
      test.equal(
        await refusal(test, 'a.csv', csv(cells), { ...asked, badRows }),
        message('label', example),
        cells.join(' '),
      );
  const several = 'text,a,b\nx,"0,5","1"\ny,"1,5","2,5"\n';
  for (const how of [asked, { softLabels: true }])
    test.equal(
      await refusal(test, 'a.csv', several, { ...how, labelColumn: ['a', 'b'] }),
      message('a, b', '0,5'),
    );
  // Thousands, points among them, and a slip are found row by row.
  for (const cells of [
    ['1,234', '2,345'],
    ['3,5', '4.5'],
    ['3,5', ...Array.from({ length: 11 }, () => '4')],
  ])
    test.match(
      await refusal(test, 'a.csv', csv(cells), asked),
      /line \d+, column "label": the label "\d,\d+"/,
    );
});
