// What is remembered of every row of a split: where it stands, in ten bytes, with the way back to its text; a hash of the
// text, in eight; and its group.
import { type FileHandle, open } from 'node:fs/promises';
import { messageOf, RunError, systemCode } from '../util/errors.js';
import { GrowingArray } from '../util/growing-array.js';
import { TempFile } from '../util/temp-file.js';
import { changedInUse } from './files.js';
import { jsonRecord } from './json-rows.js';
import type { RawRecord, Unit } from './records.js';
import { type Example, readExample, type TextColumns } from './row.js';
import type { RecordSource } from './source.js';

const TWO_32 = 2 ** 32;

/** A run of rows that come from one data file and are read from one open file. */
interface Segment {
  path: string;
  unit: Unit;
  firstRow: number;
  handle: FileHandle;
  reread: (bytes: Buffer) => RawRecord;
  columns: TextColumns;
  /** Length of the longest row: behind a shorter one, up to the next good row, there may be skipped rows. */
  longestRow: number;
  endOffset: number;
}

/** Plain text files are read in place; the rows of all others are copied to one temporary file. */
export class RowStore {
  private readonly segments: Segment[] = [];
  private readonly offsetLow = new GrowingArray(Uint32Array);
  private readonly offsetHigh = new GrowingArray(Uint16Array);
  private readonly numbers = new GrowingArray(Uint32Array);
  private readonly opened: FileHandle[] = [];
  private spool: TempFile | null = null;

  get size(): number {
    return this.numbers.length;
  }

  /** Starts a file; the rows added next are its rows. */
  async startFile(
    path: string,
    { unit, reread }: Pick<RecordSource, 'unit' | 'reread'>,
    columns: TextColumns,
  ): Promise<void> {
    const shared = { path, unit, firstRow: this.size, longestRow: 0, endOffset: 0 };
    if (reread === null) {
      this.spool ??= await TempFile.create();
      const { handle } = this.spool;
      this.segments.push({ ...shared, handle, columns: spooledColumns(columns), reread: rereadSpooled });
      return;
    }
    const handle = await open(path).catch((error: unknown) => {
      throw new RunError(`${path} cannot be opened: ${messageOf(error)}`);
    });
    this.opened.push(handle);
    this.segments.push({ ...shared, handle, columns, reread });
  }

  /** Adds a row of the file started last. */
  add(record: RawRecord, example: Example): void {
    const segment = this.segments.at(-1);
    if (segment === undefined) throw new TypeError('a row was added before a file was started');
    let { start, end } = record;
    if (segment.handle === this.spool?.handle) {
      start = this.spool.size;
      this.spool.append(`${JSON.stringify(spooled(example))}\n`);
      end = this.spool.size;
    }
    this.offsetLow.push(start % TWO_32);
    this.offsetHigh.push(Math.floor(start / TWO_32));
    this.numbers.push(record.number);
    segment.longestRow = Math.max(segment.longestRow, end - start);
    segment.endOffset = end;
  }

  /** To be called after the last row. */
  finish(): void {
    this.spool?.flush();
  }

  async read(row: number): Promise<Example> {
    const segment = this.segmentOf(row);
    const start = this.offset(row);
    const isLast = row + 1 === this.size || this.segmentOf(row + 1) !== segment;
    const end = isLast ? segment.endOffset : this.offset(row + 1);
    const bytes = Buffer.allocUnsafe(Math.min(end - start, segment.longestRow));
    try {
      const { bytesRead } = await segment.handle.read(bytes, 0, bytes.length, start);
      const example = readExample(segment.reread(bytes.subarray(0, bytesRead)), segment.columns);
      if (!('reason' in example)) return example;
    } catch (error) {
      if (systemCode(error) !== undefined)
        throw new RunError(`${this.place(row)} cannot be read again: ${messageOf(error)}`);
    }
    throw changedInUse(this.place(row));
  }

  /** E.g. `train.csv line 7`. */
  place(row: number): string {
    const { path, unit } = this.segmentOf(row);
    return `${path} ${unit} ${this.numbers.at(row)}`;
  }

  async close(): Promise<void> {
    await Promise.all([...this.opened.map((handle) => handle.close()), this.spool?.close()]);
  }

  private segmentOf(row: number): Segment {
    const segment = this.segments.findLast(({ firstRow }) => firstRow <= row);
    if (segment === undefined || row >= this.size) throw new RangeError(`there is no row ${row}`);
    return segment;
  }

  private offset(row: number): number {
    return this.offsetHigh.at(row) * TWO_32 + this.offsetLow.at(row);
  }
}

/** A row as it is copied: flat, so that it is read like any other. */
function spooled({ passthrough = [], ...texts }: Example): Record<string, unknown> {
  return { ...texts, ...Object.fromEntries(passthrough.map((value, i) => [`passthrough ${i}`, value])) };
}

function spooledColumns({ textPair, passthrough }: TextColumns): TextColumns {
  return {
    text: 'text',
    textPair: textPair === null ? null : 'textPair',
    marks: 'marks',
    ...(passthrough !== undefined && { passthrough: passthrough.map((_, i) => `passthrough ${i}`) }),
  };
}

function rereadSpooled(bytes: Buffer): RawRecord {
  return jsonRecord(bytes, 0, 0);
}

/** A hash of each row's text, by which equal rows are found without reading them again. */
export class TextHashes {
  readonly #high = new GrowingArray(Uint32Array);
  readonly #low = new GrowingArray(Uint32Array);

  push(example: Example): void {
    const [high, low] = halves(example);
    this.#high.push(high);
    this.#low.push(low);
  }

  /** A number that is equal for equal texts. For others it is equal once in 2^53 pairs. */
  at(row: number): number {
    return joined(this.#high.at(row), this.#low.at(row));
  }
}

/** What `TextHashes.at` returns for an equal text. */
export function hashOf(example: Example): number {
  return joined(...halves(example));
}

function halves(example: Example): [high: number, low: number] {
  const text = example.textPair === undefined ? example.text : `${example.text}\0${example.textPair}`;
  return [murmur(text, 0x9747b28c), murmur(text, 0x3c6ef372)];
}

/** 53 bits, which a number holds exactly. */
function joined(high: number, low: number): number {
  return (high >>> 11) * 2 ** 32 + low;
}

/** MurmurHash3, 32 bits (Appleby 2011), over UTF-16 units in pairs. */
function murmur(text: string, seed: number): number {
  let hash = seed;
  for (let i = 0; i < text.length; i += 2) {
    const unit = text.charCodeAt(i) | ((i + 1 < text.length ? text.charCodeAt(i + 1) : 0) << 16);
    hash ^= Math.imul(rotated(Math.imul(unit, 0xcc9e2d51), 15), 0x1b873593);
    hash = (Math.imul(rotated(hash, 13), 5) + 0xe6546b64) | 0;
  }
  hash ^= text.length;
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}

function rotated(bits: number, by: number): number {
  return (bits << by) | (bits >>> (32 - by));
}

/** The group column of a split: distinct values once, and their number for every row. */
export class GroupColumn {
  readonly #numberOf = new Map<unknown, number>();
  readonly #numbers = new GrowingArray(Uint32Array);
  #groups = 0;

  push(value: unknown): void {
    const known = this.#numberOf.get(value);
    this.#numbers.push(known ?? this.#groups);
    if (known !== undefined) return;
    // A row without a value belongs to no other.
    if (value !== null && value !== undefined && value !== '') this.#numberOf.set(value, this.#groups);
    this.#groups += 1;
  }

  /** Rows with equal values have equal numbers. */
  at(row: number): number {
    return this.#numbers.at(row);
  }
}
