// What a model was trained to read is what evaluate and predict read, without being asked to.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';

import { bertune, flags, type Options, type Outcome } from '../fixtures/cli.js';
import { cheap, succeeded, toyTraining, workspace } from '../fixtures/workspace.js';

const folder = t.testdir();
const { here, write } = workspace(folder);

const colours = ['red', 'blue'];
const rows = Array.from({ length: 24 }, (_, i) => [
  `part ${i}`,
  `a ${colours[i % 2]} handle`,
  i % 2 ? 'no' : 'yes',
]);
write('parts.csv', ['name,note,fits', ...rows.map((row) => row.join(','))].join('\n'));
write('names.csv', ['name,fits', ...rows.map(([name, , fits]) => `${name},${fits}`)].join('\n'));
// Quotes that do not end: characters, as GLUE has them.
write('quotes.tsv', ['text\tlabel', ...rows.map((row) => `"${row[0]} ${row[1]}\t${row[2]}`)].join('\n'));

const savedReading = (model: string): unknown =>
  JSON.parse(readFileSync(join(folder, model, 'bertune_reading.json'), 'utf8'));
const train = (options: Options): Promise<Outcome> =>
  bertune(
    ['train', ...flags({ ...toyTraining, 'num-train-epochs': undefined, 'max-steps': '1', ...options })],
    here,
  );
const on = (command: string, model: string, options: Options): Promise<Outcome> =>
  bertune([command, ...flags({ ...cheap, model, ...options })], here);

await t.test('pairs by their columns', async (t) => {
  const columns = { 'text-column': 'name', 'text-pair-column': 'note', 'label-column': 'fits' };
  const own = {
    'train-file': 'parts.csv',
    'output-dir': 'pairs',
    'save-strategy': 'epoch',
    'max-seq-length': '12',
  };
  succeeded(t, 'train', await train({ ...own, ...columns }));
  const asTrained = '--text-column name --text-pair-column note --label-column fits --max-seq-length 12';
  t.same(JSON.parse(readFileSync(join(folder, 'pairs/bertune_reading.json'), 'utf8')), {
    textColumn: 'name',
    textPairColumn: 'note',
    labelColumn: ['fits'],
    maxSeqLength: 12,
  });

  for (const model of ['pairs', 'pairs/checkpoint-1']) {
    const { stderr } = await on('evaluate', model, { 'validation-file': 'parts.csv' });
    t.match(stderr, `note: read as in the training: ${asTrained}\n`);
    t.match(stderr, 'validation: 24 rows, text from "name", pair from "note", label from "fits"');
  }
  t.match(await on('predict', 'pairs', { 'test-file': 'names.csv' }), {
    code: 2,
    stderr:
      /names.csv has no column "note"; it has the columns "name", "fits"; --text-pair-column names another/,
    stdout: '',
  });
  const swapped = await on('predict', 'pairs', { 'test-file': 'parts.csv', 'text-column': 'fits' });
  t.match(swapped.stderr, 'test: 24 rows, text from "fits", pair from "note"');
  t.match(
    swapped.stderr,
    'note: other than in the training: --text-column fits in place of --text-column name',
  );
});

await t.test(
  'single texts of a column that is not the likeliest, and quotes that are characters',
  async (t) => {
    succeeded(
      t,
      'train',
      await train({ 'train-file': 'quotes.tsv', 'output-dir': 'quotes', quoting: 'none' }),
    );
    const { stdout, stderr } = await on('predict', 'quotes', { 'test-file': 'quotes.tsv' });
    t.equal(stdout.trim().split('\n').length, 24, 'a prediction for each row');
    t.match(stderr, /^note: read as in the training: --text-column text --quoting none$/m);

    const own = {
      'train-file': 'parts.csv',
      'output-dir': 'notes',
      'text-column': 'note',
      'label-column': 'fits',
    };
    succeeded(t, 'train', await train(own));
    const single = await on('evaluate', 'notes', { 'validation-file': 'parts.csv' });
    t.match(single.stderr, 'validation: 24 rows, text from "note", label from "fits"');
    t.notMatch(single.stderr, 'trained on');
    const pairs = await on('predict', 'notes', { 'test-file': 'parts.csv', 'text-pair-column': 'name' });
    t.match(pairs.stderr, /^note: the model was trained on single texts, and these are pairs$/m);
  },
);

await t.test('the windows that something was tuned with', async (t) => {
  const several = { 'problem-type': 'multi_label_classification', 'output-dir': 'several' };
  succeeded(
    t,
    'train',
    await train({ 'train-file': 'parts.csv', 'text-column': 'note', 'label-column': 'fits', ...several }),
  );
  const windows = { 'max-seq-length': '6', stride: '1', pooling: 'max' };
  const tuning = { 'validation-file': 'parts.csv', 'tune-thresholds': 'global', ...windows };
  succeeded(t, 'evaluate', await on('evaluate', 'several', tuning));
  const { stderr } = await on('predict', 'several', { 'test-file': 'parts.csv' });
  t.match(
    stderr,
    /^note: read as in the training: --text-column note --stride 1 --pooling max --max-seq-length 6$/m,
  );
  const pooled = { 'validation-file': 'parts.csv', pooling: 'mean', 'tune-thresholds': 'global' };
  succeeded(t, 'evaluate', await on('evaluate', 'several', pooled));
  t.match(savedReading('several'), { stride: 1, pooling: 'mean' }, 'with the stride of before');
  succeeded(
    t,
    'evaluate',
    await on('evaluate', 'several', { ...pooled, pooling: undefined, stride: 'none' }),
  );
  t.match(savedReading('several'), { maxSeqLength: 6, stride: undefined, pooling: undefined });
  t.match(await on('predict', 'several', { 'test-file': 'parts.csv', pooling: 'max' }), {
    code: 2,
    stderr: '--pooling needs --stride: without windows there is nothing to pool',
  });
  t.match(await on('evaluate', 'notes', { ...tuning, 'problem-type': 'multi_label_classification' }), {
    code: 2,
    stderr: /saved for the problem type that the model has; set problem_type in its config.json/,
  });
});

await t.test('the problem type', async (t) => {
  const several = { 'validation-file': 'parts.csv', 'problem-type': 'multi_label_classification' };
  const { stdout, stderr } = await on('evaluate', 'notes', several);
  t.match(
    stderr,
    /^note: --problem-type is multi_label_classification in place of single_label_classification, which the model's config.json has$/m,
  );
  t.ok('eval_subset_accuracy' in (JSON.parse(stdout) as object));
  const predicted = await on('predict', 'notes', {
    ...several,
    'validation-file': undefined,
    'test-file': 'parts.csv',
  });
  const [first] = predicted.stdout.split('\n').map((line) => JSON.parse(line || '{}') as { label?: unknown });
  t.ok(Array.isArray(first?.label), 'a list of labels, each by a sigmoid of its own');
});
