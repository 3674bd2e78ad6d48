// The two kinds of failure a person can meet, and the one sentence shape for a wrong value.
// The command line turns UsageError into exit code 2 and everything else into exit code 1.
import { constants } from 'node:os';
import { printable } from './printable.js';

/** A failure to report to the user; its message is safe to print. */
class ToldError extends Error {
  constructor(message: string, options?: ErrorOptions) {
    super(printable(message), options);
  }
}

/** The caller's mistake: an option, a data file or a model file that cannot be used as given. */
export class UsageError extends ToldError {
  override name = 'UsageError';
}

/** A failure of a correct run: disk, network, memory, or the native step. */
export class RunError extends ToldError {
  override name = 'RunError';
}

/**
 * A run that failed by its own settings, so that others may do: a loss that is not finite, batches too large for the
 * memory. To those who only tell failures from mistakes it is a RunError.
 */
export class SettingsError extends RunError {}

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
