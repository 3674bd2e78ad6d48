// A split of a data set of labelled tokens: words with labels, texts with marked parts, or CoNLL files. Each row is copied once to
// a temporary file, with its labels; memory holds its place and two bytes a word.
import { isUtf8 } from 'node:buffer';
import { UsageError } from '../util/errors.js';
import { isObject, type JsonObject } from '../util/json.js';
import { listed } from '../util/text.js';
import { entitiesOf, partsOf, OUTSIDE, withPrefixes } from '../tasks/label-schemes.js';
import { BadRowLog, LeftOutRows, type RowsSeen } from './bad-rows.js';
import type { ColumnChoice } from './columns.js';
import { readBytes } from './compression.js';
import { parseConll } from './conll.js';
import { encodingOf, Utf8Stream } from './encoding.js';
import { findDataFiles, type DataFile } from './files.js';
import type { DataInput, SplitOptions } from './indexer.js';
import { OwnRows } from './own-rows.js';
import { brokenRecord, NOT_UTF8, type RawRecord } from './records.js';
import { unknownLabel } from './label-values.js';
import { GroupColumn, RowStore, TextHashes } from './row-store.js';
import type { Example, Marks } from './row.js';
import {
  DEFAULT_READ_SETTINGS,
  JsonLinesText,
  openSource,
  type ReadSettings,
  type RecordSource,
} from './source.js';
import { digestOfInputs, readIndexed, type Split } from './split.js';
import { readingNotes, TokenColumn } from './token-column.js';
import { joinWords, SPAN_COLUMNS, spanRow, wordRow, type SpanRow, type WordRow } from './token-rows.js';
import { alignSpans } from './token-labels.js';

/** Usual names of the column of words and of that of their labels, the likeliest first. */
const TOKEN_NAMES = ['tokens', 'words', 'token', 'word'];
const TAG_NAMES = ['ner_tags', 'ner', 'tags', 'labels', 'ner_labels', 'label', 'iob', 'bio'];

/** Rows that are looked at to find out how a file is written. */
const LOOKED_AT = 100;

const SPANS: ColumnChoice = { text: 'text', textPair: null, label: 'entities' };
/** Names that the training of a model may have saved for files of another form. */
const USUAL = new Set([...TOKEN_NAMES, ...TAG_NAMES, 'text', 'entities']);

/** What the rows of a file are; words without labels where none are read. */
type Form = { words: string; labels: string | null } | 'spans';

/** Options that mean nothing for tokens. */
const FOREIGN = [
  'textPairColumn',
  'labelDelimiter',
  'labelFormat',
  'foldLabels',
  'naLabels',
  'softLabels',
  'problemType',
] as const satisfies readonly (keyof SplitOptions)[];

/**
 * Opens the files of a split.
 *
 * @throws UsageError as `openSplit`, and for files without labelled words or marked parts
 */
export async function openTokenSplit(asked: SplitOptions): Promise<Split> {
  const [labelColumn, another] = [asked.labelColumn ?? []].flat();
  if (another !== undefined)
    throw new UsageError('labelColumn names several columns; the labels of tokens are in one');
  const options = { ...asked, ...(labelColumn !== undefined && { labelColumn }) };
  const foreign = FOREIGN.find((name) => options[name] !== undefined && options[name] !== false);
  if ((options.passthroughColumns ?? []).length > 0)
    throw new UsageError('idColumn does not go with texts that are split into words; leave it out');
  if (foreign !== undefined)
    throw new UsageError(`${foreign} does not go with token classification; leave it out`);
  const indexer = new TokenIndexer(options, await BadRowLog.create(options.name, options.badRows ?? 'stop'));
  try {
    return await indexer.run();
  } catch (error) {
    await indexer.close();
    throw error;
  }
}

/** Whether rows are of tokens by what they hold: lists of words and labels, or marked parts beside no label of the whole text. */
export async function holdsTokens(
  given: Pick<SplitOptions, 'files' | 'rows' | 'name'> & Partial<ReadSettings>,
): Promise<boolean> {
  if (given.rows !== undefined)
    return (
      Array.isArray(given.rows) &&
      given.rows.slice(0, LOOKED_AT).some((row) => isObject(row) && isOfTokens(row))
    );
  const [file] = await findDataFiles(given.files, given.name);
  if (file === undefined || file.format === 'conll') return file !== undefined;
  if (!['json', 'jsonl', 'parquet'].includes(file.format)) return false;
  return (await firstRows(file, given)).some(isOfTokens);
}

function isOfTokens(row: JsonObject): boolean {
  const form = formOf([row], {});
  if (form === null) return false;
  if (form !== 'spans') return true;
  if (spansIn(row) === 'wrong') return false; // a list may be something else, such as labels that are no JSON
  const isLabelled = ['label', 'labels', 'intent', 'category', 'class'].some(
    (name) => typeof row[name] === 'string' || typeof row[name] === 'number',
  );
  return !isLabelled;
}

/** Whether files are of texts that are split into words. */
export async function holdsWords(
  given: Pick<SplitOptions, 'files' | 'name' | 'textColumn'> & Partial<ReadSettings>,
): Promise<boolean> {
  const [file] = await findDataFiles(given.files, given.name);
  if (file === undefined || file.format === 'conll') return file !== undefined;
  if (!['json', 'jsonl', 'parquet'].includes(file.format)) return false;
  const [first] = await firstRows(file, given);
  return first !== undefined && wordsIn(first, given.textColumn) !== undefined;
}

/** The first rows of a file, without the bad ones. */
async function firstRows(file: DataFile, given: Partial<ReadSettings>): Promise<JsonObject[]> {
  const source = await openSource(file, () => undefined, { ...DEFAULT_READ_SETTINGS, ...given });
  try {
    const columns = source.columns ?? [];
    for await (const batch of source.batches(columns)) {
      const good = batch.slice(0, LOOKED_AT).filter(({ problem }) => problem === null);
      return good.map((record) => objectOf(record, columns));
    }
    return [];
  } finally {
    await source.close?.();
  }
}

/** How a row is written; null where it has no labels of tokens. */
function formOf(
  rows: readonly JsonObject[],
  named: { text?: string | undefined; label?: string | undefined },
): Form | null {
  for (const row of rows) {
    const words = wordsIn(row, named.text);
    const given = words === undefined ? [] : row[words];
    const length = Array.isArray(given) ? given.length : 0;
    const names = named.label === undefined ? TAG_NAMES : [named.label];
    const labels = names.find((name) => {
      const value = row[name];
      return Array.isArray(value) && (value.length === length || names.length === 1) && value.every(isTag);
    });
    if (words !== undefined && labels !== undefined) return { words, labels };
  }
  const isMarked = rows.some((row) => {
    const spans = spansIn(row);
    return spans === 'wrong' || (spans !== null && spans.length > 0);
  });
  return isMarked ? 'spans' : null;
}

function wordsAlone(rows: readonly JsonObject[], named: string | undefined): Form | null {
  const words = rows.map((row) => wordsIn(row, named)).find((name) => name !== undefined);
  return words === undefined ? null : { words, labels: null };
}

function wordCount(words: unknown): unknown[] {
  return Array.isArray(words) ? words : [];
}

function wordsIn(row: JsonObject, named: string | undefined): string | undefined {
  return (named === undefined ? TOKEN_NAMES : [named]).find((name) => {
    const value = row[name];
    return Array.isArray(value) && value.length > 0 && value.every((word) => typeof word === 'string');
  });
}

function isTag(value: unknown): boolean {
  return typeof value === 'string' || typeof value === 'number' || typeof value === 'bigint';
}

/** The marked parts of a row; null for one that has none. */
function spansIn(row: JsonObject): SpanRow['spans'] | 'wrong' | null {
  try {
    return spanRow(row, '')?.spans ?? null;
  } catch (error) {
    if (error instanceof UsageError) return 'wrong';
    throw error;
  }
}

function objectOf(record: RawRecord, columns: readonly string[]): JsonObject {
  return record.object?.() ?? Object.fromEntries(columns.map((column) => [column, record.value(column)]));
}

class TokenIndexer {
  private readonly rows = new RowStore();
  private readonly column: TokenColumn;
  private readonly hashes = new TextHashes();
  private readonly groups: GroupColumn | null;
  private readonly leftOut = new LeftOutRows([]);
  private readonly notes: string[] = [];
  private choice: ColumnChoice | null = null;
  private inputs: readonly DataInput[] = [];

  constructor(
    private readonly options: SplitOptions,
    private readonly badRows: BadRowLog,
  ) {
    this.column = new TokenColumn([options.labelColumn ?? 'labels'].flat().join());
    this.groups = options.groupColumn === undefined ? null : new GroupColumn();
  }

  async close(): Promise<void> {
    await Promise.all([this.rows.close(), this.badRows.close()]);
  }

  async run(): Promise<Split> {
    const { options } = this;
    const { rows, files, name } = options;
    this.inputs =
      rows === undefined
        ? await findDataFiles(files, name)
        : [rows instanceof JsonLinesText ? rows : new OwnRows(name, rows)];
    const settings = { ...DEFAULT_READ_SETTINGS, ...options };
    for (const file of this.inputs) {
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
        `${this.inputs.map(({ path }) => path).join(', ')}: no rows; give a file that holds rows`,
      );
    }
    return new TokenSplit(options, this.inputs, {
      rows: this.rows,
      columns: this.choice,
      column: this.column,
      badRows: this.badRows,
      rejected: this.leftOut.rejected,
      hashes: this.hashes,
      groups: this.groups,
      notes: this.notes,
      encoding: await encodingOf(options.encoding),
    });
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
    const [own, marks] = [object[textColumn ?? ''], object[String(labelColumn)]];
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

/** The number of a column in a CoNLL file, from 0, or from the end below 0; undefined for a name. */
function columnNumber(named: string | readonly string[] | undefined): number | undefined {
  if (typeof named !== 'string' || !/^-?[1-9]\d*$/.test(named)) return undefined;
  const number = Number(named);
  return number > 0 ? number - 1 : number;
}

/** As `columnNumber` reads it. */
function columnName(column: number): string {
  return String(column < 0 ? column : column + 1);
}

function typeOf(label: string): string {
  return /^[BIESLU]-./.test(label) ? partsOf(label)[1] : label;
}

/** What stands between white space, with punctuation apart. */
const WORD = /[\p{L}\p{N}\p{M}]+|[^\s\p{L}\p{N}\p{M}]/gu;

/** The labels of the words of a text with marked parts: for counting them, since tokens are not known here. */
function wordLabels(row: SpanRow): string[] {
  const words = Array.from(row.text.matchAll(WORD), ({ index, 0: word }) => [index, index + word.length]);
  return alignSpans(row, words.flat()).labels.map((label) => label ?? OUTSIDE);
}

interface OpenedRows {
  rows: RowStore;
  columns: ColumnChoice;
  column: TokenColumn;
  badRows: BadRowLog;
  rejected: number;
  hashes: TextHashes;
  groups: GroupColumn | null;
  notes: readonly string[];
  encoding: string | null;
}

class TokenSplit implements Split {
  readonly name;
  readonly size;
  readonly columns;
  readonly passthrough = [];
  readonly labels = null;
  readonly labelKind = 'list';
  readonly labelValues = [];
  readonly tokens;
  readonly hasSpans;
  readonly badRows;
  readonly rejected;
  readonly hashes;
  readonly groups;
  readonly quoting = null;
  readonly encoding;
  readonly jsonField;
  readonly escape = undefined;
  readonly textUnit = undefined;
  readonly naLabels = undefined;
  readonly maxRowBytes;
  private readonly rows;
  private readonly ownNotes;
  private digested: Promise<string> | undefined;

  constructor(
    { name, maxSamples = Infinity, jsonField, maxRowBytes }: SplitOptions,
    private readonly files: readonly DataInput[],
    { rows, columns, column, badRows, rejected, hashes, groups, notes, encoding }: OpenedRows,
  ) {
    this.name = name;
    this.size = Math.min(rows.size, maxSamples);
    this.columns = columns;
    this.tokens = column;
    this.hasSpans = columns.label === SPANS.label;
    this.badRows = badRows;
    this.rejected = rejected;
    this.ownNotes = notes;
    this.hashes = hashes;
    this.groups = groups;
    this.encoding = files.some(({ format }) => format !== 'parquet' && format !== 'rows') ? encoding : null;
    this.jsonField = jsonField;
    this.maxRowBytes = maxRowBytes;
    this.rows = rows;
  }

  /** How labels are read is known once the labels of all splits are. */
  get notes(): readonly string[] {
    const illegal = this.tokens.illegal();
    return [
      ...this.ownNotes,
      ...readingNotes(this.tokens.reading, illegal.count, () => this.place(illegal.row)),
    ];
  }

  async preview(n: number): Promise<(Example & { label: string | null })[]> {
    const rows = Array.from({ length: Math.min(n, this.size) }, (_, row) => row);
    const examples = await this.read(rows);
    return examples.map((example) => Object.assign({}, example, { label: shownEntities(example) }));
  }

  async read(indices: ArrayLike<number>): Promise<Example[]> {
    return Promise.all(Array.from(indices, (row) => this.readRow(row)));
  }

  place(row: number): string {
    return this.rows.place(row);
  }

  digest(): Promise<string> {
    this.digested ??= digestOfInputs(this.files);
    return this.digested;
  }

  async close(): Promise<void> {
    await Promise.all([this.rows.close(), this.badRows.close()]);
  }

  private async readRow(row: number): Promise<Example> {
    const example = await readIndexed(row, { size: this.size, rows: this.rows, hashes: this.hashes });
    const { marks } = example;
    if (marks === undefined || 'spans' in marks) return example;
    return { ...example, marks: { ...marks, labels: this.tokens.read(marks.labels) } };
  }
}

/** The entities of a row, for people to look at. */
export function shownEntities({ text, marks }: Example): string {
  const found =
    marks === undefined
      ? []
      : 'spans' in marks
        ? marks.spans.map(({ start, end, label }) => [text.slice(start, end), label])
        : entitiesOf(withPrefixes(marks.labels)).map(({ type, start, end }) => [
            text.slice(marks.words[start]?.start ?? 0, marks.words[end - 1]?.end ?? 0),
            type,
          ]);
  return found.length === 0 ? 'no entity' : found.map(([part, label]) => `${part} (${label})`).join(', ');
}
