// What fails in the addon, as errors of ours: one line, with the stack of the caller.
import { messageOf, RunError, SettingsError, UsageError } from '../util/errors.js';

const LONGEST_MESSAGE = 300;

// A place in LibTorch's sources and the condition that failed there do not help a user.
const LIBTORCH_PLACE = /^\[enforce fail at [^\]]*\] (?:[^.\n]*\. )?/;

// The addon marks a failure for want of memory, whatever part of LibTorch it comes from (native/core/memory.cc); its own
// allocator uses the same words.
const MARK = /^(?:out of memory: )+/;
// What JavaScript has no memory for has words of its own.
const OUT_OF_MEMORY = /bad_alloc|Array buffer allocation failed/;

// The state of the session after a failure: it is never cut off.
const STATE = /; the session is (?:as it was before this call|closed)$/;

// What a caller's getter throws may have any length and any number of lines.
function oneLineOf(text: string): string {
  const [state = ''] = STATE.exec(text) ?? [];
  const reason = text
    .slice(0, text.length - state.length)
    .replace(MARK, '')
    .replace(LIBTORCH_PLACE, '');
  const line = reason.replaceAll(/[\p{Cc}\u2028\u2029]+\s*/gu, ' ');
  return `${line.length > LONGEST_MESSAGE ? `${line.slice(0, LONGEST_MESSAGE)}...` : line}${state}`;
}

function failure(text: string): RunError {
  const message = oneLineOf(text);
  if (!MARK.test(text) && !OUT_OF_MEMORY.test(text)) return new RunError(message);
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
    const text = messageOf(error);
    const wrapped =
      error instanceof TypeError || error instanceof RangeError || error instanceof UsageError
        ? new UsageError(oneLineOf(text))
        : failure(text);
    wrapped.stack = `${wrapped.name}: ${wrapped.message}\n${(site.stack ?? '').split('\n').slice(1).join('\n')}`;
    throw wrapped;
  }
}
