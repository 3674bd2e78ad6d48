// How a value differs from the one before it, in words.

/** Digests stand for what is too large to be shown. */
const DIGEST = /^sha256:/;

/** E.g. `seed was 42 and is now 7`; of a digest only that it changed. */
export function difference(name: string, before: unknown, now: unknown): string {
  if (typeof now === 'string' && DIGEST.test(now)) return `${name} changed`;
  return `${name} was ${shown(before)} and is now ${shown(now)}`;
}

function shown(value: unknown): string {
  return value === undefined ? 'not given' : JSON.stringify(value);
}
