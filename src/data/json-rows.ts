// One JSON value of a data file, with the numbers that Python writes.
export type JsonObject = Readonly<Record<string, unknown>>;

export function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/**
 * As JSON.parse, but with the NaN and Infinity that Python's json module writes: NaN is what pandas makes of a missing
 * value, so it is null.
 *
 * @throws SyntaxError
 */
export function parseRow(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    if (!/NaN|Infinity/.test(text)) throw error;
    return JSON.parse(withoutNonFinite(text));
  }
}

/** No number of JSON is Infinity, but one beyond the range of doubles is read as such. */
function withoutNonFinite(text: string): string {
  return outsideStrings(text, (part) =>
    part.replaceAll(/\bNaN\b/g, 'null').replaceAll(/\bInfinity\b/g, '1e999'),
  );
}

/** JSON with each number in quotes, so that its digits survive the parser: 5.0 is not 5, nor 2^53 + 1 what doubles make of it. */
export function withNumbersAsText(text: string): string {
  return outsideStrings(text, (part) => part.replaceAll(/-?\d[\d.eE+-]*/g, '"$&"'));
}

function outsideStrings(text: string, change: (part: string) => string): string {
  const parts: string[] = [];
  for (let at = 0; at < text.length;) {
    const quote = text.indexOf('"', at);
    parts.push(change(text.slice(at, quote === -1 ? text.length : quote)));
    if (quote === -1) break;
    at = stringEnd(text, quote + 1);
    parts.push(text.slice(quote, at));
  }
  return parts.join('');
}

/** Behind the quote that closes a string whose first character is at `from`. */
function stringEnd(text: string, from: number): number {
  let end = text.indexOf('"', from);
  while (end !== -1 && isEscaped(text, end)) end = text.indexOf('"', end + 1);
  return end === -1 ? text.length : end + 1;
}

function isEscaped(text: string, at: number): boolean {
  let slashes = 0;
  while (text[at - slashes - 1] === '\\') slashes++;
  return slashes % 2 === 1;
}
