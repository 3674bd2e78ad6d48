// The pass over the files of a split of labelled tokens: each row is checked and copied once to a temporary file, with its labels;
// memory holds its place and two bytes a word.
import { isUtf8 } from 'node:buffer';
import { UsageError } from '../util/errors.js';
import { type JsonObject } from '../util/json.js';
import { listed } from '../util/text.js';
import { partsOf, OUTSIDE } from '../tasks/label-schemes.js';
import { BadRowLog, LeftOutRows, type RowsSeen } from './bad-rows.js';
import type { ColumnChoice } from './columns.js';
import { readBytes } from './compression.js';
import { columnName, columnNumber, parseConll } from './conll.js';
import { encodingOf, Utf8Stream } from './encoding.js';
import type { DataFile } from './files.js';
import type { DataInput, SplitOptions } from './indexer.js';
import { brokenRecord, NOT_UTF8, type RawRecord } from './records.js';
import { unknownLabel } from './label-values.js';
import { GroupColumn, RowStore, TextHashes } from './row-store.js';
import type { Example, Marks } from './row.js';
import { DEFAULT_READ_SETTINGS, openSource, type ReadSettings, type RecordSource } from './source.js';
import { TokenColumn } from './token-column.js';
import { formOf, LOOKED_AT, objectOf, USUAL, wordCount, wordsAlone, type Form } from './token-form.js';
import { wordLabels } from './token-labels.js';
import { joinWords, SPAN_COLUMNS, spanRow, wordRow, type SpanRow, type WordRow } from './token-rows.js';

/** How the columns of texts with marked parts are called. */
export const SPANS: ColumnChoice = { text: 'text', textPair: null, label: 'entities' };

/** As `SplitOptions`, with the one column that labels of tokens are in. */
export interface TokenOptions extends Omit<SplitOptions, 'labelColumn'> {
  labelColumn?: string;
}

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

class TokenIndexer {
  private readonly rows = new RowStore();
  private readonly column: TokenColumn;
  private readonly hashes = new TextHashes();
  private readonly groups: GroupColumn | null;
  private readonly leftOut = new LeftOutRows([]);
  private readonly notes: string[] = [];
  private choice: ColumnChoice | null = null;

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
      if (file.format === 'conll' || file.format === 'text') await this.addConll(file, settings);
      else if (file.format === 'csv' || file.format === 'tsv')
        throw new UsageError(
          `${file.path}: token classification reads JSON Lines, JSON, Parquet and CoNLL files (.conll, .iob, .bio, .txt); give a table of tokens and labels one of these names`,
        );
      else
        await this.addRows(
          file,
          file.format === 'rows'
            ? await file.open(settings)
            : await openSource(file, () => undefined, settings),
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
    const { rows, choice: columns, column, badRows, hashes, groups, notes } = this;
    return { rows, columns, column, badRows, rejected: this.leftOut.rejected, hashes, groups, notes };
  }

  private async addConll(file: DataFile, settings: ReadSettings): Promise<void> {
    const stream = new Utf8Stream(file.path, await encodingOf(settings.encoding));
    const pieces: Buffer[] = [];
    for await (const piece of stream.decode(readBytes(file, () => undefined, settings))) pieces.push(piece);
    const bytes = Buffer.concat(pieces);
    this.notes.push(...stream.notes);
    const unit = 'line';
    const [token, label] = [columnNumber(this.options.textColumn), columnNumber(this.options.labelColumn)];
    this.choice ??= {
      text: columnName(token ?? 0),
      textPair: null,
      label: columnName(label ?? -1),
    };
    await this.rows.startFile(file.path, { unit, reread: null }, this.choice);
    if (!isUtf8(bytes)) {
      this.bad({ file: file.path, line: 1 }, NOT_UTF8);
      return;
    }
    const { needsLabels } = this.options;
    const columns = {
      ...(token !== undefined && { token }),
      ...(needsLabels ? label !== undefined && { label } : { label: null }),
    };
    for (const { tokens, labels, line, fault } of parseConll(bytes.toString('utf8'), columns)) {
      const reason = fault?.reason ?? this.unknownAmong(labels);
      if (reason === null) this.add(joinWords(tokens, labels), line, null);
      else this.bad({ file: file.path, line: fault?.line ?? line }, reason);
    }
  }

  private async addRows(file: DataInput, source: RecordSource): Promise<void> {
    try {
      this.notes.push(...source.notes);
      const names = source.columns ?? [];
      let form: Form | null = null;
      for await (const batch of source.batches(names)) {
        const good = batch.filter(({ problem }) => problem === null);
        if (form === null && good.length > 0) {
          form = this.formOf(file, good, names);
          this.leftOut.startFile(names, this.choice ?? { text: 'text', textPair: null, label: null });
          this.leftOut.lookAt(good);
          await this.rows.startFile(file.path, { unit: source.unit, reread: null }, this.choice ?? SPANS);
        }
        for (const record of batch) this.addRecord(file, source, record, { form: form ?? 'spans', names });
      }
    } finally {
      await source.close?.();
    }
  }

  private formOf(file: DataInput, good: readonly RawRecord[], names: readonly string[]): Form {
    const { textColumn, labelColumn } = this.options;
    // Those of another form of the same data, such as the training's, are none of this file.
    const [text, label] = [textColumn, labelColumn].map((name) =>
      typeof name === 'string' && names.includes(name) ? name : undefined,
    );
    const missing = [textColumn, labelColumn].find(
      (name) =>
        typeof name === 'string' &&
        !names.includes(name) &&
        !USUAL.has(name) &&
        columnNumber(name) === undefined,
    );
    if (missing !== undefined)
      throw new UsageError(`${file.path} has no column ${JSON.stringify(missing)}; it has ${listed(names)}`);
    const rows = good.slice(0, LOOKED_AT).map((record) => objectOf(record, names));
    const found = this.options.needsLabels ? formOf(rows, { text, label }) : wordsAlone(rows, text);
    if (found === null)
      throw new UsageError(
        `${file.path} has no words with labels and no marked parts; it has the columns ${listed(names)}. ` +
          'Rows have lists such as tokens and ner_tags (textColumn and labelColumn name others), or a text and entities with start, end and label',
      );
    this.choice ??= found === 'spans' ? SPANS : { text: found.words, textPair: null, label: found.labels };
    const { groupColumn } = this.options;
    if (groupColumn !== undefined && !names.includes(groupColumn))
      throw new UsageError(
        `${file.path} has no column ${JSON.stringify(groupColumn)}; it has ${listed(names)}`,
      );
    return found;
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

  private addRecord(
    file: DataInput,
    source: RecordSource,
    record: RawRecord,
    { form, names }: { form: Form; names: readonly string[] },
  ): void {
    const place = { file: file.path, [source.unit]: record.number };
    if (record.problem !== null) {
      this.bad(place, record.problem);
      return;
    }
    const where = `${file.path} ${source.unit} ${record.number}`;
    if (this.leftOut.has(record, () => where)) return;
    const object = record.object === undefined ? objectOf(record, names) : record.object();
    if (object === null && form === 'spans') return; // another annotation of the same task
    try {
      const row = this.rowOf(record, { form, object: object ?? {}, names, source }, where);
      const labels = 'words' in row ? row.labels : wordLabels(row);
      const reason = row.text.trim() === '' ? 'the text is empty' : this.unknownAmong(labels);
      if (reason === null)
        this.add(
          row,
          record.number,
          this.options.groupColumn === undefined ? null : record.value(this.options.groupColumn),
        );
      else this.bad(place, reason);
    } catch (error) {
      if (!(error instanceof UsageError) || !error.message.startsWith(`${where}: `)) throw error;
      this.bad(place, error.message.slice(where.length + 2));
    }
  }

  private rowOf(
    record: RawRecord,
    {
      form,
      object,
      names,
      source,
    }: { form: Form; object: JsonObject; names: readonly string[]; source: RecordSource },
    where: string,
  ): WordRow | SpanRow {
    if (form !== 'spans') {
      const columns = { tokens: form.words, labels: form.labels ?? '' };
      const row = Object.fromEntries(names.map((name) => [name, record.value(name)]));
      const { classNames, knownLabels = null } = this.options;
      const { labels } = columns;
      if (form.labels === null) row[labels] = wordCount(row[form.words]).map(() => OUTSIDE);
      return wordRow(row, columns, classNames?.[labels] ?? source.classNames[labels] ?? knownLabels, where);
    }
    const { textColumn, labelColumn } = this.options;
    const [own, marks] = [object[textColumn ?? ''], object[labelColumn ?? '']];
    const named = {
      ...object,
      ...(typeof own === 'string' && { text: own }),
      ...(Array.isArray(marks) && { entities: marks }),
    };
    const row = spanRow(named, where);
    if (row !== null) return row;
    const { text } = named;
    if (typeof text !== 'string') throw new UsageError(`${where}: no text with marked parts`);
    const column = [labelColumn ?? SPAN_COLUMNS].flat().find((name) => name in object);
    if (column === undefined)
      throw new UsageError(`${where}: no ${SPAN_COLUMNS[0]}; give an empty list for a text without any`);
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
