// Hyper-parameter search: densities, splits and pruning against Optuna (scripts/reference/search.py), what the samplers
// do, and whole searches from the command line.
import { appendFileSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import tap from 'tap';

import {
  normalMass,
  parzenEstimate,
  truncatedQuantile,
  nextParams,
  splitTrials,
  type SamplerName,
} from '../../dist/search/sampler.js';
import { isDimension, parseDimension, type Space } from '../../dist/search/space.js';
import type { SearchOptions } from '../../dist/options/index.js';
import {
  isHopeless,
  openStudy,
  runTrial,
  type Report,
  type Trial,
  type TrialParts,
} from '../../dist/search/study.js';
import { withStack } from '../../dist/native/failures.js';
import { SettingsError, UsageError } from '../../dist/util/errors.js';
import { bertune, startBertune } from '../fixtures/cli.js';
import { makeToy } from '../fixtures/toy.js';

interface Fixture {
  densities: {
    dimension: Record<string, unknown[]>;
    observed: number[];
    at: number[];
    logDensity: number[];
  }[];
  splits: { greaterIsBetter: boolean; trials: Trial[]; good: number[]; rest: number[] }[];
  prunings: { greaterIsBetter: boolean; past: Trial[]; reports: Report[]; isHopeless: boolean }[];
}

const fixture: Fixture = JSON.parse(
  readFileSync(new URL('../fixtures/search.json', import.meta.url), 'utf8'),
);

await tap.test('densities are those of Optuna', (t) => {
  for (const { dimension, observed, at, logDensity } of fixture.densities) {
    const choices = dimension['choice'];
    const named = (value: number): unknown => (choices === undefined ? value : choices[value]);
    const density = parzenEstimate(parseDimension(dimension, 'x'), observed.map(named));
    const worst = Math.max(
      ...at.map((value, i) => Math.abs(density.logDensity(named(value)) - (logDensity[i] ?? Number.NaN))),
    );
    t.ok(worst < 1e-9, `${JSON.stringify(dimension)}, ${observed.length} trials: ${worst}`);
  }
  t.end();
});

await tap.test('before its first trial a search may be corrected, afterwards not', async (t) => {
  const path = join(t.testdir(), 'search.jsonl');
  await openStudy(path, { seed: 1 });
  const study = await openStudy(path, { seed: 2 });
  await study.add({ number: 1, params: {}, state: 'complete', value: 1, reports: [] });
  await t.rejects(openStudy(path, { seed: 1 }), { message: /another search: seed was 2 and is now 1/ });
  t.equal((await openStudy(path, { seed: 2 })).entries.length, 1);
});

await tap.test('good trials and hopeless ones are those of Optuna', (t) => {
  for (const { trials, greaterIsBetter, good, rest } of fixture.splits) {
    const split = splitTrials(trials, greaterIsBetter);
    t.same(
      split.good.map(({ number }) => number),
      good,
      `${trials.length} trials`,
    );
    t.same(
      split.rest.map(({ number }) => number),
      rest,
    );
  }
  t.ok(fixture.prunings.some(({ isHopeless: expected }) => expected));
  for (const { past, reports, greaterIsBetter, isHopeless: expected } of fixture.prunings)
    t.equal(isHopeless(reports, past, greaterIsBetter), expected);
  t.equal(isHopeless([], fixture.prunings.at(-1)?.past ?? [], true), false);
  t.end();
});

await tap.test('the normal distribution', (t) => {
  // mpmath with 30 digits: erfc(a / sqrt 2) / 2 - erfc(b / sqrt 2) / 2
  const masses: [number, number, number][] = [
    [-1, 1, 0.6826894921370859],
    [0, Infinity, 0.5],
    [-Infinity, Infinity, 1],
    [5, 6, 2.856649842341562e-7],
    [-10, -9, 1.128512207423599e-19],
  ];
  for (const [a, b, mass] of masses) t.ok(Math.abs(normalMass(a, b) / mass - 1) < 1e-12, `${a} to ${b}`);
  t.ok(Math.abs(truncatedQuantile(0.5, -2, 2)) < 1e-12);
  t.ok(Math.abs(truncatedQuantile(0.975, -40, 40) - 1.959963984540054) < 1e-9);
  t.end();
});

const space: Space = {
  learningRate: { kind: 'log_uniform', low: 1e-6, high: 1e-2 },
  epochs: { kind: 'int', low: 1, high: 8 },
  decay: { kind: 'uniform', low: 0, high: 1 },
  batch: { kind: 'choice', choices: [8, 16, 32] },
};

/** A loss with its lowest value at a rate of 1e-4, 5 epochs and batch 16; decay does not matter. */
function loss(params: Readonly<Record<string, unknown>>): number {
  const { learningRate, epochs, batch } = params;
  return (
    (Math.log10(Number(learningRate)) + 4) ** 2 + 0.3 * Math.abs(Number(epochs) - 5) + (batch === 16 ? 0 : 1)
  );
}

function searched(sampler: SamplerName, seed: number, count: number): Trial[] {
  const trials: Trial[] = [];
  for (let number = 1; number <= count; number++) {
    const params = nextParams(sampler, space, trials, { number, seed, greaterIsBetter: false });
    trials.push({ number, params, state: 'complete', value: loss(params), reports: [] });
  }
  return trials;
}

await tap.test('what the samplers choose', (t) => {
  const random = searched('random', 1, 400).map(({ params }) => params);
  const share = (check: (params: Readonly<Record<string, unknown>>) => boolean): number =>
    random.filter(check).length / random.length;
  t.ok(random.every(({ decay }) => Number(decay) >= 0 && Number(decay) < 1));
  t.ok(random.every(({ learningRate: rate }) => Number(rate) >= 1e-6 && Number(rate) <= 1e-2));
  t.same(new Set(random.map(({ epochs }) => epochs)), new Set([1, 2, 3, 4, 5, 6, 7, 8]));
  // Three standard deviations of 400 draws.
  t.ok(Math.abs(share(({ learningRate }) => Number(learningRate) < 1e-4) - 0.5) < 0.075);
  t.ok(Math.abs(share(({ batch }) => batch === 8) - 1 / 3) < 0.071);
  t.ok(Math.abs(share(({ epochs }) => epochs === 1) - 1 / 8) < 0.05);

  t.same(searched('tpe', 3, 30), searched('tpe', 3, 30), 'the same seed gives the same search');
  t.not(JSON.stringify(searched('tpe', 3, 5)), JSON.stringify(searched('tpe', 4, 5)));
  const best = (sampler: SamplerName): number[] =>
    Array.from({ length: 15 }, (_, seed) =>
      Math.min(...searched(sampler, seed, 50).map(({ value }) => value ?? 9)),
    );
  const mean = (values: number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length;
  t.ok(
    mean(best('tpe')) < 0.7 * mean(best('random')),
    `TPE ${mean(best('tpe'))}, random ${mean(best('random'))}`,
  );
  t.end();
});

await tap.test('ranges and choices that cannot be meant', (t) => {
  for (const [written, message] of [
    [{ uniform: [1, 0] }, 'x: uniform needs a lowest value below the highest, not 1 and 0'],
    [{ uniform: 3 }, 'x: uniform needs the lowest and the highest value, such as [1, 4]'],
    [{ uniform: [0, 1, 2] }, 'x: uniform needs the lowest and the highest value, such as [1, 4]'],
    [{ log_uniform: [0, 1] }, 'x: log_uniform needs values above 0, not 0'],
    [{ int: [1, 2.5] }, 'x: int needs whole numbers, not 1 and 2.5'],
    [{ int: ['1', 2] }, 'x: int needs the lowest and the highest value, such as [1, 4]'],
    [{ choice: [8] }, 'x: choice needs a list of at least two different values'],
    [{ choice: [8, 8] }, 'x: choice needs a list of at least two different values'],
  ] as const)
    t.throws(() => parseDimension(written, 'x'), { name: 'UsageError', message });
  for (const value of [{ num_cycles: 2 }, [1, 2], null, 'int', { int: [1, 2], choice: [1] }, {}])
    t.notOk(isDimension(value));
  t.end();
});

const config = {
  config: 'model/config.json',
  tokenizer: 'model',
  train_file: 'train.csv',
  validation_file: 'test.csv',
  output_dir: 'found',
  eval_strategy: 'epoch',
  metric_for_best_model: 'loss',
  num_train_epochs: { int: [1, 3] },
  'learning-rate': { log_uniform: [1e-5, 1e-2] },
  perDeviceTrainBatchSize: { choice: [4, 8] },
  threads: 1,
  dataloader_num_workers: 0,
};

await tap.test('a search from the command line, stopped and continued', async (t) => {
  const folder = t.testdir();
  makeToy(folder, { train: 40, test: 20 });
  let isTerminal = false;
  const search = (changes: object, ...args: string[]): ReturnType<typeof bertune> => {
    writeFileSync(join(folder, 'search.json'), JSON.stringify({ ...config, ...changes }));
    return bertune(['search', 'search.json', ...args], { cwd: folder, isTerminal });
  };
  const lines = (name: string): string[] =>
    readFileSync(join(folder, name, 'search.jsonl'), 'utf8')
      .trimEnd()
      .split('\n');

  const whole = await search({ output_dir: 'whole' }, '--n-trials', '4');
  t.equal(whole.code, 0, whole.stderr);
  t.match(
    whole.stderr,
    /^trial 4\/4 {2}num_train_epochs \d {2}learning-rate \S+ {2}perDeviceTrainBatchSize [48] {2}eval_loss/m,
  );
  await search({}, '--n-trials', '2');
  appendFileSync(join(folder, 'found/search.jsonl'), '{"number": 2, "par'); // killed while it wrote
  const last = await search({}, '--n-trials', '4');
  t.equal(last.code, 0, last.stderr);
  t.same(lines('found').slice(1), lines('whole').slice(1), 'as if it had not been stopped');
  const trials = lines('found')
    .slice(1)
    .map((line) => JSON.parse(line) as Trial);
  t.same(
    trials.map(({ number, state }) => [number, state]),
    [1, 2, 3, 4].map((number) => [number, 'complete']),
  );
  for (const { params, reports, value } of trials) {
    t.equal(reports.length, params['num_train_epochs'], 'one report an epoch');
    t.equal(value, reports.at(-1)?.value);
  }
  const [best] = trials.toSorted((a, b) => (a.value ?? 9) - (b.value ?? 9));
  t.match(JSON.parse(last.stdout), {
    best: { number: best?.number, params: best?.params, value: best?.value },
    trials: 4,
  });

  isTerminal = true;
  const { stdout: table } = await search({}, '--n-trials', '4');
  const { stdout: asked } = await search({}, '--n-trials', '4', '--json');
  isTerminal = false;
  t.equal(asked, last.stdout);
  const cells = table.split('\n').map((line) => line.split(/ {2,}/));
  t.strictSame(
    cells.map(([name]) => name),
    ['', 'eval_loss', 'trial', ...Object.keys(best?.params ?? {}), ''],
  );
  t.ok(Math.abs(Number(cells[1]?.[1]) - (best?.value ?? Number.NaN)) < 1e-3, table);
  t.equal(cells[2]?.[1], `${best?.number} of 4`);

  const run = JSON.parse(readFileSync(join(folder, 'found/best.json'), 'utf8')) as Record<string, unknown>;
  t.equal(run['learningRate'], best?.params['learning-rate']);
  const trained = await bertune(['train', 'found/best.json', '--save-strategy', 'no'], { cwd: folder });
  t.equal(trained.code, 0, trained.stderr);
  const metrics = JSON.parse(trained.stdout) as { eval_loss: number };
  t.equal(metrics.eval_loss, best?.value, 'the best trial, trained again, is the best trial');

  const refused: [object, string[], RegExp][] = [
    [{ seed: 7 }, ['--n-trials', '5'], /search\.jsonl is of another search: seed was 42 and is now 7/],
    [{ num_train_epochs: { int: [1, 4] } }, [], /is of another search: space was/],
    [
      { num_train_epochs: { int: [0, 2] } },
      [],
      /search\.json:1:\d+: Expected a number above 0 for num_train_epochs but received 0/,
    ],
    [{ train_fle: { choice: ['a', 'b'] } }, [], /unknown option train_fle \(did you mean train_file\?\)/],
    [
      { 'learning-rate': { log_uniform: [0, 1] } },
      [],
      /search\.json:1:\d+: learning-rate: log_uniform needs values above 0/,
    ],
    [{ metric_for_best_model: undefined }, [], /A search needs --metric-for-best-model/],
    [
      { validation_file: undefined, eval_strategy: 'no', output_dir: 'other' },
      [],
      /A search needs validation rows/,
    ],
    [
      { num_train_epochs: 1, 'learning-rate': 1e-3, perDeviceTrainBatchSize: 4 },
      [],
      /search\.json has nothing to search; put a range/,
    ],
    [
      { cross_validation: 3 },
      [],
      /cross_validation has no meaning for `bertune search`; did you mean validation_split\?/,
    ],
    [{}, ['--sampler', 'grid'], /Expected one of tpe, random for --sampler but received "grid"/],
  ];
  for (const [changes, args, message] of refused) {
    const { code, stderr } = await search(changes, ...args);
    t.equal(code, 2, stderr);
    t.match(stderr, message);
  }
  for (const [file, what] of [
    ['train.csv', 'training'],
    ['test.csv', 'validation'],
  ] as const) {
    const text = readFileSync(join(folder, file), 'utf8');
    writeFileSync(join(folder, file), text.replace('film', 'plot'));
    const { code, stderr } = await search({}, '--n-trials', '5');
    t.equal(code, 2, stderr);
    t.match(
      stderr,
      new RegExp(`search\\.jsonl is of another search: the ${what} data changed\\. Use another`),
    );
    writeFileSync(join(folder, file), text);
  }
});

await tap.test('a trial that breaks off fails', async (t) => {
  const folder = t.testdir();
  makeToy(folder, { train: 40, test: 20 });
  const rates = [1e-3, 1e30];
  const broken = {
    ...config,
    num_train_epochs: 4,
    'learning-rate': { choice: rates },
    perDeviceTrainBatchSize: 8,
  };
  writeFileSync(join(folder, 'search.json'), JSON.stringify({ ...broken, sampler: 'random', seed: 3 }));
  const { code, stderr } = await bertune(['search', 'search.json', '--n-trials', '12'], { cwd: folder });
  t.equal(code, 0, stderr);
  const [, ...lines] = readFileSync(join(folder, 'found/search.jsonl'), 'utf8').trimEnd().split('\n');
  const trials = lines.map((line) => JSON.parse(line) as Trial);
  for (const { params, state, error } of trials)
    if (params['learning-rate'] === 1e30) {
      t.not(state, 'complete', state);
      if (state === 'failed') t.match(error, /not finite/);
    } else t.not(state, 'failed');
  t.equal(trials.length, 12);
});

function trialsOf(folder: string): Trial[] {
  const [, ...lines] = readFileSync(join(folder, 'found/search.jsonl'), 'utf8').trimEnd().split('\n');
  return lines.map((line) => JSON.parse(line) as Trial);
}

await tap.test('a trial whose options exclude each other fails, and the search continues', async (t) => {
  const folder = t.testdir();
  makeToy(folder, { train: 16, test: 8 });
  const written = {
    ...config,
    'learning-rate': 1e-3,
    num_train_epochs: 1,
    perDeviceTrainBatchSize: 4,
    eval_strategy: 'steps',
    save_strategy: 'steps',
    load_best_model_at_end: true,
    eval_steps: { choice: [2, 4] },
    save_steps: { choice: [4, 6] }, // 6 is no multiple of 4
    sampler: 'random',
  };
  writeFileSync(join(folder, 'search.json'), JSON.stringify(written));
  const { code, stderr } = await bertune(['search', 'search.json', '--n-trials', '12'], { cwd: folder });
  t.equal(code, 0, stderr);
  const trials = trialsOf(folder);
  t.equal(trials.length, 12);
  for (const { params, state, error } of trials) {
    const isWrong = params['eval_steps'] === 4 && params['save_steps'] === 6;
    t.equal(state, isWrong ? 'failed' : 'complete');
    if (isWrong) t.match(error, /save_steps 6 is not a multiple of eval_steps 4/);
  }
  t.ok(trials.some(({ state }) => state === 'failed'));
});

await tap.test('what no trial can help ends the search, and the same command continues', async (t) => {
  const folder = t.testdir();
  makeToy(folder, { train: 40, test: 20 });
  writeFileSync(join(folder, 'search.json'), JSON.stringify(config));
  const train = join(folder, 'train.csv');
  const text = readFileSync(train, 'utf8');
  const { stderr, outcome } = startBertune(['search', 'search.json', '--n-trials', '300'], { cwd: folder });
  while (!stderr().includes('trial 1/300')) await sleep(1);
  writeFileSync(train, text.replaceAll('film', 'fi"m'));
  const ended = await outcome;
  t.equal(ended.code, 1, ended.stderr);
  t.match(
    ended.stderr,
    /^bertune: train\.csv line \d+ cannot be read again: .*\. (\d+) trials? of 300 (is|are) in found\/search\.jsonl: the same command continues with trial \d+$/m,
  );
  const trials = trialsOf(folder);
  t.ok(trials.length > 0 && trials.length < 300, `${trials.length} trials`);
  for (const { state } of trials) t.not(state, 'failed');

  writeFileSync(train, text);
  const continued = await bertune(['search', 'search.json', '--n-trials', `${trials.length + 1}`], {
    cwd: folder,
  });
  t.equal(continued.code, 0, continued.stderr);
  t.same(trialsOf(folder).slice(0, -1), trials);
});

await tap.test(
  'a model that cannot be opened is the fault of a trial only where others can be trained',
  async (t) => {
    const start = { number: 3, params: { freeze: 'nothing' } };
    const load = (): Promise<never> => Promise.reject(new UsageError('there is no such file or folder'));
    const { signal } = new AbortController();
    const run = (requireTrainable: () => Promise<void>): Promise<Trial> => {
      const parts: Partial<TrialParts> = { load, signal, requireTrainable };
      // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- nothing else is reached
      return runTrial(start, () => ({}) as SearchOptions, parts as TrialParts, []);
    };
    const failed = await run(() => Promise.resolve());
    t.match(failed, { state: 'failed', error: 'there is no such file or folder' });
    await t.rejects(
      run(() => load()),
      { name: 'UsageError', message: 'there is no such file or folder' },
      'the search ends',
    );
  },
);

await tap.test('settings for which no value suits the model end the search at once', async (t) => {
  const folder = t.testdir();
  makeToy(folder, { train: 16, test: 8 });
  writeFileSync(join(folder, 'search.json'), JSON.stringify({ ...config, freeze: ['nothing.*'] }));
  const { code, stderr } = await bertune(['search', 'search.json'], { cwd: folder });
  t.equal(code, 2, stderr);
  t.match(stderr, /nothing\.\*/);
  t.notOk(existsSync(join(folder, 'found')), 'nothing is written');
});

await tap.test('memory that runs out is the fault of the settings, other failures are not', async (t) => {
  const failing = (message: string): Promise<never> => withStack(() => Promise.reject(new Error(message)));
  const thrown = (message: string): Promise<unknown> => failing(message).catch((error: unknown) => error);
  t.ok((await thrown("out of memory: DefaultCPUAllocator: can't allocate memory")) instanceof SettingsError);
  const other = await thrown('a file is locked');
  t.match(other, { name: 'RunError' });
  t.notOk(other instanceof SettingsError);
});

await tap.test(
  'a signal ends the search after the step at hand, and the same command continues',
  async (t) => {
    const folder = t.testdir();
    makeToy(folder, { train: 40, test: 20 });
    writeFileSync(join(folder, 'search.json'), JSON.stringify(config));
    const { kill, stderr, outcome } = startBertune(['search', 'search.json', '--n-trials', '300'], {
      cwd: folder,
    });
    while (!stderr().includes('trial 1/300')) await sleep(1);
    kill('SIGINT');
    const ended = await outcome;
    t.equal(ended.code, 130, ended.stderr);
    t.match(ended.stderr, /^SIGINT: stopping after this step; a second SIGINT stops at once$/m);
    t.match(
      ended.stderr,
      /^bertune: stopped by SIGINT; \d+ trials? of 300 (is|are) in found\/search\.jsonl: the same command continues with trial \d+$/m,
    );
    const count = trialsOf(folder).length;
    t.same(readdirSync(join(folder, 'found')), ['report.html', 'search.jsonl'], 'no lock, no half a trial');
    const continued = await bertune(['search', 'search.json', '--n-trials', `${count + 1}`], { cwd: folder });
    t.equal(continued.code, 0, continued.stderr);
    const whole = await bertune(
      ['search', 'search.json', '--n-trials', `${count + 1}`, '--output-dir', 'whole'],
      { cwd: folder },
    );
    t.equal(whole.code, 0, whole.stderr);
    t.equal(continued.stdout, whole.stdout, 'as if it had not been stopped');
  },
);

await tap.test('what a trial has to report is shown with its name', async (t) => {
  const folder = t.testdir();
  makeToy(folder, { train: 16, test: 8 });
  const written = { ...config, 'learning-rate': { choice: [1e30, 1e29] }, nonfinite_gradient: 'skip' };
  writeFileSync(join(folder, 'search.json'), JSON.stringify({ ...written, logging_steps: 1 }));
  const { stderr } = await bertune(['search', 'search.json', '--n-trials', '2'], { cwd: folder });
  for (const trial of [1, 2])
    t.match(stderr, new RegExp(`^trial ${trial}: The gradient was not finite in \\d+ steps? up to`, 'm'));
  t.notMatch(stderr, /^(trial \d: )?step \d+\//m, 'but not its log');
});

await tap.test('trials are compared by the weights that a training would end with', async (t) => {
  const folder = t.testdir();
  makeToy(folder, { train: 40, test: 20 });
  writeFileSync(join(folder, 'train.csv'), `${readFileSync(join(folder, 'train.csv'), 'utf8')}unread\n`);
  const path = join(folder, 'search.json');
  const worstIsBest = {
    metric_for_best_model: 'loss',
    greater_is_better: true,
    load_best_model_at_end: true,
  };
  // The first two are not saved: one is of untrained weights.
  const saved = { eval_on_start: true, save_strategy: 'steps', save_steps: 4 };
  const steps = { ...saved, eval_strategy: 'steps', eval_steps: 2, max_steps: 6 };
  writeFileSync(
    path,
    JSON.stringify({ ...config, ...steps, ...worstIsBest, bad_rows: 'skip', pruner: 'none' }),
  );
  const { code, stderr } = await bertune(['search', 'search.json', '--n-trials', '1'], { cwd: folder });
  t.equal(code, 0, stderr);
  const [, line = ''] = readFileSync(join(folder, 'found/search.jsonl'), 'utf8').trimEnd().split('\n');
  const { value, reports } = JSON.parse(line) as Trial;
  t.same(
    reports.map(({ step }) => step),
    [0, 2, 4, 6],
  );
  t.equal(value, Math.max(...reports.slice(2).map((report) => report.value)));
  t.not(value, Math.max(...reports.map((report) => report.value)));
  t.not(value, reports.at(-1)?.value, 'the last is not the one');
  t.match(readFileSync(join(folder, 'found/bad_rows_train.jsonl'), 'utf8'), 'train.csv');
  const trained = await bertune(['train', 'found/best.json'], { cwd: folder });
  t.equal((JSON.parse(trained.stdout) as Record<string, number>)['eval_loss'], value);
});

await tap.test('a hopeless trial is pruned at its first evaluation', async (t) => {
  const folder = t.testdir();
  makeToy(folder, { train: 16, test: 8 });
  const path = join(folder, 'search.json');
  const written = { ...config, num_train_epochs: 2, perDeviceTrainBatchSize: 8 };
  const searched = async (count: number, output_dir: string, pruner: string): Promise<string[]> => {
    writeFileSync(path, JSON.stringify({ ...written, output_dir, pruner }));
    const { code, stderr } = await bertune(['search', 'search.json', '--n-trials', `${count}`], {
      cwd: folder,
    });
    t.equal(code, 0, stderr);
    return readFileSync(join(folder, output_dir, 'search.jsonl'), 'utf8')
      .trimEnd()
      .split('\n');
  };
  const [header = '', first = ''] = await searched(1, 'found', 'median');
  const { params, state, reports } = JSON.parse(first) as Trial;
  t.same([state, reports.map(({ step }) => step)], ['complete', [2, 4]], 'too early to give up');
  // As many others as it takes, of a loss that no trial of this data reaches.
  const others = [1, 2, 3, 4].map((number) =>
    JSON.stringify({
      number,
      params,
      state: 'complete',
      value: 1e-9,
      reports: [2, 4].map((step) => ({ step, value: 1e-9 })),
    }),
  );
  for (const pruner of ['median', 'none']) {
    mkdirSync(join(folder, pruner));
    const same = header.replace('"pruner":"median"', `"pruner":"${pruner}"`);
    writeFileSync(join(folder, pruner, 'search.jsonl'), `${[same, first, ...others].join('\n')}\n`);
  }
  const pruned = JSON.parse((await searched(6, 'median', 'median')).at(-1) ?? '') as Trial;
  t.same([pruned.number, pruned.state], [6, 'pruned']);
  t.same(
    pruned.reports.map(({ step }) => step),
    [2],
    'its second epoch is saved',
  );
  const kept = JSON.parse((await searched(6, 'none', 'none')).at(-1) ?? '') as Trial;
  t.same([kept.number, kept.state, kept.reports.length], [6, 'complete', 2]);
});
