// report.html of the commands: its values are those of trainer_state.json and of the metrics, and nothing of the data is markup.
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';

import { bertune, flags } from '../fixtures/cli.js';
import { json, succeeded, toyTraining, workspace } from '../fixtures/workspace.js';

const folder = t.testdir();
const { here, write } = workspace(folder);
const training = {
  ...toyTraining,
  'num-train-epochs': '3',
  'validation-file': 'test.csv',
  'eval-strategy': 'epoch',
  'logging-steps': '2',
  'save-steps': '8',
};

interface Logged extends Record<string, number> {
  step: number;
}
interface State {
  log_history: Logged[];
  global_step: number;
}
const stateOf = (path: string): State => JSON.parse(readFileSync(join(folder, path), 'utf8')) as State;
const pageOf = (path: string): string => readFileSync(join(folder, path), 'utf8');

const ENTITIES: Record<string, string> = { amp: '&', lt: '<', gt: '>', quot: '"', '#39': "'" };
function textOf(markup: string): string {
  const text = markup.replaceAll(/<[^>]*>/g, ' ');
  return text.replaceAll(/&(#?\w+);/g, (_, name: string) => ENTITIES[name] ?? '?').trim();
}

/** The cells of the first table behind a heading. */
function tableBehind(page: string, heading: string): string[][] {
  const at = page.indexOf(`>${heading}</h`);
  const table = page.slice(page.indexOf('<table', at), page.indexOf('</table>', at));
  const rows = [...table.matchAll(/<tr>([^]*?)<\/tr>/g)];
  return rows.map(([, row = '']) =>
    [...row.matchAll(/<t[hd][^>]*>([^]*?)<\/t[hd]>/g)].map(([, cell = '']) => textOf(cell)),
  );
}

/** A number of the page; four digits are shown. */
const near = (shown: string | undefined, value: number): boolean =>
  Math.abs(Number(shown?.replaceAll(',', '')) - value) <= 6e-4 * Math.abs(value) + 1e-9;

await t.test('a training', async (t) => {
  succeeded(t, 'train', await bertune(['train', ...flags({ ...training, 'output-dir': 'out' })], here));
  const page = pageOf('out/report.html');
  const { log_history: history } = stateOf('out/trainer_state.json');
  const losses = history.filter((entry) => 'loss' in entry);
  t.ok(
    losses.length > 5 && losses.every((entry) => entry['num_input_tokens_seen'] && entry['train_runtime']),
  );
  for (const [heading, key] of [
    ['Loss', 'loss'],
    ['Learning rate', 'learning_rate'],
    ['Gradient norm', 'grad_norm'],
  ] as const) {
    const rows = tableBehind(page, heading).slice(1);
    for (const entry of losses) {
      const row = rows.find(([step]) => Number(step) === entry.step);
      t.ok(
        near(row?.[1], entry[key] ?? Number.NaN),
        `${heading} at step ${entry.step}: ${row?.[1]} for ${entry[key]}`,
      );
    }
  }
  const evaluations = history.filter((entry) => 'eval_loss' in entry);
  for (const entry of evaluations) {
    const row = tableBehind(page, 'Loss').find(([step]) => Number(step) === entry.step);
    t.ok(near(row?.[2], entry['eval_loss'] ?? Number.NaN), `evaluation at step ${entry.step}`);
  }
  // Tokens and seconds from one entry to the next, less the evaluations between them.
  const speeds = tableBehind(page, 'Speed').slice(1);
  let [tokens, seconds, evaluating] = [0, 0, 0];
  for (const entry of history) {
    evaluating += entry['eval_runtime'] ?? 0;
    if (!('loss' in entry)) continue;
    const { num_input_tokens_seen: allTokens = 0, train_runtime: allSeconds = 0 } = entry;
    const row = speeds.find(([step]) => Number(step) === entry.step);
    t.ok(
      near(row?.[1], (allTokens - tokens) / (allSeconds - seconds - evaluating)),
      `speed at step ${entry.step}`,
    );
    [tokens, seconds, evaluating] = [allTokens, allSeconds, 0];
  }
  const results = json(pageOf('out/all_results.json'));
  const all = page.slice(page.indexOf('metrics</summary>'));
  const shown = new Map(tableBehind(`>x</h>${all}`, 'x').map(([name = '', value]) => [name, value]));
  for (const name of ['loss', 'accuracy', 'f1_macro', 'roc_auc', 'matthews_correlation'])
    t.ok(near(shown.get(name), results[`eval_${name}`] ?? Number.NaN), name);
  const options = new Map(
    tableBehind(page, 'Options that differ from the defaults').map(([name = '', value]) => [name, value]),
  );
  t.equal(options.get('loggingSteps'), '2');
  t.equal(options.get('learningRate'), '0.002');
  t.notOk(options.has('weightDecay'), 'no default');
  t.match(page, /sha256:[0-9a-f]{64}/);
  t.notMatch(page, /<script|https?:\/\/(?!www\.w3\.org\/2000\/svg)/, 'no script and no address');
  t.ok(page.length < 1e6);
});

await t.test('an evaluation into the same folder keeps the training', async (t) => {
  const options = { model: 'out', 'validation-file': 'train.csv', 'output-dir': 'out', threads: '1' };
  succeeded(t, 'evaluate', await bertune(['evaluate', ...flags(options)], here));
  const page = pageOf('out/report.html');
  const results = JSON.parse(pageOf('out/eval_results.json')) as {
    eval_confusion_matrix: Record<string, Record<string, number>>;
    eval_per_class: Record<string, Record<string, number>>;
  };
  const [head = [], ...rows] = tableBehind(page, 'Confusion matrix');
  t.ok(rows.length === 2);
  for (const [label = '', ...cells] of rows) {
    const own = results.eval_confusion_matrix[label] ?? {};
    const total = Object.values(own).reduce((sum, one) => sum + one, 0);
    head.slice(1, -1).forEach((guess, i) => {
      const count = own[guess] ?? 0;
      const share = count === 0 ? '' : ` ${((100 * count) / total).toFixed(1)} %`;
      t.equal(cells[i]?.replaceAll(/\s+/g, ' '), `${count}${share}`, `${label} taken for ${guess}`);
    });
  }
  const classes = tableBehind(page, 'Classes').slice(1);
  const supports = classes.map(([, support]) => Number(support));
  t.same(
    supports,
    supports.toSorted((a, b) => b - a),
    'by support',
  );
  for (const [label = '', support, precision, recall, f1] of classes) {
    const own = results.eval_per_class[label] ?? {};
    t.equal(Number(support), own['support']);
    t.equal(precision, own['precision']?.toFixed(3));
    t.equal(recall, own['recall']?.toFixed(3));
    t.equal(f1, own['f1']?.toFixed(3));
  }
  t.match(page, '>Learning rate</h3>');
});

await t.test('later, from a folder, from checkpoints alone, and of two runs', async (t) => {
  const before = pageOf('out/report.html');
  rmSync(join(folder, 'out/report.html'));
  succeeded(t, 'report', await bertune(['report', 'out'], here));
  t.equal(
    pageOf('out/report.html').replaceAll(/zr\d+/g, ''),
    before.replaceAll(/zr\d+/g, ''),
    'the same page',
  );
  succeeded(
    t,
    'without texts',
    await bertune(['report', 'out', '--report-texts', 'off', '--output-file', 'o.html'], here),
  );
  t.notMatch(pageOf('o.html'), '<blockquote');

  const resumed = {
    ...training,
    'num-train-epochs': '4',
    'output-dir': 'out2',
    'resume-from-checkpoint': 'out/checkpoint-8',
  };
  succeeded(t, 'resumed', await bertune(['train', ...flags(resumed)], here));
  t.match(pageOf('out2/report.html'), 'resumed at step 8');
  t.match(pageOf('out2/report.html'), '>resumed</text>');
  const state = JSON.parse(pageOf('out2/trainer_state.json')) as {
    stateful_callbacks: Record<string, unknown>;
  };
  t.match(state.stateful_callbacks['ReportCallback'], { attributes: { resumed_steps: [8] } });

  succeeded(t, 'compare', await bertune(['report', 'out', 'out2'], here));
  const both = pageOf('out/comparison.html');
  const results = tableBehind(both, 'Results');
  const own = [json(pageOf('out/all_results.json')), json(pageOf('out2/all_results.json'))] as const;
  t.same(results[0], ['metric', 'out', 'out2', 'difference']);
  const loss = results.find(([name]) => name === 'train_loss');
  t.ok(near(loss?.[1], own[0]['train_loss'] ?? 0) && near(loss?.[2], own[1]['train_loss'] ?? 0));
  const differing = tableBehind(both, 'Options that differ');
  t.same(
    differing.find(([name]) => name === 'numTrainEpochs'),
    ['numTrainEpochs', 'default', '4'],
  );

  for (const name of [
    'trainer_state.json',
    'report.json',
    'all_results.json',
    'eval_results.json',
    'training_options.json',
  ])
    rmSync(join(folder, 'out2', name));
  succeeded(t, 'checkpoints', await bertune(['report', 'out2'], here));
  t.match(pageOf('out2/report.html'), '>Learning rate</h3>');
  t.notMatch(pageOf('out2/report.html'), '>Confusion matrix<', 'what is not known is left out');
});

await t.test('what cannot be reported on', async (t) => {
  mkdirSync(join(folder, 'empty'));
  mkdirSync(join(folder, 'broken'));
  writeFileSync(join(folder, 'broken/trainer_state.json'), '{"log_history": 3}');
  for (const [args, message] of [
    [['empty'], 'empty has nothing to report'],
    [['nowhere'], 'There is no folder nowhere'],
    [['broken'], 'broken/trainer_state.json is damaged: log_history'],
    [['out', 'out', 'out'], 'name one or two folders'],
    [[], '--runs'],
    [['--model', 'out'], '--model has no meaning for `bertune report`; did you mean --runs?'],
    [['out', '--report-texts', 'some'], 'one of on, off'],
  ] as const) {
    const { code, stderr } = await bertune(['report', ...args], here);
    t.equal(code, 2, args.join(' '));
    t.match(stderr, message);
  }
});

await t.test('a training without a log entry of the loss says why there is no curve', async (t) => {
  const run = async (name: string, options: object): Promise<string> => {
    const outcome = await bertune(
      ['train', ...flags({ ...training, 'max-steps': '6', 'output-dir': name, ...options })],
      here,
    );
    succeeded(t, 'train', outcome);
    return textOf(pageOf(`${name}/report.html`)).replaceAll(/\s+/g, ' ');
  };
  const note = /The (?:first )?loss is logged [^.:]*[.:]/;
  const silent = await run('silent', { 'logging-steps': undefined, 'eval-strategy': 'no' });
  t.match(
    silent,
    'The loss is logged every 500 steps, and the run has 6: train with --logging-steps 1 to see its curve.',
  );
  t.match(await run('evaluated', { 'logging-steps': '7' }), 'every 7 steps, and the run has 6:');
  t.notMatch(await run('logged', { 'logging-steps': '6' }), note);
  t.notMatch(await run('chosen', { 'logging-steps': undefined, 'logging-strategy': 'no' }), note);
  succeeded(t, 'report', await bertune(['report', 'logged', 'silent'], here));
  t.match(textOf(pageOf('logged/comparison.html')), /every 500 steps, and silent has 6/);
  const state = JSON.parse(pageOf('silent/trainer_state.json')) as Record<string, unknown>;
  write(
    'begun/trainer_state.json',
    JSON.stringify({ ...state, log_history: [], global_step: 3, max_steps: 4000 }),
  );
  succeeded(t, 'report', await bertune(['report', 'begun'], here));
  t.match(textOf(pageOf('begun/report.html')), 'The first loss is logged at step 500.');
});

await t.test('live is for one training', async (t) => {
  for (const [options, message] of [
    [{ 'live-port': '8080' }, '--live-port needs --live'],
    [
      { live: true, 'cross-validation': '3', 'validation-file': undefined },
      '--cross-validation and --live exclude each other',
    ],
    [{ live: true, 'live-port': '0' }, '--live-port'],
  ] as const) {
    const { code, stderr } = await bertune(['train', ...flags({ ...training, ...options })], here);
    t.equal(code, 2, stderr);
    t.match(stderr, message);
  }
  write(
    'live.yaml',
    'model: m\ntrain_file: train.csv\nvalidation_file: test.csv\noutput_dir: x\nmetric_for_best_model: loss\nlive: true\nseed: {choice: [1, 2]}\n',
  );
  const { code, stderr } = await bertune(['search', 'live.yaml'], here);
  t.equal(code, 2);
  t.match(stderr, '--live shows one training');
});

await t.test('a report that cannot be written is a note', async (t) => {
  mkdirSync(join(folder, 'full/report.html'), { recursive: true });
  const options = { model: 'out', 'validation-file': 'test.csv', 'output-dir': 'full', threads: '1' };
  const { code, stderr } = await bertune(['evaluate', ...flags(options)], here);
  t.equal(code, 0, stderr);
  t.match(stderr, /note: the report was not written: .*report\.html/);
  t.ok(existsSync(join(folder, 'full/eval_results.json')));
  succeeded(
    t,
    'none',
    await bertune(['evaluate', ...flags({ ...options, 'output-dir': 'none', 'no-report': true })], here),
  );
  t.notOk(existsSync(join(folder, 'none/report.html')) || existsSync(join(folder, 'none/report.json')));
});

await t.test('names and texts are never markup', async (t) => {
  const attack = `</td><script>document.title='ran'</script><img src=x onerror="document.title='ran'">`;
  const rows = Array.from(
    { length: 30 },
    (_, i) =>
      `"${i % 3 === 0 ? 'good' : 'bad'} ${attack.replaceAll('"', '""')}","${i % 2 === 0 ? `p${attack.replaceAll('"', '""')}` : 'n'}"`,
  );
  write('bad.csv', `text,label\n${rows.join('\n')}\n`);
  const options = {
    ...training,
    'train-file': 'bad.csv',
    'validation-file': 'bad.csv',
    'output-dir': 'hostile',
  };
  succeeded(t, 'train', await bertune(['train', ...flags(options)], here));
  const page = pageOf('hostile/report.html');
  t.notMatch(page, /<script|<img|onerror="/);
  t.match(page, '&lt;script&gt;document.title=&#39;ran&#39;');
  t.match(page, 'default-src &#39;none&#39;; style-src &#39;unsafe-inline&#39;;');
});

await t.test('a search', async (t) => {
  write(
    'space.yaml',
    `config: model/config.json
tokenizer: model
train_file: train.csv
validation_file: test.csv
output_dir: searched
num_train_epochs: 1
metric_for_best_model: accuracy
threads: 1
dataloader_num_workers: 0
n_trials: 3
learning_rate: {log_uniform: [1e-4, 1e-2]}
per_device_train_batch_size: {choice: [4, 8]}
`,
  );
  succeeded(t, 'search', await bertune(['search', 'space.yaml'], here));
  const own = pageOf('searched/report.html');
  succeeded(t, 'report', await bertune(['report', 'searched'], here));
  const page = pageOf('searched/report.html');
  t.equal(own.replaceAll(/zr\d+/g, ''), page.replaceAll(/zr\d+/g, ''), 'the search wrote it already');
  const trials = pageOf('searched/search.jsonl')
    .trim()
    .split('\n')
    .slice(1)
    .map((line) => JSON.parse(line) as { number: number; value: number; params: Record<string, number> });
  const at = page.lastIndexOf('<table');
  const rows = tableBehind(`>x</h>${page.slice(at)}`, 'x').slice(1);
  t.equal(rows.length, trials.length);
  const best = Math.max(...trials.map(({ value }) => value));
  rows.forEach(([number = '', , , value], i) => {
    t.equal(Number.parseInt(number, 10), trials[i]?.number);
    t.ok(near(value, trials[i]?.value ?? Number.NaN));
    if (number.includes('best')) t.equal(trials[i]?.value, best);
  });
  t.ok(rows.some(([number]) => number?.includes('best')));
});

await t.test('a search of thousands of trials', async (t) => {
  const count = 4000;
  const header = { metricForBestModel: 'eval_loss', greaterIsBetter: false };
  const trials = Array.from({ length: count }, (_, i) => ({
    number: i + 1,
    params: { learning_rate: 1e-5 * (1 + (i % 97)), weight_decay: (i % 13) / 100 },
    state: 'complete',
    value: i === 1233 ? 0.25 : 1 + ((i * 7919) % count) / count, // which are all different
  }));
  mkdirSync(join(folder, 'thousands'));
  write('thousands/search.jsonl', [header, ...trials].map((line) => `${JSON.stringify(line)}\n`).join(''));
  succeeded(t, 'report', await bertune(['report', 'thousands'], here));
  const page = pageOf('thousands/report.html');
  t.ok(page.length < 1e6, `${page.length} bytes`);
  t.match(page, 'The 500 best of 4000 trials; all are in search.jsonl.');
  const rows = tableBehind(`>x</h>${page.slice(page.lastIndexOf('<table'))}`, 'x').slice(1);
  t.equal(rows.length, 500);
  t.same(
    rows.filter(([number]) => number?.includes('best')).map(([number, , , value]) => [number, value]),
    [['1234 best', '0.25']],
  );
  const values = trials.map(({ value }) => value).toSorted((a, b) => a - b);
  t.ok(rows.every(([, , , value]) => Number(value) <= (values[499] ?? 0) * 1.001));
  const records = tableBehind(page, 'Best so far').slice(1);
  t.equal(records.at(-1)?.[0], '1234', 'nothing after it was better');
});
