// Patterns of tensor names, as the `freeze` option takes them.
import picomatch from 'picomatch';

import { UsageError } from '../util/errors.js';
import { nearestName } from '../util/nearest.js';

const MOST_IN_RANGE = 1000;

/**
 * The names that a pattern matches: `*` is any text, `{0,1}` and `{0..5}` are alternatives, and a module stands for
 * all that is in it, e.g. `bert.embeddings`.
 *
 * @param option the option of the pattern, for the message
 * @throws UsageError for a pattern that matches nothing, naming what is near
 */
export function matchingNames(pattern: string, names: readonly string[], option: string): string[] {
  const isMatch = nameMatcher([pattern, `${pattern}.*`]);
  const found = names.filter((name) => isMatch(name));
  if (found.length > 0) return found;
  const modules = new Set(names.flatMap(modulesOf));
  const nearest = nearestName(pattern.replace(/[.*]+$/, ''), [...modules]);
  const hint =
    nearest === undefined
      ? `; there are ${partsOf(names).join(', ')} and what is in them`
      : ` (did you mean ${nearest}${pattern.endsWith('*') && !names.includes(nearest) ? '.*' : ''}?)`;
  throw new UsageError(`${option} ${JSON.stringify(pattern)} matches no tensor of the model${hint}`);
}

/** Whether one of the patterns matches a whole name. */
export function nameMatcher(patterns: string[]): (name: string) => boolean {
  return picomatch(patterns, { expandRange, dot: true });
}

/** The modules at the top, e.g. `bert.embeddings`, `bert.encoder` and `classifier`. */
function partsOf(names: readonly string[]): string[] {
  const parts = names.map((name) => name.split('.').slice(0, -1).slice(0, 2).join('.'));
  return [...new Set(parts)];
}

/** `a.b.c` is in `a`, `a.b` and itself. */
function modulesOf(name: string): string[] {
  const parts = name.split('.');
  return parts.map((_, i) => parts.slice(0, i + 1).join('.'));
}

/** `{0..11}` by numbers, not by digits. */
function expandRange(from: string, to: string): string {
  const [first, last] = [Number(from), Number(to)];
  if (!Number.isSafeInteger(first) || !(last >= first && last - first < MOST_IN_RANGE))
    return `(${from}|${to})`;
  return `(${Array.from({ length: last - first + 1 }, (_, i) => first + i).join('|')})`;
}
