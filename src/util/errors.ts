// The kinds of failure a person can meet, the one sentence shape for a wrong value, and what the operating system's error
// codes mean. The command line turns UsageError into exit code 2 and everything else into exit code 1.
import { constants } from 'node:os';
import { printable } from './text.js';

/** A failure to report to the user; its message is safe to print. */
class ReportedError extends Error {
  constructor(message: string, options?: ErrorOptions) {
    super(printable(message), options);
  }
}

/**
 * The caller's mistake: an option, a data file or a model file that cannot be used as given.
 *
 * @example
 * ```ts
 * import { loadDataset, UsageError } from 'bertune';
 *
 * try {
 *   await loadDataset({ train: 'missing.csv' });
 * } catch (error) {
 *   if (error instanceof UsageError) console.error(error.message); // what, where, what to do
 * }
 * ```
 */
export class UsageError extends ReportedError {
  override name = 'UsageError';
}

/**
 * A failure of a correct run: disk, network, memory, or the native step.
 *
 * @example
 * ```ts
 * import { loadDataset, RunError } from 'bertune';
 *
 * try {
 *   await loadDataset('stanfordnlp/imdb');
 * } catch (error) {
 *   if (error instanceof RunError) console.error(`try again later: ${error.message}`);
 * }
 * ```
 */
export class RunError extends ReportedError {
  override name = 'RunError';
}

/**
 * A run that failed by its own settings, so that others may do: a loss that is not finite, batches too large for the
 * memory. Code that only distinguishes failures from mistakes sees a RunError.
 */
export class SettingsError extends RunError {}

/**
 * `Trainer.interrupt()` was called while `train()` ran; nothing is lost.
 *
 * @example
 * ```ts
 * import { InterruptedError, type Trainer } from 'bertune';
 *
 * export async function trainFor(milliseconds: number, trainer: Trainer): Promise<void> {
 *   const timer = setTimeout(() => trainer.interrupt(), milliseconds);
 *   try {
 *     await trainer.train();
 *   } catch (error) {
 *     if (!(error instanceof InterruptedError)) throw error;
 *     console.log(`resume from ${error.checkpoint}`);
 *   } finally {
 *     clearTimeout(timer);
 *   }
 * }
 * ```
 */
export class InterruptedError extends RunError {
  override name = 'InterruptedError';

  /** @param checkpoint the folder from which the run can be resumed */
  constructor(readonly checkpoint: string) {
    super(`The training was interrupted. Resume it with resumeFromCheckpoint ${checkpoint}.`);
  }
}

/** A training that a signal ended, after all was saved. */
export class StoppedError extends Error {
  override name = 'StoppedError';
  /** As a shell gives it: 130 for SIGINT, 143 for SIGTERM. */
  readonly exitCode: number;

  /** @param rest how to continue, or where the model is */
  constructor(signal: NodeJS.Signals, rest: string) {
    super(`stopped by ${signal}; ${rest}`);
    this.exitCode = 128 + constants.signals[signal];
  }
}

/** What a command ends with: 2 for the caller's mistake, 1 for a failure, 130 or 143 after a signal. */
export function exitCodeOf(error: unknown): number {
  if (error instanceof StoppedError) return error.exitCode;
  return error instanceof UsageError ? 2 : 1;
}

/**
 * The message for a wrong value.
 *
 * @param what what would have been right, e.g. `a number above 0`
 * @param name the option or argument, e.g. `learningRate`
 * @param received the value as it came in
 */
export function expected(what: string, name: string, received: unknown): UsageError {
  return new UsageError(`Expected ${what} for ${name} but received ${describe(received)}`);
}

/** The message of anything thrown, since JavaScript lets any value be thrown, even one that has no text. */
export function messageOf(error: unknown): string {
  try {
    return String(error instanceof Error ? error.message : error);
  } catch {
    return 'an error without a message';
  }
}

/** The code of a system, zlib or Node error, e.g. `ENOENT` or `Z_BUF_ERROR`; empty when there is none. */
export function errorCode(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : '';
}

function describe(value: unknown): string {
  if (typeof value === 'string')
    return JSON.stringify(value.length > 80 ? `${value.slice(0, 77)}...` : value);
  if (Array.isArray(value)) return `an array of length ${value.length}`;
  if (ArrayBuffer.isView(value)) return value.constructor.name;
  if (value !== null && typeof value === 'object') return 'an object';
  return String(value);
}

const READ_FAULTS = new Map([
  ['ENOENT', 'there is no such file or folder'],
  ['ENOTDIR', 'a part of this path is a file, not a folder'],
  ['EISDIR', 'it is a folder, not a file; name a file in it'],
  ['EACCES', 'no permission to read it'],
  ['EPERM', 'no permission to read it'],
  ['ELOOP', 'its symbolic links lead in a circle; name the file or folder that is meant'],
  ['ENAMETOOLONG', 'the name is too long'],
]);

const WRITE_FAULTS = new Map([
  ['ENOSPC', 'the disk is full; free some space or choose another folder'],
  ['EDQUOT', 'your disk quota is used up; free some space or choose another folder'],
  ['EACCES', 'no permission; choose a folder that you may write to'],
  ['EPERM', 'no permission; choose a folder that you may write to'],
  ['EROFS', 'the file system is read-only; choose another folder'],
  ['ENOTDIR', 'a part of this path is a file, not a folder; choose another path'],
  ['EEXIST', 'a file is in the way; choose another path or move it'],
  ['EISDIR', 'a folder is in the way; choose another path or move it'],
  ['ENOENT', 'no folder can be made there; choose another path'],
  ['ENAMETOOLONG', 'the name is too long; choose a shorter one'],
]);

/**
 * The error to throw when `path` could not be read: a UsageError where the caller named a file that cannot be
 * used, a RunError where the system failed. Errors without a system code are returned as they are.
 */
export function readError(error: unknown, path: string): unknown {
  const code = systemCode(error);
  if (code === undefined) return error;
  const fault = readFault(error);
  if (fault === undefined)
    return new RunError(`Could not read ${path}: ${messageOf(error)}`, { cause: error });
  return new UsageError(`Could not read ${path}: ${fault}`, { cause: error });
}

/** What is wrong with a file that the caller named, as far as its error shows; undefined when the system failed. */
export function readFault(error: unknown): string | undefined {
  return READ_FAULTS.get(systemCode(error) ?? '');
}

/**
 * The error to throw when `path` could not be written: a RunError with the remedy in its one line. Errors
 * without a system code are returned as they are.
 */
export function writeError(error: unknown, path: string): unknown {
  const code = systemCode(error);
  if (code === undefined) return error;
  return new RunError(`Could not write ${path}: ${WRITE_FAULTS.get(code) ?? messageOf(error)}`, {
    cause: error,
  });
}

/** The code of a failed system call, e.g. `ENOENT`; undefined for any other error. */
export function systemCode(error: unknown): string | undefined {
  if (!(error instanceof Error) || !('code' in error) || !('syscall' in error)) return undefined;
  return typeof error.code === 'string' ? error.code : undefined;
}
