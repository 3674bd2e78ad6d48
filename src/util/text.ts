// Text in messages: in one line, safe for a terminal, numbers with what they count, did you mean ...?

/** The text in one line of at most so many characters. */
export function oneLine(text: string, most = 100): string {
  const line = text
    .slice(0, 4 * most)
    .replaceAll(/\s+/g, ' ')
    .trim();
  return line.length > most || text.length > 4 * most ? `${line.slice(0, most - 3)}...` : line;
}

/** A JSON value in one line of at most 100 characters, text in quotes. */
export function quoted(value: unknown): string {
  return oneLine(value === undefined ? 'undefined' : JSON.stringify(value));
}

/** Control characters but tab and line feed, and those that turn the direction of writing. */
const UNPRINTABLE = /[^\P{Cc}\t\n]|[\u061C\u200E\u200F\u202A-\u202E\u2066-\u2069]/gu;

/** The text with control characters as escapes (`\u001b`): a terminal would obey them. */
export function printable(text: string): string {
  return text.replaceAll(
    UNPRINTABLE,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}

/** `1 row`, `2 rows`, `0 rows`. */
export function counted(number: number, one: string, many = `${one}s`): string {
  return `${number} ${number === 1 ? one : many}`;
}

/** The first names, and where there are more of them how many there are; in quotes where one holds commas or blanks. */
export function listed(names: readonly string[], most = 12): string {
  const isAmbiguous = names.some((name) => /[\s,"]|^$/.test(name));
  const first = names.slice(0, most).map((name) => (isAmbiguous ? JSON.stringify(name) : name));
  return names.length > most ? `${first.join(', ')} ... (${names.length})` : first.join(', ');
}

/** Digests stand for what is too large to be shown. */
const DIGEST = /^sha256:/;

/** E.g. `seed was 42 and is now 7`; of a digest only that it changed. */
export function difference(name: string, before: unknown, now: unknown): string {
  if (typeof now === 'string' && DIGEST.test(now)) return `${name} changed`;
  return `${name} was ${shown(before)} and is now ${shown(now)}`;
}

function shown(value: unknown): string {
  return value === undefined || value === null ? 'not given' : JSON.stringify(value);
}

/** The candidate closest to `name`, or undefined when none is close enough to be a likely misspelling. */
export function nearestName(name: string, candidates: readonly string[]): string | undefined {
  const limit = Math.max(2, Math.floor(name.length / 3));
  let best: { candidate: string; distance: number } | undefined;
  for (const candidate of candidates) {
    const distance = editDistance(name.toLowerCase(), candidate.toLowerCase());
    if (distance <= limit && (best === undefined || distance < best.distance)) best = { candidate, distance };
  }
  return best?.candidate;
}

/** Levenshtein distance, one row of the table at a time. */
function editDistance(a: string, b: string): number {
  let previous = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const current = [i];
    for (let j = 1; j <= b.length; j++) {
      const substituted = (previous[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      current.push(Math.min((previous[j] ?? 0) + 1, (current[j - 1] ?? 0) + 1, substituted));
    }
    previous = current;
  }
  return previous[b.length] ?? 0;
}

/**
 * Cuts text at line feeds, in linear time however long a line is. Not readline, for which a line also ends at U+2028, which
 * JSON has in strings.
 *
 * @param check is given the length of a line that has not ended yet, and may throw
 */
export async function* linesOf(
  pieces: AsyncIterable<string>,
  check?: (length: number) => void,
): AsyncGenerator<string> {
  let rest: string[] = [];
  let length = 0;
  for await (const piece of pieces) {
    const [first = '', ...lines] = piece.split('\n');
    rest.push(first);
    length += first.length;
    for (const line of lines) {
      yield rest.join('');
      rest = [line];
      length = line.length;
    }
    check?.(length);
  }
  if (length > 0) yield rest.join('');
}
