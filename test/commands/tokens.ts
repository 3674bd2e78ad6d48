// Token classification on the command line: training, evaluation, prediction, adapters, an export, and what is refused.
import { join } from 'node:path';
import t from 'tap';

import { bertune } from '../fixtures/cli.js';
import { cheap, workspace } from '../fixtures/workspace.js';

const { here, write, read } = workspace(t.testdir());

/** Good words are entities, of one or two words. */
function sentence(row: number): [token: string, tag: string][] {
  const words: [string, string][] = [];
  const good = ['good', 'great', 'fine', 'superb', 'lovely'];
  const bad = ['bad', 'poor', 'awful', 'dull', 'weak'];
  for (let i = 0; i < 3 + (row % 4); i++) {
    const number = row * 7 + i * 3;
    if (number % 3 === 0)
      words.push([good[number % 5] ?? '', 'B-GOOD'], [good[(number + 2) % 5] ?? '', 'I-GOOD']);
    else if (number % 3 === 1) words.push([bad[number % 5] ?? '', 'B-BAD']);
    words.push([['the', 'film', 'was', 'plot'][number % 4] ?? '', 'O']);
  }
  return words;
}
const conll = (first: number, rows: number): string =>
  Array.from({ length: rows }, (_, i) =>
    sentence(first + i)
      .map((cells) => cells.join(' '))
      .join('\n'),
  ).join('\n\n');
write('train.conll', conll(0, 60));
write('dev.conll', conll(60, 20));
const jsonl = Array.from({ length: 20 }, (_, i) => {
  const words = sentence(60 + i);
  return JSON.stringify({ tokens: words.map(([token]) => token), ner_tags: words.map(([, tag]) => tag) });
});
write('dev.jsonl', jsonl.join('\n'));

const flags = (options: Record<string, string>): string[] =>
  Object.entries(options).flatMap(([name, value]) => (value === '' ? [`--${name}`] : [`--${name}`, value]));
const training = {
  ...cheap,
  config: 'model/config.json',
  tokenizer: 'model',
  'train-file': 'train.conll',
  'validation-file': 'dev.conll',
  'num-train-epochs': '8',
  'learning-rate': '3e-3',
  dtype: 'float32',
  'eval-strategy': 'epoch',
  'load-best-model-at-end': '',
  'metric-for-best-model': 'f1',
  'save-strategy': 'epoch',
};

t.test('trains, evaluates, predicts', async (t) => {
  const trained = await bertune(['train', ...flags({ ...training, 'output-dir': 'out' })], here);
  t.equal(trained.code, 0, trained.stderr);
  t.match(trained.stderr, /train: 60 rows, words from column 1, label from the last column/);
  t.match(trained.stderr, /Task: token_classification, labels O, B-BAD, I-BAD, B-GOOD, I-GOOD/);
  t.match(trained.stderr, /BertForTokenClassification\.from_pretrained loads it too/);
  const { eval_f1: f1, eval_accuracy: accuracy } = JSON.parse(trained.stdout) as Record<string, number>;
  t.ok((f1 ?? 0) > 0.95 && (accuracy ?? 0) > 0.95, `F1 ${f1}, accuracy ${accuracy}`);
  t.match(JSON.parse(read('out/config.json').toString()), { architectures: ['BertForTokenClassification'] });
  t.match(read('out/README.md').toString(), /pipeline_tag: token-classification/);
  t.match(read('out/report.html').toString(), /entities/);
  t.match(read('out/report.html').toString(), 'Words by label, train');

  // From the middle of the run to its end it is the same, to the last bit.
  const first = read('out/checkpoint-64/model.safetensors');
  const resumed = [
    'train',
    ...flags({ ...training, 'output-dir': 'out', 'resume-from-checkpoint': 'out/checkpoint-32' }),
  ];
  t.equal((await bertune(resumed, here)).code, 0);
  t.equal(first.compare(read('out/checkpoint-64/model.safetensors')), 0, 'a resumed run');

  for (const file of ['dev.conll', 'dev.jsonl']) {
    const evaluated = await bertune(
      [
        'evaluate',
        ...flags({
          ...cheap,
          model: 'out',
          'validation-file': file,
          dtype: 'float32',
          'strict-entities': '',
        }),
      ],
      here,
    );
    t.equal(evaluated.code, 0, evaluated.stderr);
    if (file === 'dev.conll') t.match(evaluated.stderr, /words from column 1, label from the last column/);
    t.match(evaluated.stderr, /class +precision +recall +f1 +entities\nBAD /, file);
    const found = JSON.parse(evaluated.stdout) as Record<string, unknown>;
    t.equal(found['eval_f1'], f1, `${file}: as in the training`);
    t.match(found['eval_per_class'], { BAD: { support: Number }, GOOD: { support: Number } });
  }

  const text = 'the good superb film was awful';
  const predict = (options: Record<string, string>) =>
    bertune(['predict', ...flags({ ...cheap, model: 'out', dtype: 'float32', ...options })], here);
  const found = await predict({ text });
  const entities = [
    { label: 'GOOD', start: 4, end: 15, text: 'good superb' },
    { label: 'BAD', start: 25, end: 30, text: 'awful' },
  ];
  t.match(JSON.parse(found.stdout), { row: 0, text, entities });
  write('words.jsonl', JSON.stringify({ tokens: text.split(' ') }));
  const ofWords = await predict({ 'test-file': 'words.jsonl' });
  t.notMatch(ofWords.stderr, /no entity/, 'nothing is said of entities before any are predicted');
  const words = JSON.parse(ofWords.stdout) as { entities: object[] };
  t.match(words.entities, [{ words: [1, 3] }, { words: [5, 6] }]);
  write('texts.txt', `${text}\nthe film\n`);
  const csv = await predict({ 'test-file': 'texts.txt', 'output-file': 'found.csv' });
  t.equal(csv.code, 0, csv.stderr);
  t.match(
    read('found.csv').toString(),
    /^row,label,score,start,end,text\n0,GOOD,0\.\d+,4,15,good superb\n0,BAD,[\d.]+,25,30,awful\n$/,
  );
  const long = Array.from({ length: 10 }, () => text).join(' ');
  const windows = JSON.parse((await predict({ text: long, 'max-seq-length': '16', stride: '6' })).stdout) as {
    entities: { start: number; text: string }[];
  };
  t.ok((windows.entities.at(-1)?.start ?? 0) > long.length - 10, 'long texts are read to their end');
  t.ok(windows.entities.length >= 20, `${windows.entities.length} entities`);
  t.ok(windows.entities.every(({ start, text: own }) => long.startsWith(own, start)));
});

t.test('what predict writes is training data, whatever the characters before an entity', async (t) => {
  write('texts.txt', '👩 the good superb film\nthe film 👩‍🚀 was awful\nthe film was the plot\n');
  const predicted = await bertune(
    ['predict', ...flags({ ...cheap, model: 'out', 'test-file': 'texts.txt', 'output-file': 'found.jsonl' })],
    here,
  );
  t.equal(predicted.code, 0, predicted.stderr);
  const found = read('found.jsonl').toString().trim().split('\n');
  const wanted = found.map((line) => {
    const { text, entities } = JSON.parse(line) as { text: string; entities: Record<string, unknown>[] };
    for (const { start, end, text: own } of entities)
      t.equal(text.slice(Number(start), Number(end)), own, text);
    return (
      entities.map(({ text: own, label }) => `${String(own)} (${String(label)})`).join(', ') || 'no entity'
    );
  });
  t.match(wanted, [/superb \(GOOD\)/, /awful \(BAD\)/]);
  const { config: _c, ...others } = training;
  const { code, stderr } = await bertune(
    [
      'train',
      ...flags({
        ...others,
        model: 'out',
        'train-file': 'found.jsonl',
        'validation-file': 'found.jsonl',
        'num-train-epochs': '1',
        'output-dir': 'again',
      }),
    ],
    here,
  );
  t.equal(code, 0, stderr);
  for (const entities of wanted) t.match(stderr, `  ${entities}: `);
  t.match(stderr, /found\.jsonl: the places of entities count UTF-16 units, as their texts show/);
});

t.test('entities behind the cut of long texts are counted, once', async (t) => {
  const long = sentence(3).concat(sentence(4), sentence(5), sentence(6));
  write('long.conll', `${long.map((cells) => cells.join(' ')).join('\n')}\n`);
  const all = long.filter(([, tag]) => tag.startsWith('B-'));
  // Each word is a token of the toy vocabulary: six of them beside [CLS] and [SEP].
  const behind = long.slice(6).filter(([, tag]) => tag.startsWith('B-'));
  t.ok(behind.length > 0 && behind.length < all.length);
  const evaluate = (options: Record<string, string>) =>
    bertune(
      [
        'evaluate',
        ...flags({
          ...cheap,
          model: 'out',
          'validation-file': 'long.conll',
          'max-seq-length': '8',
          ...options,
        }),
      ],
      here,
    );
  const cut = await evaluate({});
  t.match(
    cut.stderr,
    `note: ${behind.length} entities are behind the 8 tokens of --max-seq-length and count for nothing; --stride 2 reads long texts whole`,
  );
  t.match(JSON.parse(cut.stdout), { eval_truncated_entities: behind.length });
  const whole = await evaluate({ stride: '2' });
  t.notMatch(whole.stderr, /behind/);
  t.notMatch(whole.stdout, /truncated/);

  const { code, stderr } = await bertune(
    [
      'train',
      ...flags({
        ...training,
        'validation-file': 'long.conll',
        'max-seq-length': '8',
        'num-train-epochs': '2',
        'output-dir': 'cut',
      }),
    ],
    here,
  );
  t.equal(code, 0, stderr);
  t.equal(stderr.match(/entities are behind the cut of long evaluation texts/g)?.length, 1, stderr);
});

t.test('the texts of an evaluation with their entities, the largest loss first', async (t) => {
  const args = {
    model: 'out',
    'validation-file': 'dev.conll',
    'predictions-file': 'errors.jsonl',
    dtype: 'float32',
  };
  const { code, stderr, stdout } = await bertune(['evaluate', ...flags({ ...cheap, ...args })], here);
  t.equal(code, 0, stderr);
  t.match(stderr, /20 texts written to errors\.jsonl, the largest loss first/);
  type Part = { label: string; start: number; end: number; text: string };
  const rows = read('errors.jsonl')
    .toString()
    .trim()
    .split('\n')
    .map(
      (line) =>
        JSON.parse(line) as { text: string; gold: Part[]; predicted: Part[]; loss: number; row: number },
    );
  t.same(
    rows.map(({ row }) => row).toSorted((a, b) => a - b),
    Array.from({ length: 20 }, (_, row) => row),
  );
  t.same(
    rows.map(({ loss }) => loss),
    rows.map(({ loss }) => loss).toSorted((a, b) => b - a),
  );
  let [right, gold] = [0, 0];
  for (const { text, gold: given, predicted, row } of rows) {
    const words = sentence(60 + row);
    t.equal(text, words.map(([word]) => word).join(' '));
    t.equal(given.length, words.filter(([, tag]) => tag.startsWith('B-')).length);
    for (const { start, end, text: own } of [...given, ...predicted]) t.equal(text.slice(start, end), own);
    const shown = new Set(predicted.map(({ label, start, end }) => `${label} ${start} ${end}`));
    right += given.filter(({ label, start, end }) => shown.has(`${label} ${start} ${end}`)).length;
    gold += given.length;
  }
  const { eval_recall: recall } = JSON.parse(stdout) as { eval_recall: number };
  t.ok(Math.abs(right / gold - recall) < 1e-9, `${right} of ${gold} entities, recall ${recall}`);
});

t.test('an adapter is saved as PEFT saves it', async (t) => {
  const { config: _, ...options } = training;
  const lora = {
    ...options,
    model: 'out',
    'lora-rank': '2',
    'num-train-epochs': '1',
    'output-dir': 'adapter',
  };
  const trained = await bertune(['train', ...flags(lora)], here);
  t.equal(trained.code, 0, trained.stderr);
  t.match(JSON.parse(read('adapter/adapter_config.json').toString()), {
    task_type: 'TOKEN_CLS',
    modules_to_save: ['classifier', 'score'],
  });
  const evaluated = await bertune(
    ['evaluate', ...flags({ ...cheap, model: 'adapter', 'validation-file': 'dev.conll' })],
    here,
  );
  t.equal(evaluated.code, 0, evaluated.stderr);
});

t.test('what does not go with tokens is refused in a line', async (t) => {
  const refused = async (args: readonly string[], message: RegExp): Promise<void> => {
    const { code, stderr } = await bertune(args, here);
    t.equal(code, 2, stderr);
    t.match(stderr, message);
  };
  const of = (command: string, options: Record<string, string>) => [
    command,
    ...flags({ ...cheap, model: 'out', ...options }),
  ];
  await refused(
    of('evaluate', { 'validation-file': 'dev.conll', 'tune-thresholds': 'global' }),
    /--tune-thresholds is for models that give several labels/,
  );
  await refused(
    of('evaluate', { 'validation-file': 'dev.conll', 'predictions-file': 'x.csv' }),
    /--predictions-file x\.csv: the entities of a text are lists, which CSV does not have; end it in \.jsonl/,
  );
  await refused(
    ['train', ...flags({ ...training, 'output-dir': 'refused', 'label-corrections': 'dev.conll' })],
    /--label-corrections is for texts whose labels are classes/,
  );
  await refused(of('evaluate', { 'validation-file': 'test.csv' }), /of tokens there are no CSV files/);
  await refused(
    of('predict', { text: 'a', 'output-file': 'x.parquet' }),
    /Entities are written as jsonl or csv/,
  );
  await refused(
    of('train', { 'train-file': 'train.conll', 'output-dir': 'x', 'label-delimiter': ';' }),
    /--label-delimiter does not go with token classification/,
  );
  await refused(
    of('train', {
      'train-file': 'train.conll',
      'output-dir': 'x',
      'problem-type': 'regression',
      task: 'token-classification',
    }),
    /--problem-type does not go with token classification/,
  );
  await refused(
    of('train', {
      'train-file': 'train.conll',
      'output-dir': 'x',
      'metric-for-best-model': 'r3',
      'eval-strategy': 'epoch',
    }),
    /metric-for-best-model/,
  );
  await refused(of('train', { 'train-file': 'train.conll', 'output-dir': 'x', task: 'masked-ml' }), /--task/);
});

t.test('cross-validation and class weights', async (t) => {
  const {
    'validation-file': _v,
    'eval-strategy': _e,
    'load-best-model-at-end': _l,
    'save-strategy': _s,
    'metric-for-best-model': _m,
    ...options
  } = training;
  const folds = {
    ...options,
    'num-train-epochs': '1',
    'cross-validation': '2',
    'class-weights': 'balanced',
    'output-dir': 'folds',
  };
  const { code, stderr, stdout } = await bertune(['train', ...flags(folds)], here);
  // No word continues a bad one.
  t.equal(code, 2, stdout);
  t.match(stderr, /cannot be balanced: the label "I-BAD" has no training row/);
  const { 'class-weights': _, ...plain } = folds;
  const weights = ['--class-weights', '1', '2', '2', '2', '2'];
  const weighed = await bertune(['train', ...flags(plain), ...weights], here);
  t.equal(weighed.code, 0, weighed.stderr);
  t.match(weighed.stdout, /eval_f1/);
});

t.test('an export is compared by its entities', async (t) => {
  const args = ['export', ...flags({ model: 'out', 'output-dir': 'onnx', 'validation-file': 'dev.conll' })];
  const { code, stderr } = await bertune(args, here);
  t.equal(code, 0, stderr);
  t.match(stderr, /pipeline\('token-classification'/);
  t.match(stderr, /f1/);
  t.match(stderr, /compared with bertune's on \d+ tokens:/);
  t.ok(read(join('onnx', 'onnx', 'model.onnx')).length > 0);
});

t.test('inspect and init know labels of tokens', async (t) => {
  const inspected = await bertune(['inspect', 'train.conll', '--model', 'out'], here);
  t.equal(inspected.code, 0, inspected.stderr);
  t.match(inspected.stdout, /^60 usable rows$/m);
  const shares = Array.from(
    inspected.stdout.matchAll(/^ {2}[\w-]+: \d+ \((?<share>[\d.]+) %\)$/gm),
    (found) => Number(found.groups?.['share']),
  );
  t.equal(shares.length, 5, inspected.stdout);
  t.ok(Math.abs(shares.reduce((sum, share) => sum + share, 0) - 100) < 1, 'shares of all labels');
  t.match(inspected.stdout, /^Training .* tokens a second, measured\)$/m);

  const begun = await bertune(
    [
      'init',
      'dev.jsonl',
      '--config',
      'model/config.json',
      '--tokenizer',
      'model',
      '--config-file',
      'ner.yaml',
    ],
    here,
  );
  t.equal(begun.code, 0, begun.stderr);
  t.match(read('ner.yaml').toString(), /^metric_for_best_model: f1$/m);
  const trained = await bertune(
    ['train', 'ner.yaml', '--max-steps', '1', '--num-train-epochs', '1', '--output-dir', 'begun'],
    here,
  );
  t.equal(trained.code, 0, trained.stderr);
});

t.test('labels without a scheme are shown as they are', async (t) => {
  write(
    'plain.jsonl',
    '{"tokens": ["Ada", "lives", "in", "Paris"], "ner_tags": ["PER", "O", "O", "LOC"]}\n'.repeat(4),
  );
  const { code, stderr } = await bertune(['inspect', 'plain.jsonl'], here);
  t.equal(code, 0, stderr);
  t.match(stderr, 'Ada (PER), Paris (LOC): Ada lives in Paris');
});

t.test('a text without its marked parts is a bad row', async (t) => {
  const rows = [
    { text: 'Ada lives', entities: [{ start: 0, end: 3, label: 'PER' }] },
    { text: 'no key here' },
  ];
  write('spans.jsonl', rows.map((row) => JSON.stringify(row)).join('\n'));
  const { code, stderr } = await bertune(
    ['train', ...flags({ ...training, 'train-file': 'spans.jsonl', 'output-dir': 'spans' })],
    here,
  );
  t.equal(code, 2);
  t.match(stderr, 'spans.jsonl line 2: no entities; give an empty list for a text without any');
});
