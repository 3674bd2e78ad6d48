// The label column of a split, kept in two to six bytes a row, or four for each number.

import { regression, type LabelKind, type TaskKind } from '../tasks/index.js';
import { UsageError } from '../util/errors.js';
import { isObject, type JsonObject } from '../util/json.js';
import { listed } from '../util/text.js';
import { PROBABILITY_PREFIX } from './columns.js';
import { areLists, delimiterIn, isCutShort, labelMembers, listOfText, membersOf } from './label-cells.js';
import {
  decideReading,
  type LabelFormat,
  type LabelRequest,
  type ListLayout,
  onesOf,
  probabilitiesOf,
  requestedFormat,
  requestedTask,
  targetsOf,
  wrongLength,
} from './label-lists.js';
import { LabelStore, MAX_CLASSES } from './label-store.js';
import {
  canonical,
  decimalComma,
  isBlank,
  isIntegerText,
  isNumberText,
  labelIds,
  labelText,
  MISSING_LABEL,
  type Parsed,
  sortLabels,
  spelledAlike,
  unknownLabel,
  withoutBlanks,
} from './label-values.js';
import type { Fault } from './row.js';

export type { LabelKind } from '../tasks/index.js';

/** How the labels of a column are to be read. */
export interface LabelOptions extends LabelRequest {
  /** For messages. */
  column: string;
  /** Of labels in several columns, one for each label: their names. */
  columns?: readonly string[] | undefined;
  classNames?: readonly string[] | undefined;
  knownLabels?: readonly string[] | undefined;
  /** Whether labels that differ only in white space, case, width, composition or invisible characters are one. */
  foldLabels?: boolean | undefined;
  /** How the labels of another split of the same data were read, where they are lists. */
  like?: LabelLayout | undefined;
}

/** What the splits of a data set share of it. */
export interface LabelLayout extends ListLayout {
  /** Null where a text beside lists is one label. */
  delimiter: string | null;
}

/** Labels by row: distinct values once, and their number for every row; or numbers, as many for each row. */
export class LabelColumn {
  /** The labels in the order of their ids, where the data name them: ClassLabel names, columns, or keys of objects. */
  readonly classNames: readonly string[] | null;
  /** What separates labels that are written as one text. */
  readonly delimiter: string | null;
  readonly isFolded: boolean;
  /** Of positional labels, what the data call each position. */
  private readonly positions: readonly string[] | null;
  /** How lists are read; null for one label a row. */
  private list: ListLayout | null;
  private hasText = false;
  /** The file that replaced the labels of some rows; undefined without one. */
  corrections: { path: string; digest: string; rows: number } | undefined;
  /** Two spellings of one number, such as 007 and 7, where there are any. */
  merged: readonly [string, string] | null = null;
  private readonly store = new LabelStore(() => tooManyClasses(this.options.column));
  private readonly isKnown: ((label: string) => boolean) | null;
  /** Null where the labels decide. */
  private readonly requested: TaskKind | null;
  /** Whether the first rows are lists written as text. */
  private readonly ofText: boolean;
  /** Whether the first rows are texts, which may join several labels, and no lists. */
  readonly areTexts: boolean;
  /** Whether a list of one label stands for that label. */
  private readonly unwraps: boolean;

  /** @param sample the labels of the first rows, which decide how all are read unless options do */
  constructor(
    private readonly options: LabelOptions,
    sample: readonly unknown[],
  ) {
    const { columns, knownLabels, like } = options;
    this.isFolded = options.foldLabels === true;
    const shown = (): string | null =>
      areLists(sample) && sample.some(isBareText) ? null : delimiterIn(sample);
    this.delimiter = options.labelDelimiter ?? (like === undefined ? shown() : like.delimiter);
    const idOf = knownLabels === undefined ? null : labelIds(knownLabels, this.isFolded);
    this.isKnown = idOf === null ? null : (label) => idOf(label) !== undefined;
    this.requested = requestedTask(options) ?? null;
    this.ofText = areLists(sample) && sample.some(isListText);
    this.positions = columns === undefined ? keysOf(sample) : withoutPrefix(columns);
    this.areTexts = this.positions === null && !areLists(sample);
    const reading = like ?? this.readingOf(sample);
    const takesOne = this.requested?.columns.startsAs === 'integer';
    this.unwraps = reading?.format === 'names' && takesOne;
    this.list = this.unwraps ? null : reading;
    if (this.list?.format === 'numbers' || this.list?.format === 'probabilities')
      this.requirePoints(sample, this.list);
    this.classNames = this.isPositional ? this.positions : (options.classNames ?? null);
  }

  /** Null where a row has one label, which may be a number to predict. */
  private readingOf(sample: readonly unknown[]): ListLayout | null {
    const { column, classNames, knownLabels, labelDelimiter } = this.options;
    const { requested, positions } = this;
    const format = requestedFormat(this.options);
    const isPositional = format !== undefined && format !== 'names';
    const isJoined = labelDelimiter !== undefined && requested === null;
    const isSeveral =
      positions !== null || isJoined || areLists(sample) || requested?.columns.startsAs === 'list';
    if (!isSeveral && !isPositional) {
      if (requested?.hasClasses === false) return { format: 'numbers', width: 1, task: regression };
      if (requested !== null || classNames !== undefined) return null;
      const { areNumbers, hasDecimals } = numbersAmong(sample);
      this.hasText = !areNumbers;
      return areNumbers && hasDecimals ? { format: 'numbers', width: 1, task: regression } : null;
    }
    if (positions === null && classNames !== undefined && !isPositional)
      return { format: 'names', width: null, task: requested ?? undefined };
    const cells = positions === null ? sample : sample.map((value) => this.ofPositions(value));
    return decideReading(membersOf(cells, this.delimiter), this.options, {
      columns: positions !== null,
      names: knownLabels,
      column,
    });
  }

  /** @throws UsageError for numbers that are written with decimal commas, which would make a bad row of each */
  private requirePoints(sample: readonly unknown[], list: ListLayout): void {
    const members = sample.filter((value) => !isBlank(value)).flatMap((value) => this.membersOf(value, list));
    const found = decimalComma(members);
    if (found === null) return;
    throw new UsageError(
      `The column ${JSON.stringify(this.options.column)} has numbers with decimal commas, such as ${JSON.stringify(found)}; ` +
        "write them with a point, e.g. read the file with pandas' decimal=',' and save it again",
    );
  }

  /** How other splits are to be read; null for one label a row. */
  get reading(): LabelLayout | null {
    return this.list === null ? null : { ...this.list, delimiter: this.delimiter };
  }

  /** The task that the labels or an option decide for; null where it depends on other splits. */
  get task(): TaskKind | null {
    return this.requested ?? this.list?.task ?? null;
  }

  /** Whether an option decides how the labels are read. */
  get isKindGiven(): boolean {
    return this.requested !== null;
  }

  /** Whether an option names what lists hold. */
  get isFormatGiven(): boolean {
    return requestedFormat(this.options) !== undefined;
  }

  /** Whether the data decided that texts are lists, as Python or JSON writes them. */
  get isListText(): boolean {
    return this.requested === null && this.ofText;
  }

  /** Whether the data decided what separates labels that are written as one text. */
  get isSplit(): boolean {
    return this.options.labelDelimiter === undefined && this.delimiter !== null && this.delimiter !== '|';
  }

  /** Whether a row has a value for each label, by position. */
  get isPositional(): boolean {
    return this.list !== null && this.list.format !== 'names';
  }

  /** Values of each row; 0 before the first row, and where it varies. */
  get width(): number {
    return this.list?.width ?? 0;
  }

  get kind(): LabelKind {
    if (this.list === null)
      return this.hasText || this.options.classNames !== undefined ? 'string' : 'integer';
    const { format } = this.list;
    if (format === 'probabilities') return format;
    if (format === 'numbers') return 'float';
    return this.takesOne ? 'string' : 'list';
  }

  /** Whether a list stands for one label. */
  private get takesOne(): boolean {
    return this.list?.format === 'multi_hot' && this.task?.columns.ofSeveral === 'one';
  }

  /** All labels in the order of their ids, where the data name or number them; null where they are to be sorted. */
  get ordered(): readonly string[] | null {
    if (this.classNames !== null || !this.isPositional) return this.classNames;
    const { knownLabels } = this.options;
    if (knownLabels?.length === this.width) return knownLabels;
    if (this.numbered.length !== this.width)
      this.numbered = Array.from({ length: this.width }, (_, id) => `LABEL_${id}`);
    return this.numbered;
  }

  private numbered: readonly string[] = [];

  /** Rows with classes as labels. */
  get rows(): number {
    return this.store.rows;
  }

  /** The labels that a row may have: those that are fixed beforehand, or else those of the rows. */
  get known(): readonly string[] {
    return this.options.knownLabels ?? this.values;
  }

  /** Distinct labels, sorted; none for float. */
  get values(): readonly string[] {
    if (this.kind === 'float') return [];
    if (this.kind === 'probabilities') return this.ordered ?? [];
    const used = new Set(this.store.names);
    return this.ordered?.filter((name) => used.has(name)) ?? sortLabels(used);
  }

  /** Appends the label of the next row, or returns why it cannot be used and leaves the column as it was. */
  add(value: unknown): Fault | null {
    const problem = this.list === null ? this.addOne(value) : this.addList(value, this.list);
    if (problem === null || typeof problem !== 'string') return problem;
    return { column: this.options.columns === undefined ? this.options.column : null, reason: problem };
  }

  /** To be called after the last row: the same label in other spellings becomes one. */
  finish(): void {
    if (this.classNames !== null || this.isPositional) return;
    const { names } = this.store;
    const { knownLabels = [] } = this.options;
    const spelled = spelledAlike(names, knownLabels, this.isFolded ? this.counts() : null);
    const first = new Map<string, string>();
    names.forEach((name, i) => {
      const [own, other] = [withoutBlanks(name), first.get(spelled[i] ?? '')];
      if (other === undefined) first.set(spelled[i] ?? '', own);
      else if (other !== own && !this.isFolded) this.merged ??= [other, own];
    });
    this.store.rename(spelled);
    this.hasText &&= !this.store.names.every(isIntegerText);
  }

  /**
   * Gives rows other labels, after the last row was added: one name for each, or any number for lists.
   *
   * @param file where they are from, and what identifies them
   */
  correct(names: ReadonlyMap<number, readonly string[]>, file: { path: string; digest: string }): void {
    this.corrections = { ...file, rows: names.size };
    if (this.isOfLists) this.store.replaceNames(names);
    else for (const [row, [name = '']] of names) this.store.replaceName(row, name);
  }

  /** How often each label occurs. */
  counts(): Map<string, number> {
    return this.store.counts();
  }

  /** The labels of a row as written: one, or any number for lists. */
  at(row: number): readonly string[] {
    if (this.isOfNumbers) return this.valuesAt(row).map((value) => String(Number(value.toPrecision(7))));
    return this.isOfLists ? this.store.namesAt(row) : [this.store.nameAt(row)];
  }

  /** The label of a row for people to read: several in brackets. */
  shownAt(row: number): string {
    const all = this.at(row);
    const areSeveral = this.isOfLists && (this.kind !== 'float' || this.width > 1);
    return areSeveral ? `[${listed(all, Infinity)}]` : all.join();
  }

  /** The numbers of a row: probabilities, numbers to predict, or the integer that it holds. */
  valuesAt(row: number): number[] {
    return this.isOfNumbers ? this.store.numbersAt(row, this.width) : this.at(row).map(Number);
  }

  private get isOfNumbers(): boolean {
    return this.list?.format === 'probabilities' || this.list?.format === 'numbers';
  }

  /** Whether a row may have any number of names. */
  private get isOfLists(): boolean {
    return this.list !== null && !this.takesOne;
  }

  private addList(value: unknown, list: ListLayout): string | Fault | null {
    const isMissing = value === undefined || value === null || (value === '' && list.format !== 'names');
    if (isMissing) return MISSING_LABEL;
    const members = this.membersOf(value, list);
    if (isCutShort(value, members)) return CUT_SHORT;
    if (list.format === 'names') return this.addNames(members);
    const width =
      list.width === null || list.width === 0
        ? (this.positions ?? this.options.knownLabels)?.length
        : list.width;
    if (width !== undefined && members.length !== width) return wrongLength(list, width, members);
    list.width = members.length;
    if (list.format === 'multi_hot') return this.addHot(members);
    return this.addNumbers(members, list.format);
  }

  private membersOf(value: unknown, { format, width }: ListLayout): readonly unknown[] {
    if (this.positions !== null) return this.ofPositions(value);
    // A comma in a number separates nothing.
    const isNumber =
      format === 'numbers' && width === 1 && typeof value === 'string' && listOfText(value) === null;
    return isNumber ? [value] : labelMembers(value, this.delimiter);
  }

  /** The members by position: the cells of several columns, or the values of an object by its keys. */
  private ofPositions(value: unknown): readonly unknown[] {
    if (!isStruct(value)) return labelMembers(value, this.delimiter);
    const names = this.positions ?? [];
    const isWhole = Object.keys(value).every((name) => names.includes(name));
    return isWhole ? names.map((name) => value[name]) : Object.values(value);
  }

  /** A fault of one of the members; of several columns it is in one of them. */
  private faultAt({ problem, position }: { problem: string; position?: number }): string | Fault {
    const column = position === undefined ? undefined : this.options.columns?.[position];
    return column === undefined ? problem : { column, reason: problem };
  }

  private addHot(members: readonly unknown[]): string | Fault | null {
    const read = onesOf(members, this.takesOne);
    if ('problem' in read) return this.faultAt(read);
    const hot = read.value.map((id) => this.ordered?.[id] ?? '');
    const unknown = hot.find((name) => this.isKnown?.(name) === false);
    if (unknown !== undefined)
      return { column: null, reason: unknownLabel(unknown, this.options.knownLabels ?? []) };
    this.push(hot);
    return null;
  }

  private addNumbers(members: readonly unknown[], format: LabelFormat): string | Fault | null {
    const read =
      format === 'numbers'
        ? targetsOf(members, this.requested !== null)
        : probabilitiesOf(members, this.task?.columns.probabilities === 'distribution');
    if ('problem' in read) return this.faultAt(read);
    this.store.pushNumbers(read.value);
    return null;
  }

  private addNames(members: readonly unknown[]): string | null {
    const names = new Set<string>();
    for (const member of members) {
      if (this.areTexts && member === '')
        return `the label is missing between two delimiters ${JSON.stringify(this.delimiter)}`;
      const read = labelText(member);
      if ('problem' in read) return read.problem;
      const name = this.resolve(read.value);
      if ('problem' in name) return name.problem;
      if (names.has(name.value)) {
        const hint = isIntegerText(name.value) ? ' (labelFormat multi_hot reads zeros and ones)' : '';
        return `the list names the label ${JSON.stringify(name.value)} twice${hint}`;
      }
      names.add(name.value);
    }
    this.push([...names]);
    return null;
  }

  /** Reads a single label, which may decide the kind: text makes it string, a decimal float. */
  private addOne(value: unknown): string | Fault | null {
    const members = this.unwraps && !isBlank(value) ? labelMembers(value, this.delimiter) : [value];
    if (members.length !== 1)
      return `the list holds ${members.length} labels, where ${this.requested?.problemType} takes one`;
    const read = labelText(members[0]);
    if ('problem' in read) return read.problem;
    if (this.kind === 'integer' && !isIntegerText(read.value)) {
      if (this.requested === null && isNumberText(read.value)) {
        this.list = { format: 'numbers', width: 1, task: regression };
        this.store.becomeNumbers();
        return this.addNumbers([read.value], 'numbers');
      }
      this.hasText = true;
    }
    const name = this.resolve(read.value);
    if ('problem' in name) return name.problem;
    this.push([name.value]);
    return null;
  }

  /** The name of a class: ClassLabel integers become names, and labels outside a fixed list are refused. */
  private resolve(label: string): Parsed<string> {
    const { classNames, isKnown } = this;
    const own = canonical(label);
    const meansNone = own === '-1' && (this.kind !== 'string' || classNames !== null);
    if (meansNone && isKnown?.(label) !== true) return { problem: NO_LABEL };
    const name =
      classNames !== null && own !== null && isIntegerText(own) && !classNames.includes(label)
        ? classNames[Number(own)]
        : label;
    if (name === undefined || classNames?.includes(name) === false)
      return { problem: unknownLabel(label, classNames ?? []) };
    if (isKnown?.(name) === false) return { problem: unknownLabel(name, this.options.knownLabels ?? []) };
    return { value: name };
  }

  private push(names: readonly string[]): void {
    if (this.isOfLists) this.store.pushNames(names);
    else this.store.pushName(names[0] ?? '');
  }
}

const NO_LABEL =
  'the label -1 means "no label" in Hugging Face data sets (if it is a class here, give all classes with labelList)';

const CUT_SHORT =
  'the list was cut short ("...") when it was printed; write it whole, such as with json.dumps(labels.tolist()) in Python';

/** Whether labels are numbers, a few faults aside, and whether there are decimals among them. */
function numbersAmong(sample: readonly unknown[]): { areNumbers: boolean; hasDecimals: boolean } {
  const texts = sample.flatMap((value) => {
    const read = labelText(value);
    return 'value' in read ? [read.value] : [];
  });
  const numbers = texts.filter(isNumberText);
  return {
    areNumbers: 2 * numbers.length >= texts.length,
    hasDecimals: numbers.some((text) => !isIntegerText(text)),
  };
}

/** A text that is no list. */
function isBareText(value: unknown): boolean {
  return typeof value === 'string' && !isBlank(value) && !isListText(value);
}

function isListText(value: unknown): boolean {
  return typeof value === 'string' && listOfText(value) !== null;
}

/** An object of named values: no list, bytes or time. */
function isStruct(value: unknown): value is JsonObject {
  return isObject(value) && !ArrayBuffer.isView(value) && !(value instanceof Date);
}

/** The keys of labels that are objects, in the order in which they turn up: `{"toxic": 1, "rude": 0}`. */
function keysOf(sample: readonly unknown[]): readonly string[] | null {
  const objects = sample.filter(isStruct);
  if (objects.length === 0 || 2 * objects.length < sample.length) return null;
  const keys = new Set(objects.flatMap(Object.keys));
  return keys.size > MAX_CLASSES || keys.size === 0 ? null : [...keys];
}

/** Predictions have the probability of each label in a column of its own. */
function withoutPrefix(columns: readonly string[]): readonly string[] {
  const isOfPredictions = columns.every((name) => name.startsWith(PROBABILITY_PREFIX));
  return isOfPredictions ? columns.map((name) => name.slice(PROBABILITY_PREFIX.length)) : columns;
}

function tooManyClasses(column: string): UsageError {
  return new UsageError(
    `The column ${JSON.stringify(column)} has more than ${MAX_CLASSES} different labels; ` +
      `labelColumn names another one, and problemType ${regression.problemType} takes numbers as scores`,
  );
}
