// What several processes do beside trainings of classifiers: masked language models, evaluations and predictions; and what they refuse.
import { cpSync, writeFileSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import t from 'tap';

import { deviceInfo } from '../../dist/index.js';
import { bertune, flags, startBertune, tree, type Options, type Outcome } from '../fixtures/cli.js';
import { toyRow } from '../fixtures/toy.js';
import { cheap, json, toyTraining, workspace } from '../fixtures/workspace.js';

const folder = t.testdir();
const { write, read } = workspace(folder);
const CALLBACKS = fileURLToPath(new URL('../fixtures/callbacks-by-rank.mjs', import.meta.url));

const MODEL = { ...toyTraining, dtype: 'float32' } satisfies Options;
const rows = (first: number, count: number): string =>
  Array.from({ length: count }, (_, i) => toyRow(first + i).text).join('\n');
write('texts.txt', rows(0, 230));
write('dev.txt', rows(230, 37));

async function run(command: string, options: Options): Promise<Outcome> {
  // One process has no launcher, and can be that of the runner.
  const around = options['nproc'] === undefined ? { cwd: folder } : { cwd: folder, wrapper: [] };
  const outcome = await bertune([command, ...flags(options)], around);
  if (outcome.code !== 0) throw new Error(`${command}: ${outcome.stderr}`);
  return outcome;
}

const several = (processes: number): Options => (processes === 1 ? {} : { nproc: String(processes) });

/** Without times, and what follows from them. */
const figures = (metrics: Record<string, number>): Record<string, number> =>
  Object.fromEntries(Object.entries(metrics).filter(([name]) => !/runtime|per_second|data_wait/.test(name)));
const logged = (output: string): Record<string, number>[] =>
  (JSON.parse(read(`${output}/trainer_state.json`).toString()) as { log_history: Record<string, number>[] })
    .log_history;

/** The largest relative difference of the losses that were logged; NaN where one has others. */
function furthest(a: string, b: string): number {
  const losses = (output: string): number[] =>
    logged(output).flatMap(({ loss, eval_loss: evaluated }) => loss ?? evaluated ?? []);
  const [mine, others] = [losses(a), losses(b)];
  if (mine.length !== others.length) return NaN;
  return Math.max(...others.map((loss, i) => Math.abs((mine[i] ?? NaN) / loss - 1)));
}

const STEPS = 30;
const masked = (processes: number): Options => ({
  ...MODEL,
  task: 'masked-lm',
  'train-file': 'texts.txt',
  'validation-file': 'dev.txt',
  'max-seq-length': '12',
  'per-device-train-batch-size': String(8 / processes),
  'num-train-epochs': undefined,
  'max-steps': String(STEPS),
  'logging-steps': '1',
  'eval-strategy': 'steps',
  'eval-steps': '15',
  'save-strategy': 'steps',
  'save-steps': '20',
  'whole-word-mask': true,
  ...several(processes),
});

await t.test('masked language models', { timeout: 0 }, async (t) => {
  for (const [kind, options] of Object.entries({
    packed: {},
    lines: { 'line-by-line': true },
  } satisfies Record<string, Options>)) {
    await run('train', { ...masked(1), ...options, 'output-dir': `${kind}-1` });
    t.ok(logged(`${kind}-1`).length >= STEPS, `${kind}: every step is logged`);
    for (const processes of [2, 4]) {
      const output = `${kind}-${processes}`;
      await run('train', { ...masked(processes), ...options, 'output-dir': output });
      const far = furthest(output, `${kind}-1`);
      t.ok(far < 1e-5, `${kind}, ${processes} processes: losses within ${far}`);
      const counts = (name: string): unknown[] =>
        logged(name).map(({ eval_accuracy: accuracy, num_input_tokens_seen: tokens }) => [accuracy, tokens]);
      t.same(counts(output), counts(`${kind}-1`), `${kind}, ${processes} processes: accuracies and tokens`);
    }
  }
  cpSync(join(folder, 'packed-2'), join(folder, 'resumed'), { recursive: true });
  const checkpoint = 'resumed/checkpoint-20';
  await run('train', { ...masked(2), 'output-dir': 'resumed', 'resume-from-checkpoint': checkpoint });
  for (const output of ['', `checkpoint-${STEPS}/`])
    t.equal(
      read(`resumed/${output}model.safetensors`).compare(read(`packed-2/${output}model.safetensors`)),
      0,
      'resumed with the same bits',
    );
});

const TAGS = ['O', 'B-GOOD', 'B-BAD'];
const tagged = (first: number, count: number): string =>
  Array.from({ length: count }, (_, i) => {
    const tokens = toyRow(first + i).text.split(' ');
    const good = /^(?:good|great|fine|superb|lovely)$/;
    const bad = /^(?:bad|poor|awful|dull|weak)$/;
    const tags = tokens.map((token) => TAGS[good.test(token) ? 1 : bad.test(token) ? 2 : 0]);
    return JSON.stringify({ tokens, ner_tags: tags });
  }).join('\n');

await t.test('evaluations and predictions', { timeout: 0 }, async (t) => {
  write('train.jsonl', tagged(0, 60));
  write('dev.jsonl', tagged(60, 37));
  await run('train', { ...MODEL, 'num-train-epochs': '3', 'output-dir': 'texts' });
  const tokens = { 'train-file': 'train.jsonl', 'num-train-epochs': '3', 'output-dir': 'tokens' };
  await run('train', { ...MODEL, ...tokens });

  // 37 rows in batches of 5: the last round of batches is not full, and the last batch has 2 rows.
  const how = { ...cheap, 'per-device-eval-batch-size': '5', dtype: 'float32' };
  writeFileSync(join(folder, 'dev.csv'), `text,label\n${csv(60, 37)}\n`);
  for (const [model, file, options] of [
    ['texts', 'dev.csv', { 'predictions-file': 'errors.jsonl' }],
    ['texts', 'dev.csv', { 'max-seq-length': '8', stride: '2' }],
    ['tokens', 'dev.jsonl', { 'predictions-file': 'errors.jsonl' }],
    ['packed-1', 'dev.txt', {}],
    ['lines-1', 'dev.txt', { 'line-by-line': true }],
  ] as const) {
    const found = [];
    for (const processes of file === 'dev.csv' && !('stride' in options) ? [1, 2, 3] : [1, 2]) {
      const named = { model, 'validation-file': file, 'output-dir': `figures-${processes}` };
      const { stdout, stderr } = await run('evaluate', {
        ...how,
        ...options,
        ...named,
        ...several(processes),
      });
      const errors = 'predictions-file' in options ? read('errors.jsonl').toString() : '';
      found.push({ metrics: figures(json(stdout)), errors });
      t.equal(stderr.match(/Evaluating on/g)?.length, 1, 'only rank 0 says something');
      t.same(figures(json(read(`figures-${processes}/eval_results.json`))), figures(json(stdout)));
    }
    const [one, ...others] = found;
    t.equal(one?.metrics['eval_samples'], model === 'packed-1' ? one?.metrics['eval_samples'] : 37);
    for (const other of others) t.same(other, one, `evaluate ${model}: as one process does`);
  }

  for (const processes of [1, 2]) {
    const model = `tuned-${processes}`;
    cpSync(join(folder, 'texts'), join(folder, model), { recursive: true });
    const tuning = { ...how, model, 'validation-file': 'dev.csv', 'tune-temperature': true } as const;
    await run('evaluate', { ...tuning, ...several(processes) });
  }
  t.equal(
    read('tuned-2/bertune_calibration.json').toString(),
    read('tuned-1/bertune_calibration.json').toString(),
    'the same temperature is saved',
  );

  for (const [model, file] of [
    ['texts', 'dev.csv'],
    ['tokens', 'dev.jsonl'],
  ] as const) {
    const found: string[] = [];
    for (const processes of model === 'texts' ? [1, 2, 3] : [1, 2]) {
      const named = { ...how, model, 'test-file': file, ...several(processes) };
      const { stdout } = await run('predict', {
        ...named,
        ...(processes === 2 ? { 'output-format': 'jsonl' } : { 'output-file': 'predictions.jsonl' }),
      });
      found.push(processes === 2 ? stdout : read('predictions.jsonl').toString());
    }
    t.equal(found[0]?.trim().split('\n').length, 37);
    for (const other of found.slice(1))
      t.equal(other, found[0], `predict with ${model}: as one process does`);
  }
  const { stdout } = await run('predict', {
    ...how,
    model: 'texts',
    text: 'a good film',
    'output-format': 'jsonl',
    nproc: '3',
  });
  t.equal(stdout.trim().split('\n').length, 1, 'fewer batches than processes');
});

function csv(first: number, count: number): string {
  return Array.from({ length: count }, (_, i) => Object.values(toyRow(first + i)).join(',')).join('\n');
}

let port = 29_640;

const rankOf = (rank: number, size: number): Record<string, string> => ({
  RANK: String(rank),
  LOCAL_RANK: String(rank),
  WORLD_SIZE: String(size),
  MASTER_ADDR: '127.0.0.1',
  MASTER_PORT: String(port),
});

/** The processes of a command as torchrun would start them, with what each has of its own. */
function asRanks(
  command: string,
  options: Options,
  own: readonly { options?: Options; env?: Record<string, string> }[],
): Promise<Outcome>[] {
  port += 1;
  return own.map(({ options: ofRank = {}, env = {} }, rank) => {
    const around = { cwd: folder, env: { ...rankOf(rank, own.length), ...env } };
    return startBertune([command, ...flags({ ...options, ...ofRank })], around).outcome;
  });
}

const training: Options = {
  ...MODEL,
  'num-train-epochs': undefined,
  'max-steps': '4',
  'save-strategy': 'no',
  'ddp-timeout': '20',
};

await t.test('only rank 0 says and writes something', { timeout: 0 }, async (t) => {
  const evaluating = { ...cheap, model: 'texts', 'validation-file': 'dev.csv', 'output-dir': 'of-rank-0' };
  const [main, other] = await Promise.all(
    asRanks('evaluate', evaluating, [{}, { options: { 'output-dir': 'of-rank-1' } }]),
  );
  t.equal(main?.code, 0, main?.stderr ?? '');
  t.match(main?.stderr, /Evaluating on cpu.*, 2 processes/);
  t.equal(json(main?.stdout ?? '')['eval_samples'], 37);
  t.same(other, { code: 0, signal: null, stdout: '', stderr: '' });
  t.notOk(tree(folder).includes('of-rank-1'));
});

await t.test('models and data that are not the same', { timeout: 0 }, async (t) => {
  cpSync(join(folder, 'texts'), join(folder, 'other'), { recursive: true });
  const weights = read('other/model.safetensors');
  weights[weights.length - 2] = (weights.at(-2) ?? 0) ^ 1;
  write('other/model.safetensors', weights);
  write('other.csv', `text,label\n${csv(61, 37)}\n`);
  const predicting = { ...cheap, 'test-file': 'dev.csv', 'output-file': 'mixed.jsonl', 'ddp-timeout': '20' };
  // The folder has the same name everywhere: each process starts where its own is.
  for (const [what, own] of [
    ['the weights of the model', { model: 'other' }],
    ['files', { 'test-file': 'other.csv' }],
  ] as const) {
    const ranks = asRanks('predict', { model: 'texts', ...predicting }, [{}, { options: own }]);
    const ends = await Promise.all(ranks);
    t.same(
      ends.map(({ code }) => code),
      [2, 2],
      what,
    );
    t.match(
      ends[0]?.stderr,
      /^bertune: Rank 1 has another \S+ than rank 0: .*; start all processes with the same/m,
    );
  }
  t.notOk(tree(folder).includes('mixed.jsonl'));
});

await t.test('processors with other instructions', { timeout: 0 }, async (t) => {
  const { instructionSet } = deviceInfo();
  if (instructionSet === 'baseline') return t.comment('this processor has one set');
  const less = { ATEN_CPU_CAPABILITY: 'default' };
  const ranks = asRanks('train', { ...training, 'output-dir': 'drifting' }, [{}, { env: less }]);
  const [main, other] = await Promise.all(ranks);
  t.equal(main?.code, 2, main?.stderr ?? '');
  t.equal(
    main?.stderr.split('\n').find((line) => line.startsWith('bertune')),
    `bertune: Rank 1 has another instruction set than rank 0: "baseline", not "${instructionSet}"; the weights of such processors would drift apart: set ATEN_CPU_CAPABILITY=default for all processes, or train on processors of one kind`,
  );
  t.equal(other?.stderr, '');
  const capped = asRanks('train', { ...training, 'output-dir': 'capped' }, [{ env: less }, { env: less }]);
  for (const { code, stderr } of await Promise.all(capped)) t.equal(code, 0, stderr);
});

await t.test('a signal that reaches one process only, before the first step', { timeout: 0 }, async (t) => {
  // A hub that does not answer.
  const hub = createServer();
  await new Promise<void>((resolve) => hub.listen(0, '127.0.0.1', resolve));
  t.teardown(() => hub.close());
  const endpoint = `http://127.0.0.1:${(hub.address() as AddressInfo).port}`;
  for (const [when, isThere, own] of [
    ['it waits for the hub, the other for it', true, { HF_ENDPOINT: endpoint, HF_HUB_OFFLINE: '0' }],
    ['the other has yet to start', false, {}],
  ] as const) {
    port += 1;
    const start = (
      rank: number,
      model: Options,
      env: Record<string, string>,
    ): ReturnType<typeof startBertune> =>
      startBertune(
        ['train', ...flags({ ...training, 'output-dir': 'stopped', 'max-steps': '100000', ...model })],
        { cwd: folder, env: { ...rankOf(rank, 2), ...env } },
      );
    const named = isThere ? { config: undefined, model: 'a/b' } : {};
    const stopped = start(1, named, own);
    const early = isThere ? start(0, {}, {}) : undefined;
    await sleep(isThere ? 4000 : 1500);
    const signalled = performance.now();
    stopped.kill('SIGTERM');
    const main = early ?? start(0, {}, {});
    const [ofMain, ofOther] = await Promise.all([main.outcome, stopped.outcome]);
    const seconds = (performance.now() - signalled) / 1000;
    t.ok(seconds < 12, `${when}: after ${seconds} s`);
    t.equal(ofOther.code, 143, ofOther.stderr);
    t.equal(ofOther.stderr, 'bertune: stopped by SIGTERM; nothing was finished\n');
    t.equal(ofMain.code, 1, ofMain.stderr);
    t.match(ofMain.stderr, /^bertune: Rank 1 failed: stopped by SIGTERM; nothing was finished$/m);
  }
});

await t.test('what callbacks of one process ask for, all do', { timeout: 0 }, async (t) => {
  port += 1;
  const start = (rank: number): Promise<Outcome> =>
    startBertune([], {
      cwd: folder,
      wrapper: ['env', '--', process.execPath, CALLBACKS, String(port)],
      env: { RANK: String(rank) },
    }).outcome;
  const [main, other] = await Promise.all([start(0), start(1)]);
  t.equal(main?.code, 0, main?.stderr ?? '');
  t.equal(other?.code, 0, other?.stderr ?? '');
  t.equal(main?.stdout, other?.stdout);
  t.same(JSON.parse(main?.stdout ?? ''), {
    evaluations: [2, 3, 5],
    computed: [1, 2, 3],
  });
});

await t.test('what one process does is refused, before it does anything', { timeout: 0 }, async (t) => {
  const before = tree(folder);
  const launchers: Record<string, string>[] = [
    { RANK: '0', WORLD_SIZE: '2' },
    { SLURM_PROCID: '0', SLURM_STEP_NUM_TASKS: '2' },
    { OMPI_COMM_WORLD_RANK: '0', OMPI_COMM_WORLD_SIZE: '2' },
    { PMI_RANK: '1', PMI_SIZE: '2' },
  ];
  write('space.yaml', 'learning_rate: {log_uniform: [1e-5, 1e-4]}\nmetric_for_best_model: loss\n');
  for (const [args, what] of [
    [['search', 'space.yaml', '--output-dir', 'new', '--train-file', 'train.csv'], 'search is done'],
    [['inspect', 'train.csv'], 'inspect is done'],
    [['init', 'train.csv', '--config-file', 'new.json'], 'init is done'],
    [['merge', 'texts', '--output-dir', 'new'], 'merge is done'],
    [['export', 'texts', '--output-dir', 'new'], 'export is done'],
    [['serve', 'texts'], 'serve is done'],
    [['push', 'texts', '--repo', 'a/b'], 'push is done'],
    [['report', 'packed-1'], 'report is done'],
    [
      ['train', ...flags({ ...MODEL, 'output-dir': 'new' }), '--cross-validation', '3'],
      '--cross-validation is done',
    ],
    [['train', ...flags({ ...MODEL, 'output-dir': 'new' }), '--live'], '--live is shown'],
    [['predict', '--model', 'texts', '--test-file', '-'], 'Standard input is read'],
  ] as const) {
    for (const env of args[0] === 'inspect' ? launchers : launchers.slice(0, 1)) {
      const [rank = '', size = ''] = Object.keys(env);
      const { code, stdout, stderr } = await bertune(args, { cwd: folder, env });
      t.equal(code, 2, what);
      t.equal(stdout, '');
      t.equal(
        stderr,
        `bertune: ${what} by one process, and a launcher started this one as one of several (${size} is 2): start it without torchrun, srun or mpirun, or unset ${rank} and ${size}\n`,
      );
    }
    if (!what.startsWith('-') && !what.startsWith('S')) continue;
    const { code, stderr } = await bertune([...args, '--nproc', '2'], { cwd: folder });
    t.equal(code, 2);
    t.equal(stderr, `bertune: ${what} by one process: leave --nproc out\n`);
  }
  const { code, stderr } = await bertune(['inspect', 'train.csv', '--nproc', '2'], { cwd: folder });
  t.equal(code, 2);
  t.match(stderr, /^bertune: .*--nproc/);
  t.same(
    tree(folder).filter((path) => path !== 'space.yaml' && !path.startsWith('hub')),
    before.filter((path) => !path.startsWith('hub')),
    'no file was written',
  );
  const help = await bertune(['inspect', '--help'], { cwd: folder, env: { RANK: '0', WORLD_SIZE: '2' } });
  t.equal(help.code, 0, 'help is given all the same');
  const alone = await bertune(['inspect', 'train.csv', '--quiet'], {
    cwd: folder,
    env: { RANK: '0', WORLD_SIZE: '1', SLURM_PROCID: '0', SLURM_STEP_NUM_TASKS: '1' },
  });
  t.equal(alone.code, 0, 'one process is alone, whoever started it');
});
