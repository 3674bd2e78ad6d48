// Trying a model at once, its worst errors, and what a person sees of a result.
import { cpSync, linkSync, mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse } from 'csv-parse/sync';
import t from 'tap';

import { metricsTable } from '../../dist/commands/output.js';
import { predictionFormats } from '../../dist/predictions/formats.js';
import { FormulaGuard, type PredictedRow } from '../../dist/predictions/table.js';
import { asTask } from '../../dist/tasks/index.js';
import { Progress, progressDetail } from '../../dist/terminal/progress.js';
import { bertune, flags, type Options, type Outcome } from '../fixtures/cli.js';
import { cheap, json, succeeded, toyTraining, workspace } from '../fixtures/workspace.js';

const folder = t.testdir();
const { here, write } = workspace(folder);
mkdirSync(join(folder, 'tmp'));

const on = (command: string, options: Options): Promise<Outcome> =>
  bertune([command, ...flags({ ...cheap, model: 'out', ...options })], here);

const piped = (input: string | Buffer, options: Options): Promise<Outcome> =>
  bertune(['predict', ...flags({ ...cheap, model: 'out', 'test-file': '-', ...options })], {
    ...here,
    input,
    env: { TMPDIR: join(folder, 'tmp') },
  });

const labels = (stdout: string): unknown[] =>
  stdout
    .trim()
    .split('\n')
    .map((line) => (JSON.parse(line) as { score: number }).score);

await t.test('texts on the command line and on standard input', async (t) => {
  const training = { 'output-dir': 'out', 'num-train-epochs': '2', 'save-strategy': 'no' };
  succeeded(t, 'train', await bertune(['train', ...flags({ ...toyTraining, ...training })], here));
  const texts = ['a fine film', 'a dull film'];
  const given = await on('predict', { text: texts });
  t.equal(labels(given.stdout).length, 2);
  write('texts.csv', `text\n${texts.join('\n')}\n`);
  const ofFile = await on('predict', { 'test-file': 'texts.csv' });
  const same = labels(ofFile.stdout);
  t.same(labels(given.stdout), same, 'as of a file');
  t.same(labels((await piped(`${texts.join('\n')}\n`, {})).stdout), same, 'a text a line');
  const lines = texts.map((text, id) => JSON.stringify({ id, text })).join('\n');
  const ofJson = await piped(lines, { 'id-column': 'id', quiet: true });
  t.same(labels(ofJson.stdout), same);
  t.match(ofJson.stdout, '{"row":1,"id":1,');
  t.equal(ofJson.stderr.replaceAll(/^note: .*\n/gm, ''), '', 'nothing but notes with --quiet');
  t.match(await piped('one\n\n', {}), {
    code: 2,
    stderr: /^ {2}standard input line 2, column "text": the text is empty$/m,
  });
  t.match(await piped('', {}), {
    code: 2,
    stderr: 'bertune: standard input is empty; give it a text a line, or JSON Lines',
  });
  t.match(
    (await piped('{"review":"x"}\n', {})).stderr,
    /standard input has no column "text"; it has the column "review"/,
  );
  const list = JSON.stringify(texts);
  t.same(labels((await piped(list, {})).stdout), same, 'a list of texts, as of a .json file');
  t.match(await on('evaluate', { 'validation-file': '-' }), {
    code: 2,
    stderr: 'bertune: -, standard input, is only read by predict; name a file here',
  });
  const onTerminal = { ...here, isTerminal: true };
  const asJson = await bertune(
    ['predict', ...flags({ ...cheap, model: 'out', text: texts, json: true })],
    onTerminal,
  );
  t.same(labels(asJson.stdout), same, '--json');
  const skipped = (await piped('one\n\ntwo\n', { 'bad-rows': 'skip' })).stdout.trim().split('\n');
  t.match(JSON.parse(skipped[1] ?? ''), { row: 1, place: 'standard input line 3' });
  t.same(readdirSync(join(folder, 'tmp')), [], 'no temporary folder is left');

  // How the files of the training were written says nothing of texts that are in none.
  cpSync(join(folder, 'out'), join(folder, 'of-files'), { recursive: true });
  const ofFiles = { textColumn: 'text', encoding: 'windows-1252', jsonField: 'data', escape: '\\' };
  write('of-files/bertune_reading.json', JSON.stringify({ ...ofFiles, quoting: 'none' }));
  const alike = await on('predict', { model: 'of-files', text: ['sch\u00f6n', ...texts] });
  t.same(labels(alike.stdout).slice(1), same);
  const shown = { model: 'of-files', 'output-format': 'table' };
  t.match((await on('predict', { ...shown, text: 'sch\u00f6n' })).stdout, 'sch\u00f6n');
  for (const input of ['sch\u00f6n\n', '{"text":"sch\u00f6n"}\n', '[{"text":"sch\u00f6n"}]\n'])
    t.match((await piped(input, shown)).stdout, 'sch\u00f6n');
  const nested = '{"rows": [{"text":"a"}], "data": [{"text":"sch\u00f6n"}]}';
  t.match(
    (await piped(nested, { ...shown, 'json-field': 'data' })).stdout,
    'sch\u00f6n',
    'where it was asked for',
  );
});

await t.test('where texts come from is said once', async (t) => {
  for (const [options, message] of [
    [{ text: 'a', 'test-file': 'texts.csv' }, '--text and --test-file exclude each other; keep one of them'],
    [{ text: 'a', dataset: 'x/y' }, '--text and --dataset exclude each other; keep one of them'],
    [{ 'test-file': ['-', 'texts.csv'] }, '--test-file -, standard input, goes with no other file'],
    [{}, /^bertune: --test-file is needed: /],
  ] as const)
    t.match(await on('predict', options), { code: 2, stderr: message });
});

await t.test('the worst errors, and carried columns as they are', async (t) => {
  const rows = ['"@user fine",positive', 'a dull film,negative', 'a fine film,negative'];
  const trained = readFileSync(join(folder, 'train.csv'), 'utf8').trim().split('\n').slice(1);
  const names = trained.map((line) => line.slice(line.lastIndexOf(',') + 1));
  const [one = '', two = ''] = [...new Set(names)];
  write(
    'gold.csv',
    `text,label\n${rows.join('\n').replaceAll('positive', one).replaceAll('negative', two)}\n`,
  );
  const evaluated = await on('evaluate', { 'validation-file': 'gold.csv', 'predictions-file': 'errors.csv' });
  succeeded(t, 'evaluate', evaluated);
  t.match(evaluated.stderr, '3 rows written to errors.csv, the largest loss first');
  t.match(evaluated.stderr, /^note: 1 text like a formula/m);
  const errors: Record<string, string>[] = parse(readFileSync(join(folder, 'errors.csv')), { columns: true });
  const losses = errors.map(({ loss }) => Number(loss));
  t.same(
    losses,
    losses.toSorted((a, b) => b - a),
  );
  const mean = losses.reduce((sum, loss) => sum + loss, 0) / losses.length;
  t.ok(Math.abs(mean - (json(evaluated.stdout)['eval_loss'] ?? 0)) < 1e-6, 'their mean is eval_loss');
  const wrong = errors.filter(({ gold, predicted }) => gold !== predicted).length;
  t.ok(Math.abs(1 - wrong / 3 - (json(evaluated.stdout)['eval_accuracy'] ?? 0)) < 1e-6);
  t.match(await on('evaluate', { 'validation-file': 'gold.csv', 'predictions-file': 'errors.txt' }), {
    code: 2,
    stderr: '--predictions-file errors.txt has an ending that names no format; end it in .csv or .jsonl',
  });

  // An output is no input, by a pattern or by another name.
  linkSync(join(folder, 'gold.csv'), join(folder, 'other-name.csv'));
  const gold = readFileSync(join(folder, 'gold.csv'), 'utf8');
  for (const [read, written] of [
    ['gold.csv', 'gold.csv'],
    ['gold*.csv', 'gold.csv'],
    ['gold.csv', 'other-name.csv'],
  ] as const)
    t.match(await on('evaluate', { 'validation-file': read, 'predictions-file': written }), {
      code: 2,
      stderr: `--predictions-file ${written} is gold.csv, a file with the rows; name another one`,
    });
  const overRows = { 'test-file': 'gold*.csv', 'output-file': 'gold.csv' };
  t.match(await on('predict', overRows), { code: 2, stderr: '--output-file gold.csv is gold.csv, a file' });
  t.equal(readFileSync(join(folder, 'gold.csv'), 'utf8'), gold);

  const carried = { 'test-file': 'gold.csv', 'id-column': 'text', 'output-file': 'carried.csv' };
  const guarded = await on('predict', carried);
  t.match(guarded.stderr, /^note: 1 text like a formula .*--no-formula-guard/m);
  t.match(readFileSync(join(folder, 'carried.csv'), 'utf8'), "\n0,'@user fine,");
  const plain = await on('predict', { ...carried, 'no-formula-guard': true });
  t.notMatch(plain.stderr, 'formula');
  t.match(readFileSync(join(folder, 'carried.csv'), 'utf8'), '\n0,@user fine,');
});

await t.test('a table of predictions fits its width', async (t) => {
  const task = asTask({ problemType: 'single_label_classification', labels: ['no', 'quite good'] });
  const rows: PredictedRow[] = [
    { row: 0, label: 'no', score: 0.25, probabilities: {}, text: `one\ntwo ${'long '.repeat(40)}` },
    { row: 1, label: 'quite good', score: 1, probabilities: {}, text: 'short' },
  ];
  async function* batches(): AsyncGenerator<PredictedRow[]> {
    yield await Promise.resolve(rows);
  }
  const parts = { task, hasPlaces: false, passthrough: [], guard: new FormulaGuard(true), width: 60 };
  let table = '';
  for await (const piece of predictionFormats.table.write(batches(), parts)) table += piece;
  const lines = table.trimEnd().split('\n');
  t.equal(lines[0], 'label         score  text');
  t.match(lines[1], /^no {13}0\.25 {2}one two long .*\.\.\.$/);
  t.equal(lines[2], 'quite good        1  short');
  t.ok(lines.every((line) => line.length <= 60));
});

t.test('the metrics as a table, without what is for programs', (t) => {
  const metrics = {
    eval_loss: 0.41234567,
    eval_roc_auc: Number.NaN,
    eval_samples: 40,
    eval_f1: 1,
    eval_per_class: {},
  };
  t.equal(metricsTable(metrics), 'eval_loss     0.4123\neval_roc_auc     n/a\neval_f1            1\n');
  t.equal(metricsTable(metrics, ['roc_auc', 'f1']), 'eval_loss  0.4123\n');
  t.end();
});

t.test('log lines fit 100 columns; other lines are wrapped on a terminal', (t) => {
  let written = '';
  const out = { columns: 40, write: (text: string) => (written += text) };
  const entry = Object.fromEntries(Array.from({ length: 12 }, (_, i) => [`metric_number_${i}`, i / 7]));
  new Progress(out).entry({ step: 5, epoch: 1, ...entry, eval_runtime: 3 }, 9);
  const lines = written.trimEnd().split('\n');
  t.ok(lines.length > 1 && lines.every((line) => line.length <= 100), written);
  t.ok(lines.slice(1).every((line) => line.startsWith('  metric_number_')));
  t.notMatch(written, 'eval_runtime', 'how fast an evaluation was is in the results');
  for (const name of Object.keys(entry)) t.match(written, `${name} `);

  const text = 'note: a sentence that is longer than the line of a small terminal, by far';
  written = '';
  new Progress(out).line(text);
  t.equal(written, `${text}\n`, 'whole where programs read');
  written = '';
  new Progress({ ...out, isTTY: true }).line(text);
  t.equal(written, 'note: a sentence that is longer than the\n  line of a small terminal, by far\n');
  written = '';
  new Progress({ ...out, isTTY: true, columns: 0 }).line(text);
  t.equal(written, `${text}\n`, 'a terminal without a width');
  t.end();
});

t.test('on a terminal no command and no pair of name and value is broken', (t) => {
  let written = '';
  const out = { isTTY: true, columns: 80, write: (text: string) => (written += text) };
  const linesOf = (write: (progress: Progress) => void): string[] => {
    written = '';
    write(new Progress(out));
    return written.trimEnd().split('\n');
  };
  for (const command of ['npm run predict -- --model', 'npx bertune predict --model']) {
    const whole = `${command} results-of-march --test-file FILE.csv --output-file predictions.jsonl`;
    t.ok(whole.length > 80);
    t.strictSame(
      linesOf((progress) => progress.line(`Classify a file with it:\n  ${whole}`)),
      ['Classify a file with it:', `  ${whole}`],
    );
    t.strictSame(
      linesOf((progress) => progress.line(`Written: run.yaml. Read it, then use it: ${whole}`)),
      ['Written: run.yaml. Read it, then use it:', `  ${whole}`],
    );
  }
  const pairs = Array.from({ length: 9 }, (_, i) => [`train_samples_${'n'.repeat(i)}`, 300 + i] as const);
  const texts = pairs.map(([name, value]) => `${name} ${value}`);
  for (const lines of [
    linesOf((progress) => progress.entry({ step: 5, epoch: 1, ...Object.fromEntries(pairs) }, 9)),
    linesOf((progress) => progress.line(`fold 1/5  ${texts.join('  ')}`)),
    linesOf((progress) => progress.line(`trial 1/5  ${texts.join('  ')}  (best 0.5, trial 1)`)),
  ]) {
    t.ok(lines.length > 2 && lines.every((line) => line.length <= 80), lines.join('\n'));
    const shown = new Set(lines.flatMap((line) => line.trim().split('  ')));
    for (const text of texts) t.ok(shown.has(text), `${text} in ${lines.join('\n')}`);
  }
  t.end();
});

t.test('a narrow terminal shows the fields of the bar that say most', (t) => {
  const training = {
    state: { global_step: 480, num_input_tokens_seen: 480_000, log_history: [{ loss: 0.312 }] },
    learningRate: 4.4e-5,
    seconds: 48,
    totalSteps: 640,
  };
  const barAt = (columns: number): string => {
    let written = '';
    const out = { isTTY: true, columns, write: (text: string) => (written += text) };
    new Progress(out, () => 1000).bar('training', 480, 640, progressDetail(training));
    return written.slice(written.lastIndexOf('] ') + 2);
  };
  t.equal(barAt(120), '480/640  0:16 left  loss 0.312  10000 tok/s  lr 4.40e-5');
  t.equal(barAt(80), '480/640  0:16 left  loss 0.312  10000 tok/s');
  t.equal(barAt(70), '480/640  0:16 left  loss 0.312');
  t.equal(barAt(60), '480/640  0:16 left');
  t.end();
});
