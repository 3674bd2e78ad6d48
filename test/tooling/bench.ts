// `npm run bench`: what it refuses, how it summarizes, and small runs of each kind without a reference (with one where
// BERTUNE_PYTHON names it).
import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';

import { mediansOf } from '../../scripts/bench/comparison.mjs';
import { benchOptions } from '../../scripts/bench/options.mjs';
import { shapeOf, trainingFlops } from '../../scripts/bench/shape.mjs';
import { resultOf, targetLines } from '../../scripts/bench/targets.mjs';
import { SetupError } from '../../scripts/setup/errors.mjs';
import { startPhases, stopPhases } from '../../dist/native/index.js';
import { makeToy, TOY_CONFIG } from '../fixtures/toy.js';

const LAYERS = 2;
const HIDDEN = 32;
const POSITIONS = 512; // of every model of the bench

interface Side {
  name: string;
  role: string;
  figures: Record<string, { median: number; min: number; max: number }>;
  split: Record<string, { median: number }> | null;
  ratios: { speed: { median: number }; memory: { median: number } } | null;
}

interface Figures {
  machine: { device: string };
  works: { lengths: number[]; sides: Side[]; runs: { seconds: number; tokensPerSecond: number }[] }[];
}

const folder = t.testdir();
const toy = makeToy(folder, { train: 20, test: 4 });
const small = ['--model-shape', `${LAYERS}x${HIDDEN}x2`, '--tokenizer', toy.model, '--threads', '2'];

function bench(...args: string[]): Promise<{ code: number | null; stdout: string; stderr: string }> {
  const child = spawn(process.execPath, [join(import.meta.dirname, '../../scripts/bench.mjs'), ...args], {
    cwd: folder,
    env: { ...process.env, NODE_OPTIONS: '' },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const out = { stdout: '', stderr: '' };
  child.stdout.setEncoding('utf8').on('data', (text: string) => (out.stdout += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (out.stderr += text));
  return new Promise((resolve) => child.on('close', (code) => resolve({ code, ...out })));
}

/** Runs the bench on a small model; its figures and what it printed. */
async function figuresOf(t: Test, ...args: string[]): Promise<Figures & { stdout: string }> {
  const json = join(folder, 'figures.json');
  const { code, stdout, stderr } = await bench(...small, '--json', json, ...args);
  t.equal(code, 0, stderr);
  return { ...(JSON.parse(readFileSync(json, 'utf8')) as Figures), stdout };
}

await t.test('options that cannot be used are refused in one line', async (t) => {
  const cases: [string, RegExp][] = [
    ['--steps --targets', /--steps and --targets exclude each other/],
    ['--steps --data x.csv', /--steps takes no --data/],
    ['--data nothing.csv', /--data nothing\.csv does not exist/],
    ['--rows 8', /--rows goes with an end-to-end run \(--data FILE\) or --evaluate only/],
    ['--evaluate --batches 8x8', /--batches goes with --steps only/],
    ['--evaluate --freeze classifier', /--freeze goes with --steps only/],
    ['--targets --dtype float32', /--dtype goes with/],
    ['--compile', /--compile needs --compare/],
    ['--compare-tutorial', /goes with an end-to-end run/],
    ['--batches 8', /rows x tokens such as 8x128/],
    ['--batches 8x513', /512 positions .* 513 tokens/],
    ['--batches 0x8', /an integer of at least 1 for the rows of --batches but received "0"/],
    ['--lora-rank 0', /an integer of at least 1 for --lora-rank but received "0"/],
    ['--repeat 1.5', /an integer of at least 1 for --repeat but received "1\.5"/],
    ['--threads -1', /--threads/],
    ['--device gpu', /Expected auto, cpu, cuda for --device but received "gpu"/],
    ['--dtype fp16', /Expected auto, float32, bfloat16 for --dtype but received "fp16"/],
    ['--model-shape 6', /LAYERSxHIDDEN/],
    ['--model-shape 2x100', /100 is not a multiple of 64/],
    ['--json nowhere/figures.json', /The folder of --json nowhere\/figures\.json does not exist/],
    ['--fast', /Unknown option '--fast'/],
    ['fast', /Unexpected argument 'fast'/],
  ];
  for (const [args, message] of cases) {
    const error = t.throws(() => benchOptions(args.split(' ')), message, args);
    t.ok(error instanceof SetupError && error.exitCode === 2 && !error.message.includes('\n'), args);
  }
});

await t.test('errors found during a run are one line too', async (t) => {
  const cases: [string[], RegExp][] = [
    [['--rows'], /--rows/],
    [['--data', toy.train, '--rows', '21'], /--rows is 21 but .*train\.csv has 20 rows/],
    [['--freeze', 'bert.encoder.layers.0'], /matches no tensor of the model \(did you mean/],
    [['--freeze', 'bert', 'classifier', '--batches', '1x4'], /leaves nothing to train/],
  ];
  for (const [args, message] of cases) {
    const { code, stderr } = await bench(...small, ...args);
    const lines = stderr.split('\n').filter((line) => line !== '' && !/^Warning|\.\.\.$/.test(line));
    t.equal(code, 2, args.join(' '));
    t.match(lines, [message]);
    t.equal(lines.length, 1);
  }
});

await t.test('--device cuda is refused without a GPU', async (t) => {
  const { code, stdout, stderr } = await bench(...small, '--device', 'cuda', '--batches', '1x4');
  const hasGpu = code === 0;
  t.equal(code, hasGpu ? 0 : 2);
  if (hasGpu) t.match(stdout, /on the GPU: /);
  else t.match(stderr, /^\n--device cuda cannot be used: [^\n]*\n$/);
});

t.test('ratios are those of medians, with the spread of the repetitions', async (t) => {
  const run = (role: 'ours' | 'eager', repetition: number, seconds: number, peakBytes: number) => ({
    name: role,
    role,
    repetition,
    seconds,
    tokensPerSecond: 100 / seconds,
    samplesPerSecond: 10 / seconds,
    flopsPerSecond: 1000 / seconds,
    peakBytes,
  });
  const sides = mediansOf([
    run('ours', 1, 1, 10),
    run('eager', 1, 2, 40),
    run('ours', 2, 2, 10),
    run('eager', 2, 8, 40),
    run('ours', 3, 4, 12),
    run('eager', 3, 4, 40),
  ]);
  t.same(
    sides.map(({ name, ratios }) => [name, ratios]),
    [
      ['ours', null],
      ['eager', { speed: { median: 2, min: 1, max: 4 }, memory: { median: 0.25, min: 0.25, max: 0.3 } }],
    ],
  );
});

t.test('a target is compared with the fastest way of the other side', (t) => {
  const run = (
    role: 'ours' | 'best',
    name: string,
    seconds: number,
    peakBytes: number,
    outside?: number,
  ) => ({
    name,
    role,
    repetition: 1,
    seconds,
    tokensPerSecond: 128 / seconds,
    samplesPerSecond: 10 / seconds,
    flopsPerSecond: 1000 / seconds,
    peakBytes,
    ...(outside !== undefined && { outside }),
  });
  const sides = mediansOf([run('ours', 'a', 1, 10, 0.02), run('best', 'b', 8, 20), run('best', 'c', 4, 40)]);
  const work = { title: 'Work', about: '', shape: shapeOf('6x384'), lengths: [], trains: true, sides: [] };
  const targets = [
    { figure: 'speed', against: 'best', least: 3, aim: 5 },
    { figure: 'speed', against: 'best', least: 3, aim: 4 },
    { figure: 'speed', against: 'tutorial', least: 5, aim: 6 },
    { figure: 'memory', against: 'best', least: 0.2, aim: 0.1 },
    { figure: 'outside', least: 0.03, aim: 0.01 },
    { figure: 'matmulShare', least: 0.65, aim: 0.8 },
  ] as const;
  const results = targets.map((target) => resultOf(work, target, sides));
  t.same(
    results.map(({ measured, verdict }) => [measured.median, verdict]),
    [
      [4, 'reached'],
      [4, 'aim reached'],
      [NaN, 'not measured'],
      [0.25, 'short'],
      [0.02, 'reached'],
      [NaN, 'not measured'],
    ],
  );
  t.match(targetLines(results)[2], /^Work: speed, against HF at its best +4\.00x +3\.00x +5\.00x +reached$/);
  t.end();
});

t.test(
  'operations of a step are 6 a weight and token, and 12 a layer, position, unit and token',
  async (t) => {
    const weights = 6 * (4 * 384 * 384 + 2 * 384 * 1536);
    t.equal(trainingFlops(shapeOf('6x384'), [256]), 256 * (6 * weights + 12 * 6 * 256 * 384));
  },
);

/** Parameters of the model in groups: [values, tensors]. */
function parameters(): Record<'embeddings' | 'layer' | 'pooler' | 'classifier', [number, number]> {
  const [h, inner] = [HIDDEN, 4 * HIDDEN];
  return {
    embeddings: [(TOY_CONFIG.vocab_size + POSITIONS + 2) * h + 2 * h, 5],
    layer: [4 * (h * h + h) + 2 * h * inner + inner + h + 4 * h, 16],
    pooler: [h * h + h, 2],
    classifier: [2 * h + 2, 2],
  };
}

/** AdamW keeps two moments of each trained value, and a step count of each tensor, in float32. */
function stateBytes(...groups: [number, number][]): number {
  return groups.reduce((sum, [values, tensors]) => sum + 4 * (2 * values + tensors), 0);
}

await t.test('steps', async (t) => {
  const { works, stdout } = await figuresOf(t, '--batches', '2x8,3x20', '--repeat', '2');
  t.same(
    works.map(({ lengths }) => lengths),
    [
      [8, 8],
      [20, 20, 20],
    ],
  );
  const { embeddings, layer, pooler, classifier } = parameters();
  for (const { lengths, sides, runs } of works) {
    t.equal(runs.length, 2);
    for (const { seconds, tokensPerSecond } of runs)
      t.ok(Math.abs(seconds * tokensPerSecond - lengths.reduce((a, b) => a + b)) < 1e-6);
    const [side] = sides;
    const shares = Object.values(side?.split ?? {}).map(({ median }) => median);
    t.equal(shares.length, 5);
    for (const phase of ['gemm', 'attention', 'elementWise', 'optimizer'])
      t.ok((side?.split?.[phase]?.median ?? 0) > 0, `${phase} takes time`);
    const rest = side?.split?.['rest']?.median ?? NaN;
    t.ok(rest > -0.01 && rest < 1, `no time is counted twice: rest ${rest}`);
    const outside = side?.figures['outside']?.median ?? NaN;
    t.ok(outside > 0 && outside < 1);
    t.ok((side?.figures['matmulShare']?.median ?? 0) > 0);
    t.ok((side?.figures['peakBytes']?.median ?? 0) > 50e6);
    t.equal(side?.figures['stateBytes']?.median, stateBytes(embeddings, layer, layer, pooler, classifier));
  }
  t.match(stdout, /split of the step of bertune, \w+: GEMM .*, attention .*, element-wise/);
});

await t.test('what is frozen or adapted has no optimizer state', async (t) => {
  const frozen = ['--freeze', 'bert.embeddings', 'bert.encoder.layer.0', '--batches', '2x8', '--repeat', '1'];
  const { layer, pooler, classifier } = parameters();
  const [first] = (await figuresOf(t, ...frozen)).works;
  t.same(
    first?.sides.map(({ role }) => role),
    ['ours', 'plain'],
  );
  t.equal(first?.sides[0]?.figures['stateBytes']?.median, stateBytes(layer, pooler, classifier));
  const lora = ['--lora-rank', '3', '--gradient-checkpointing', '--batches', '2x8', '--repeat', '1'];
  const [second] = (await figuresOf(t, ...lora)).works;
  const adapter: [number, number] = [2 * 2 * 3 * HIDDEN, 4]; // A and B of query and value
  t.equal(second?.sides[0]?.figures['stateBytes']?.median, stateBytes(adapter, adapter, classifier));
});

await t.test('end to end and evaluation', async (t) => {
  for (const kind of [[], ['--evaluate']]) {
    const rows = ['--data', toy.train, '--rows', '12', '--batch-size', '5', '--repeat', '1'];
    const { works, stdout } = await figuresOf(t, ...kind, ...rows);
    t.equal(works[0]?.lengths.length, 12);
    const figures = works[0]?.sides[0]?.figures;
    const outside = figures?.['outside']?.median ?? NaN;
    t.ok(outside > 0 && outside < 1, 'part of the time is spent outside of the native thread');
    t.equal(figures?.['dataWait'] !== undefined, kind.length === 0, 'only a training waits for steps');
    t.match(stdout, /the first 12 rows of train\.csv, \d+ real tokens/);
  }
});

t.test('time is counted only between start and stop', async (t) => {
  stopPhases();
  t.same(stopPhases(), { gemm: 0, attention: 0, elementWise: 0, optimizer: 0 });
  startPhases();
  startPhases();
  stopPhases();
  t.same(stopPhases(), { gemm: 0, attention: 0, elementWise: 0, optimizer: 0 });
});

const skip = process.env['BERTUNE_PYTHON'] === undefined && 'BERTUNE_PYTHON is not set';
await t.test('the other side does the same work', { skip }, async (t) => {
  const options = ['--compare', '--dtype', 'float32', '--batches', '2x8', '--repeat', '1'];
  const { works } = await figuresOf(t, ...options, '--freeze', 'bert.embeddings', '--gradient-checkpointing');
  const [ours, , theirs] = works[0]?.sides ?? [];
  t.match(theirs?.name, /HF eager, float32/);
  t.equal(theirs?.figures['stateBytes']?.median, ours?.figures['stateBytes']?.median, 'the same is frozen');
  t.ok((theirs?.ratios?.speed.median ?? 0) > 0);
  const rows = ['--data', toy.train, '--rows', '12', '--repeat', '1', '--compare'];
  for (const kind of [[], ['--evaluate']]) {
    const [work] = (await figuresOf(t, ...kind, ...rows)).works;
    t.match(
      work?.sides.map(({ role }) => role),
      ['ours', 'best'],
    );
  }
});
