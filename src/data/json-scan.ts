// Where the parts of JSON text are, seen in its bytes without parsing it.
export const LINE_FEED = 0x0a;
const CARRIAGE_RETURN = 0x0d;
const QUOTE = 0x22;
export const COMMA = 0x2c;
const COLON = 0x3a;
const BACKSLASH = 0x5c;
export const OPEN_ARRAY = 0x5b;
export const CLOSE_ARRAY = 0x5d;
export const OPEN_OBJECT = 0x7b;
const CLOSE_OBJECT = 0x7d;
/** Index of the comma or bracket that ends the element at `from`, or -1 when it is not in these bytes. */
export function elementEnd(bytes: Buffer, from: number): number {
  let depth = 0;
  for (let i = from; i < bytes.length; i++) {
    const byte = bytes[i];
    if (byte === QUOTE) {
      i = stringEnd(bytes, i + 1);
      if (i === -1) return -1;
    } else if (byte === OPEN_OBJECT || byte === OPEN_ARRAY) depth++;
    else if (depth === 0 && (byte === COMMA || byte === CLOSE_ARRAY)) return i;
    else if (byte === CLOSE_OBJECT || byte === CLOSE_ARRAY) depth--;
  }
  return -1;
}

/**
 * The object that begins at `from`: where it ends, if these bytes hold that; whether line feeds are in it; and whether one
 * is in a string, which JSON forbids: its first line is broken.
 */
export function scanObject(
  bytes: Buffer,
  from: number,
): { end: number | null; hasFeed: boolean; fault: boolean } {
  let depth = 0;
  let hasFeed = false;
  for (let i = from; i < bytes.length; i++) {
    const byte = bytes[i];
    if (byte === QUOTE) {
      const end = stringEnd(bytes, i + 1);
      const string = bytes.subarray(i, end === -1 ? bytes.length : end);
      if (string.includes(LINE_FEED)) return { end: null, hasFeed, fault: true };
      if (end === -1) break;
      i = end;
    } else if (byte === LINE_FEED) hasFeed = true;
    else if (byte === OPEN_OBJECT || byte === OPEN_ARRAY) depth++;
    else if (byte === CLOSE_OBJECT || byte === CLOSE_ARRAY) {
      depth--;
      if (depth === 0) return { end: i + 1, hasFeed, fault: false };
    }
  }
  return { end: null, hasFeed, fault: false };
}

/** An array below names in an object. */
export interface NamedArray {
  /** The names from the outermost object on. */
  path: readonly string[];
  /** Behind its bracket. */
  start: number;
  holdsObjects: boolean;
}

/** A path for each of a million arrays a million objects deep would take more memory than there is. */
const MOST_NAMES = 16;

/** Arrays in an object, as far as it is there, and in the objects in it, but not those in other arrays. */
export function namedArrays(bytes: Buffer, from: number): NamedArray[] {
  const found: NamedArray[] = [];
  /** The objects around a byte that are in no array, each as the name that was read last in it. */
  const names: string[] = [];
  /** What is open within the outermost array. */
  let depth = 0;
  for (let i = from; i < bytes.length; i++) {
    const byte = bytes[i];
    if (byte === QUOTE) {
      const end = stringEnd(bytes, i + 1);
      if (end === -1) break;
      if (depth === 0 && names.length > 0 && bytes[skipSpace(bytes, end + 1)] === COLON)
        names[names.length - 1] = nameIn(bytes.toString('utf8', i, end + 1)) ?? '';
      i = end;
    } else if (byte === OPEN_OBJECT || byte === OPEN_ARRAY) {
      if (depth > 0) depth++;
      else if (byte === OPEN_OBJECT) names.push('');
      else {
        depth = 1;
        if (names.length > 0 && names.length <= MOST_NAMES)
          found.push({
            path: [...names],
            start: i + 1,
            holdsObjects: bytes[skipSpace(bytes, i + 1)] === OPEN_OBJECT,
          });
      }
    } else if (byte === CLOSE_OBJECT || byte === CLOSE_ARRAY) {
      if (depth > 0) depth--;
      else names.pop();
    }
  }
  return found;
}

function nameIn(json: string): string | null {
  try {
    const name: unknown = JSON.parse(json);
    return typeof name === 'string' ? name : null;
  } catch {
    return null;
  }
}

/** Index of the quote that closes a string whose first character is at `from`, or -1. */
function stringEnd(bytes: Buffer, from: number): number {
  for (let i = from; i < bytes.length; i++) {
    if (bytes[i] === BACKSLASH) i++;
    else if (bytes[i] === QUOTE) return i;
  }
  return -1;
}

/** @param overComma whether one comma may be among the blanks */
export function skipSpace(bytes: Buffer, from: number, overComma = false): number {
  let at = from;
  while (isSpace(bytes[at])) at++;
  return overComma && bytes[at] === COMMA ? skipSpace(bytes, at + 1) : at;
}

export function isSpace(byte: number | undefined): boolean {
  return byte === 0x20 || byte === LINE_FEED || byte === CARRIAGE_RETURN || byte === 0x09;
}
