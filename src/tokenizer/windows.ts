// A text longer than the model takes, as overlapping windows: transformers' `return_overflowing_tokens` with `stride`.
import { expected, UsageError } from '../util/errors.js';
import type { Encoding } from './sequence-encoder.js';
import type { Tokenizer } from './tokenizer.js';

/** A part of an encoding with special tokens of its own. */
export interface Window extends Encoding {
  /** The number of its first token among those of the text. */
  readonly first: number;
}

/**
 * Cuts the encoding of a whole single text into windows of `maxLength` tokens, special tokens included. Neighbours
 * share `stride` tokens of text. The first window is what truncation leaves; a text that fits is its only window.
 *
 * @throws UsageError when a window would not bring one new token
 */
export function createWindows(
  tokenizer: Tokenizer,
  { maxLength, stride }: { maxLength: number; stride: number },
): (whole: Encoding) => Window[] {
  const [before, after] = tokenizer.specialsAround;
  const room = maxLength - before - after;
  if (!Number.isInteger(stride) || stride < 0) throw expected('a whole number from 0', 'stride', stride);
  if (stride >= room)
    throw new UsageError(
      `A stride of ${stride} tokens is too long: a window of ${maxLength} tokens holds ${room} of the text; use at most ${room - 1}`,
    );
  const isLeft = tokenizer.spec.tokenizerConfig.truncation_side === 'left';
  return ({ ids, offsets }) => {
    if (ids.length <= maxLength) return [{ ids, typeIds: null, ...(offsets && { offsets }), first: 0 }];
    const text = ids.length - before - after;
    return windowStarts(text, room, room - stride).map((start) => {
      const end = Math.min(start + room, text);
      const [from, to] = isLeft ? [text - end, text - start] : [start, end];
      const window = new Int32Array(before + to - from + after);
      window.set(ids.subarray(0, before));
      window.set(ids.subarray(before + from, before + to), before);
      window.set(ids.subarray(ids.length - after), before + to - from);
      return { ids: window, typeIds: null, first: from };
    });
  };
}

/** The window that reaches the end is the last. */
function windowStarts(length: number, room: number, step: number): number[] {
  return Array.from({ length: Math.ceil((length - room) / step) + 1 }, (_, i) => i * step);
}
