// What the project wants to reach, by processor, and whether it is reached: ratios measured in one run.
import { FIRST_STEP_NOTES, firstStepWork, OPENING_NOTES, openingWork } from './beginning.mjs';
import { shapeOf } from './shape.mjs';
import { percent, table, times, withSpread } from './statistics.mjs';
import { PLAIN, STEP_NOTES, stepWork } from './steps.mjs';
import { EVALUATION_NOTES, evaluationWork, TRAINING_NOTES, trainingWork } from './texts.mjs';

/**
 * @typedef {import('./comparison.mjs').Side} Side
 * @typedef {import('./machine.mjs').InstructionSet} InstructionSet
 * @typedef {import('./runs.mjs').Results} Results
 * @typedef {import('./runs.mjs').Work} Work
 * @typedef {import('./statistics.mjs').Summary} Summary
 * @typedef {{ work: string, figure: string, against: string, least: readonly number[], before: readonly number[] }} Target
 * @typedef {{ measured: Summary, target: readonly number[], verdict: string }} Result
 */

const COLUMNS = ['avx2', 'avx512', 'avx512_bf16'];

/**
 * work, shape of the model, rows x tokens, type of a step | figure, against whom | at least that much, for each processor
 * | and against the build before. `a/b`: at least a, and b is the most that was computed to be possible. One value is for
 * all processors; `-` for none, and a work without any is not measured there.
 */
const TABLE = `
step 6x384x12 8x256         | speed eager    | 1.75/1.9  2.2   3.6  | 1.6  1 1.08
step 6x384x12 8x256         | matmulShare    | 0.85      0.65  0.78 |
step 6x384x12 32x64         | speed eager    | 1.45/1.55 1.45  1.8  | 1.4  1 1
step 6x384x12 8x512         | speed eager    | 2.8/3     2.8   5    | 1.65 1 1
step 6x384x12 8x512         | memory eager   | 0.25                 | 0.9
step 12x768x12 8x128        | speed eager    | 1.3       1.3   1.6  | 1.4  1 1
step 2x128x2 32x64          | speed eager    | 2.5                  | 1.3  1 1
step 6x384x12 8x256 float32 | speed eager    | -         -     2.2  | -    - 1
forward 6x384x12 8x256      | speed eager    | 1.5                  | 1.75 1 1
forward 6x384x12 32x64      | speed eager    | 1.35                 | 1.4  1 1
forward 6x384x12 8x512      | speed eager    | 1.5                  | 1.8  1 1
evaluate 6x384x12           | speed best     | 1.5       1.5   2.6/3 | 1.75 1 1.25
evaluate 6x384x12           | memory best    | 0.5                  | 0.9
train 6x384x12              | speed best     | 2.5       2.5   5.5  | 1
train 6x384x12              | speed tutorial | 5         5     10   |
train 6x384x12              | outside        | 0.03                 |
open 12x768x12              | overWeights    | 1.3                  |
open 12x768x12              | memory eager   | -                    | 0.9
firstStep 6x384x12          | time best      | 0.5                  | 0.8`;

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

/** @param {InstructionSet} instructionSet @returns {Target[]} in the order of the table */
export function targetsFor(instructionSet) {
  // A processor with less than AVX2 has the targets of one with it.
  const column = Math.max(COLUMNS.indexOf(instructionSet), 0);
  /** @param {string} cell @returns {number[]} least and perhaps aim; empty without a target */
  const levels = (cell) => {
    const values = cell.split(/ +/).filter((value) => value !== '');
    const value = (values.length === 1 ? values[0] : values[column]) ?? '-';
    return value === '-' ? [] : value.split('/').map(Number);
  };
  return TABLE.trim()
    .split('\n')
    .map((line) => {
      const [work = '', what = '', least = '', before = ''] = line.split('|').map((cell) => cell.trim());
      const [figure = '', against = ''] = what.split(' ');
      return { work, figure, against, least: levels(least), before: levels(before) };
    })
    .filter(({ least, before }) => least.length + before.length > 0);
}

/**
 * All works with their targets.
 *
 * @param {import('./options.mjs').BenchOptions} options
 * @param {import('./runs.mjs').Context} context
 * @returns {import('./runs.mjs').Plan}
 */
export function planTargets(options, context) {
  const { instructionSet } = context.machine;
  const { dtype, batchSize } = options;
  const targets = targetsFor(instructionSet);
  const works = [...new Set(targets.map(({ work }) => work))];
  const { train, evaluate } = rowsOf(options);
  return {
    works: works.map((work) => workOf(work, options, context)),
    notes: [
      `Targets for ${instructionSet}, in ${dtype} unless noted otherwise: ${train} rows are trained on in batches of ${batchSize}, ` +
        `${evaluate} are evaluated${dtype === 'bfloat16' ? '.' : ', few, as they take long; bfloat16, which is emulated here, is left out.'}`,
      ...[STEP_NOTES, EVALUATION_NOTES, TRAINING_NOTES, OPENING_NOTES, FIRST_STEP_NOTES].flat(),
    ],
    conclude: (results) => {
      const found = works.flatMap((work, i) =>
        targets.flatMap((target) =>
          target.work === work ? resultOf(results[i]?.title ?? work, target, results[i]?.sides ?? []) : [],
        ),
      );
      return { lines: [...targetLines(found), ...failureLines(results)], targets: found };
    },
  };
}

/** @param {import('./options.mjs').BenchOptions} options */
function rowsOf({ dtype, givenRows }) {
  const { train, evaluate } = ROWS[dtype];
  return { train: Math.min(givenRows ?? train, train), evaluate: givenRows ?? evaluate };
}

/**
 * @param {string} words of the table
 * @param {import('./options.mjs').BenchOptions} options
 * @param {import('./runs.mjs').Context} context
 * @returns {Work}
 */
function workOf(words, options, context) {
  const [kind = '', size = '', batch = '', type = ''] = words.split(' ');
  const [rows = 0, length = 0] = batch.split('x').map(Number);
  const shape = shapeOf(size);
  const dtype = type === 'float32' ? type : options.dtype;
  const all = { ...options, shape, dtype, compare: true, compareTutorial: true };
  // HF's autocast costs more than it gains where the matrices are small.
  /** @type {('float32' | 'bfloat16')[]} */
  const theirs = shape.hidden < 256 && dtype === 'bfloat16' ? ['float32', 'bfloat16'] : [dtype];
  const step = { shape, batch: { rows, length }, dtype, theirs, variant: PLAIN, compile: false };
  const { train, evaluate } = rowsOf(options);
  /** @type {Record<string, () => Work>} */
  const works = {
    step: () => stepWork(options, context, { ...step, mode: 'steps' }),
    forward: () => stepWork(options, context, { ...step, mode: 'forward' }),
    train: () => trainingWork({ ...all, rows: train }, context),
    evaluate: () => evaluationWork({ ...all, rows: evaluate }, context),
    open: () => openingWork(all, context),
    firstStep: () => firstStepWork(all, context),
  };
  const work = works[kind]?.();
  if (work === undefined) throw new TypeError(`There is no work '${kind}'`);
  const name = [work.title, size.split('x').slice(0, 2).join(' x '), type];
  return { ...work, title: name.filter((part) => part !== '').join(', ') };
}

/** @param {string} title of the work @param {Target} target @param {readonly Side[]} sides */
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
  return { work: title, figure, against, other, before: result(before, ratioTo('before')) };
}

/**
 * One table; the columns of the build before only where there is one.
 *
 * @param {readonly ReturnType<typeof resultOf>[]} results
 */
export function targetLines(results) {
  const hasBefore = results.some(({ before }) => !Number.isNaN(before.measured.median));
  const rows = results.map(({ work, figure, against, other, before }) => {
    const { words = figure, format = times } = FIGURES.get(figure) ?? {};
    /** @param {Result} result */
    const cells = ({ measured, target: [least, aim], verdict }) => [
      Number.isNaN(measured.median) ? '-' : withSpread(measured, format),
      least === undefined ? '-' : format(least) + (aim === undefined ? '' : `, aim ${format(aim)}`),
      verdict,
    ];
    const what = `${work}: ${words}${AGAINST.get(against)}`;
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
