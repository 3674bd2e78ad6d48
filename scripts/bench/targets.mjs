// The project's targets and whether they are met: ratios to transformers and to another build, measured in one run.
import { FIRST_STEP_NOTES, firstStepWork, OPENING_NOTES, openingWork } from './beginning.mjs';
import { trainingWork, TRAINING_NOTES } from './end-to-end.mjs';
import { evaluationWork, EVALUATION_NOTES } from './evaluation.mjs';
import { shapeOf } from './shape.mjs';
import { percent, table, times, withSpread } from './statistics.mjs';
import { dtypeOf, PLAIN, STEP_NOTES, stepWork } from './steps.mjs';
import { TARGETS } from './target-table.mjs';

/**
 * @typedef {import('./comparison.mjs').Side} Side
 * @typedef {import('./machine.mjs').InstructionSet} InstructionSet
 * @typedef {import('./runs.mjs').Results} Results
 * @typedef {import('./runs.mjs').Work} Work
 * @typedef {import('./statistics.mjs').Summary} Summary
 * @typedef {import('./target-table.mjs').Target} Target
 * @typedef {import('./target-table.mjs').Levels} Levels
 * @typedef {{ measured: Summary, target: readonly number[], verdict: string }} Result
 */

/** What the other side of a ratio is called. */
const AGAINST = { tutorial: 'HF Trainer as in tutorials', best: 'HF at its best', eager: 'HF eager' };

/** What is compared; the larger the better, or the smaller. */
const FIGURES = {
  speed: { words: 'speed', isBetter: larger, format: times },
  memory: { words: 'peak memory', isBetter: smaller, format: times },
  time: { words: 'time', isBetter: smaller, format: times },
  overWeights: { words: 'peak memory over the weights', isBetter: smaller, format: times },
  matmulShare: { words: 'FLOP/s over the GEMM rate', isBetter: larger, format: percent },
  outside: { words: 'time outside the native step', isBetter: smaller, format: percent },
};

/** Rows of the training and of the evaluation. Without bfloat16 arithmetic texts take too long for more. */
const ROWS = { bfloat16: { train: 96, evaluate: 1000 }, float32: { train: 32, evaluate: 256 } };
const NOTHING = { median: NaN, min: NaN, max: NaN };

/**
 * All works with their targets, in the order of the table.
 *
 * @param {import('./options.mjs').BenchOptions} options
 * @param {import('./runs.mjs').Context} context
 * @returns {Promise<import('./runs.mjs').Plan>}
 */
export async function planTargets(options, context) {
  const { instructionSet } = context.machine;
  const entries = TARGETS.filter(({ only }) => only === undefined || only.includes(instructionSet));
  const { bfloat16, dtype } = dtypeOf(options, context);
  const rows = ROWS[dtype];
  return {
    works: entries.map(({ work }) => workOf(work, options, context)),
    notes: [
      `Targets for ${instructionSet}: all in ${dtype} unless noted otherwise; ${options.rows ?? rows.evaluate} rows are evaluated` +
        (bfloat16 ? '.' : ' and few are trained on; bfloat16, which is emulated here, is left out.'),
      ...[TRAINING_NOTES, STEP_NOTES, EVALUATION_NOTES, OPENING_NOTES, FIRST_STEP_NOTES].flat(),
    ],
    conclude: (results) => {
      const found = results.flatMap(({ title, sides }, i) =>
        (entries[i]?.targets ?? []).map((target) => resultOf(title, target, sides, instructionSet)),
      );
      return { lines: [...targetLines(found), ...failureLines(results)], targets: found };
    },
  };
}

/**
 * @param {string} words of the table
 * @param {import('./options.mjs').BenchOptions} options
 * @param {import('./runs.mjs').Context} context
 * @returns {Work}
 */
function workOf(words, options, context) {
  const [kind = '', shape = '', batch = '', type] = words.split(' ');
  const { dtype } = dtypeOf(options, context);
  const all = { ...options, shape: shapeOf(shape), compare: true, compareTutorial: true };
  const [rows = 0, length = 0] = batch.split('x').map(Number);
  const step = {
    shape: all.shape,
    batch: { rows, length },
    dtype: type === 'float32' ? type : dtype,
    variant: PLAIN,
    compile: false,
    forward: kind === 'forward',
  };
  const { train, evaluate } = ROWS[dtype];
  /** @type {Record<string, () => Work>} */
  const works = {
    step: () => stepWork(options, context, step),
    forward: () => stepWork(options, context, step),
    train: () => trainingWork({ ...all, rows: Math.min(options.rows ?? train, train) }, context),
    evaluate: () => evaluationWork({ ...all, rows: options.rows ?? evaluate }, context),
    open: () => openingWork(all, context),
    firstStep: () => firstStepWork(all, context),
  };
  const work = works[kind]?.();
  if (work === undefined) throw new TypeError(`There is no work '${kind}'`);
  const size = shape.split('x').slice(0, 2).join(' x ');
  return { ...work, title: [work.title, size, ...(type ? [type] : [])].join(', ') };
}

/**
 * @param {string} work
 * @param {Target} target
 * @param {readonly Side[]} sides
 * @param {InstructionSet} instructionSet
 */
export function resultOf(work, { figure, against, least, before }, sides, instructionSet) {
  /** @param {Summary} measured @param {Levels | undefined} levels @returns {Result} */
  const result = (measured, levels) => {
    const target = levelOf(levels, instructionSet);
    return { measured, target, verdict: verdictOf(figure, measured.median, target) };
  };
  const own = against === undefined;
  return {
    work,
    figure,
    against: against ?? null,
    other: result(own ? ownFigure(figure, sides) : ratioTo(figure, against, sides), least),
    before: result(own ? NOTHING : ratioTo(figure, 'before', sides), before),
  };
}

/** @typedef {ReturnType<typeof resultOf>} TargetResult */

/**
 * @param {Levels | undefined} levels
 * @param {InstructionSet} instructionSet
 * @returns {readonly number[]} least and perhaps aim; empty without a target
 */
function levelOf(levels, instructionSet) {
  const level = typeof levels === 'object' && !isPair(levels) ? levels[instructionSet] : levels;
  if (level === undefined) return [];
  return typeof level === 'number' ? [level] : level;
}

/** @param {Levels} levels @returns {levels is readonly [number, number]} */
function isPair(levels) {
  return Array.isArray(levels);
}

/**
 * @param {Target['figure']} figure
 * @param {number} measured
 * @param {readonly number[]} target
 */
function verdictOf(figure, measured, [least]) {
  if (least === undefined) return '';
  if (Number.isNaN(measured)) return 'not measured';
  return FIGURES[figure].isBetter(measured, least) ? 'reached' : 'short';
}

/**
 * @param {Target['figure']} figure
 * @param {readonly Side[]} sides
 * @returns {Summary}
 */
function ownFigure(figure, sides) {
  const figures = sides.find(({ role }) => role === 'ours')?.figures;
  if (figure === 'speed' || figure === 'memory' || figure === 'time') return NOTHING;
  return figures?.[figure] ?? NOTHING;
}

/**
 * @param {Target['figure']} figure
 * @param {Side['role']} against
 * @param {readonly Side[]} sides
 * @returns {Summary}
 */
function ratioTo(figure, against, sides) {
  const [fastest] = sides
    .flatMap(({ role, ratios }) => (role === against && ratios !== null ? ratios : []))
    .toSorted((a, b) => a.speed.median - b.speed.median);
  return figure === 'speed' || figure === 'memory' || figure === 'time'
    ? (fastest?.[figure] ?? NOTHING)
    : NOTHING;
}

/** One table; the columns of the build before only where there is one. @param {readonly TargetResult[]} results */
export function targetLines(results) {
  const hasBefore = results.some(({ before }) => !Number.isNaN(before.measured.median));
  const rows = results.map(({ work, against, figure, other, before }) => {
    const { words, format } = FIGURES[figure];
    /** @param {Result} result */
    const cells = ({ measured, target: [least, aim], verdict }) => [
      Number.isNaN(measured.median) ? '-' : withSpread(measured, format),
      least === undefined ? '-' : format(least) + (aim === undefined ? '' : `, aim ${format(aim)}`),
      verdict,
    ];
    const what = `${work}: ${words}${against === null ? '' : `, against ${AGAINST[against]}`}`;
    return [what, ...cells(other), ...(hasBefore ? cells(before) : [])];
  });
  const heading = ['work', 'measured', 'target', '', ...(hasBefore ? ['to before', 'target', ''] : [])];
  return ['', ...table([heading, ...rows])];
}

/** @param {readonly Results[]} results */
function failureLines(results) {
  return results.flatMap(({ title, failures }) =>
    failures.map(({ name, reason }) => `Failed: ${title}, ${name}: ${reason.trim().split('\n').at(-1)}`),
  );
}

/** @param {number} value @param {number} than */
function larger(value, than) {
  return value >= than;
}

/** @param {number} value @param {number} than */
function smaller(value, than) {
  return value <= than;
}
