// One data file as a source of records, whatever its format; and text that is in no file.
import { isAscii as bufferIsAscii } from 'node:buffer';
import { createHash } from 'node:crypto';
import { messageOf, UsageError } from '../util/errors.js';
import { DamagedInput, type DataLimits, DEFAULT_LIMITS, readBytes } from './compression.js';
import { type ConllColumns, ConllParser } from './conll.js';
import { type Delimiter, delimiterName, type Quoting } from './csv-dialect.js';
import { CsvParser } from './csv.js';
import { encodingOf, otherEncoding, recognizeEncoding, Utf8Stream } from './encoding.js';
import { type DataFile, findDataFiles } from './files.js';
import { JsonParser } from './json.js';
import {
  brokenRecord,
  columnsOf,
  cutRecords,
  NOT_UTF8,
  type RawRecord,
  type RecordParser,
  type Unit,
} from './records.js';
import { ParagraphsParser, TextLinesParser, type TextUnit } from './text-lines.js';

/**
 * What the files of a training had, which others may not have: they may be UTF-8, and no single object; and of a model that learned
 * probabilities (`softLabels`) rows to evaluate on have classes, in another column.
 */
export type PresumedOption = 'encoding' | 'jsonField' | 'textColumn' | 'labelColumn' | 'softLabels';

/** What decides how a file is read, other than its name. */
export interface ReadSettings extends DataLimits {
  /** Of CSV and TSV. */
  readonly quoting: Quoting;
  /** Of text formats without a byte order mark: as `encodingOf` takes it. Default UTF-8. */
  readonly encoding?: string | undefined;
  /** Of CSV and TSV: the character that makes the one behind it a character like others, e.g. a backslash. Default none. */
  readonly escape?: string | undefined;
  /** The member of a JSON object that holds the rows, where the whole file is one. */
  readonly jsonField?: string | undefined;
  /** Which of these are those of other files, and may not be those of this one: see `PresumedOption`. */
  readonly presumed?: readonly PresumedOption[] | undefined;
  /** Of .txt files: what a text is. Default a line. */
  readonly textUnit?: TextUnit | undefined;
  /** Of CoNLL files, which without it are refused: those of texts have none. */
  readonly conll?: ConllColumns | undefined;
  /** The split that the rows are for, whose name may be a member of such an object. */
  readonly name?: 'train' | 'validation' | 'test' | undefined;
}

export const DEFAULT_READ_SETTINGS: ReadSettings = { ...DEFAULT_LIMITS, quoting: 'minimal' };

/** Bad rows that are held while the first good one is looked for; after more of them the search ends. */
const MOST_BAD_ROWS = 10_000;
/** Characters of text that are parsed at once. */
const CHUNK_LENGTH = 1 << 16;

/** A file that is about to be read once from start to end. */
export interface RecordSource {
  /** Names of the columns; null when the file has not one good row to tell them. */
  readonly columns: readonly string[] | null;
  readonly classNames: Readonly<Record<string, readonly string[]>>;
  /** Remarks on how the file was read, one line each. */
  readonly notes: readonly string[];
  /** What `RawRecord.number` counts. */
  readonly unit: Unit;
  /** What separates the fields of a row; only in CSV and TSV. */
  readonly delimiter?: Delimiter | null;
  /** Decodes one row from its bytes in the file; null when rows must be copied elsewhere to be read singly. */
  readonly reread: ((bytes: Buffer) => RawRecord) | null;
  batches(columns: readonly string[]): AsyncGenerator<RawRecord[]>;
  /** To be called when no more batches are needed. */
  close?(): Promise<void>;
}

/** Opens a file and reads as much of it as it takes to know its columns. */
export async function openSource(
  file: DataFile,
  onRead: (bytes: number) => void,
  settings: ReadSettings,
): Promise<RecordSource> {
  return file.format === 'parquet'
    ? parquetSource(file, onRead, settings)
    : textSource(file, onRead, settings);
}

async function parquetSource(
  file: DataFile,
  onRead: (bytes: number) => void,
  limits: DataLimits,
): Promise<RecordSource> {
  const shared = { notes: [], unit: 'row', reread: null } as const;
  try {
    // Loaded with the first Parquet file, so that start-up does without the decoders.
    const { openParquet } = await import('./parquet.js');
    const parquet = await openParquet(file.path, limits);
    const read = async function* (columns: readonly string[]): AsyncGenerator<RawRecord[]> {
      for await (const batch of parquet.batches(columns)) {
        onRead((file.bytes * batch.length) / parquet.rows);
        yield batch;
      }
    };
    return { ...shared, columns: parquet.columns, classNames: parquet.classNames, batches: read };
  } catch (error) {
    if (error instanceof UsageError) throw error;
    const broken = brokenRecord(0, 0, 1, `not a readable Parquet file (truncated?): ${messageOf(error)}`);
    return { ...shared, columns: null, classNames: {}, batches: () => asBatches([[broken]]) };
  }
}

async function textSource(
  file: DataFile,
  onRead: (bytes: number) => void,
  settings: ReadSettings,
): Promise<RecordSource> {
  const parser = parserOf(file, settings);
  const text = new Utf8Stream(file.path, await encodingFor(file, settings));
  const records = cutRecords(text.decode(readBytes(file, onRead, settings)), parser);
  const rest = withEncodingFaults(records, file, text, settings);
  const head = await firstRows(rest);
  const isDeclared = parser.header !== null && parser.header.length > 0;
  return {
    columns: isDeclared ? parser.header : columnsOf(head),
    classNames: {},
    notes: [...text.notes, ...(parser.notes ?? []), ...delimiterNotes(file, parser)],
    unit: parser.unit,
    delimiter: parser.delimiter ?? null,
    reread: file.compression === 'none' && text.encoding === null ? parser.reread : null,
    async *batches() {
      yield head;
      yield* rest;
    },
  };
}

/** Text of JSON Lines that is in no file, such as that of standard input: UTF-8, read once. */
export class JsonLinesText {
  readonly format = 'rows';
  readonly bytes = 0;
  readonly #hash = createHash('sha256');

  /** @param path for messages: where the text is from */
  constructor(
    readonly path: string,
    private readonly pieces: AsyncIterable<string>,
  ) {}

  /** Reads as much as it takes to know the columns. */
  async open({ maxRowBytes, jsonField: field, name: split = 'train' }: ReadSettings): Promise<RecordSource> {
    const parser = new JsonParser({ path: this.path, maxRowBytes, field, split, isLines: true });
    const records = cutRecords(this.#chunks(), parser);
    const head = await firstRows(records);
    return {
      columns: columnsOf(head),
      classNames: {},
      notes: parser.notes ?? [],
      unit: parser.unit,
      reread: null,
      async *batches() {
        yield head;
        yield* records;
      },
    };
  }

  /** SHA-256 over the text. */
  digest(): string {
    return `sha256:${this.#hash.copy().digest('hex')}`;
  }

  /** Large pieces, since each is searched for rows. */
  async *#chunks(): AsyncGenerator<Buffer> {
    let chunk = '';
    for await (const piece of this.pieces) {
      chunk += piece;
      if (chunk.length < CHUNK_LENGTH) continue;
      yield this.#bytesOf(chunk);
      chunk = '';
    }
    if (chunk !== '') yield this.#bytesOf(chunk);
  }

  #bytesOf(text: string): Buffer {
    const bytes = Buffer.from(text, 'utf8');
    this.#hash.update(bytes);
    return bytes;
  }
}

async function encodingFor(file: DataFile, settings: ReadSettings): Promise<string | null> {
  const encoding = await encodingOf(settings.encoding);
  if (encoding === null || settings.presumed?.includes('encoding') !== true) return encoding;
  return (await isSurelyUtf8(file, settings)) ? null : encoding;
}

/** Text in another encoding is hardly ever UTF-8 by chance, where it is not all ASCII. */
async function isSurelyUtf8(file: DataFile, limits: DataLimits): Promise<boolean> {
  const decoder = new TextDecoder('utf-8', { fatal: true });
  let isAscii = true;
  try {
    for await (const chunk of readBytes(file, () => undefined, limits)) {
      isAscii &&= bufferIsAscii(chunk);
      decoder.decode(chunk, { stream: true });
    }
    decoder.decode();
    return !isAscii;
  } catch (error) {
    if (error instanceof TypeError) return false;
    throw error;
  }
}

/** Rows whose bytes are no text say what the file is likely to be, which is found out for the first of them. */
async function* withEncodingFaults(
  batches: AsyncGenerator<RawRecord[]>,
  file: DataFile,
  text: Utf8Stream,
  limits: DataLimits,
): AsyncGenerator<RawRecord[]> {
  let fault: string | null = null;
  for await (const batch of batches) {
    if (!batch.some(({ problem }) => problem === NOT_UTF8)) {
      yield batch;
      continue;
    }
    fault ??= await encodingFault(file, text.encoding, limits);
    const problem = fault;
    yield batch.map((record) =>
      record.problem === NOT_UTF8 ? brokenRecord(record.start, record.end, record.number, problem) : record,
    );
  }
}

async function encodingFault(file: DataFile, encoding: string | null, limits: DataLimits): Promise<string> {
  if (encoding !== null) return `not valid ${encoding}`;
  // Bytes that cannot be unpacked are reported where the rows are read.
  const recognized = await recognizeEncoding(readBytes(file, () => undefined, limits)).catch(nullIfDamaged);
  return recognized === null ? NOT_UTF8 : otherEncoding(recognized);
}

function nullIfDamaged(error: unknown): null {
  if (error instanceof DamagedInput) return null;
  throw error;
}

function parserOf(
  { path, format }: DataFile,
  {
    maxRowBytes,
    quoting,
    escape,
    jsonField: field,
    textUnit,
    presumed,
    conll,
    name: split = 'train',
  }: ReadSettings,
): RecordParser {
  if (conll !== undefined && (format === 'conll' || format === 'text'))
    return new ConllParser(conll, maxRowBytes);
  if (format === 'jsonl' || format === 'json')
    return new JsonParser({
      path,
      maxRowBytes,
      field,
      isPresumed: presumed?.includes('jsonField') === true,
      split,
      isLines: format === 'jsonl',
    });
  if (format === 'text' && textUnit === 'paragraph') return new ParagraphsParser(maxRowBytes);
  if (format === 'text') return new TextLinesParser(path, maxRowBytes);
  if (format === 'conll')
    throw new UsageError(
      `${path} is a CoNLL file, which is for token classification; give task token-classification`,
    );
  return new CsvParser({ delimiter: usualDelimiter(format), quoting, escape: escape ?? null }, maxRowBytes);
}

function usualDelimiter(format: DataFile['format']): Delimiter {
  return format === 'tsv' ? '\t' : ',';
}

function delimiterNotes({ path, format }: DataFile, { delimiter }: RecordParser): string[] {
  const usual = usualDelimiter(format);
  if (delimiter === undefined || delimiter === null || delimiter === usual) return [];
  return [
    `${path} is read with ${delimiterName(delimiter)} between its fields, not ${delimiterName(usual)}: its first lines have them`,
  ];
}

/** The first batch with a good row, and the broken rows before it. */
async function firstRows(batches: AsyncGenerator<RawRecord[]>): Promise<RawRecord[]> {
  const rows: RawRecord[] = [];
  for (let next = await batches.next(); next.done !== true; next = await batches.next()) {
    for (const record of next.value) rows.push(record);
    if (rows.length > MOST_BAD_ROWS || next.value.some((record) => record.problem === null)) break;
  }
  return rows;
}

async function* asBatches(batches: RawRecord[][]): AsyncGenerator<RawRecord[]> {
  yield* batches;
}

/**
 * Reads files once from start to end with all their columns, good rows and broken ones: for `inspect`, before it is known
 * which columns hold the text and the label.
 *
 * @throws UsageError for files that are not there or are no data
 */
export async function* readAllColumns(
  patterns: readonly string[],
  name: 'train' | 'validation' | 'test',
  settings: ReadSettings,
): AsyncGenerator<RawRecord[]> {
  for (const file of await findDataFiles(patterns, name)) {
    const source = await openSource(file, () => undefined, { ...settings, name });
    yield* source.batches(source.columns ?? []);
  }
}

/**
 * The records of a file that goes with the data, with where each stands, e.g. `predictions.csv line 7`.
 *
 * @throws UsageError for a file that is not there or is no data, and for a row that cannot be read
 */
export async function* readPlaced(
  path: string,
  settings: ReadSettings = DEFAULT_READ_SETTINGS,
): AsyncGenerator<{ record: RawRecord; place: string }> {
  for (const file of await findDataFiles([path], 'input')) {
    const source = await openSource(file, () => undefined, settings);
    try {
      for await (const batch of source.batches(source.columns ?? []))
        for (const record of batch) {
          const place = `${file.path} ${source.unit} ${record.number}`;
          if (record.problem !== null) throw new UsageError(`${place}: ${record.problem}`);
          yield { record, place };
        }
    } finally {
      await source.close?.();
    }
  }
}
