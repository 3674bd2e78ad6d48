// The pass over the files of a split of labelled tokens: each row is checked and copied once to a temporary file, with its labels;
// memory holds its place and two bytes a word.
import { UsageError } from '../util/errors.js';
import type { JsonObject } from '../util/json.js';
import { partsOf, OUTSIDE } from '../tasks/label-schemes.js';
import { BadRowLog, LeftOutRows, type RowsSeen } from './bad-rows.js';
import type { ColumnChoice } from './columns.js';
import type { DataInput } from './indexer.js';
import { brokenRecord, type RawRecord } from './records.js';
import { unknownLabel } from './label-values.js';
import { GroupColumn, RowStore, TextHashes } from './row-store.js';
import type { Example, Marks } from './row.js';
import { DEFAULT_READ_SETTINGS, openSource, type RecordSource } from './source.js';
import { SPAN_COLUMNS, spanRow, type SpanRow } from './span-rows.js';
import { TokenColumn } from './token-column.js';
import {
  conllColumns,
  fileForm,
  isConll,
  listIn,
  objectOf,
  withUsualNames,
  type FileForm,
  type Form,
  type TokenOptions,
} from './token-form.js';
import { wordLabels } from './token-labels.js';
import { described, wordRow, type WordRow } from './token-rows.js';

/** What the pass leaves behind; `rows` and `badRows` hold open files. */
export interface IndexedTokens {
  rows: RowStore;
  columns: ColumnChoice;
  /** The labels of the words. */
  column: TokenColumn;
  badRows: BadRowLog;
  /** Rows that were left out since somebody rejected their label. */
  rejected: number;
  hashes: TextHashes;
  groups: GroupColumn | null;
  /** Whether parts of texts are marked, and not their words labelled. */
  hasSpans: boolean;
  /** Remarks on how the files were read, one line each. */
  notes: readonly string[];
}

/** Reads all files once; on an error nothing stays open. */
export async function indexTokens(
  inputs: readonly DataInput[],
  options: TokenOptions,
): Promise<IndexedTokens> {
  const indexer = new TokenIndexer(options, await BadRowLog.create(options.name, options.badRows ?? 'stop'));
  try {
    return await indexer.run(inputs);
  } catch (error) {
    await indexer.close();
    throw error;
  }
}

/** A file, while its rows come. */
interface RowsOfFile extends Pick<FileForm, 'form' | 'named' | 'unit'> {
  path: string;
  source: RecordSource;
  names: readonly string[];
}

/** Of a file that had no good row yet. */
const UNKNOWN = { form: 'spans', named: {}, unit: null } as const;

class TokenIndexer {
  private readonly rows = new RowStore();
  private readonly column: TokenColumn;
  private readonly hashes = new TextHashes();
  private readonly groups: GroupColumn | null;
  private readonly leftOut = new LeftOutRows([]);
  private readonly notes: string[] = [];
  private choice: ColumnChoice | null = null;
  private hasSpans = false;

  constructor(
    private readonly options: TokenOptions,
    private readonly badRows: BadRowLog,
  ) {
    this.column = new TokenColumn(options.labelColumn ?? 'labels');
    this.groups = options.groupColumn === undefined ? null : new GroupColumn();
  }

  async close(): Promise<void> {
    await Promise.all([this.rows.close(), this.badRows.close()]);
  }

  async run(inputs: readonly DataInput[]): Promise<IndexedTokens> {
    const settings = { ...DEFAULT_READ_SETTINGS, ...this.options };
    for (const file of inputs) {
      if (file.format === 'csv' || file.format === 'tsv')
        throw new UsageError(
          `${file.path}: of tokens there are no ${file.format.toUpperCase()} files. A token and its label a line, with a blank line after each sentence, is a CoNLL file: rename it to .conll; lists of words and labels, and marked parts, are read from JSON Lines, JSON and Parquet`,
        );
      await this.addRows(
        file,
        file.format === 'rows'
          ? await file.open(settings)
          : await openSource(
              file,
              () => undefined,
              isConll(file) ? { ...settings, conll: conllColumns(file.path, this.options) } : settings,
            ),
      );
    }
    this.rows.finish();
    this.badRows.finish(this.seen());
    this.notes.push(...this.leftOut.notes());
    if (this.choice === null || this.rows.size === 0) {
      if (this.badRows.count > 0) throw this.badRows.error('only ', this.seen());
      throw new UsageError(
        `${inputs.map(({ path }) => path).join(', ')}: no rows; give a file that holds rows`,
      );
    }
    const { rows, choice: columns, column, badRows, hashes, groups, hasSpans, notes } = this;
    const { rejected } = this.leftOut;
    return { rows, columns, column, badRows, rejected, hashes, groups, hasSpans, notes };
  }

  private async addRows(file: DataInput, source: RecordSource): Promise<void> {
    try {
      this.notes.push(...source.notes);
      const names = source.columns ?? [];
      let rows: RowsOfFile | null = null;
      for await (const batch of source.batches(names)) {
        const good = batch.filter(({ problem }) => problem === null);
        if (rows === null && good.length > 0) {
          const { columns, notes, ...form } = fileForm(file, good, names, this.options);
          this.notes.push(...notes);
          this.choice ??= columns;
          this.hasSpans ||= form.form === 'spans';
          rows = { path: file.path, source, names, ...form };
          this.leftOut.startFile(names, columns);
          this.leftOut.lookAt(good);
          await this.rows.startFile(file.path, { unit: source.unit, reread: null }, columns);
        }
        for (const record of batch)
          this.addRecord(rows ?? { path: file.path, source, names, ...UNKNOWN }, record);
      }
    } finally {
      await source.close?.();
    }
  }

  /** Why labels cannot be used where their names are given; in whichever scheme they are written. */
  private unknownAmong(labels: readonly string[]): string | null {
    const known = this.options.knownLabels;
    if (known === undefined) return null;
    this.knownTypes ??= new Set(known.map(typeOf));
    const unknown = labels.find((label) => label !== OUTSIDE && this.knownTypes?.has(typeOf(label)) !== true);
    return unknown === undefined ? null : unknownLabel(unknown, known);
  }

  private knownTypes: Set<string> | undefined;

  private addRecord(rows: RowsOfFile, record: RawRecord): void {
    const { path, source, names, form } = rows;
    const place = { file: path, [source.unit]: record.number };
    if (record.problem !== null) {
      this.bad(place, record.problem);
      return;
    }
    const where = `${path} ${source.unit} ${record.number}`;
    if (this.leftOut.has(record, () => where)) return;
    const object = record.object === undefined ? objectOf(record, names) : record.object();
    if (object === null && form === 'spans') return; // another annotation of the same task
    const { groupColumn } = this.options;
    try {
      const row =
        form === 'spans' ? this.spanRow(rows, object ?? {}, where) : this.wordRow(rows, form, record, where);
      const labels = 'words' in row ? row.labels : wordLabels(row);
      const reason = row.text.trim() === '' ? 'the text is empty' : this.unknownAmong(labels);
      if (reason === null)
        this.add(row, record.number, groupColumn === undefined ? null : record.value(groupColumn));
      else this.bad(place, reason);
    } catch (error) {
      if (!(error instanceof UsageError) || !error.message.startsWith(`${where}: `)) throw error;
      this.bad(place, error.message.slice(where.length + 2));
    }
  }

  private wordRow(
    { source, names }: RowsOfFile,
    form: Exclude<Form, 'spans'>,
    record: RawRecord,
    where: string,
  ): WordRow {
    const { words: tokens, labels } = { ...form, labels: form.labels ?? '' };
    const row: Record<string, unknown> = Object.fromEntries(names.map((name) => [name, record.value(name)]));
    if (form.labels === null) row[labels] = listIn(row, tokens).map(() => OUTSIDE);
    const { classNames, knownLabels = null } = this.options;
    const labelNames = classNames?.[labels] ?? source.classNames[labels] ?? knownLabels;
    return wordRow(row, { tokens, labels }, labelNames, where);
  }

  private spanRow({ named, unit }: RowsOfFile, object: JsonObject, where: string): SpanRow {
    const own = withUsualNames(object, named);
    const row = spanRow(own, where, this.options.entityOffsets, unit ?? undefined);
    if (row !== null) return row;
    const { text } = own;
    if (typeof text !== 'string')
      throw new UsageError(`${where}: no text with marked parts in ${named.text ?? 'text'}`);
    const { label } = named;
    if (label !== undefined && (object[label] ?? null) !== null)
      throw new UsageError(
        `${where}: ${label} is ${described(object[label])}, expected a list of marked parts`,
      );
    if (label !== undefined || SPAN_COLUMNS.every((name) => !(name in object)))
      throw new UsageError(
        `${where}: no ${label ?? SPAN_COLUMNS[0]}; give an empty list for a text without any`,
      );
    return { text, spans: [] };
  }

  private add(row: WordRow | SpanRow, number: number, group: unknown): void {
    const { text, ...marks } = row;
    const example: Example & { marks: Marks } = { text, marks };
    this.rows.add(brokenRecord(0, 0, number, ''), example);
    this.column.add('words' in row ? row.labels : wordLabels(row));
    this.hashes.push(example);
    this.groups?.push(group);
  }

  private bad(place: { file: string; line?: number; row?: number }, reason: string): void {
    this.badRows.add({ ...place, column: null, reason }, this.seen());
  }

  private seen(): RowsSeen {
    return { good: this.rows.size, missingLabels: [], splitBy: null };
  }
}

function typeOf(label: string): string {
  return /^[BIESLU]-./.test(label) ? partsOf(label)[1] : label;
}
