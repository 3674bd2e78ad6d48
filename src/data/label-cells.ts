// Several labels in one cell: lists as programs print them, and names joined by a delimiter.
import { isBlank, isList, isNumberText, numberOf } from './label-values.js';

/** Several labels of one cell: a list, a list written as text, or names joined by the delimiter; null for none. */
export function labelMembers(value: unknown, delimiter: string | null): readonly unknown[] {
  if (Array.isArray(value)) return value as readonly unknown[];
  if (typeof value === 'object' && value !== null && isList(value)) return Object.values(value);
  if (typeof value !== 'string') return [value];
  // CSV writes the empty list as nothing.
  if (value.trim() === '') return [];
  return listOfText(value) ?? (delimiter === null ? [value.trim()] : partsOf(value, delimiter));
}

/** The names that a text joins; a delimiter may stand behind the last one too, and quotes around them. */
export function partsOf(text: string, delimiter: string): string[] {
  const quoted = delimiter === ',' && /^\s*["']/.test(text) ? listOfText(`[${text}]`) : null;
  if (quoted !== null) return quoted.map(String);
  const parts = text.split(delimiter).map((part) => part.trim());
  if (parts.length > 1 && parts.at(-1) === '') parts.pop();
  const areQuoted = parts.every((part) => QUOTED.test(part));
  return areQuoted ? parts.map((part) => part.slice(1, -1)) : parts;
}

const QUOTED = /^(?:"[^"]+"|'[^']+')$/;

/** What joins labels in a cell, the least likely within a name first. */
export const DELIMITERS = ['|', '\n', '\t', ';', '；', '、', '，', ','] as const;

/** The delimiter that the first cells show; `|` where they show none. */
export function delimiterIn(cells: readonly unknown[]): string {
  const texts = cells
    .filter((cell): cell is string => typeof cell === 'string' && listOfText(cell) === null)
    .map((text) => text.trim());
  const joined = DELIMITERS.find((delimiter) => texts.some((text) => text.includes(delimiter)));
  if (joined !== undefined) return joined;
  if (texts.length > 0 && texts.every(areSpacedNumbers)) return ' ';
  return texts.some(recurrence(texts, HASH)) ? HASH : '|';
}

/** What doccano's CSV puts between labels; it is also part of names such as C#, so that it has to join what occurs elsewhere. */
export const HASH = '#';

/** Whether a label joins several names, one of which occurs elsewhere. */
export function recurrence(labels: readonly string[], delimiter: string): (label: string) => boolean {
  const counts = new Map<string, number>();
  for (const part of [...new Set(labels)].flatMap((label) => partsOf(label, delimiter)))
    counts.set(part, (counts.get(part) ?? 0) + 1);
  return (label) => {
    const parts = partsOf(label, delimiter);
    return parts.length > 1 && parts.some((part) => part !== '' && (counts.get(part) ?? 0) > 1);
  };
}

/** Zeros and ones, probabilities or numbers between blanks, as in `1 0 1`. */
export function areSpacedNumbers(text: string): boolean {
  const parts = text.split(' ');
  return parts.length > 1 && parts.every(isNumberText);
}

/** Whether cells hold lists, or, all of them, lists written as text. */
export function areLists(cells: readonly unknown[]): boolean {
  const values = cells.filter((cell) => !isBlank(cell));
  if (values.some((value) => isList(value) || isChoices(value))) return true;
  return (
    values.length > 0 && values.every((value) => typeof value === 'string' && listOfText(value) !== null)
  );
}

/** The members of cells, those that hold none aside. */
export function membersOf(cells: readonly unknown[], delimiter: string | null): (readonly unknown[])[] {
  return cells.filter((cell) => !isBlank(cell)).map((cell) => labelMembers(cell, delimiter));
}

/** A member of a list in quotes, as JSON or Python writes it, or a bare one; and what follows it. */
const MEMBER =
  /\s*(?:"([^"\\]*(?:\\.[^"\\]*)*)"|'([^'\\]*(?:\\.[^'\\]*)*)'|([^\s,'"[\]{}()]+))\s*(,|$|(?=\s|['"]))/suy;

/** As Label Studio's CSV writes several choices. */
const CHOICES = /^\s*\{\s*"choices"\s*:\s*(\[.*\])\s*\}\s*$/su;

/** Whether a cell holds what Label Studio's CSV writes for several choices; a single one it writes bare. */
function isChoices(value: unknown): boolean {
  return typeof value === 'string' && CHOICES.test(value);
}

/** A call of Python around a list, or around one of its members, as `repr` writes arrays, tensors, sets and NumPy's scalars. */
const WRAPPED_LIST = /^\s*(?:np\.|numpy\.)?(?:array|tensor|frozenset|set|list|tuple|Series)\((.*)\)\s*$/su;
const KEYWORD = /,\s*(?:dtype|device|shape)=[\w.'":()[\], ]*$/;
const SCALAR = /\b(?:np|numpy)\.(?:u?int|float|bool|str)\d*_?\(([^()]*)\)|\bnp\.(True|False)_/g;

/**
 * A list written as text: `["a", "b"]` of JSON, `['a', 'b']`, `('a', 'b')` and `{'a', 'b'}` of Python, `['a' 'b']` and
 * `[0. 1.]` of NumPy, `[a, b]`, `{a,b}` of PostgreSQL; also as `repr` writes arrays and their members, `array([0, 1])` and
 * `[np.int64(0)]`. Null for other texts.
 */
export function listOfText(text: string): unknown[] | null {
  const unwrapped = CHOICES.exec(text)?.[1] ?? WRAPPED_LIST.exec(text)?.[1]?.replace(KEYWORD, '') ?? text;
  const brackets = /^\s*(?:\[(.*)\]|\((.*)\)|\{(.*)\})\s*$/su.exec(unwrapped);
  const [, square, round, curly] = brackets ?? [];
  const inner = (square ?? round ?? curly)?.replaceAll(
    SCALAR,
    (_, value?: string, truth?: string) => value ?? truth ?? '',
  );
  if (inner === undefined) return unwrapped === text || unwrapped.trim() !== '' ? null : [];
  if (inner.trim() === '') return [];
  // In other brackets than those of a list also stand remarks, negative amounts, formulas and objects.
  if (round !== undefined && !/^\s*['"]/.test(inner) && !isTupleOfNumbers(inner)) return null;
  if (curly !== undefined && (/['"]\s*:/.test(inner) || /[\n{}:]/.test(inner))) return null;
  if (!/['"]/.test(inner)) return bareMembers(inner);
  const members: unknown[] = [];
  MEMBER.lastIndex = 0;
  while (MEMBER.lastIndex < inner.length) {
    const found = MEMBER.exec(inner);
    if (found === null) return null;
    const [, double, single, bare] = found;
    members.push(bare === undefined ? unescaped(double ?? single ?? '') : bareMember(bare));
  }
  return members;
}

function isTupleOfNumbers(inner: string): boolean {
  const parts = inner.replace(/,\s*$/, '').split(',');
  return inner.includes(',') && parts.every((part) => numberOf(part) !== null);
}

/** What NumPy and PyTorch print in place of the middle of long arrays. */
const ELLIPSIS = '...';

/** Whether a list written as text lacks members. */
export function isCutShort(cell: unknown, members: readonly unknown[]): boolean {
  return typeof cell === 'string' && members.length > 1 && members.includes(ELLIPSIS);
}

/** Names between commas, which may have spaces in them; or numbers between spaces. */
function bareMembers(inner: string): unknown[] | null {
  if (/[[\]{}()]/.test(inner)) return null;
  const parts = inner.includes(',') ? inner.replace(/,\s*$/, '').split(',') : inner.trim().split(/\s+/);
  const members = parts.map((part) => bareMember(part.trim()));
  return inner.includes(',') || members.every((member) => numberOf(member) !== null || member === ELLIPSIS)
    ? members
    : [inner.trim()];
}

function bareMember(text: string): string | null {
  return /^(None|null|nan|NaN)$/.test(text) ? null : text;
}

function unescaped(text: string): string {
  const escapes: Readonly<Record<string, string>> = { n: '\n', t: '\t', r: '\r', b: '\b', f: '\f' };
  return text.replaceAll(
    /\\(?:u([\da-fA-F]{4})|x([\da-fA-F]{2})|(.))/gsu,
    (_, unit?: string, byte?: string, one?: string) =>
      unit === undefined && byte === undefined
        ? (escapes[one ?? ''] ?? one ?? '')
        : String.fromCharCode(Number.parseInt(unit ?? byte ?? '', 16)),
  );
}
