// HF's `report_to`: the log history as JSON Lines or CSV that grows with the run, or as TensorBoard event files.
import { appendFile } from 'node:fs/promises';
import { join } from 'node:path';
import { writeError } from '../util/errors.js';
import { exists, makeFolder } from '../util/file-system.js';
import { writeFileAtomic } from '../util/files.js';
import type { TrainerCallback, TrainerEvent } from './callbacks.js';
import type { LogEntry } from './state.js';
import { hostname } from 'node:os';

/** How entries become text. */
interface LogFormat {
  readonly file: string;
  /** The whole file. */
  all(entries: readonly LogEntry[]): string;
  /** What the newest entry adds to the file; null where the whole file must be written again. */
  next(entries: readonly LogEntry[]): string | null;
}

const jsonl: LogFormat = {
  file: 'log_history.jsonl',
  all: (entries) => entries.map(jsonLine).join(''),
  next: (entries) => entries.slice(-1).map(jsonLine).join(''),
};

/** One column for each name that an entry has had so far; a new name makes a new column. */
const csv: LogFormat = {
  file: 'log_history.csv',
  all(entries) {
    const columns = columnsOf(entries);
    return `${columns.map(quoted).join(',')}\n${entries.map((entry) => csvLine(entry, columns)).join('')}`;
  },
  next(entries) {
    const columns = columnsOf(entries);
    const isKnown = columns.length === columnsOf(entries.slice(0, -1)).length;
    return isKnown
      ? entries
          .slice(-1)
          .map((entry) => csvLine(entry, columns))
          .join('')
      : null;
  },
};

/** Keeps a file equal to the log history; a resumed run starts it again with what the checkpoint knew. */
export class LogFileCallback implements TrainerCallback {
  readonly #path: string;
  readonly #format: LogFormat;
  #isOpen = false;

  constructor(outputDir: string, format: 'jsonl' | 'csv') {
    this.#format = format === 'csv' ? csv : jsonl;
    this.#path = join(outputDir, this.#format.file);
  }

  async onTrainBegin({ state }: TrainerEvent): Promise<void> {
    await writeFileAtomic(this.#path, this.#format.all(state.log_history));
    this.#isOpen = true;
  }

  async onLog({ state }: TrainerEvent): Promise<void> {
    if (!this.#isOpen) return; // an evaluation before any training leaves the file of the last one alone
    const text = this.#format.next(state.log_history);
    // A file that is gone, with its folder perhaps, is written again.
    if (text === null || !(await exists(this.#path)))
      return writeFileAtomic(this.#path, this.#format.all(state.log_history));
    await appendFile(this.#path, text).catch((error: unknown) => {
      throw writeError(error, this.#path);
    });
  }
}

function jsonLine(entry: LogEntry): string {
  return `${JSON.stringify(entry)}\n`;
}

function columnsOf(entries: readonly LogEntry[]): string[] {
  const names = new Set(['step', 'epoch']);
  for (const entry of entries) for (const name of Object.keys(entry)) names.add(name);
  return [...names];
}

function csvLine(entry: LogEntry, columns: readonly string[]): string {
  return `${columns.map((name) => entry[name] ?? '').join(',')}\n`;
}

/** A metric may have the name of a label in its own. */
function quoted(name: string): string {
  return /[",\r\n]/.test(name) ? `"${name.replaceAll('"', '""')}"` : name;
}

/**
 * HF's TensorBoardCallback: event files in `runs/` of the output folder, one a run; a resumed run adds one that replaces
 * what the first has of later steps. They hold records of tensorboard/compat/proto/event.proto, framed as TFRecords
 * (tensorflow.org/tutorials/load_data/tfrecord).
 */
export class TensorBoardCallback implements TrainerCallback {
  readonly #folder: string;
  #path = '';

  constructor(outputDir: string) {
    this.#folder = join(outputDir, 'runs');
  }

  async onTrainBegin({ state }: TrainerEvent): Promise<void> {
    const seconds = now();
    const name = `events.out.tfevents.${Math.floor(seconds)}.${hostname()}.${process.pid}.${performance.now()}`;
    this.#path = join(this.#folder, name);
    const { global_step: step } = state;
    // A run that starts at the first step replaces all that an earlier one drew in this folder.
    await this.#append(restartRecord(seconds, step === 0 ? 0 : step + 1));
  }

  async onLog({ logs }: { logs: LogEntry }): Promise<void> {
    const { step = 0, ...values } = logs;
    const named = Object.entries(values).map(([name, value]) => [shownName(name), value] as const);
    await this.#append(scalarsRecord(now(), step, Object.fromEntries(named)));
  }

  async #append(record: Uint8Array): Promise<void> {
    if (this.#path === '') return; // an evaluation before any training has no file
    const isNew = !(await exists(this.#path)); // or has been deleted since
    if (isNew) await makeFolder(this.#folder);
    await appendFile(this.#path, isNew ? Buffer.concat([versionRecord(now()), record]) : record).catch(
      (error: unknown) => {
        throw writeError(error, this.#path);
      },
    );
  }
}

/** `eval_loss` is shown as eval/loss, everything else under train/: HF's rewrite_logs. */
function shownName(name: string): string {
  return name.startsWith('eval_') ? `eval/${name.slice('eval_'.length)}` : `train/${name}`;
}

function now(): number {
  return Date.now() / 1000;
}

/** A record that marks the file as one of events; the first of every file. */
export function versionRecord(seconds: number): Uint8Array {
  return framed([...wallTime(seconds), ...bytesField(3, Buffer.from('brain.Event:2'))]);
}

/** A record after which TensorBoard forgets what earlier files of the folder have of this step and later ones. */
export function restartRecord(seconds: number, step: number): Uint8Array {
  const started = [...tag(1, VARINT), 1]; // SessionLog.status = START
  return framed([...wallTime(seconds), ...stepField(step), ...bytesField(7, started)]);
}

/** A record of scalars, by the names under which TensorBoard shows them, e.g. `train/loss`. */
export function scalarsRecord(
  seconds: number,
  step: number,
  scalars: Readonly<Record<string, number>>,
): Uint8Array {
  const values = Object.entries(scalars).map(([name, value]) => {
    const number = Buffer.alloc(4);
    number.writeFloatLE(value);
    return bytesField(1, [...bytesField(1, Buffer.from(name)), ...tag(2, FIXED32), ...number]);
  });
  return framed([...wallTime(seconds), ...stepField(step), ...bytesField(5, values.flat())]);
}

// Wire types of protocol buffers.
const VARINT = 0;
const FIXED64 = 1;
const BYTES = 2;
const FIXED32 = 5;

function wallTime(seconds: number): number[] {
  const time = Buffer.alloc(8);
  time.writeDoubleLE(seconds);
  return [...tag(1, FIXED64), ...time];
}

/** Protocol buffers leave a field out that has its default. */
function stepField(step: number): number[] {
  return step === 0 ? [] : [...tag(2, VARINT), ...varint(step)];
}

function bytesField(field: number, bytes: Iterable<number>): number[] {
  const content = [...bytes];
  return [...tag(field, BYTES), ...varint(content.length), ...content];
}

function tag(field: number, type: number): number[] {
  return varint(field * 8 + type);
}

function varint(value: number): number[] {
  const bytes: number[] = [];
  let rest = value;
  for (; rest >= 128; rest = Math.floor(rest / 128)) bytes.push((rest % 128) + 128);
  return [...bytes, rest];
}

/** Length, its checksum, the data, their checksum. */
function framed(data: readonly number[]): Uint8Array {
  const record = Buffer.alloc(data.length + 16);
  record.writeUInt32LE(data.length, 0); // of 8 bytes; no record needs the upper four
  record.writeUInt32LE(maskedCrc(record.subarray(0, 8)), 8);
  record.set(data, 12);
  record.writeUInt32LE(maskedCrc(record.subarray(12, 12 + data.length)), 12 + data.length);
  return record;
}

/** TFRecord's: the CRC-32C rotated, so that a checksum over data that hold checksums is not weak. */
function maskedCrc(bytes: Uint8Array): number {
  const crc = crc32c(bytes);
  return (((crc >>> 15) | (crc << 17)) + 0xa282ead8) >>> 0;
}

/** Castagnoli's CRC, bit by bit: a record has a hundred bytes. */
function crc32c(bytes: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? 0x82f63b78 : 0);
  }
  return ~crc >>> 0;
}
