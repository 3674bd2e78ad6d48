// What fails in the addon, as errors of ours: one line, with the stack of the caller.
import { messageOf, RunError, SettingsError, UsageError } from '../util/errors.js';

const LONGEST_MESSAGE = 300;

// A place in LibTorch's sources and the condition that did not hold there say nothing to a person.
const LIBTORCH_PLACE = /^\[enforce fail at [^\]]*\] (?:[^.\n]*\. )?/;

// What a caller's getter throws may have any length and any number of lines.
function oneLineOf(error: unknown): string {
  const text = messageOf(error).replace(LIBTORCH_PLACE, '');
  const line = text.replaceAll(/[\p{Cc}\u2028\u2029]+\s*/gu, ' ');
  return line.length > LONGEST_MESSAGE ? `${line.slice(0, LONGEST_MESSAGE)}...` : line;
}

// The addon marks a failure for want of memory, whatever part of LibTorch it comes from (native/core/out_of_memory.cc); what
// JavaScript has no memory for has words of its own.
const OUT_OF_MEMORY = /^out of memory|bad_alloc|Array buffer allocation failed/;

function failure(message: string): RunError {
  if (!OUT_OF_MEMORY.test(message)) return new RunError(message);
  const remedies = 'smaller batches, shorter texts, gradientCheckpointing or autoFindBatchSize';
  return new SettingsError(`Memory ran out; use ${remedies} (${message})`);
}

/** Makes a call of the addon. A native failure has no JavaScript frames of its own, so the error is made here, at the caller. */
export async function withStack<T>(call: () => Promise<T>): Promise<T> {
  const site: { stack?: string } = {};
  Error.captureStackTrace(site, withStack);
  try {
    return await call();
  } catch (error) {
    if (error instanceof RunError) throw error;
    const message = oneLineOf(error);
    const wrapped =
      error instanceof TypeError || error instanceof RangeError || error instanceof UsageError
        ? new UsageError(message)
        : failure(message);
    wrapped.stack = `${wrapped.name}: ${wrapped.message}\n${(site.stack ?? '').split('\n').slice(1).join('\n')}`;
    throw wrapped;
  }
}
