// Rows that cannot be used: collected for the message when the run stops, or written to a file when they are skipped.
import { createHash } from 'node:crypto';
import { UsageError } from '../util/errors.js';
import { TempFile } from '../util/temp-file.js';
import { counted } from '../util/text.js';
import { type ColumnChoice, labelColumnList } from './columns.js';
import { type Delimiter, delimiterName } from './csv-dialect.js';
import { encodingIn } from './encoding.js';
import { canonical, isBlank, isList, isUnknownLabel, labelText, MISSING_LABEL } from './label-values.js';
import { labelMembers, listOfText } from './label-cells.js';
import type { RawRecord } from './records.js';

/** One bad row: `line` in text files, `row` where lines mean nothing; both from 1. `column` is null for the whole row. */
export interface BadRow {
  file: string;
  line?: number;
  row?: number;
  column: string | null;
  reason: string;
}

/** What became of the bad rows of a split. */
export interface BadRowReport {
  readonly count: number;
  /** The first ten. */
  readonly first: readonly BadRow[];
  /** Equal where the same rows of the same files are bad. */
  digest(): string;
  /**
   * Writes all of them as JSON Lines; an empty file when there are none.
   *
   * @param reasonOf the reason in other words, e.g. with flags in place of the names that options have in scripts
   */
  writeTo(path: string, reasonOf?: (reason: string) => string): Promise<void>;
}

/** What the rows before a bad one tell of it. */
export interface RowsSeen {
  /** How many of them are good. */
  readonly good: number;
  /** Remarks on labels, where some rows have none. */
  readonly missingLabels: readonly string[];
  /** Between the fields of a file with a row that has too many of them, where quotes keep a field together. */
  readonly splitBy: Delimiter | null;
}

const SHOWN = 10;

/** Collects bad rows: at most ten in memory, the others in a temporary file. */
export class BadRowLog implements BadRowReport {
  readonly first: BadRow[] = [];
  count = 0;
  /** Which rows are bad, and where among the good ones. */
  readonly #hash = createHash('sha256');

  private constructor(
    private readonly splitName: string,
    /** Null when bad rows stop the run. */
    private readonly file: TempFile | null,
  ) {}

  static async create(splitName: string, policy: 'stop' | 'skip'): Promise<BadRowLog> {
    return new BadRowLog(splitName, policy === 'skip' ? await TempFile.create() : null);
  }

  /**
   * @param seen what is known of the rows before it
   * @throws UsageError at the tenth bad row, when bad rows stop the run
   */
  add(row: BadRow, seen: RowsSeen): void {
    this.count++;
    this.#hash.update(`${seen.good} ${row.line ?? row.row}\n`);
    if (this.first.length < SHOWN) this.first.push(row);
    if (this.file !== null) this.file.append(`${JSON.stringify(row)}\n`);
    else if (this.count === SHOWN) throw this.error('at least ', seen);
  }

  /** @throws UsageError when there were bad rows and they stop the run */
  finish(seen: RowsSeen): void {
    if (this.file === null && this.count > 0) throw this.error('', seen);
  }

  digest(): string {
    return `sha256:${this.#hash.copy().digest('hex')}`;
  }

  /** The message that lists the first ten, when not one row was usable. */
  error(atLeast: '' | 'at least ' | 'only ', { good, missingLabels, splitBy }: RowsSeen): UsageError {
    const [rows, them] = this.count === 1 ? ['row', 'it'] : ['rows', 'them'];
    const encoding = this.first.map(({ reason }) => encodingIn(reason)).find((found) => found !== undefined);
    const skip = this.file === null ? `\nCorrect ${them}, or leave ${them} out with badRows skip` : '';
    const soFar = atLeast === 'at least ' ? 'so far ' : '';
    const none = `\nNo row ${soFar}is good; correct the file, or the options that say how to read it`;
    const usual = good > 0 ? skip : none;
    // Skipped, these would be the rows with letters that are not English.
    const remedy = encoding === undefined ? usual : `\nRead the file with encoding ${encoding}`;
    const joined = this.first.some(({ reason }) => reason === MISSING_LABEL)
      ? missingLabels.map((note) => `\n${note}`).join('')
      : '';
    const quotes = splitBy === null ? '' : `\nA text with ${delimiterName(splitBy)} needs quotes around it`;
    const others = this.splitName === 'train' && this.first.every(({ reason }) => isUnknownLabel(reason));
    const newHead = others ? '\nIf these are labels too, name all labels with labelList' : '';
    const list = this.first.map((row) => `\n  ${describeBadRow(row)}`).join('');
    return new UsageError(
      `The ${this.splitName} data have ${atLeast}${this.count} bad ${rows}:${list}${joined}${quotes}${remedy}${newHead}`,
    );
  }

  async writeTo(path: string, reasonOf = (reason: string): string => reason): Promise<void> {
    if (this.file === null) throw new UsageError('Bad rows are written to a file only when they are skipped');
    const changed = (key: string, value: unknown): unknown =>
      key === 'reason' && typeof value === 'string' ? reasonOf(value) : value;
    await this.file.copyTo(path, (line) => JSON.stringify(JSON.parse(line, changed)));
  }

  async close(): Promise<void> {
    await this.file?.close();
  }
}

/** E.g. `train.csv line 7, column "label": the label is missing`. */
export function describeBadRow({ file, line, row, column, reason }: BadRow): string {
  const where = line === undefined ? `row ${row}` : `line ${line}`;
  return `${file} ${where}${column === null ? '' : `, column ${JSON.stringify(column)}`}: ${reason}`;
}

/** What Prodigy's column `answer` says of an example. */
const ANSWERS: ReadonlySet<unknown> = new Set(['accept', 'reject', 'ignore']);
const REJECTED = 'has the answer "reject"';

function answerOf(value: unknown): unknown {
  return typeof value === 'string' ? value.trim().toLowerCase() : value;
}

function bareName(text: string): string {
  return text
    .replace(/^\uFEFF/, '')
    .trim()
    .toLowerCase();
}

/** Rows that are no examples, and no faults either: repeated headers, rejected answers, labels that mean none. */
export class LeftOutRows {
  readonly #naLabels: ReadonlySet<string>;
  /** How many, and where the first is, by reason. */
  readonly #found = new Map<string, { count: number; first: string }>();
  /** Rows with a label that somebody rejected. */
  rejected = 0;
  /** The columns that a repeated header has under their own names. */
  #chosen: readonly string[] = [];
  #labels: readonly string[] = [];
  #answer: string | null = null;

  constructor(naLabels: readonly string[]) {
    this.#naLabels = new Set(naLabels.map(spelling));
  }

  /** @returns the column of answers that the file may have besides the chosen ones */
  startFile(names: readonly string[], { text, textPair, label }: ColumnChoice): string | null {
    this.#labels = labelColumnList(label);
    this.#chosen = [text, ...(textPair === null ? [] : [textPair]), ...this.#labels];
    this.#answer = names.includes('answer') && !this.#chosen.includes('answer') ? 'answer' : null;
    return this.#answer;
  }

  /** By the first rows: a column called answer that holds other texts says nothing of its rows. */
  lookAt(sample: readonly RawRecord[]): void {
    const column = this.#answer;
    if (column === null) return;
    const answers = sample.filter(({ problem }) => problem === null).map((record) => record.value(column));
    if (!answers.every((answer) => isBlank(answer) || ANSWERS.has(answerOf(answer)))) this.#answer = null;
  }

  /** Whether a row is to be left out, which is then noted. */
  has(record: RawRecord, place: () => string): boolean {
    const reason = this.reasonFor(record);
    if (reason === null) return false;
    const known = this.#found.get(reason);
    if (known === undefined) this.#found.set(reason, { count: 1, first: place() });
    else known.count++;
    if (reason === REJECTED) this.rejected++;
    return true;
  }

  /** Joined files may write it otherwise, behind a byte order mark; a text alone may be any word. */
  #isHeader(record: RawRecord): boolean {
    const isAlone = this.#chosen.length === 1;
    return this.#chosen.every((column) => {
      const value = record.value(column);
      return (
        value === column || (!isAlone && typeof value === 'string' && bareName(value) === bareName(column))
      );
    });
  }

  /** Why a row is no example; null for one that is, or that has a fault. */
  reasonFor(record: RawRecord): string | null {
    if (record.problem !== null) return null;
    if (this.#isHeader(record)) return 'repeats the header';
    const answer = this.#answer === null ? undefined : answerOf(record.value(this.#answer));
    if (answer === 'reject') return REJECTED;
    if (answer === 'ignore') return 'has the answer "ignore"';
    if (this.#naLabels.size === 0) return null;
    const none = this.#labels
      .flatMap((column) => labelsIn(record.written?.(column) ?? record.value(column)))
      .find((member) => this.#naLabels.has(spelling(member)));
    return none === undefined ? null : `has the label ${JSON.stringify(none)}, which means none`;
  }

  /** One line for each reason. */
  notes(): string[] {
    return Array.from(
      this.#found,
      ([reason, { count, first }]) =>
        `${counted(count, 'row')} left out, the first at ${first}: it ${reason}`,
    );
  }
}

/** The labels of a cell as texts: its own, or those of a list. What cannot be a label is left to others. */
function labelsIn(value: unknown): string[] {
  const isSeveral = typeof value === 'string' ? listOfText(value) !== null : isList(value);
  return (isSeveral ? labelMembers(value, '') : [value]).flatMap((member) => {
    if (isBlank(member)) return [''];
    const read = labelText(member);
    return 'value' in read ? [read.value] : [];
  });
}

/** Equal for labels that are the same number or truth value, or that differ in the blanks around them. */
function spelling(label: string): string {
  return canonical(label) ?? label.trim();
}
