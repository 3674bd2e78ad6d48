// Logs as TensorBoard event files: HF's TensorBoardCallback, in `runs/` of the output folder. Event files hold records of
// tensorboard/compat/proto/event.proto, framed as TFRecords (tensorflow.org/tutorials/load_data/tfrecord).
import { appendFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';

import { writeError } from '../../util/file-errors.js';
import { makeFolder } from '../../util/make-folder.js';
import { exists } from '../../util/exists.js';
import type { TrainerCallback, TrainerEvent } from '../callbacks.js';
import type { LogEntry } from '../state.js';

/** One event file a run; a resumed run adds one that replaces what the first has of later steps. */
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
