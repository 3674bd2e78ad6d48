// Where results go is tried out before the work begins: a mistyped folder or a full disk must not cost an hour's run.
import { type FileHandle, lstat, open, rm, stat, statfs, writeFile } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import type { DatasetDict } from '../data/dataset.js';
import { findDataFiles } from '../data/files.js';
import type { Split } from '../data/index.js';
import { byteLength } from '../formats/safetensors-header.js';
import type { ModelConfig } from '../models/config.js';
import { adapterShapes, type Lora } from '../models/lora.js';
import { parameterShapes, matchingNames } from '../models/parameters.js';
import { asFlags, type TrainOptions } from '../options/index.js';
import { formatNumber, Progress } from '../terminal/progress.js';
import { optimizerOf } from '../training/parameter-groups.js';
import { messageOf, RunError, UsageError, systemCode, writeError } from '../util/errors.js';
import { writeFileAtomic } from '../util/files.js';
import { makeFolder, removeEmptyFolders } from '../util/file-system.js';
import { splitsOf } from './data.js';
import { aligned } from './notes.js';

/** The progress of a command: options are shown as flags, but for indented lines, which are rows of somebody's data. */
export class CommandProgress extends Progress {
  readonly #isQuiet: boolean;
  /** Training and validation rows may have the same to note. */
  readonly #noted = new Set<string>();

  /** @param options.quiet notes only: what would otherwise go unnoticed */
  constructor({ quiet = false }: { quiet?: boolean } = {}) {
    super();
    this.#isQuiet = quiet;
  }

  override line(text: string): void {
    const isNote = text.startsWith('note: ');
    if ((this.#isQuiet && !isNote) || this.#noted.has(text)) return;
    if (isNote) this.#noted.add(text);
    super.line(text.startsWith(' ') ? text : asFlags(text));
  }

  override bar(title: string, done: number, total: number, detail: string): void {
    if (!this.#isQuiet) super.bar(title, done, total, detail);
  }

  /** A line that names options as they are written in a file. */
  asWritten(text: string): void {
    if (!this.#isQuiet) super.line(text);
  }
}

const MEGABYTE = 1e6;

/**
 * Makes sure that files can be written to a folder, and leaves no trace of the attempt.
 *
 * @param bytes what the run is going to write there at least
 * @throws UsageError when the folder cannot be made or written to; RunError when its disk is too full
 */
export async function checkOutputFolder(directory: string, bytes = 0): Promise<void> {
  const target = resolve(directory);
  let firstMade: string | undefined;
  try {
    firstMade = await makeFolder(target);
    const probe = join(target, `.bertune.tmp-${process.pid}`);
    try {
      await writeFile(probe, 'x');
    } finally {
      await rm(probe, { force: true });
    }
    await checkSpace(target, directory, bytes);
  } catch (error) {
    const isFull = ['ENOSPC', 'EDQUOT'].includes(systemCode(error) ?? '');
    if (error instanceof RunError || isFull) throw writeError(error, directory);
    throw new UsageError(messageOf(writeError(error, directory)), { cause: error });
  } finally {
    if (firstMade !== undefined) await removeEmptyFolders(target, firstMade);
  }
}

/**
 * Makes sure that a file can be written, and leaves no trace of the attempt.
 *
 * @returns the file's folder; undefined for what is no file: a pipe, a device, a link
 * @throws UsageError when it cannot
 */
export async function checkOutputFile(path: string): Promise<string | undefined> {
  const kind = await kindOf(path);
  if (kind === 'folder') throw new UsageError(`${path} is a folder; name the file to write`);
  if (kind === 'other') return undefined;
  await checkOutputFolder(dirname(path));
  return dirname(path);
}

/**
 * Makes sure that a file to be written is none of those that are read, by whatever name or link.
 *
 * @param option for the message: the flag that names the output
 * @param read paths or globs of the rows
 * @throws UsageError when the output would replace the rows, and for rows that are not there
 */
export async function requireOtherFile(
  option: string,
  output: string | undefined,
  read: readonly string[],
): Promise<void> {
  const own = output === undefined ? null : await stat(output, { bigint: true }).catch(() => null);
  if (own === null || read.length === 0) return;
  for (const { path } of await findDataFiles(read, 'input')) {
    const { dev, ino } = await stat(path, { bigint: true });
    if (dev === own.dev && ino === own.ino)
      throw new UsageError(`${option} ${output} is ${path}, a file with the rows; name another one`);
  }
}

/**
 * Writes content piece by piece: a file whole or not at all, anything else (a pipe, a device, a link) straight through.
 *
 * @throws RunError naming the path when the disk is full or the file cannot be written
 */
export async function writePieces(path: string, pieces: AsyncIterable<string | Uint8Array>): Promise<void> {
  const write = async (file: FileHandle): Promise<void> => {
    for await (const piece of pieces) await file.appendFile(piece);
  };
  if ((await kindOf(path)) === 'file') return writeFileAtomic(path, write);
  try {
    const file = await open(path, 'w');
    try {
      await write(file);
    } finally {
      await file.close();
    }
  } catch (error) {
    throw writeError(error, path);
  }
}

/**
 * Writes to standard output and waits until it is out. A reader that has gone (`| head`) wants no more.
 *
 * @throws RunError when standard output is a file on a full disk
 */
export async function printResult(content: string | Uint8Array): Promise<void> {
  const error = await new Promise((done) => process.stdout.write(content, done));
  if (error instanceof Error && systemCode(error) !== 'EPIPE') throw writeError(error, 'standard output');
}

/**
 * Prints the result of a command: on a terminal the metrics as a short table, to all else, which programs read, and with
 * `--json` the whole as one JSON object.
 *
 * @param result numbers by name; more than numbers is in the JSON alone
 * @param options.hidden ends of the names of metrics that the table leaves out, beside figures of speed
 */
export async function printMetrics(
  result: Readonly<Record<string, unknown>>,
  {
    json = false,
    isTerminal = process.stdout.isTTY,
    hidden = [],
  }: { json?: boolean; isTerminal?: boolean; hidden?: readonly string[] } = {},
): Promise<void> {
  await printTableOr(result, metricsTable(result, hidden), { json, isTerminal });
}

/** Prints a table behind an empty line on a terminal, and to all else, and with `--json`, the result itself as JSON. */
export async function printTableOr(
  result: object,
  table: string,
  { json = false, isTerminal = process.stdout.isTTY }: { json?: boolean; isTerminal?: boolean } = {},
): Promise<void> {
  await printResult(isTerminal && !json ? `\n${table}` : `${JSON.stringify(result, null, 2)}\n`);
}

/** A line for each metric: its name, then four digits. */
export function metricsTable(
  metrics: Readonly<Record<string, unknown>>,
  hidden: readonly string[] = [],
): string {
  const left = [...hidden, 'samples', 'per_second', 'data_wait', 'flos'];
  const shown = Object.entries(metrics).flatMap(([name, value]) =>
    typeof value === 'number' && !left.some((end) => name.endsWith(`_${end}`))
      ? [[name, shownMetric(value)]]
      : [],
  );
  return tableOf(shown);
}

/** A metric that its rows do not define is not available. */
export function shownMetric(value: number): string {
  return Number.isNaN(value) ? 'n/a' : formatNumber(value);
}

/** Rows as text, with the cells below each other. */
export function tableOf(rows: readonly (readonly string[])[]): string {
  return aligned(rows)
    .map((line) => `${line}\n`)
    .join('');
}

/** Writes the rows of a split that were skipped, if there were any, to `bad_rows_<split>.jsonl`, with a line that names the file. */
export async function writeBadRows(directory: string, split: Split, progress?: Progress): Promise<void> {
  if (split.badRows.count === 0) return;
  const path = join(directory, `bad_rows_${split.name}.jsonl`);
  await makeFolder(directory);
  await split.badRows.writeTo(path, asFlags);
  progress?.line(`The bad rows of the ${split.name} data are in ${path}`);
}

/** The same of all splits. */
export async function writeBadRowsOf(
  data: DatasetDict,
  directory: string,
  progress?: Progress,
): Promise<void> {
  for (const split of splitsOf(data)) await writeBadRows(directory, split, progress);
}

/** What is there, or what would be made there. */
async function kindOf(path: string): Promise<'file' | 'folder' | 'other'> {
  const entry = await lstat(path).catch(() => null);
  if (entry === null || entry.isFile()) return 'file';
  return entry.isDirectory() ? 'folder' : 'other';
}

async function checkSpace(target: string, directory: string, bytes: number): Promise<void> {
  const { bavail, blocks, bsize } = await statfs(target);
  const free = bavail * bsize;
  if (blocks === 0 || free >= bytes) return; // some network file systems do not report it
  throw new RunError(
    `The disk of ${directory} has ${Math.floor(free / MEGABYTE)} MB free but this run writes at least ` +
      `${Math.ceil(bytes / MEGABYTE)} MB; free some space or choose another folder`,
  );
}

type WritingOptions = Pick<
  TrainOptions,
  'saveStrategy' | 'saveOnlyModel' | 'optim' | 'momentum' | 'freeze' | 'crossValidation'
>;

/**
 * The bytes of the model in the output folder and, where there are checkpoints, of one of them: the model again, with
 * the optimizer's state of what is trained. Of an adapter only its own tensors are written.
 *
 * @throws UsageError for a pattern of `freeze` that matches nothing
 */
export function writtenBytes(options: WritingOptions, config: ModelConfig, lora?: Lora): number {
  if (options.crossValidation !== undefined) return 0; // no model is saved
  const shapes = lora === undefined ? parameterShapes(config) : adapterShapes(config, lora);
  const names = [...shapes.keys()];
  const all = [...new Set([...parameterShapes(config).keys(), ...names])];
  const frozen = new Set((options.freeze ?? []).flatMap((pattern) => matchingNames(pattern, all, 'freeze')));
  const bytes = (tensors: readonly string[]): number =>
    tensors.reduce((sum, name) => sum + byteLength({ dtype: 'F32', shape: shapes.get(name) ?? [] }), 0);
  const model = bytes(names);
  if (options.saveStrategy === 'no') return model;
  if (options.saveOnlyModel) return 2 * model;
  return 2 * model + copiesInState(options) * bytes(names.filter((name) => !frozen.has(name)));
}

/** How many numbers the optimizer keeps for each weight. */
function copiesInState(options: Pick<TrainOptions, 'optim' | 'momentum'>): number {
  const copies = { adamw: 2, adam: 2, adagrad: 1, sgd: options.momentum === 0 ? 0 : 1 };
  return copies[optimizerOf(options)];
}
