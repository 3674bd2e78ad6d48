// The project's targets and whether they are met: ratios to transformers, measured in one run.
import { trainingWork, TRAINING_NOTES } from './end-to-end.mjs';
import { evaluationWork, EVALUATION_NOTES } from './evaluation.mjs';
import { shapeOf } from './shape.mjs';
import { percent, table, times, withSpread } from './statistics.mjs';
import { PLAIN, stepWork, stepNotes } from './steps.mjs';

/**
 * @typedef {import('./runs.mjs').Side['role']} Role
 * @typedef {import('./comparison.mjs').Side} Side
 * @typedef {import('./statistics.mjs').Summary} Summary
 *
 * @typedef {object} Target
 * @property {'speed' | 'memory' | 'matmulShare' | 'outside'} figure ratios to the fastest side of the role `against`, or
 *   shares of our own
 * @property {Role} [against]
 * @property {number} least
 * @property {number} aim
 *
 * @typedef {{ work: import('./runs.mjs').Work, targets: readonly Target[] }} Plan
 */

/** What the other side of a ratio is called. @type {Partial<Record<Role, string>>} */
const AGAINST = {
  tutorial: 'HF Trainer as in tutorials',
  best: 'HF at its best',
  eager: 'HF eager',
  compiled: 'HF compiled',
};

/** What is compared; the larger the better, or the smaller. */
const FIGURES = {
  speed: { words: 'speed', isBetter: larger, format: times },
  memory: { words: 'peak memory', isBetter: smaller, format: times },
  matmulShare: { words: 'FLOP/s over the GEMM rate', isBetter: larger, format: percent },
  outside: { words: 'time outside the native step', isBetter: smaller, format: percent },
};

/** Steps by model shape, rows x tokens and dtype of both sides. */
const STEPS = /** @type {const} */ ([
  {
    of: '6x384x12 8x256 bfloat16',
    targets: [
      { figure: 'speed', against: 'eager', least: 2.6, aim: 3.4 },
      { figure: 'matmulShare', least: 0.65, aim: 0.8 },
    ],
  },
  {
    of: '6x384x12 8x512 bfloat16',
    targets: [
      { figure: 'speed', against: 'eager', least: 5, aim: 7 },
      { figure: 'speed', against: 'compiled', least: 3, aim: 4.5 },
      { figure: 'memory', against: 'eager', least: 0.6, aim: 0.4 },
    ],
  },
  { of: '6x384x12 32x64 bfloat16', targets: [{ figure: 'speed', against: 'eager', least: 1.8, aim: 2.2 }] },
  { of: '12x768x12 8x128 bfloat16', targets: [{ figure: 'speed', against: 'eager', least: 1.6, aim: 1.9 }] },
  { of: '6x384x12 8x256 float32', targets: [{ figure: 'speed', against: 'eager', least: 1.8, aim: 2.2 }] },
  { of: '2x128x2 32x64 both', targets: [{ figure: 'speed', against: 'eager', least: 2.5, aim: 4 }] },
]);

/**
 * All works with their targets, in the order of the table.
 *
 * @param {import('./options.mjs').BenchOptions} options
 * @param {import('./runs.mjs').Context} context
 */
export async function planTargets(options, context) {
  const all = { ...options, compare: true, compareTutorial: true };
  /** @type {Plan[]} */
  const plans = [
    {
      work: await trainingWork(all, context),
      targets: [
        { figure: 'speed', against: 'tutorial', least: 10, aim: 14 },
        { figure: 'speed', against: 'best', least: 5, aim: 6.5 },
        { figure: 'outside', least: 0.03, aim: 0.01 },
      ],
    },
  ];
  for (const { of, targets } of STEPS)
    plans.push({ work: await workOf(of, targets, options, context), targets });
  plans.push({
    work: await evaluationWork({ ...all, rows: 2000 }, context),
    targets: [{ figure: 'speed', against: 'best', least: 3, aim: 5 }],
  });
  return {
    works: plans.map(({ work }) => work),
    notes: [...TRAINING_NOTES, ...stepNotes(context.machine.device), ...EVALUATION_NOTES],
    /** @param {ReadonlyMap<import('./runs.mjs').Work, readonly Side[]>} measured */
    conclude: (measured) => {
      const rows = plans.flatMap(({ work, targets }) =>
        targets.map((target) => resultOf(work, target, measured.get(work) ?? [])),
      );
      return { lines: targetLines(rows), targets: rows };
    },
  };
}

/**
 * @param {string} of
 * @param {readonly Target[]} targets
 * @param {import('./options.mjs').BenchOptions} options
 * @param {import('./runs.mjs').Context} context
 */
async function workOf(of, targets, options, context) {
  const [shape = '', batch = '', dtype] = of.split(' ');
  const [rows = 0, length = 0] = batch.split('x').map(Number);
  const work = await stepWork(options, context, {
    shape: shapeOf(shape),
    batch: { rows, length },
    dtype: dtype === 'float32' || dtype === 'bfloat16' ? dtype : 'both',
    variant: PLAIN,
    compile: targets.some(({ against }) => against === 'compiled'),
  });
  return { ...work, title: `${work.title}, ${shape.split('x').slice(0, 2).join('x')}` };
}

/** @typedef {ReturnType<typeof resultOf>} Result */

/**
 * @param {import('./runs.mjs').Work} work
 * @param {Target} target
 * @param {readonly Side[]} sides
 */
export function resultOf({ title }, { figure, against, least, aim }, sides) {
  const measured = against === undefined ? ownFigure(figure, sides) : ratioTo(figure, against, sides);
  const verdict = verdictOf(figure, measured.median, least, aim);
  return { work: title, against: against ?? null, figure, measured, least, aim, verdict };
}

/**
 * @param {Target['figure']} figure
 * @param {number} measured
 * @param {number} least
 * @param {number} aim
 */
function verdictOf(figure, measured, least, aim) {
  const { isBetter } = FIGURES[figure];
  if (Number.isNaN(measured)) return 'not measured';
  if (isBetter(measured, aim)) return 'aim reached';
  return isBetter(measured, least) ? 'reached' : 'short';
}

/**
 * @param {Target['figure']} figure
 * @param {readonly Side[]} sides
 * @returns {Summary}
 */
function ownFigure(figure, sides) {
  const ours = sides.find(({ role }) => role === 'ours');
  const found = figure === 'matmulShare' || figure === 'outside' ? ours?.figures[figure] : undefined;
  return found ?? NOTHING;
}

/**
 * @param {Target['figure']} figure
 * @param {Role} against
 * @param {readonly Side[]} sides
 * @returns {Summary}
 */
function ratioTo(figure, against, sides) {
  const [fastest] = sides
    .flatMap(({ role, ratios }) => (role === against && ratios !== null ? ratios : []))
    .toSorted((a, b) => a.speed.median - b.speed.median);
  return (figure === 'memory' ? fastest?.memory : fastest?.speed) ?? NOTHING;
}

/** Of a figure that a device does not have. */
const NOTHING = { median: NaN, min: NaN, max: NaN };

/** @param {readonly Result[]} results */
export function targetLines(results) {
  const rows = results.map(({ work, against, figure, measured, least, aim, verdict }) => {
    const { words, format } = FIGURES[figure];
    return [
      `${work}: ${words}${against === null ? '' : `, against ${AGAINST[against] ?? against}`}`,
      Number.isNaN(measured.median) ? '-' : withSpread(measured, format),
      format(least),
      format(aim),
      verdict,
    ];
  });
  return ['', ...table([['target', 'measured', 'at least', 'aim', ''], ...rows])];
}

/** @param {number} value @param {number} than */
function larger(value, than) {
  return value >= than;
}

/** @param {number} value @param {number} than */
function smaller(value, than) {
  return value <= than;
}
