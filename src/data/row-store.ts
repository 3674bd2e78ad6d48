// Where every row of a split stands, in ten bytes a row, and the way back from a row number to its text.

import { open } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import { RunError, messageOf } from '../util/errors.js';
import { systemCode } from '../util/file-errors.js';
import { GrowingArray } from '../util/growing-array.js';
import { jsonRecord } from './jsonl.js';
import type { RawRecord, Unit } from './records.js';
import { readExample, type TextColumns } from './row.js';
import type { RecordSource } from './source.js';
import { TempFile } from './temp-file.js';
import type { Example } from './types.js';

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

/** The error for a row, named by its place, that no longer is what it was when its file was read first. */
export function changedInUse(place: string): RunError {
  return new RunError(
    `${place} cannot be read again: the file changed while it was in use; give it back its content, or begin anew`,
  );
}

/** A row as it is copied: flat, so that it is read like any other. */
function spooled({ kept = [], ...texts }: Example): Record<string, unknown> {
  return { ...texts, ...Object.fromEntries(kept.map((value, i) => [`kept ${i}`, value])) };
}

function spooledColumns({ textPair, kept }: TextColumns): TextColumns {
  return {
    text: 'text',
    textPair: textPair === null ? null : 'textPair',
    ...(kept !== undefined && { kept: kept.map((_, i) => `kept ${i}`) }),
  };
}

function rereadSpooled(bytes: Buffer): RawRecord {
  return jsonRecord(bytes, 0, 0);
}
