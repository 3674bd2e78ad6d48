// What the project wants to reach, by processor, and whether it is reached: ratios measured in one run.
import { FIRST_STEP_NOTES, firstStepBenchmark, OPENING_NOTES, openingBenchmark } from './beginning.mjs';
import { failureLines } from './report.mjs';
import { shapeOf } from './shape.mjs';
import { percent, table, times, withSpread } from './statistics.mjs';
import { PLAIN, STEP_NOTES, stepBenchmark } from './steps.mjs';
import { EVALUATION_NOTES, evaluationBenchmark, TRAINING_NOTES, trainingBenchmark } from './texts.mjs';

/**
 * @typedef {import('./comparison.mjs').Side} Side
 * @typedef {import('./machine.mjs').InstructionSet} InstructionSet
 * @typedef {import('./runs.mjs').Results} Results
 * @typedef {import('./runs.mjs').Benchmark} Benchmark
 * @typedef {import('./statistics.mjs').Summary} Summary
 *
 * At least (of what should be small: at most) so much; behind it what was computed to be possible.
 *
 * @typedef {number | readonly [number, number]} Level
 * @typedef {Level | Partial<Record<Exclude<InstructionSet, 'baseline'>, Level>>} Levels the same for all processors, or by
 *   instruction set
 *
 * @typedef {object} Definition of a benchmark
 * @property {'step' | 'forward' | 'train' | 'evaluate' | 'open' | 'firstStep'} kind
 * @property {string} shape of the model
 * @property {readonly [number, number]} [batch] rows and tokens of each
 * @property {'float32'} [dtype] where it is not the best that the processor has
 * @property {readonly { figure: string, against?: string, least?: Levels, before?: Levels }[]} targets `before`: against the
 *   build before
 *
 * @typedef {{ figure: string, against: string, least: readonly number[], before: readonly number[] }} Target on one processor,
 *   empty where there is none
 * @typedef {{ measured: Summary, target: readonly number[], verdict: string }} Result
 */

const MINILM = '6x384x12';
const BERT_BASE = '12x768x12';
const BERT_TINY = '2x128x2';

/** @param {Level} avx2 @param {Level} avx512 @param {Level} avx512_bf16 */
const by = (avx2, avx512, avx512_bf16) => ({ avx2, avx512, avx512_bf16 });

/** @type {readonly Definition[]} */
const DEFINITIONS = [
  {
    kind: 'step',
    shape: MINILM,
    batch: [8, 256],
    targets: [
      { figure: 'speed', against: 'eager', least: by([1.75, 1.9], 2.2, 3.6), before: by(1.6, 1, 1.08) },
      { figure: 'matmulShare', least: by(0.85, 0.65, 0.78) },
    ],
  },
  {
    kind: 'step',
    shape: MINILM,
    batch: [32, 64],
    targets: [
      { figure: 'speed', against: 'eager', least: by([1.45, 1.55], 1.45, 1.8), before: by(1.4, 1, 1) },
    ],
  },
  {
    kind: 'step',
    shape: MINILM,
    batch: [8, 512],
    targets: [
      { figure: 'speed', against: 'eager', least: by([2.8, 3], 2.8, 5), before: by(1.65, 1, 1) },
      { figure: 'memory', against: 'eager', least: 0.25, before: 0.9 },
    ],
  },
  {
    kind: 'step',
    shape: BERT_BASE,
    batch: [8, 128],
    targets: [{ figure: 'speed', against: 'eager', least: by(1.3, 1.3, 1.6), before: by(1.4, 1, 1) }],
  },
  {
    kind: 'step',
    shape: BERT_TINY,
    batch: [32, 64],
    targets: [{ figure: 'speed', against: 'eager', least: 2.5, before: by(1.3, 1, 1) }],
  },
  {
    kind: 'step',
    shape: MINILM,
    batch: [8, 256],
    dtype: 'float32',
    targets: [{ figure: 'speed', against: 'eager', least: { avx512_bf16: 2.2 }, before: { avx512_bf16: 1 } }],
  },
  {
    kind: 'forward',
    shape: MINILM,
    batch: [8, 256],
    targets: [{ figure: 'speed', against: 'eager', least: 1.5, before: by(1.75, 1, 1) }],
  },
  {
    kind: 'forward',
    shape: MINILM,
    batch: [32, 64],
    targets: [{ figure: 'speed', against: 'eager', least: 1.35, before: by(1.4, 1, 1) }],
  },
  {
    kind: 'forward',
    shape: MINILM,
    batch: [8, 512],
    targets: [{ figure: 'speed', against: 'eager', least: 1.5, before: by(1.8, 1, 1) }],
  },
  {
    kind: 'evaluate',
    shape: MINILM,
    targets: [
      { figure: 'speed', against: 'best', least: by(1.5, 1.5, [2.6, 3]), before: by(1.75, 1, 1.25) },
      { figure: 'memory', against: 'best', least: 0.5, before: 0.9 },
    ],
  },
  {
    kind: 'train',
    shape: MINILM,
    targets: [
      { figure: 'speed', against: 'best', least: by(2.5, 2.5, 5.5), before: 1 },
      { figure: 'speed', against: 'tutorial', least: by(5, 5, 10) },
      { figure: 'outside', least: 0.03 },
    ],
  },
  {
    kind: 'open',
    shape: BERT_BASE,
    targets: [
      { figure: 'overWeights', least: 1.3 },
      { figure: 'memory', against: 'eager', before: 0.9 },
    ],
  },
  {
    kind: 'firstStep',
    shape: MINILM,
    targets: [{ figure: 'time', against: 'best', least: 0.5, before: 0.8 }],
  },
];

/** What the other side of a ratio is called. */
const AGAINST = new Map([
  ['', ''],
  ['tutorial', ', against HF Trainer as in tutorials'],
  ['best', ', against HF at its best'],
  ['eager', ', against HF eager'],
]);

/** What is compared. Of speed and the GEMM rate more is better, else less. */
const FIGURES = new Map([
  ['speed', { words: 'speed', format: times }],
  ['memory', { words: 'peak memory', format: times }],
  ['time', { words: 'time', format: times }],
  ['overWeights', { words: 'memory over the weights', format: times }],
  ['matmulShare', { words: 'FLOP/s over the GEMM rate', format: percent }],
  ['outside', { words: 'time outside the native step', format: percent }],
]);
const MORE_IS_BETTER = new Set(['speed', 'matmulShare']);

/** Rows of the training and of the evaluation. Without bfloat16 arithmetic texts take too long for more. */
const ROWS = { bfloat16: { train: 96, evaluate: 512 }, float32: { train: 32, evaluate: 256 } };
const NOTHING = { median: NaN, min: NaN, max: NaN };

/**
 * What is measured on a processor, with its targets there; without any it is not measured.
 *
 * @param {InstructionSet} instructionSet
 */
export function targetsFor(instructionSet) {
  // A processor with less than AVX2 has the targets of one with it.
  const column = instructionSet === 'baseline' ? 'avx2' : instructionSet;
  /** @param {Levels} [levels] @returns {readonly number[]} */
  const levelsOf = (levels = {}) => {
    const level = typeof levels === 'number' || 'length' in levels ? levels : levels[column];
    return level === undefined ? [] : [level].flat();
  };
  return DEFINITIONS.map((definition) => ({
    definition,
    targets: definition.targets
      .map(({ figure, against = '', least, before }) => ({
        figure,
        against,
        least: levelsOf(least),
        before: levelsOf(before),
      }))
      .filter(({ least, before }) => least.length + before.length > 0),
  })).filter(({ targets }) => targets.length > 0);
}

/**
 * All benchmarks with their targets.
 *
 * @param {import('./options.mjs').BenchOptions} options
 * @param {import('./runs.mjs').Context} context
 * @returns {import('./runs.mjs').Plan}
 */
export function planTargets(options, context) {
  const { instructionSet } = context.machine;
  const { dtype, batchSize } = options;
  const measured = targetsFor(instructionSet);
  const { train, evaluate } = rowsOf(options);
  return {
    benchmarks: measured.map(({ definition }) => benchmarkOf(definition, options, context)),
    notes: [
      `Targets for ${instructionSet}, in ${dtype} unless noted otherwise: ${train} rows are trained on in batches of ${batchSize}, ` +
        `${evaluate} are evaluated${dtype === 'bfloat16' ? '.' : ', few, as they take long; bfloat16, which is emulated here, is left out.'}`,
      ...[STEP_NOTES, EVALUATION_NOTES, TRAINING_NOTES, OPENING_NOTES, FIRST_STEP_NOTES].flat(),
    ],
    summarize: (results) => {
      const found = results.flatMap(({ title, sides }, i) =>
        (measured[i]?.targets ?? []).map((target) => resultOf(title, target, sides)),
      );
      return { lines: [...targetLines(found), ...failureLines(results)], figures: { targets: found } };
    },
  };
}

/** @param {import('./options.mjs').BenchOptions} options */
function rowsOf({ dtype, givenRows }) {
  const { train, evaluate } = ROWS[dtype];
  return { train: Math.min(givenRows ?? train, train), evaluate: givenRows ?? evaluate };
}

/**
 * @param {Definition} definition
 * @param {import('./options.mjs').BenchOptions} options
 * @param {import('./runs.mjs').Context} context
 * @returns {Benchmark}
 */
function benchmarkOf({ kind, batch: [rows, length] = [0, 0], ...definition }, options, context) {
  const shape = shapeOf(definition.shape);
  const dtype = definition.dtype ?? options.dtype;
  const all = { ...options, shape, dtype, compare: true, compareTutorial: true };
  // HF's autocast costs more than it gains where the matrices are small.
  /** @type {('float32' | 'bfloat16')[]} */
  const theirs = shape.hidden < 256 && dtype === 'bfloat16' ? ['float32', 'bfloat16'] : [dtype];
  const step = { shape, batch: { rows, length }, dtype, theirs, variant: PLAIN, compile: false };
  const { train, evaluate } = rowsOf(options);
  const make = {
    step: () => stepBenchmark(options, context, { ...step, mode: 'steps' }),
    forward: () => stepBenchmark(options, context, { ...step, mode: 'forward' }),
    train: () => trainingBenchmark({ ...all, rows: train }, context),
    evaluate: () => evaluationBenchmark({ ...all, rows: evaluate }, context),
    open: () => openingBenchmark(all, context),
    firstStep: () => firstStepBenchmark(all, context),
  };
  const benchmark = make[kind]();
  const name = [benchmark.title, `${shape.layers} x ${shape.hidden}`, definition.dtype ?? ''];
  return { ...benchmark, title: name.filter((part) => part !== '').join(', ') };
}

/** @param {string} title of the benchmark @param {Target} target @param {readonly Side[]} sides */
export function resultOf(title, { figure, against, least, before }, sides) {
  /** @param {string} role */
  const ratioTo = (role) =>
    sides
      .flatMap((side) => (side.role === role && side.ratios !== null ? [side.ratios] : []))
      .toSorted((a, b) => (a['speed']?.median ?? 0) - (b['speed']?.median ?? 0))[0]?.[figure];
  const own = sides.find(({ role }) => role === 'ours')?.figures[figure];
  const isBetter = (/** @type {number} */ a, /** @type {number} */ b) =>
    MORE_IS_BETTER.has(figure) ? a >= b : a <= b;
  /** @param {readonly number[]} target @param {Summary} [measured] @returns {Result} */
  const result = (target, measured = NOTHING) => {
    const [level] = target;
    const verdict = Number.isNaN(measured.median)
      ? 'not measured'
      : isBetter(measured.median, level ?? NaN)
        ? 'reached'
        : 'missed';
    return { measured, target, verdict: level === undefined ? '' : verdict };
  };
  const other = result(least, against === '' ? own : ratioTo(against));
  return { title, figure, against, other, before: result(before, ratioTo('before')) };
}

/**
 * One table; the columns of the build before only where there is one.
 *
 * @param {readonly ReturnType<typeof resultOf>[]} results
 */
export function targetLines(results) {
  const hasBefore = results.some(({ before }) => !Number.isNaN(before.measured.median));
  const rows = results.map(({ title, figure, against, other, before }) => {
    const { words = figure, format = times } = FIGURES.get(figure) ?? {};
    /** @param {Result} result */
    const cells = ({ measured, target: [least, aim], verdict }) => [
      Number.isNaN(measured.median) ? '-' : withSpread(measured, format),
      least === undefined ? '-' : format(least) + (aim === undefined ? '' : `, aim ${format(aim)}`),
      verdict,
    ];
    const what = `${title}: ${words}${AGAINST.get(against)}`;
    return [what, ...cells(other), ...(hasBefore ? cells(before) : [])];
  });
  const heading = ['benchmark', 'measured', 'target', '', ...(hasBefore ? ['to before', 'target', ''] : [])];
  return ['', ...table([heading, ...rows])];
}
