// `npm run bench`: what it refuses, how it summarizes, and small runs of each kind without a reference (with one where
// BERTUNE_PYTHON names it).
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { constants } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';

import { mediansOf } from '../../scripts/bench/comparison.mjs';
import { forkingWorker } from '../../scripts/bench/jobs.mjs';
import { benchOptions, optionsFor } from '../../scripts/bench/options.mjs';
import { runAlternately, type Measured, type Plan, type Run } from '../../scripts/bench/runs.mjs';
import { scalingLines, scalingOf } from '../../scripts/bench/scaling.mjs';
import { shapeOf, trainingFlops } from '../../scripts/bench/shape.mjs';
import { planTargets, resultOf, targetLines, targetsFor } from '../../scripts/bench/targets.mjs';
import { sentBytes, togetherOf } from '../../scripts/bench/worker/world.mjs';
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
  benchmarks: { lengths: number[]; sides: Side[]; runs: { seconds: number; tokensPerSecond: number }[] }[];
  scaling?: Record<string, { median: number } | null>[];
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

function onlyOne<T>(all: readonly T[]): T {
  const [one, ...more] = all;
  if (one === undefined || more.length > 0) throw new Error(`${all.length} where one was expected`);
  return one;
}

await t.test('options that cannot be used are refused in one line', async (t) => {
  const cases: [string, RegExp][] = [
    ['--steps --targets', /--steps and --targets exclude each other/],
    ['--forward --first-step', /--forward and --first-step exclude each other/],
    ['--steps --data x.csv', /--data goes with .*--evaluate or --targets only/],
    ['--data nothing.csv', /--data nothing\.csv does not exist/],
    ['--rows 8', /--rows goes with an end-to-end run \(--data FILE\) or --evaluate or --targets only/],
    ['--evaluate --batches 8x8', /--batches goes with --steps or --forward only/],
    ['--evaluate --freeze classifier', /--freeze goes with --steps only/],
    ['--targets --dtype float32', /--dtype goes with/],
    ['--compile', /--compile needs --compare/],
    ['--compare-tutorial', /goes with an end-to-end run/],
    ['--batches 8', /rows x tokens such as 8x128/],
    ['--batches 8x513', /512 positions .* 513 tokens/],
    ['--batches 0x8', /an integer of at least 1 for the rows of --batches but received "0"/],
    ['--nproc 0', /an integer of at least 1 for --nproc but received "0"/],
    ['--nproc 2 --forward', /--nproc goes with --steps or an end-to-end run \(--data FILE\) only/],
    ['--nproc 2 --batches 8x8,3x8', /3 rows of --batches cannot be shared out evenly to the 2 processes/],
    ['--nproc 2 --compare --compile', /--compile and --nproc exclude each other/],
    ['--gradient-reduce-dtype bfloat16', /--gradient-reduce-dtype needs --nproc of at least 2/],
    ['--nproc 2 --gradient-reduce-dtype half', /Expected float32, bfloat16 for --gradient-reduce-dtype/],
    ['--lora-rank 0', /an integer of at least 1 for --lora-rank but received "0"/],
    ['--repeat 1.5', /an integer of at least 1 for --repeat but received "1\.5"/],
    ['--threads -1', /--threads/],
    ['--device gpu', /Expected auto, cpu, cuda or one such as cuda:1 for --device but received "gpu"/],
    ['--forward --no-cuda-graphs', /--no-cuda-graphs goes with --steps only/],
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

await t.test('another build that is none, or not built, is refused', async (t) => {
  const other = join(folder, 'other');
  const refused = async (message: RegExp): Promise<void> => {
    const { code, stdout, stderr } = await bench('--against', other);
    t.equal(code, 2);
    t.match(stderr, message);
    t.equal(stdout, '', 'before anything is measured');
  };
  await refused(/--against .*other is no checkout of bertune: it has no scripts\/bench\/worker\.mjs$/m);
  for (const path of ['scripts/bench', 'dist']) mkdirSync(join(other, path), { recursive: true });
  writeFileSync(join(other, 'scripts/bench/worker.mjs'), '');
  await refused(/other is not built \(no dist\/cli\.js\): run `npm ci && npm run build` there$/m);
  writeFileSync(join(other, 'dist/cli.js'), '');
  await refused(/other is not built \(no build\/Release\/bertune\.node\): run `npm run setup` there$/m);
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
      [
        'eager',
        {
          speed: { median: 2, min: 1, max: 4 },
          time: { median: 0.5, min: 0.25, max: 1 },
          memory: { median: 0.25, min: 0.25, max: 0.3 },
        },
      ],
    ],
  );
});

t.test('a target is compared with the fastest way of the other side', (t) => {
  const run = (role: 'ours' | 'best' | 'before', name: string, seconds: number, figures: object) => ({
    name,
    role,
    repetition: 1,
    seconds,
    ...figures,
  });
  const sides = mediansOf([
    run('ours', 'a', 1, { peakBytes: 10, outside: 0.02, overWeights: 1.25 }),
    run('best', 'b', 8, { peakBytes: 20 }),
    run('best', 'c', 4, { peakBytes: 40 }),
    run('before', 'd', 2, { peakBytes: 8 }),
  ]);
  const targets = [
    { figure: 'speed', against: 'best', least: [3, 5], before: [2.5] },
    { figure: 'speed', against: 'tutorial', least: [5], before: [] },
    { figure: 'memory', against: 'best', least: [0.2], before: [] },
    { figure: 'time', against: 'best', least: [0.25], before: [0.5] },
    { figure: 'outside', against: '', least: [0.03], before: [] },
    { figure: 'overWeights', against: '', least: [1.2], before: [] },
    { figure: 'matmulShare', against: '', least: [0.65], before: [] },
  ];
  const results = targets.map((target) => resultOf('Benchmark', target, sides));
  t.same(
    results.map(({ other, before }) => [
      other.measured.median,
      other.verdict,
      before.measured.median,
      before.verdict,
    ]),
    [
      [4, 'reached', 2, 'missed'],
      [NaN, 'not measured', 2, ''],
      [0.25, 'missed', 1.25, ''],
      [0.25, 'reached', 0.5, 'reached'],
      [0.02, 'reached', NaN, ''],
      [1.25, 'missed', NaN, ''],
      [NaN, 'not measured', NaN, ''],
    ],
  );
  t.match(
    targetLines(results)[2],
    /^Benchmark: speed, against HF at its best +4\.00x +3\.00x, aim 5\.00x +reached +2\.00x +2\.50x +missed$/,
  );
  const alone = sides.filter(({ role }) => role !== 'before');
  const lines = targetLines(targets.map((each) => resultOf('Benchmark', each, alone)));
  t.match(lines[2], /aim 5\.00x +reached$/, 'no columns for a build that is not there');
  t.end();
});

t.test('targets are those of the processor, in what it can do well', (t) => {
  const plan = (instructionSet: string, bfloat16: boolean, ...args: string[]): Plan =>
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- a plan reads no more of it
    planTargets(optionsFor(benchOptions(['--targets', ...args]), { bfloat16 }), {
      machine: { instructionSet },
    } as Parameters<typeof planTargets>[1]);
  const older = plan('avx2', false);
  t.match(
    older.notes[0],
    /Targets for avx2, in float32 .* 32 rows .* 256 are evaluated, .* bfloat16, .* is left out/,
  );
  const newer = plan('avx512_bf16', true);
  t.match(newer.notes[0], /Targets for avx512_bf16, in bfloat16 .* 96 rows .* 512 are evaluated\.$/);
  t.match(plan('avx512_bf16', true, '--rows', '2000').notes[0], / 96 rows .* 2000 are evaluated/);
  t.match(plan('avx2', false, '--rows', '8').notes[0], / 8 rows .* 8 are evaluated/);
  const titles = newer.benchmarks.map(({ title }) => title);
  t.ok(titles.includes('Step of 8 x 256 tokens, 6 x 384, float32'));
  t.equal(new Set(titles).size, older.benchmarks.length + 1);
  t.notMatch(
    older.benchmarks.map(({ title }) => title),
    [/float32/],
  );
  const results = titles.map((title, i) => ({
    title,
    sides: [],
    failures: i === 0 ? [{ name: 'HF eager, bfloat16', reason: 'Traceback\nValueError: no memory\n' }] : [],
  }));
  const lines = newer.summarize?.(results).lines ?? [];
  t.match(
    lines.at(-1),
    /^Failed: Step of 8 x 256 tokens, 6 x 384, HF eager, bfloat16: ValueError: no memory$/,
  );
  t.ok(
    lines.slice(2, -1).every((line) => /not measured|- +- *$/.test(line)),
    lines.join('\n'),
  );
  t.end();
});

t.test('every target is well-formed, for each processor', (t) => {
  for (const set of ['baseline', 'avx2', 'avx512', 'avx512_bf16'] as const) {
    const targets = targetsFor(set).flatMap((benchmark) => benchmark.targets);
    t.ok(targets.flatMap(({ least, before }) => [...least, ...before]).every((level) => level > 0));
    t.ok(
      targetLines(targets.map((target) => resultOf('', target, []))).every((line) => !/undefined/.test(line)),
    );
  }
  const first = (set: 'baseline' | 'avx2' | 'avx512' | 'avx512_bf16') => targetsFor(set)[0]?.targets[0];
  t.same(first('baseline'), first('avx2'));
  t.match(first('avx2'), { figure: 'speed', against: 'eager', least: [1.75, 1.9], before: [1.6] });
  t.match(first('avx512'), { least: [2.2], before: [1] });
  t.match(first('avx512_bf16'), { least: [3.6], before: [1.08] });
  t.end();
});

t.test('a side that fails is left out where the others go on', async (t) => {
  const measure = async (): Promise<Measured> => ({ seconds: 1 });
  let calls = 0;
  const fails = async (): Promise<Measured> => {
    if (++calls === 2) throw new Error('no compiler');
    return measure();
  };
  const side = { dtype: 'float32' } as const;
  const work = {
    about: '',
    shape: shapeOf('6x384'),
    lengths: [],
    trains: true,
    sides: [
      { ...side, name: 'a', role: 'ours', measure },
      { ...side, name: 'b', role: 'compiled', measure: fails },
    ],
  } as const;
  const { runs, failures } = await runAlternately('Work', work, { repeat: 3, goesOn: true });
  t.same(
    runs.map(({ name }) => name),
    ['a, float32', 'a, float32', 'a, float32'],
  );
  t.same(failures, [{ name: 'b, float32', reason: 'no compiler' }]);
  t.equal(calls, 2, 'and is not tried again');
  calls = 0;
  await t.rejects(runAlternately('Work', work, { repeat: 3, goesOn: false }), /no compiler/);
});

await t.test('jobs of a program that forks', async (t) => {
  const script = `process.stdin.on('data', (text) => {
    for (const line of text.toString().trim().split('\\n')) {
      const { task } = JSON.parse(line);
      if (task === 'exit') { console.error('out of memory'); process.exit(1); }
      console.log('a warning');
      console.log(JSON.stringify(task === 'fail' ? { error: 'Traceback: why' } : { task }));
    }
  });`;
  const { worker, close } = forkingWorker(process.execPath, ['-e', script]);
  t.same(await worker({ task: 'one' }), { task: 'one' });
  await t.rejects(worker({ task: 'fail' }), /The bench's fail run failed: Traceback: why/);
  t.same(await worker({ task: 'two' }), { task: 'two' }, 'others are not affected');
  await t.rejects(worker({ task: 'exit' }), /The bench's exit run failed: out of memory/);
  await t.rejects(worker({ task: 'three' }), /The bench's three run failed/);
  close();
});

await t.test('a signal ends a program that forks too', async (t) => {
  const waits = `process.stdin.on('data', () => console.log(JSON.stringify({ pid: process.pid })));
    setInterval(() => {}, 1000);`;
  const jobs = JSON.stringify(join(import.meta.dirname, '../../scripts/bench/jobs.mjs'));
  const script = `import { forkingWorker } from ${jobs};
    const { worker } = forkingWorker(process.execPath, ['-e', ${JSON.stringify(waits)}]);
    console.log((await worker({ task: 'pid' })).pid);`;
  const parent = spawn(process.execPath, ['--input-type=module', '-e', script], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, NODE_OPTIONS: '' },
  });
  const [line] = (await once(parent.stdout, 'data')) as [Buffer];
  const pid = Number(line.toString());
  t.ok(pid > 0);
  parent.kill('SIGTERM');
  const [code] = (await once(parent, 'close')) as [number];
  t.equal(code, 128 + constants.signals.SIGTERM);
  t.throws(() => process.kill(pid, 'SIGKILL'), { code: 'ESRCH' });
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
  const { benchmarks, stdout } = await figuresOf(t, '--batches', '2x8,3x20', '--repeat', '2');
  t.same(
    benchmarks.map(({ lengths }) => lengths),
    [
      [8, 8],
      [20, 20, 20],
    ],
  );
  const { embeddings, layer, pooler, classifier } = parameters();
  for (const { lengths, sides, runs } of benchmarks) {
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
    t.ok((side?.figures['dispatches']?.median ?? 0) > 100, 'operators are counted');
  }
  t.match(stdout, /split of the step of bertune, \w+: GEMM .*, attention .*, element-wise/);
});

t.test('a process sends its parts of a ring all-reduce but one, twice', (t) => {
  t.equal(sentBytes(100, 1), 0);
  t.equal(sentBytes(100, 2), 100);
  t.equal(sentBytes(100, 4), 150);
  t.end();
});

t.test('processes that measure together are as slow as the slowest, and wait as little as the last', (t) => {
  const rank = { tokens: 10, peakBytes: 5, dispatches: 7, reduction: 0.2, exposed: 0.1 };
  const all = togetherOf([
    { ...rank, seconds: 2 },
    { ...rank, seconds: 3, peakBytes: 6, reduction: 0.3, exposed: 0.05 },
  ]);
  t.same(all, {
    seconds: 3,
    tokens: 20,
    peakBytes: 11,
    dispatches: 7,
    reduction: 0.2,
    exposed: 0.05,
  });
  t.end();
});

t.test('scaling is of tokens a second, whatever number of them a side has', (t) => {
  const run = (role: Run['role'], seconds: number, tokensPerSecond: number): Run => ({
    name: role,
    role,
    repetition: 1,
    seconds,
    tokensPerSecond,
  });
  const runs = [
    run('ours', 4, 180),
    run('one', 4, 100),
    run('apart', 4, 190),
    run('strong', 2, 160),
    run('threads', 2, 128),
    run('eager', 4, 60),
  ];
  const scaling = scalingOf(runs, 2);
  t.same(
    Object.entries(scaling).map(([name, figure]) => [name, figure?.median]),
    [
      ['weak', 0.9],
      ['apart', 0.95],
      ['strong', 0.8],
      ['threads', 1.25],
      ['theirs', 3],
    ],
  );
  t.match(
    scalingLines([{ title: 'Step', ...scaling }]).join('\n'),
    /^Step +90\.0 % +95\.0 % +80\.0 % +1\.25x +3\.00x$/m,
  );
  t.equal(scalingOf(runs.slice(1), 2).weak, null, 'a side that failed');
  const one = mediansOf(runs).find(({ role }) => role === 'one');
  t.equal(one?.ratios?.['speed']?.median, 1.8, 'in the same seconds, but fewer tokens');
  t.end();
});

await t.test('steps of two processes', async (t) => {
  const { embeddings, layer, pooler, classifier } = parameters();
  const trained = [embeddings, layer, layer, pooler, classifier].reduce((sum, [values]) => sum + values, 0);
  for (const [type, bytes] of [
    ['float32', 4],
    ['bfloat16', 2],
  ] as const) {
    const args = ['--nproc', '2', '--threads', '1', '--batches', '4x16', '--repeat', '1'];
    const { benchmarks, scaling, stdout } = await figuresOf(t, ...args, '--gradient-reduce-dtype', type);
    const { sides, runs, lengths } = onlyOne(benchmarks);
    t.same(
      sides.map(({ role }) => role),
      ['ours', 'one', 'apart', 'strong', 'threads'],
    );
    t.same(lengths, Array(8).fill(16), 'four rows of each');
    for (const [i, rows] of [8, 4, 8, 4, 4].entries()) {
      const run = runs[i] ?? { seconds: NaN, tokensPerSecond: NaN };
      t.ok(Math.abs(run.seconds * run.tokensPerSecond - rows * 16) < 1e-6, sides[i]?.name ?? 'no side');
    }
    const figure = (role: string, name: string): number =>
      sides.find((side) => side.role === role)?.figures[name]?.median ?? NaN;
    for (const role of ['ours', 'strong']) {
      t.equal(figure(role, 'sentBytes'), bytes * trained, 'of two processes each sends all gradients once');
      t.ok(figure(role, 'reduction') > 0 && figure(role, 'exposed') > 0);
      const waited = figure(role, 'exposed') / figure(role, 'reduction');
      t.equal(figure(role, 'overlapped'), Math.max(0, 1 - waited));
      t.equal(figure(role, 'stateBytes'), 2 * figure('one', 'stateBytes'), 'each has its own');
      t.ok(figure(role, 'peakBytes') > 1.5 * figure('one', 'peakBytes'), 'memory of both');
    }
    for (const role of ['one', 'apart', 'threads'])
      t.equal(sides.find((side) => side.role === role)?.figures['sentBytes'], undefined, 'nothing is summed');
    const speed = (role: string): number => figure(role, 'tokensPerSecond');
    t.match(scaling?.[0], {
      weak: { median: speed('ours') / speed('one') / 2 },
      apart: { median: speed('apart') / speed('one') / 2 },
      strong: { median: speed('strong') / speed('one') / 2 },
      threads: { median: speed('strong') / speed('threads') },
      theirs: null,
    });
    t.match(
      stdout,
      /split of the step of bertune, 2 processes of 1 thread, 4 rows each, \w+: .*, reductions /,
    );
    t.match(stdout, /weak scaling +without sums +strong scaling +to threads\n/);
  }
});

await t.test('what is frozen or adapted has no optimizer state', async (t) => {
  const frozen = ['--freeze', 'bert.embeddings', 'bert.encoder.layer.0', '--batches', '2x8', '--repeat', '1'];
  const { layer, pooler, classifier } = parameters();
  const [first] = (await figuresOf(t, ...frozen)).benchmarks;
  t.same(
    first?.sides.map(({ role }) => role),
    ['ours', 'plain'],
  );
  t.equal(first?.sides[0]?.figures['stateBytes']?.median, stateBytes(layer, pooler, classifier));
  const lora = ['--lora-rank', '3', '--gradient-checkpointing', '--batches', '2x8', '--repeat', '1'];
  const [second] = (await figuresOf(t, ...lora)).benchmarks;
  const adapter: [number, number] = [2 * 2 * 3 * HIDDEN, 4]; // A and B of query and value
  t.equal(second?.sides[0]?.figures['stateBytes']?.median, stateBytes(adapter, adapter, classifier));
  const launched = (await figuresOf(t, '--no-cuda-graphs', '--batches', '2x8', '--repeat', '1'))
    .benchmarks[0];
  t.same(
    launched?.sides.map(({ name }) => name.replace(/, \w+$/, '')),
    ['bertune with no graphs', 'bertune, plain'],
  );
});

await t.test('end to end and evaluation', async (t) => {
  for (const kind of [[], ['--evaluate']]) {
    const rows = ['--data', toy.train, '--rows', '12', '--batch-size', '5', '--repeat', '1'];
    const { benchmarks, stdout } = await figuresOf(t, ...kind, ...rows);
    t.equal(benchmarks[0]?.lengths.length, 12);
    const figures = benchmarks[0]?.sides[0]?.figures;
    const outside = figures?.['outside']?.median ?? NaN;
    t.ok(outside > 0 && outside < 1, 'part of the time is spent outside of the native thread');
    t.equal(figures?.['dataWait'] !== undefined, kind.length === 0, 'only a training waits for steps');
    t.match(stdout, /the first 12 rows of train\.csv, \d+ real tokens/);
  }
});

await t.test('end to end by two processes', async (t) => {
  const rows = ['--data', toy.train, '--rows', '12', '--batch-size', '3', '--repeat', '1'];
  const { benchmarks, scaling } = await figuresOf(t, ...rows, '--nproc', '2', '--threads', '1');
  const { sides, runs, lengths } = onlyOne(benchmarks);
  t.same(
    sides.map(({ name }) => name.replace(/, \w+$/, '')),
    [
      'bertune, 2 processes of 1 thread, batch 3 each',
      'bertune, 1 process of 1 thread, batch 3',
      'bertune, 1 process of 2 threads, batch 6',
    ],
  );
  const tokens = lengths.reduce((a, b) => a + b);
  for (const { seconds, tokensPerSecond } of runs) t.ok(Math.abs(seconds * tokensPerSecond - tokens) < 1e-6);
  const [ours, one] = runs.map(({ tokensPerSecond }) => tokensPerSecond);
  t.equal(scaling?.[0]?.['weak']?.median, (ours ?? NaN) / (one ?? NaN) / 2);
});

await t.test('forward passes, against another build', async (t) => {
  const root = join(import.meta.dirname, '../..');
  const args = ['--forward', '--batches', '2x8', '--repeat', '2', '--against', root];
  const { benchmarks, stdout } = await figuresOf(t, ...args);
  const [ours, before] = benchmarks[0]?.sides ?? [];
  t.same([ours?.role, before?.role], ['ours', 'before']);
  t.match(before?.name, /^before \((commit [0-9a-f]+|no git commit)/);
  t.ok((before?.ratios?.speed.median ?? 0) > 0 && (before?.ratios?.memory.median ?? 0) > 0);
  t.ok((ours?.figures['matmulShare']?.median ?? 0) > 0);
  t.equal(ours?.figures['stateBytes'], undefined, 'nothing is trained');
  t.match(stdout, /In alternation with the build before \(/);
});

await t.test('opening a model, and the first step of the command line', async (t) => {
  const [opened] = (await figuresOf(t, '--open', '--repeat', '1')).benchmarks;
  const { peakBytes, overWeights } = opened?.sides[0]?.figures ?? {};
  const h = HIDDEN;
  const { layer, pooler, classifier } = parameters();
  // A vocabulary of its own, and a header.
  const values = (30522 + POSITIONS + 2) * h + 2 * h + LAYERS * layer[0] + pooler[0] + classifier[0];
  const openedBytes = 4 * values * (overWeights?.median ?? NaN);
  t.ok(openedBytes > 4 * values && openedBytes < (peakBytes?.median ?? 0), `${openedBytes} bytes`);
  const { benchmarks, stdout } = await figuresOf(t, '--first-step', '--repeat', '2');
  t.ok((benchmarks[0]?.sides[0]?.figures['seconds']?.median ?? 0) > 0.2);
  t.match(stdout, /First step: BERT of 2 layers x 32/);
});

t.test('time is counted only between start and stop', async (t) => {
  const nothing = {
    gemm: 0,
    attention: 0,
    elementWise: 0,
    optimizer: 0,
    reduction: 0,
    dispatches: 0,
    launches: 0,
  };
  stopPhases();
  t.same(stopPhases(), nothing);
  startPhases();
  startPhases();
  stopPhases();
  t.same(stopPhases(), nothing);
});

const skip = process.env['BERTUNE_PYTHON'] === undefined && 'BERTUNE_PYTHON is not set';
await t.test('the other side does the same work', { skip }, async (t) => {
  const options = ['--compare', '--dtype', 'float32', '--batches', '2x8', '--repeat', '1'];
  const { benchmarks } = await figuresOf(
    t,
    ...options,
    '--freeze',
    'bert.embeddings',
    '--gradient-checkpointing',
  );
  const [ours, , theirs] = benchmarks[0]?.sides ?? [];
  t.match(theirs?.name, /HF eager, float32/);
  t.equal(theirs?.figures['stateBytes']?.median, ours?.figures['stateBytes']?.median, 'the same is frozen');
  t.ok((theirs?.ratios?.speed.median ?? 0) > 0);
  for (const kind of ['--forward', '--open', '--first-step']) {
    const batches = kind === '--forward' ? ['--batches', '2x8'] : [];
    const [work] = (await figuresOf(t, kind, ...batches, '--compare', '--dtype', 'float32', '--repeat', '1'))
      .benchmarks;
    t.ok((work?.sides[1]?.ratios?.speed.median ?? 0) > 0, kind);
  }
  const rows = ['--data', toy.train, '--rows', '12', '--repeat', '1', '--compare'];
  for (const kind of [[], ['--evaluate']]) {
    const [work] = (await figuresOf(t, ...kind, ...rows)).benchmarks;
    t.match(
      work?.sides.map(({ role }) => role),
      ['ours', 'best'],
    );
  }
});

await t.test('as many processes of the other side, under torchrun', { skip }, async (t) => {
  const options = ['--nproc', '2', '--threads', '1', '--compare', '--dtype', 'float32', '--repeat', '1'];
  for (const kind of [
    ['--batches', '4x8'],
    ['--data', toy.train, '--rows', '12', '--batch-size', '3'],
  ]) {
    const { benchmarks, scaling } = await figuresOf(t, ...kind, ...options);
    const { sides } = onlyOne(benchmarks);
    const [ours, theirs] = [sides[0], sides.at(-1)];
    t.match(theirs?.name, /^HF .*, 2 processes of 1 thread, /);
    t.equal(theirs?.figures['stateBytes']?.median, ours?.figures['stateBytes']?.median, 'of both processes');
    t.equal(scaling?.[0]?.['theirs']?.median, theirs?.ratios?.speed.median);
    t.ok((theirs?.ratios?.speed.median ?? 0) > 0);
  }
});

await t.test('a masked language model', { skip }, async (t) => {
  const options = [
    '--task',
    'masked-lm',
    '--compare',
    '--dtype',
    'float32',
    '--batches',
    '2x20',
    '--repeat',
    '1',
  ];
  const { benchmarks } = await figuresOf(t, ...options);
  const [ours, theirs] = benchmarks[0]?.sides ?? [];
  t.match(theirs?.name, /HF eager, float32/);
  const { embeddings, layer } = parameters();
  const transform: [number, number] = [HIDDEN * HIDDEN + HIDDEN + 2 * HIDDEN, 4];
  const bias: [number, number] = [TOY_CONFIG.vocab_size, 1];
  for (const side of [ours, theirs])
    t.equal(
      side?.figures['stateBytes']?.median,
      stateBytes(embeddings, layer, layer, transform, bias),
      `${side?.name}: no pooler, and no decoder beside the embeddings`,
    );
  t.ok((theirs?.ratios?.speed.median ?? 0) > 0);
});
