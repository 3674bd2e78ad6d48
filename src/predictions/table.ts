// What a file of predictions holds, whatever its format.
import type { PassthroughKind, PassthroughValue } from '../data/index.js';
import type { Prediction, Task } from '../tasks/index.js';
import { UsageError } from '../util/errors.js';
import { counted } from '../util/text.js';

/** The prediction of one row of the data. */
export interface PredictedRow extends Prediction {
  /** The number of the row among those read, from 0. */
  row: number;
  /** Its place in its file, when rows were left out and the number alone no longer shows it. */
  place?: string;
  /** The text of the row, for people who look at the predictions. */
  text?: string;
  /** The values of the columns that were carried over, in their order. */
  passthrough?: readonly PassthroughValue[];
}

/** A column of the data that is carried over, by its name among the predictions. */
export interface PassthroughColumn {
  name: string;
  kind: PassthroughKind;
}

/** The columns that every row has. */
export interface PredictionTable {
  task: Task;
  /** Whether the rows have places. */
  hasPlaces: boolean;
  passthrough: readonly PassthroughColumn[];
  /** What a spreadsheet would compute, in CSV. */
  guard: FormulaGuard;
  /** Of the terminal, for a table; default 100. */
  width?: number;
}

/** What a spreadsheet takes for the start of a formula, the full-width forms included. */
const FORMULA = /^[=+\-@\t\r＝＋－＠]/u;

/** Labels such as `+` and `-`: nothing that could be computed, and they must be read back as they are. */
const SIGNS_ALONE = /^[=+\-@|＝＋－＠]+$/u;

/** Puts an apostrophe before texts that a spreadsheet would compute (`=HYPERLINK(...)`), unless they are numbers. */
export class FormulaGuard {
  /** Cells of the data, not of labels, that were changed: they no longer join with where they come from. */
  changed = 0;

  constructor(private readonly isOn: boolean) {}

  /** A text of the data. */
  carried(text: string): string {
    const written = this.label(text);
    if (written !== text) this.changed++;
    return written;
  }

  label(text: string): string {
    const computes = FORMULA.test(text) && !SIGNS_ALONE.test(text) && Number.isNaN(Number(text));
    return this.isOn && computes ? `'${text}` : text;
  }

  /** One line where texts of the data were changed. */
  notes(): string[] {
    if (this.changed === 0) return [];
    return [
      `note: ${counted(this.changed, 'text')} like a formula (such as "@name") got an apostrophe in CSV, so that joins with the data miss ${this.changed === 1 ? 'it' : 'them'}; --no-formula-guard writes texts as they are`,
    ];
  }
}

/**
 * Turns predictions into the content of a file, piece by piece: what has been yielded is no longer in memory.
 *
 * @param batches the rows in their order
 */
export type PredictionFormat = (
  batches: AsyncIterable<readonly PredictedRow[]>,
  table: PredictionTable,
) => AsyncIterable<string | Uint8Array>;

/** The names of the flat formats' probability columns, by label; without classes there are none. */
export function probabilityColumns({ kind, labels }: Task): { column: string; label: string }[] {
  return kind.hasClasses ? labels.map((label) => ({ column: `probability_${label}`, label })) : [];
}

/**
 * The carried columns by names that the predictions do not have themselves: `label` becomes `input_label`.
 *
 * @throws UsageError when two of them would then be called the same
 */
export function passthroughColumns(columns: readonly PassthroughColumn[], task: Task): PassthroughColumn[] {
  const own = new Set(['row', 'place', 'label', 'score', 'probabilities']);
  for (const { column } of probabilityColumns(task)) own.add(column);
  const passthrough = columns.map(({ name, kind }) => ({
    name: own.has(name) ? `input_${name}` : name,
    kind,
  }));
  const twice = passthrough.find(({ name }, i) => passthrough.findIndex((other) => other.name === name) < i);
  if (twice === undefined) return passthrough;
  throw new UsageError(`idColumn gives the predictions two columns called ${JSON.stringify(twice.name)}`);
}

/** A value in a cell of text: as it is, or as JSON where it is more than a text or a number. */
export function passthroughText(value: PassthroughValue): string {
  if (value === null || value === undefined) return '';
  return typeof value === 'string' ? value : JSON.stringify(value);
}
