// The label column of a split, kept in two to six bytes a row.

import { isDistribution, regression, type LabelKind, type TaskKind } from '../tasks/index.js';
import { UsageError } from '../util/errors.js';
import { GrowingArray } from '../util/growing-array.js';
import {
  isIntegerText,
  isNumberText,
  labelIds,
  labelMembers,
  labelProbabilities,
  labelText,
  sortLabels,
  taskKindOf,
  unknownLabel,
  type LabelReading,
  type Reading,
} from './label-values.js';

export type { LabelKind } from '../tasks/index.js';

/** More classes than this are taken for a mistake; it also bounds the memory of the label map. */
const MAX_CLASSES = 10_000;

/** How the labels of a column are to be read. */
export interface LabelOptions extends LabelReading {
  column: string;
  classNames?: readonly string[] | undefined;
  knownLabels?: readonly string[] | undefined;
  delimiter?: string | undefined;
}

/** Labels by row: distinct values once, and their number for every row. */
export class LabelColumn {
  /** ClassLabel names, in the order of their ids, when the data set came with them; or those of the label columns. */
  readonly classNames: readonly string[] | null;
  private currentKind: LabelKind;
  private readonly names: string[] = [];
  private readonly codeOf = new Map<string, number>();
  private readonly codes = new GrowingArray(Uint16Array);
  private readonly floats = new GrowingArray(Float32Array);
  /** For lists: `codes` holds all members, row after row, and this where each row's members end. */
  private readonly memberEnds = new GrowingArray(Uint32Array);
  private readonly isKnown: ((label: string) => boolean) | null;
  private readonly delimiter: string;
  /** Null where the labels decide. */
  private readonly task: TaskKind | null;
  /** Probabilities a row, which are in `floats`; 0 before the first row. */
  private width = 0;

  /** @param sample the labels of the first rows: a list or a decimal among them decides the kind */
  constructor(
    private readonly options: LabelOptions,
    sample: readonly unknown[],
  ) {
    this.classNames = options.classNames ?? null;
    this.delimiter = options.delimiter ?? '|';
    const idOf = options.knownLabels === undefined ? null : labelIds(options.knownLabels);
    this.isKnown = idOf === null ? null : (label) => idOf(label) !== undefined;
    this.task = taskKindOf(options) ?? null;
    this.currentKind = initialKind(options, this.task, sample);
  }

  /** Whether an option decides how the labels are read. */
  get isKindGiven(): boolean {
    return this.task !== null;
  }

  get kind(): LabelKind {
    return this.currentKind;
  }

  /** Distinct labels, sorted; none for float. */
  get values(): readonly string[] {
    if (this.kind === 'float') return [];
    if (this.kind === 'probabilities')
      return this.classNames ?? Array.from({ length: this.width }, (_, id) => `LABEL_${id}`);
    return this.classNames?.filter((name) => this.codeOf.has(name)) ?? sortLabels(this.names);
  }

  /** Appends the label of the next row, or returns why it cannot be used and leaves the column as it was. */
  add(value: unknown): string | null {
    if (this.kind === 'probabilities') return this.addProbabilities(value);
    const read = this.kind === 'list' ? labelMembers(value, this.delimiter) : this.readOne(value);
    if ('problem' in read) return read.problem;
    const labels = typeof read.value === 'string' ? [read.value] : read.value;
    if (this.kind === 'float') return this.addFloat(labels[0] ?? '');
    const resolved: string[] = [];
    for (const label of labels) {
      const name = this.resolve(label);
      if ('problem' in name) return name.problem;
      resolved.push(name.value);
    }
    for (const name of resolved) this.codes.push(this.code(name));
    if (this.kind === 'list') this.memberEnds.push(this.codes.length);
    return null;
  }

  /** The labels of a row as written: one, or any number for lists. */
  at(row: number): readonly string[] {
    if (this.kind === 'float') return [String(Number(this.floats.at(row).toPrecision(7)))];
    if (this.kind === 'probabilities')
      return this.probabilitiesAt(row).map((probability) => String(Number(probability.toPrecision(7))));
    return this.codesAt(row).map((code) => this.names[code] ?? '');
  }

  /** The probabilities of a row in a column of them. */
  probabilitiesAt(row: number): number[] {
    return Array.from({ length: this.width }, (_, id) => this.floats.at(row * this.width + id));
  }

  /** The number of a row in a column of integers or floats. */
  numberAt(row: number): number {
    return this.kind === 'float' ? this.floats.at(row) : Number(this.at(row)[0]);
  }

  private codesAt(row: number): number[] {
    if (this.kind !== 'list') return [this.codes.at(row)];
    const start = row === 0 ? 0 : this.memberEnds.at(row - 1);
    return Array.from({ length: this.memberEnds.at(row) - start }, (_, i) => this.codes.at(start + i));
  }

  private addProbabilities(value: unknown): string | null {
    const read = labelProbabilities(value, this.delimiter);
    if ('problem' in read) return read.problem;
    const probabilities = read.value;
    if (this.task?.columns.probabilities === 'distribution' && !isDistribution(probabilities)) {
      const sum = probabilities.reduce((total, probability) => total + probability, 0);
      return `the probabilities add up to ${Number(sum.toPrecision(3))}, where one label a row makes it 1`;
    }
    const { classNames, knownLabels } = this.options;
    const width = this.width === 0 ? (classNames ?? knownLabels)?.length : this.width;
    if (width !== undefined && probabilities.length !== width)
      return `expected ${width} probabilities, one for each label, but found ${probabilities.length}`;
    this.width = probabilities.length;
    for (const probability of probabilities) this.floats.push(probability);
    return null;
  }

  /** Reads a single label, which may decide the kind: text makes it string, a decimal float. */
  private readOne(value: unknown): Reading<string> {
    const read = labelText(value);
    if ('problem' in read || this.kind !== 'integer' || isIntegerText(read.value)) return read;
    if (this.task === null && isNumberText(read.value)) this.becomeFloat();
    else this.currentKind = 'string';
    return read;
  }

  private becomeFloat(): void {
    this.currentKind = 'float';
    for (let row = 0; row < this.codes.length; row++)
      this.floats.push(Number(this.names[this.codes.at(row)]));
  }

  private addFloat(label: string): string | null {
    const value = isNumberText(label) ? Math.fround(Number(label)) : Number.NaN;
    if (!Number.isFinite(value)) {
      const remedy = this.task === null ? '; set problemType to choose how to read the labels' : '';
      return `the label ${JSON.stringify(label)} is not a number, as other labels are${remedy}`;
    }
    this.floats.push(value);
    return null;
  }

  /** The name of a class: ClassLabel integers become names, and labels outside a fixed list are refused. */
  private resolve(label: string): Reading<string> {
    const { classNames, isKnown } = this;
    const meansNone = label === '-1' && (this.kind !== 'string' || classNames !== null);
    if (meansNone && isKnown?.(label) !== true) return { problem: NO_LABEL };
    const name = classNames !== null && isIntegerText(label) ? classNames[Number(label)] : label;
    if (name === undefined || classNames?.includes(name) === false) {
      return { problem: unknownLabel(label, classNames ?? []) };
    }
    if (isKnown?.(name) === false) return { problem: unknownLabel(name, this.options.knownLabels ?? []) };
    return { value: name };
  }

  private code(name: string): number {
    const known = this.codeOf.get(name);
    if (known !== undefined) return known;
    if (this.names.length === MAX_CLASSES) throw tooManyClasses(this.options.column);
    this.names.push(name);
    this.codeOf.set(name, this.names.length - 1);
    return this.names.length - 1;
  }
}

const NO_LABEL =
  'the label -1 means "no label" in Hugging Face data sets (if it is a class here, give all classes with labelList)';

function initialKind(
  { classNames, softLabels }: LabelOptions,
  task: TaskKind | null,
  sample: readonly unknown[],
): LabelKind {
  if (softLabels === true) return 'probabilities';
  if (task !== null)
    return task.columns.startsAs === 'integer' && classNames !== undefined ? 'string' : task.columns.startsAs;
  if (sample.some((value) => Array.isArray(value))) return 'list';
  if (classNames !== undefined) return 'string';
  const hasDecimal = sample.some((value) => {
    const read = labelText(value);
    return 'value' in read && isNumberText(read.value) && !isIntegerText(read.value);
  });
  return hasDecimal ? 'float' : 'integer';
}

function tooManyClasses(column: string): UsageError {
  return new UsageError(
    `The column ${JSON.stringify(column)} has more than ${MAX_CLASSES} different labels; ` +
      `labelColumn names another one, and problemType ${regression.problemType} takes numbers as scores`,
  );
}
