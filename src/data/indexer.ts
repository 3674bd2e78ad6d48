// The one pass over the files of a split: checks every row, notes where it stands and keeps its label.
import type { ProblemType } from '../tasks/index.js';
import { UsageError } from '../util/errors.js';
import { BadRowLog } from './bad-rows.js';
import { chooseColumns, type ColumnChoice, type ColumnOptions, requireColumns } from './columns.js';
import type { DataFile } from './files.js';
import { kindOfSeveral, labelColumnList, readLabel } from './label-columns.js';
import { LabelColumn } from './labels.js';
import type { RawRecord } from './records.js';
import type { OwnRows, Rows } from './own-rows.js';
import { GroupColumn, RowStore, TextHashes } from './row-store.js';
import { type Fault, holdsOnlyNumbers, PassthroughKinds, readExample } from './row.js';
import { DEFAULT_READ_SETTINGS, openSource, type ReadSettings, type RecordSource } from './source.js';

/** What to open, and how strictly. */
export interface SplitOptions extends ColumnOptions, Partial<ReadSettings> {
  name: 'train' | 'validation' | 'test';
  /** Paths or globs (`*`, `?`, `**`) of .csv .tsv .jsonl .ndjson .json .parquet; text formats also with .gz or .zst. */
  files: readonly string[];
  /** Instead of files: the rows themselves, which are read once. */
  rows?: Rows;
  /** Rows with equal values in this column belong together; for `holdOutGroups`. */
  groupColumn?: string;
  /** Columns that are read with every row, for `Example.passthrough`. */
  passthroughColumns?: readonly string[];
  /** `stop` (default) throws a UsageError that lists up to ten bad rows; `skip` leaves bad rows out and reports them. */
  badRows?: 'stop' | 'skip';
  /** Only the first n good rows can be read. All rows are still checked, so that the label map does not depend on n. */
  maxSamples?: number;
  /** Hub ClassLabel names per column: the integer labels of that column are these names. */
  classNames?: Readonly<Record<string, readonly string[]>>;
  /** When the labels are fixed beforehand (`labelList`, a trained model): any other label is a bad row. */
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

/** What the pass leaves behind; `rows` and `badRows` hold open files. */
export interface IndexedRows {
  rows: RowStore;
  columns: ColumnChoice;
  /** One label for each row; null when labels were not requested. */
  labels: LabelColumn | null;
  badRows: BadRowLog;
  hashes: TextHashes | null;
  groups: GroupColumn | null;
  passthrough: PassthroughKinds;
  /** Remarks on how the files were read, one line each. */
  notes: readonly string[];
}

/** A file, or the rows of a script. */
export type DataInput = DataFile | OwnRows;

/** Reads all files once; on an error nothing stays open. */
export async function indexFiles(files: readonly DataInput[], options: SplitOptions): Promise<IndexedRows> {
  const indexer = new Indexer(options, await BadRowLog.create(options.name, options.badRows ?? 'stop'));
  try {
    return await indexer.run(files);
  } catch (error) {
    await indexer.close();
    throw error;
  }
}

class Indexer {
  private readonly rows = new RowStore();
  private columns: ColumnChoice | null = null;
  private labels: LabelColumn | null = null;
  private readonly hashes: TextHashes | null;
  private readonly groups: GroupColumn | null;
  private readonly passthrough: PassthroughKinds;
  private readonly notes: string[] = [];

  constructor(
    private readonly options: SplitOptions,
    private readonly badRows: BadRowLog,
  ) {
    this.hashes = options.needsLabels ? new TextHashes() : null;
    this.groups = options.groupColumn === undefined ? null : new GroupColumn();
    this.passthrough = new PassthroughKinds(options.passthroughColumns ?? []);
  }

  async run(files: readonly DataInput[]): Promise<IndexedRows> {
    const totalBytes = files.reduce((sum, file) => sum + file.bytes, 0);
    let bytes = 0;
    const onRead = (count: number): void => {
      bytes += count;
      this.options.onProgress?.({ bytes, totalBytes });
    };
    const settings = { ...DEFAULT_READ_SETTINGS, ...this.options };
    for (const file of files)
      await this.addFile(
        file,
        file.format === 'rows' ? await file.open() : await openSource(file, onRead, settings),
      );
    this.rows.finish();
    this.badRows.finish();
    const { rows, columns, labels, badRows, hashes, groups, passthrough, notes } = this;
    if (columns !== null && rows.size > 0)
      return { rows, columns, labels, badRows, hashes, groups, passthrough, notes };
    if (badRows.count > 0) throw badRows.error('only ');
    throw new UsageError(
      this.options.rows === undefined
        ? `${files.map((file) => file.path).join(', ')}: no rows, only a header or an empty list; give a file that holds rows`
        : `The ${this.options.name} data have no rows; was a generator or a cursor read before?`,
    );
  }

  async close(): Promise<void> {
    await Promise.all([this.rows.close(), this.badRows.close()]);
  }

  private async addFile(file: DataInput, source: RecordSource): Promise<void> {
    // One note is enough for many files.
    if (this.notes.length === 0) this.notes.push(...source.notes);
    const columns = this.columnsOf(file, source);
    if (columns === null) {
      for await (const batch of source.batches([], null)) {
        for (const record of batch) this.addBad(file, source, record, null, record.problem ?? 'no columns');
      }
      return;
    }
    await this.rows.startFile(file.path, source, columns);
    const { groupColumn = null } = this.options;
    const { text, textPair, label, passthrough = [] } = columns;
    const needed = [text, textPair, ...labelColumnList(label), groupColumn, ...passthrough].filter(
      (name) => name !== null,
    );
    let isFirst = true;
    for await (const batch of source.batches(
      [...new Set(needed)],
      typeof label === 'string' ? label : null,
    )) {
      if (isFirst) this.lookAt(batch, columns, file, source);
      isFirst = false;
      for (const record of batch) this.addRecord(file, source, record, columns);
    }
  }

  /** The columns are chosen in the first file and required of the others; null for a file without one good row. */
  private columnsOf(file: DataInput, source: RecordSource): ColumnChoice | null {
    if (source.columns === null) return null;
    const { groupColumn, passthroughColumns: passthrough = [] } = this.options;
    this.columns ??= {
      ...chooseColumns(file.path, source.columns, this.options),
      ...(passthrough.length > 0 && { passthrough }),
    };
    requireColumns(file.path, source.columns, this.columns, groupColumn);
    return this.columns;
  }

  /** What the first rows of a file tell: that its text is none, and the kind of the labels. */
  private lookAt(
    sample: readonly RawRecord[],
    columns: ColumnChoice,
    file: DataInput,
    source: RecordSource,
  ): void {
    const { text, label } = columns;
    if (holdsOnlyNumbers(sample, text)) {
      const column = `The column ${JSON.stringify(text)} of ${file.path}`;
      throw new UsageError(`${column} holds only numbers; is it the text? textColumn names another`);
    }
    if (label === null || this.labels !== null) return;
    const { problemType, softLabels, classNames, knownLabels, labelDelimiter: delimiter } = this.options;
    const ofColumn =
      typeof label === 'string'
        ? { column: label, problemType, classNames: classNames?.[label] ?? source.classNames[label] }
        : {
            column: label.join(', '),
            problemType: kindOfSeveral(this.options).problemType,
            classNames: label,
          };
    const values = typeof label === 'string' ? sample.map((record) => record.value(label)) : [];
    this.labels = new LabelColumn({ ...ofColumn, softLabels, knownLabels, delimiter }, values);
  }

  private addRecord(file: DataInput, source: RecordSource, record: RawRecord, columns: ColumnChoice): void {
    const read = readExample(record, columns);
    if ('reason' in read) {
      this.addBad(file, source, record, read.column, read.reason);
      return;
    }
    const fault = this.addLabel(record, columns);
    if (fault !== null) {
      this.addBad(file, source, record, fault.column, fault.reason);
      return;
    }
    this.rows.add(record, read);
    this.passthrough.add(read.passthrough ?? []);
    this.hashes?.push(read);
    this.groups?.push(this.options.groupColumn === undefined ? null : record.value(this.options.groupColumn));
  }

  private addLabel(record: RawRecord, { label }: ColumnChoice): Fault | null {
    if (label === null) return null;
    const read = readLabel(record, label, this.options);
    if ('reason' in read) return read;
    const reason = this.labels?.add(read.value) ?? null;
    return reason === null ? null : { column: typeof label === 'string' ? label : null, reason };
  }

  private addBad(
    file: DataInput,
    source: RecordSource,
    record: RawRecord,
    column: string | null,
    reason: string,
  ): void {
    this.badRows.add({ file: file.path, [source.unit]: record.number, column, reason });
  }
}
