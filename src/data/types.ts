// The public shapes of the data layer: what a caller asks for and what an opened split offers.

import type { BadRowReport } from './bad-rows.js';
import type { Quoting } from './csv-dialect.js';
import type { GroupColumn } from './groups.js';
import type { KeptKind, KeptValue } from './kept.js';
import type { LabelColumn, LabelKind } from './labels.js';
import type { ProblemType } from '../tasks/index.js';
import type { ReadSettings } from './read-settings.js';
import type { TextHashes } from './text-hash.js';

/**
 * One column with labels, or several, one for each label, in the order of the label ids: of zeros and ones, or of
 * probabilities.
 */
export type LabelColumns = string | readonly string[];

/** What to open, and how strictly. */
export interface SplitOptions extends Partial<ReadSettings> {
  name: 'train' | 'validation' | 'test';
  /** Paths or globs (`*`, `?`, `**`) of .csv .tsv .jsonl .ndjson .json .parquet; text formats also with .gz or .zst. */
  files: readonly string[];
  /** Default: found by its usual name, see `chooseColumns`. */
  textColumn?: string;
  /** The second text of a pair. Default: found together with the first, unless `textColumn` is given. */
  textPairColumn?: string;
  /** Several: columns of zeros and ones, or of probabilities, whose names are the labels, in the order of the ids. */
  labelColumn?: LabelColumns;
  /** Rows with equal values in this column belong together; for `holdOutGroups`. */
  groupColumn?: string;
  /** Columns that are read with every row, for `Example.kept`. */
  keepColumns?: readonly string[];
  /** False for prediction: labels are not looked for and not read. */
  needsLabels: boolean;
  /** `stop` (default) throws a UsageError that lists up to ten bad rows; `skip` leaves bad rows out and reports them. */
  badRows?: 'stop' | 'skip';
  /** Only the first n good rows can be read. All rows are still checked, so that the label map does not depend on n. */
  maxSamples?: number;
  /** Hub ClassLabel names per column: the integer labels of that column are these names. */
  classNames?: Readonly<Record<string, readonly string[]>>;
  /** When the labels are fixed beforehand (`--label-list`, a trained model): any other label is a bad row. */
  knownLabels?: readonly string[];
  /** Decides how labels are read; without it a list column is multi-label and a column of decimals is regression. */
  problemType?: ProblemType;
  /**
   * Whether labels are probabilities: a column for each label, or one of lists. They add up to 1 a row, unless the
   * problem type is multi-label.
   */
  softLabels?: boolean;
  /** With multi-label and labels written as one string: what separates the names. Default `|`. */
  labelDelimiter?: string;
  /** Called now and then while the files are indexed, with bytes of files read so far and in all. */
  onProgress?: (progress: { bytes: number; totalBytes: number }) => void;
}

/** The columns in use; `label` is null when labels are not needed. */
export interface ColumnChoice {
  text: string;
  textPair: string | null;
  label: LabelColumns | null;
  /** `SplitOptions.keepColumns`, where there are any. */
  kept?: readonly string[];
}

/** One input, exactly as it stands in the file. */
export interface Example {
  text: string;
  textPair?: string;
  /** The values of the kept columns, in their order, as JSON can hold them; null where a row has none. */
  kept?: readonly KeptValue[];
}

/** One split, indexed once and read by offset: memory holds a few bytes a row, never the texts. */
export interface Split {
  readonly name: string;
  /** Rows that can be read, at most `maxSamples`. */
  readonly size: number;
  readonly columns: ColumnChoice;
  /** The kept columns, and what all their values are. */
  readonly kept: readonly { name: string; kind: KeptKind }[];
  readonly labelKind: 'none' | LabelKind;
  /** Distinct labels as written (members, for lists), in `sortLabels` order, or the ClassLabel names; empty for float. */
  readonly labelValues: readonly string[];
  /** The labels behind `inferTask` and `labelReader`; null when labels were not asked for. */
  readonly labels: LabelColumn | null;
  readonly badRows: BadRowReport;
  /** Remarks worth a line in the log, e.g. that two labels differ only in case. */
  readonly notes: readonly string[];
  /** The first n rows, for people to look at. */
  preview(n: number): Promise<{ text: string; textPair?: string; label: string | null }[]>;
  /** Reads rows by number, 0 to size - 1, in any order; the answer keeps the order asked for. */
  read(indices: ArrayLike<number>): Promise<Example[]>;
  /** Where a row stands, for messages: `train.csv line 7`. */
  place(row: number): string;
  /** How quotes are read; null without CSV and TSV. */
  readonly quoting: Quoting | null;
  /** SHA-256 over the bytes of all files of the split. */
  digest(): Promise<string>;
  /** A number that is equal for rows with equal texts, and hardly ever for others; null where labels are not read. */
  readonly hashes: TextHashes | null;
  /** The number of each row's group; null without `groupColumn`. */
  readonly groups: GroupColumn | null;
  /** Closes the files; temporary files vanish with it. */
  close(): Promise<void>;
}
