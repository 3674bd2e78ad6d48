// What a label of several numbers is, decided by the first rows: names of classes, zeros and ones by position, a probability
// for each class, or several numbers to predict. The numbers are a list, the cells of several columns, or an object.
import {
  type ProblemType,
  regression,
  singleLabel,
  multiLabel,
  isDistribution,
  taskKinds,
  type TaskKind,
} from '../tasks/index.js';
import { UsageError } from '../util/errors.js';
import { isBlank, isNumberText, labelText, MISSING_LABEL, numberOf, numberProblem } from './label-values.js';
import { kindOf } from './row.js';

/** What the members of a list are: names or ids of classes, zeros and ones by position, probabilities, or targets. */
export const labelFormats = ['names', 'multi_hot', 'probabilities', 'numbers'] as const;
export type LabelFormat = (typeof labelFormats)[number];

/** How a person wants labels to be read; what is left open, the labels themselves tell. */
export interface LabelRequest {
  problemType?: ProblemType | undefined;
  /** What lists, or several label columns, hold. */
  labelFormat?: LabelFormat | undefined;
  /** The same as the label format `probabilities`. */
  softLabels?: boolean | undefined;
  /** What separates several labels written as one text. */
  labelDelimiter?: string | undefined;
}

/** @throws UsageError where the two options that name it exclude each other */
export function requestedFormat({ labelFormat, softLabels }: LabelRequest): LabelFormat | undefined {
  if (softLabels !== true) return labelFormat;
  if (labelFormat === undefined || labelFormat === 'probabilities') return 'probabilities';
  throw new UsageError(`softLabels does not go with labelFormat ${labelFormat}; leave one of them out`);
}

/** The requested task; undefined where the labels decide. @throws UsageError for one that does not take such labels */
export function requestedTask(reading: LabelRequest): TaskKind | undefined {
  const format = requestedFormat(reading);
  const { problemType } = reading;
  if (problemType === undefined) {
    if (format === 'numbers') return regression;
    return format === 'probabilities' ? singleLabel : format === 'multi_hot' ? multiLabel : undefined;
  }
  const kind = taskKinds[problemType];
  if (format === undefined || (format === 'numbers') !== kind.hasClasses) return kind;
  throw new UsageError(
    `${reading.softLabels === true ? 'softLabels' : `labelFormat ${format}`} does not go with problemType ${problemType}, ` +
      `which takes ${kind.hasClasses ? 'classes' : 'numbers as they are'}`,
  );
}

/** How the labels of a column are read; `width` is the number of members of each list, null where it varies. */
export interface ListLayout {
  format: LabelFormat;
  width: number | null;
  /** What the labels mean as a task; undefined where they leave it open. */
  task: TaskKind | undefined;
}

/** A share of the first rows that has to fit, so that single faults are reported and do not decide. */
const MOST = 0.9;

/**
 * Decides by the lists of the first rows. Decimals are probabilities where they lie from 0 to 1, and speak for one label a
 * row where they add up to 1; other decimals are numbers to predict. Zeros and ones in lists of one length are positions.
 * Other integers are ids of classes where the lists differ in length.
 *
 * @param columns whether the members are the cells of several columns
 * @param names the labels where they are known beforehand
 * @throws UsageError for integers that may be either ids or numbers to predict
 */
export function decideReading(
  lists: readonly (readonly unknown[])[],
  reading: LabelRequest,
  { columns, names, column }: { columns: boolean; names: readonly string[] | undefined; column: string },
): ListLayout {
  const task = requestedTask(reading);
  const format = requestedFormat(reading);
  const whole = lists.filter((members) => !members.some(isBlank));
  const rows = whole.map(finiteNumbers).filter((row) => row !== null);
  const width = columns
    ? (lists[0]?.length ?? 0)
    : mostCommon(rows.map(({ length }) => length).filter(Boolean));
  // A model has one output for each of its labels, whatever the lists hold.
  const outputs = columns ? width : (names?.length ?? width);
  if (format !== undefined) return { format, width: format === 'names' ? null : outputs, task };
  if (task?.hasClasses === false) return { format: 'numbers', width, task };

  const hasDecimals = rows.some((row) => row.some((number) => !Number.isInteger(number)));
  // A list of nothing is a row without labels, or a fault.
  const filled = rows.filter(({ length }) => length > 0);
  const all = whole.filter(({ length }) => length > 0).length;
  const even = filled.filter(({ length }) => length === width);
  const areHot = width > 1 && (names?.length ?? width) === width && arePositions(filled, even, all);
  // Among decimals, and zeros and ones that cannot be ids, a few faults are none of the names; among names one decimal, such
  // as a version, is a name.
  if (!columns && !areHot && filled.length < (hasDecimals ? MOST : 1) * all)
    return { format: 'names', width: null, task };
  if (hasDecimals) return readDecimals(even, outputs, task);
  if (areHot) return { format: 'multi_hot', width, task: task ?? multiLabel };
  if (!columns && (even.length < filled.length || width < 2)) return { format: 'names', width: null, task };
  if (isTrueOfMost(even, isHot) && (columns || names === undefined || names.length === width))
    return { format: 'multi_hot', width, task: task ?? multiLabel };
  if (columns) return { format: 'multi_hot', width, task: task ?? multiLabel };
  if (task !== undefined || names !== undefined) return { format: 'names', width: null, task };
  const example = JSON.stringify(even[0]);
  const arePercentages = isTrueOfMost(even, (row) => sumOf(row) === 100);
  throw new UsageError(
    `The column ${JSON.stringify(column)} holds lists of ${width} integers, such as ${example}: ` +
      `problemType ${multiLabel.problemType} takes them as ids of classes, ${regression.problemType} as ${width} numbers to predict` +
      (arePercentages ? '; percentages divided by 100 are probabilities of the classes' : ''),
  );
}

/**
 * Whether zeros and ones cannot be ids of classes: a list has one of them twice, as few faulty lists do; or most are of one
 * length, with the two in either order.
 */
function arePositions(
  filled: readonly (readonly number[])[],
  even: readonly (readonly number[])[],
  all: number,
): boolean {
  const hot = even.filter(isHot);
  const twice = filled.filter((row) => isHot(row) && row.length > new Set(row).size);
  if (hot.length < MOST * even.length || 2 * even.length < all) return false;
  if (twice.length > (1 - MOST) * all) return true;
  return even.length >= MOST * all && [0, 1].every((bit) => hot.some(([first]) => first === bit));
}

function isHot(row: readonly number[]): boolean {
  return row.every((number) => number === 0 || number === 1);
}

function finiteNumbers(members: readonly unknown[]): number[] | null {
  const numbers = members.map(numberOf).filter((number): number is number => Number.isFinite(number));
  return numbers.length === members.length ? numbers : null;
}

function readDecimals(rows: readonly number[][], width: number, task: TaskKind | undefined): ListLayout {
  const areProbabilities = isTrueOfMost(rows, (row) => row.every((number) => number >= 0 && number <= 1));
  if (task === undefined && (!areProbabilities || width < 2))
    return { format: 'numbers', width, task: regression };
  const isSum = isTrueOfMost(rows, isDistribution);
  return { format: 'probabilities', width, task: task ?? (isSum ? singleLabel : multiLabel) };
}

function isTrueOfMost(rows: readonly number[][], holds: (row: number[]) => boolean): boolean {
  return rows.filter(holds).length >= MOST * rows.length;
}

function sumOf(row: readonly number[]): number {
  return row.reduce((sum, number) => sum + number, 0);
}

function mostCommon(values: readonly number[]): number {
  const counts = new Map<number, number>();
  for (const value of values) counts.set(value, (counts.get(value) ?? 0) + 1);
  return [...counts].toSorted(([, a], [, b]) => b - a)[0]?.[0] ?? 0;
}

/** Members that can be used, or why not, and which of them cannot. */
type ParsedMembers = { value: number[] } | { problem: string; position?: number };

/** The positions of the ones among zeros and ones. */
export function onesOf(members: readonly unknown[], takesOne: boolean): ParsedMembers {
  const ones: number[] = [];
  for (const [position, member] of members.entries()) {
    if (isBlank(member)) return { problem: MISSING_LABEL, position };
    const number = numberOf(member);
    if (number !== 0 && number !== 1) return { problem: notHot(member, number), position };
    if (number === 1) ones.push(position);
  }
  if (!takesOne || ones.length === 1) return { value: ones };
  return { problem: `${ones.length} of the labels are 1, where a row has exactly one label` };
}

/** Numbers from 0 to 1, which add up to 1 where they speak for one label. */
export function probabilitiesOf(members: readonly unknown[], areOfOneLabel: boolean): ParsedMembers {
  const probabilities: number[] = [];
  for (const [position, member] of members.entries()) {
    if (isBlank(member)) return { problem: MISSING_LABEL, position };
    const number = numberOf(member);
    if (number === null || !(number >= 0 && number <= 1))
      return {
        problem: `expected a probability from 0 to 1 for each label but found ${shown(member)}`,
        position,
      };
    probabilities.push(number);
  }
  if (!areOfOneLabel || isDistribution(probabilities)) return { value: probabilities };
  return {
    problem:
      `the probabilities add up to ${Number(sumOf(probabilities).toPrecision(3))}, where one label a row makes it 1; ` +
      `with problemType ${multiLabel.problemType} each stands for itself`,
  };
}

/** Finite numbers to predict, in single precision. */
export function targetsOf(members: readonly unknown[], isRequested: boolean): ParsedMembers {
  const numbers: number[] = [];
  for (const [position, member] of members.entries()) {
    const read = labelText(member);
    if ('problem' in read) return { ...read, position };
    const number = isNumberText(read.value) ? Math.fround(Number(read.value)) : Number.NaN;
    if (!Number.isFinite(number)) return { problem: notANumber(read.value, isRequested), position };
    numbers.push(number);
  }
  return { value: numbers };
}

function shown(member: unknown): string {
  return typeof member === 'string' || typeof member === 'number'
    ? JSON.stringify(String(member))
    : kindOf(member);
}

function notHot(member: unknown, number: number | null): string {
  const expected = `expected 0 or 1, or true or false, but found ${shown(member)}`;
  if (number === null || !Number.isFinite(number)) return expected;
  if (number > 0 && number < 1) return `${expected}; softLabels takes probabilities`;
  return `${expected}; problemType regression takes numbers to predict`;
}

function notANumber(label: string, isRequested: boolean): string {
  if (Math.abs(numberOf(label) ?? 0) === Infinity)
    return `the label ${JSON.stringify(label)} is infinite or too large; numbers to predict are finite`;
  const why = numberProblem(label);
  const remedies = [
    ...(why === null ? [] : [why]),
    ...(isRequested ? [] : ['set problemType to choose how to read the labels']),
    ...(numberOf(label) === null && why === null ? ['naLabels leaves out rows without a number'] : []),
  ];
  const remedy = remedies.length === 0 ? '' : `; ${remedies.join(', or ')}`;
  return `the label ${JSON.stringify(label)} is not a number, as other labels are${remedy}`;
}

const MEMBERS: Readonly<Record<LabelFormat, string>> = {
  names: 'names',
  multi_hot: 'zeros and ones',
  probabilities: 'probabilities',
  numbers: 'numbers',
};

export function wrongLength({ format }: ListLayout, width: number, members: readonly unknown[]): string {
  if (format === 'numbers' && width === 1 && members.length > 1)
    return `expected one number but found a list of ${members.length}`;
  const hint = format === 'multi_hot' ? '; labelFormat names reads lists as names or ids of classes' : '';
  return `expected ${width} ${MEMBERS[format]}, one for each ${format === 'numbers' ? 'value' : 'label'}, but found ${members.length}${hint}`;
}
