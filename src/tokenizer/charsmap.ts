// SentencePiece's precompiled character map (`nmt_nfkc` and its like), the normalizer Precompiled of a tokenizer.json.
// The JavaScript library has a fixed table in its place.
//
// The map is a size in bytes, a double array of that size, which finds keys, and the replacements, each ended by a NUL.
// Of a unit of the double array: bits 0 to 7 and 31 are its label, bit 8 means that a value follows, bits 10 and up are
// the offset of its children, shifted by 8 where bit 9 is set. All numbers are little-endian.
import { UsageError } from '../util/errors.js';

export interface Charsmap {
  /** `check` is called with the length of the result as it grows. */
  normalize(text: string, check: (length: number) => void): string;
  /** The text part by part: a cluster that is replaced as a whole, else a character. */
  parts(text: string): Iterable<readonly [source: string, result: string]>;
  /** Whether each separator stays white space, alone and whatever comes after it. */
  keepsApart(separators: readonly string[]): boolean;
}

/** A grapheme cluster is looked up as a whole only below this many bytes; Rust has the same. */
const CLUSTER_BYTES = 6;
/** In bytes; U+FDFA has 33. */
const MAX_REPLACEMENT = 256;
/** Clusters that are remembered. */
const CACHED = 10_000;
const WHITE_SPACE = /^\p{White_Space}+$/u;
const LABEL = 0x800000ff;
const LEAF = 0x100;

/** @throws UsageError for what is not such a map */
export function createCharsmap(base64: string): Charsmap {
  const { units, strings } = parseMap(Buffer.from(base64, 'base64'));
  const segmenter = new Intl.Segmenter('und', { granularity: 'grapheme' });
  const cache = new Map<string, string | null>();

  /** The replacement of the shortest key that the text begins with; null where there is none. */
  const lookUp = (text: string): string | null => {
    let at = offsetOf(units[0] ?? 0);
    for (const byte of Buffer.from(text)) {
      if (byte === 0) return null;
      at ^= byte;
      const unit = units[at] ?? 0;
      if ((unit & LABEL) >>> 0 !== byte) return null;
      at ^= offsetOf(unit);
      if ((unit & LEAF) !== 0) return replacementAt(strings, (units[at] ?? 0) & 0x7fffffff);
    }
    return null;
  };
  const cached = (text: string): string | null => {
    const known = cache.get(text);
    if (known !== undefined) return known;
    const found = lookUp(text);
    if (cache.size >= CACHED) cache.clear();
    cache.set(text, found);
    return found;
  };
  /** A replacement found by the cluster's beginning stands for all of it. */
  const ofWhole = (cluster: string): string | null =>
    Buffer.byteLength(cluster) < CLUSTER_BYTES ? cached(cluster) : null;
  const ofCharacter = (character: string): string => cached(character) ?? character;
  // Most maps leave printable ASCII alone (those that fold case do not).
  const ascii = Array.from({ length: 95 }, (_, index) => String.fromCharCode(32 + index));
  const keepsAscii = ascii.every((character) => cached(character) === null);

  return {
    normalize: (text, check) => {
      if (keepsAscii && /^[\x20-\x7E]*$/.test(text)) return text;
      let result = '';
      for (const cluster of clustersOf(text, segmenter)) {
        result += ofWhole(cluster) ?? Array.from(cluster, ofCharacter).join('');
        check(result.length);
      }
      return result;
    },
    *parts(text) {
      for (const cluster of clustersOf(text, segmenter)) {
        const whole = ofWhole(cluster);
        if (whole !== null) yield [cluster, whole];
        else for (const character of cluster) yield [character, ofCharacter(character)];
      }
    },
    keepsApart: (separators) =>
      separators.every((separator) => {
        const replacement = lookUp(separator);
        // A separator that is no key may begin one, as a blank with the accent after it; and a blank that is one takes
        // that accent along.
        if (replacement === null) return !beginsKey(units, separator);
        return separator !== ' ' && WHITE_SPACE.test(replacement);
      }),
  };
}

/** Characters that are segmented at once: V8 takes 90 times as long for 80,000 as for 20,000. */
const PIECE = 4096;

/** Where a cluster ends depends on its own characters and the next one, so the last of a piece is segmented again with the next piece. */
function* clustersOf(text: string, segmenter: Intl.Segmenter): Generator<string> {
  let size = PIECE;
  for (let from = 0; from < text.length;) {
    const end = from + size;
    // No half of a character.
    const piece = text.slice(from, /[\ud800-\udbff]/.test(text.charAt(end - 1)) ? end + 1 : end);
    const clusters = Array.from(segmenter.segment(piece), ({ segment }) => segment);
    from += piece.length;
    if (from < text.length) {
      from -= clusters.pop()?.length ?? 0;
      size = clusters.length === 0 ? 2 * size : PIECE;
    }
    yield* clusters;
  }
}

function parseMap(bytes: Buffer): { units: Uint32Array; strings: Buffer } {
  const size = bytes.length < 4 ? 0 : bytes.readUInt32LE(0);
  if (size < 4 || size % 4 !== 0 || 4 + size > bytes.length)
    throw new UsageError(
      'This tokenizer.json cannot be used: its precompiled_charsmap is cut short or damaged',
    );
  const units = Uint32Array.from({ length: size / 4 }, (_, index) => bytes.readUInt32LE(4 + 4 * index));
  return { units, strings: bytes.subarray(4 + size) };
}

function offsetOf(unit: number): number {
  return (unit >>> 10) << ((unit & 0x200) >>> 6);
}

function replacementAt(strings: Buffer, start: number): string {
  const end = strings.indexOf(0, start);
  if (start >= strings.length || end === -1 || end - start > MAX_REPLACEMENT)
    throw new UsageError(
      `This tokenizer.json cannot be used: its precompiled_charsmap has a replacement outside of its bytes or above ${MAX_REPLACEMENT}`,
    );
  return strings.toString('utf8', start, end);
}

function beginsKey(units: Uint32Array, ascii: string): boolean {
  const at = offsetOf(units[0] ?? 0) ^ ascii.charCodeAt(0);
  const unit = units[at] ?? 0;
  if ((unit & LABEL) >>> 0 !== ascii.charCodeAt(0)) return false;
  const children = at ^ offsetOf(unit);
  return Array.from({ length: 255 }, (_, index) => index + 1).some(
    (byte) => ((units[children ^ byte] ?? 0) & LABEL) >>> 0 === byte,
  );
}
