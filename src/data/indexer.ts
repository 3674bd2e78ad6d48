// The one pass over the files of a split: checks every row, notes where it stands and keeps its label.
import { UsageError } from '../util/errors.js';
import { listed } from '../util/text.js';
import { exportNote } from './annotation-exports.js';
import { BadRowLog, LeftOutRows, type RowsSeen } from './bad-rows.js';
import {
  chooseColumns,
  hasClassesAlone,
  ignoredProbabilities,
  type ColumnChoice,
  type ColumnOptions,
  labelColumnList,
  type LabelColumns,
  requireColumns,
} from './columns.js';
import { hasExtraFields } from './csv.js';
import type { Delimiter } from './csv-dialect.js';
import type { DataFile } from './files.js';
import type { LabelRequest } from './label-lists.js';
import { severalNames } from './label-notes.js';
import { isBlank, withoutBytes } from './label-values.js';
import { LabelColumn, type LabelLayout } from './labels.js';
import type { RawRecord } from './records.js';
import type { OwnRows, Rows } from './own-rows.js';
import { GroupColumn, RowStore, TextHashes } from './row-store.js';
import { type Fault, holdsOnlyNumbers, PassthroughKinds, readExample } from './row.js';
import type { EntityOffsets } from './span-rows.js';
import {
  DEFAULT_READ_SETTINGS,
  type JsonLinesText,
  openSource,
  type ReadSettings,
  type RecordSource,
} from './source.js';

/** What to open, and how strictly. */
export interface SplitOptions
  extends
    ColumnOptions,
    Pick<LabelRequest, 'problemType' | 'labelFormat' | 'labelDelimiter'>,
    Partial<ReadSettings> {
  name: 'train' | 'validation' | 'test';
  /** Paths or globs (`*`, `?`, `**`) of .csv .tsv .jsonl .ndjson .json .parquet; text formats also with .gz or .zst. */
  files: readonly string[];
  /** Instead of files: the rows themselves, or their text, which are read once. */
  rows?: Rows | JsonLinesText;
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
  /**
   * Whether labels are probabilities: a column for each label, or one of lists. They add up to 1 a row, unless the
   * problem type is multi-label.
   */
  softLabels?: boolean;
  /** Whether labels that differ only in white space, case, width, composition or invisible characters are one. */
  foldLabels?: boolean;
  /** Labels that mean that a row has none; these rows are left out. */
  naLabels?: readonly string[];
  /** How the places of marked parts are counted. Default `auto`. */
  entityOffsets?: EntityOffsets;
  /** How lists of labels were read in another split of the same data. */
  like?: LabelLayout;
  /** Called now and then while the files are indexed, with bytes of files read so far and in all. */
  onProgress?: (progress: { bytes: number; totalBytes: number }) => void;
}

/** So many rows, at most, decide how labels are read; and so many at least, if few batches hold them. */
const SAMPLE_ROWS = 20_000;
const LEAST_ROWS = 1000;
const MOST_BATCHES = 8;

/** What the pass leaves behind; `rows` and `badRows` hold open files. */
export interface IndexedRows {
  rows: RowStore;
  columns: ColumnChoice;
  /** One label for each row; null when labels were not requested. */
  labels: LabelColumn | null;
  badRows: BadRowLog;
  /** Rows that were left out since somebody rejected their label. */
  rejected: number;
  hashes: TextHashes | null;
  groups: GroupColumn | null;
  passthrough: PassthroughKinds;
  /** Remarks on how the files were read, one line each. */
  notes: readonly string[];
}

/** A file, the rows of a script, or text that is in no file. */
export type DataInput = DataFile | OwnRows | JsonLinesText;

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
  private readonly leftOut: LeftOutRows | null;
  private missingLabels: readonly string[] = [];
  private splitBy: Delimiter | null = null;
  /** Files of which no row can be used, whatever their other rows may hold. */
  private readonly unread: string[] = [];

  constructor(
    private options: SplitOptions,
    private readonly badRows: BadRowLog,
  ) {
    this.hashes = options.needsLabels ? new TextHashes() : null;
    this.leftOut = options.needsLabels ? new LeftOutRows(options.naLabels ?? []) : null;
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
        file.format === 'rows' ? await file.open(settings) : await openSource(file, onRead, settings),
      );
    this.rows.finish();
    this.badRows.finish(this.seen());
    this.labels?.finish();
    this.notes.push(...(this.leftOut?.notes() ?? []));
    if (this.unread.length > 0)
      this.notes.push(`No row is used of ${listed(this.unread)}, whose columns cannot be read`);
    const { rows, columns, labels, badRows, hashes, groups, passthrough, notes } = this;
    const rejected = this.leftOut?.rejected ?? 0;
    if (columns !== null && rows.size > 0)
      return { rows, columns, labels, badRows, rejected, hashes, groups, passthrough, notes };
    if (badRows.count > 0) throw badRows.error('only ', this.seen());
    const leftOut = this.leftOut?.notes() ?? [];
    if (leftOut.length > 0)
      throw new UsageError(`The ${this.options.name} data have no rows to use: ${leftOut.join('; ')}`);
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
    try {
      await this.addRows(file, source);
    } finally {
      await source.close?.();
    }
  }

  private async addRows(file: DataInput, source: RecordSource): Promise<void> {
    // One note is enough for many files.
    if (this.notes.length === 0) this.notes.push(...source.notes);
    const columns = this.columnsOf(file, source);
    if (columns === null) {
      this.unread.push(file.path);
      for await (const batch of source.batches([])) {
        for (const record of batch) this.addBad(file, source, record, null, record.problem ?? 'no columns');
      }
      return;
    }
    await this.rows.startFile(file.path, source, columns);
    const { groupColumn = null } = this.options;
    const { text, textPair, label, passthrough = [] } = columns;
    const answer = this.leftOut?.startFile(source.columns ?? [], columns) ?? null;
    const needed = [text, textPair, ...labelColumnList(label), groupColumn, answer, ...passthrough].filter(
      (name) => name !== null,
    );
    let isFirst = true;
    const batches = source.batches([...new Set(needed)]);
    for await (const batch of withLargeFirst(batches)) {
      if (isFirst) this.lookAt(batch, columns, file, source);
      isFirst = false;
      for (const record of batch) this.addRecord(file, source, record, columns);
    }
  }

  /** The columns are chosen in the first file and required of the others; null for a file without one good row. */
  private columnsOf(file: DataInput, source: RecordSource): ColumnChoice | null {
    if (source.columns === null) return null;
    if (this.columns === null) {
      this.options = orClasses(source.columns, this.options);
      if (this.options.name === 'train')
        this.notes.push(...ignoredProbabilities(source.columns, this.options));
    }
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
    // A column that is named, or the only one, may hold what it likes.
    const isGuessed = this.options.textColumn === undefined && (source.columns?.length ?? 0) > 1;
    if (isGuessed && holdsOnlyNumbers(sample, text)) {
      const column = `The column ${JSON.stringify(text)} of ${file.path}`;
      throw new UsageError(`${column} holds only numbers; is it the text? textColumn names another`);
    }
    // One note is enough for many files.
    if (this.rows.size === 0) this.notes.push(...exportNote(file.path, sample, columns));
    this.leftOut?.lookAt(sample);
    if (label === null) return;
    if (this.labels !== null) {
      if (typeof label === 'string') this.requireSameNames(file, source.classNames[label]);
      return;
    }
    const ofColumn =
      typeof label === 'string'
        ? { column: label, classNames: this.options.classNames?.[label] ?? source.classNames[label] }
        : { column: label.join(', '), columns: label, classNames: undefined };
    const values = sample
      .slice(0, SAMPLE_ROWS)
      .filter((record) => record.problem === null && this.leftOut?.reasonFor(record) === null)
      .map((record) => labelOf(record, label));
    this.labels = new LabelColumn({ ...this.options, ...ofColumn }, values);
    if (this.options.problemType === undefined && values.some(isBlank) && this.labels.kind !== 'list')
      this.missingLabels = severalNames(values);
  }

  /** The number of a class is that of a name in its own file. */
  private requireSameNames(file: DataInput, names: readonly string[] | undefined): void {
    const { label = null } = this.columns ?? {};
    const known = this.labels?.classNames ?? null;
    const isGiven = typeof label === 'string' && this.options.classNames?.[label] !== undefined;
    const isByPosition = this.labels?.isPositional === true;
    if (names === undefined || isGiven || isByPosition || JSON.stringify(names) === JSON.stringify(known))
      return;
    throw new UsageError(
      `${file.path}: its column ${JSON.stringify(label)} has numbers of the classes ${listed(names)} (ClassLabel), ` +
        (known === null
          ? 'where the files before it have none; give this file first'
          : `where the numbers of the files before it are those of ${listed(known)}; write the names in place of the numbers`),
    );
  }

  private addRecord(file: DataInput, source: RecordSource, record: RawRecord, columns: ColumnChoice): void {
    if (this.leftOut?.has(record, () => `${file.path} ${source.unit} ${record.number}`) === true) return;
    const read = readExample(record, columns);
    if ('reason' in read) {
      this.addBad(file, source, record, read.column, read.reason);
      return;
    }
    const fault = swappedHeader(record, columns) ?? this.addLabel(record, columns);
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
    return label === null ? null : (this.labels?.add(labelOf(record, label)) ?? null);
  }

  private addBad(
    file: DataInput,
    source: RecordSource,
    record: RawRecord,
    column: string | null,
    reason: string,
  ): void {
    if (this.options.quoting !== 'none' && hasExtraFields(reason)) this.splitBy ??= source.delimiter ?? null;
    this.badRows.add({ file: file.path, [source.unit]: record.number, column, reason }, this.seen());
  }

  private seen(): RowsSeen {
    return { good: this.rows.size, missingLabels: this.missingLabels, splitBy: this.splitBy };
  }
}

/** As they are, unless labels were presumed to be probabilities and the file has classes alone. */
function orClasses(columns: readonly string[], options: SplitOptions): SplitOptions {
  const { softLabels, labelColumn, labelFormat: _format, like: _like, ...classes } = options;
  if (softLabels !== true || options.presumed?.includes('softLabels') !== true) return options;
  return hasClassesAlone(columns, labelColumn) ? classes : options;
}

/** The value of the label column as it is written; the values of several. */
function labelOf(record: RawRecord, columns: LabelColumns): unknown {
  if (typeof columns !== 'string') return columns.map((column) => withoutBytes(record.value(column)));
  return record.written?.(columns) ?? withoutBytes(record.value(columns));
}

/** A second header whose columns stand in another order: the rows below it are not what they seem to be. */
function swappedHeader(record: RawRecord, { text, textPair, label }: ColumnChoice): Fault | null {
  const first = record.value(text);
  if (typeof label !== 'string' || (first !== label && first !== textPair)) return null;
  const chosen = [text, label, ...(textPair === null ? [] : [textPair])];
  const isSwapped = chosen.every((column) => chosen.includes(String(record.value(column))));
  return isSwapped
    ? { column: null, reason: 'it repeats the header with the columns in another order' }
    : null;
}

/** The first batches as one, so that a single row, such as the last line of a small file, decides nothing. */
async function* withLargeFirst(batches: AsyncIterable<RawRecord[]>): AsyncGenerator<RawRecord[]> {
  let first: RawRecord[] | null = [];
  let count = 0;
  for await (const batch of batches) {
    if (first === null) {
      yield batch;
      continue;
    }
    first = first.concat(batch);
    count += 1;
    if (first.length < LEAST_ROWS && count < MOST_BATCHES) continue;
    yield first;
    first = null;
  }
  if (first !== null) yield first;
}
