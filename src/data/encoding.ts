// The encoding of a text file: UTF-8 unless its byte order mark or an option names another; what is not UTF-8 is recognised
// for the message. Rows are UTF-8 from here on, so that nothing behind this file knows of any other encoding.
import { isUtf8 } from 'node:buffer';
import type { DecoderStream } from 'iconv-lite';
import { UsageError } from '../util/errors.js';
import { nearestName } from '../util/text.js';

/** Ends what is no character in the file's own encoding; no UTF-8 holds it, so the row that has it is a bad one. */
const NO_CHARACTER = Buffer.of(0xff);
/** Names that iconv-lite has for other ways to write bytes. */
const NO_ENCODINGS = /^(?:base64|hex|binary|internal|utf7|utf7imap|cesu8)$/;
const UTF8 = /^utf8(?:sig)?$/;
/** Those in which every character can be written; us-ascii and uhc are none. */
const UNICODE = /^(?:utf(?:16|32)|ucs[24])(?:le|be)?$/;
/** Those that people have, for a hint where a name is not known. */
const USUAL = [
  'utf-8',
  'utf-16',
  'windows-1250',
  'windows-1251',
  'windows-1252',
  'windows-1253',
  'windows-1254',
  'windows-1255',
  'windows-1256',
  'windows-1257',
  'latin1',
  'iso-8859-1',
  'iso-8859-2',
  'iso-8859-15',
  'koi8-r',
  'macroman',
  'shift_jis',
  'euc-jp',
  'gb18030',
  'gbk',
  'big5',
  'euc-kr',
];

const MARKS: readonly (readonly [encoding: string, mark: readonly number[]])[] = [
  ['utf-8', [0xef, 0xbb, 0xbf]],
  ['utf-32le', [0xff, 0xfe, 0, 0]],
  ['utf-32be', [0, 0, 0xfe, 0xff]],
  ['utf-16le', [0xff, 0xfe]],
  ['utf-16be', [0xfe, 0xff]],
];
const LONGEST_MARK = 4;

/**
 * The name by which iconv-lite decodes an encoding; null for UTF-8, which needs no decoding.
 *
 * @param name as Python or WHATWG call it, e.g. `windows-1252`, `cp1252`, `latin-1`, `shift_jis`, `gb18030`
 * @throws UsageError for a name that is not known
 */
export async function encodingOf(name: string | undefined): Promise<string | null> {
  if (name === undefined) return null;
  const plain = plainName(name);
  if (UTF8.test(plain)) return null;
  const iconv = await loadIconv();
  if (iconv.encodingExists(name) && !NO_ENCODINGS.test(plain)) return name.toLowerCase();
  const nearest = nearestName(name, USUAL);
  const hint =
    nearest === undefined ? `for example ${USUAL.slice(1, 5).join(', ')}` : `did you mean ${nearest}?`;
  throw new UsageError(`encoding ${JSON.stringify(name)} is not known; ${hint}`);
}

function plainName(name: string): string {
  return name.toLowerCase().replaceAll(/[^a-z0-9]/g, '');
}

function isUnicode(encoding: string): boolean {
  return UNICODE.test(plainName(encoding));
}

/** Loaded with the first such file, as `chardet` is, so that start-up does without their tables. */
async function loadIconv(): Promise<typeof import('iconv-lite')> {
  return (await import('iconv-lite')).default;
}

/** Turns the bytes of one file into UTF-8. */
export class Utf8Stream {
  /** What the file is decoded from; null for UTF-8. Known once the first bytes have been seen. */
  encoding: string | null;
  /** Remarks on how the file is read, one line each. */
  readonly notes: string[] = [];
  /** The first half of a character that was cut in two. */
  private half = '';

  /**
   * @param path for notes
   * @param requested what `encodingOf` returned; a byte order mark wins over it
   */
  constructor(
    private readonly path: string,
    requested: string | null,
  ) {
    this.encoding = requested;
  }

  async *decode(chunks: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
    let decoder: DecoderStream | null = null;
    let head: Buffer | null = Buffer.alloc(0);
    for await (const chunk of withLast(chunks)) {
      let bytes = chunk.bytes;
      if (head !== null) {
        bytes = Buffer.concat([head, bytes]);
        head = bytes;
        if (bytes.length < LONGEST_MARK && !chunk.isLast) continue;
        bytes = this.begin(bytes);
        head = null;
        if (this.encoding !== null)
          decoder = (await loadIconv()).getDecoder(this.encoding, { stripBOM: true });
      }
      if (decoder === null) yield bytes;
      else if (bytes.length > 0) yield this.encoded(decoder.write(bytes));
    }
    if (decoder === null) return;
    yield this.encoded(decoder.end() ?? '');
    if (this.half !== '') yield NO_CHARACTER;
  }

  /** Looks at the first bytes. @returns them without a mark that the decoder does not know */
  private begin(head: Buffer): Buffer {
    const [marked, mark] = MARKS.find(([, bytes]) => bytes.every((byte, i) => head[i] === byte)) ?? [
      null,
      [],
    ];
    if (marked === null) {
      this.checkUnmarked(head);
      return head;
    }
    const requested = this.encoding;
    this.encoding = marked === 'utf-8' ? null : marked;
    if (marked !== 'utf-8')
      this.notes.push(`${this.path} is read as ${marked.toUpperCase()}, as its byte order mark says`);
    else if (requested !== null)
      this.notes.push(`${this.path} is read as UTF-8, as its byte order mark says, not as ${requested}`);
    // That of UTF-8 is left to the parsers, for which offsets are those of the file.
    return marked === 'utf-8' ? head : head.subarray(mark.length);
  }

  private checkUnmarked(head: Buffer): void {
    const unmarked = this.encoding === null ? unmarkedUnicode(head) : null;
    if (unmarked !== null)
      throw new UsageError(
        `${this.path} looks like ${unmarked.slice(0, 6).toUpperCase()} without a byte order mark; read it with encoding ${unmarked}`,
      );
    if (this.encoding === null || isUnicode(this.encoding)) return;
    // A file of another encoding is hardly ever UTF-8 by chance, so the option was not meant for it.
    const whole = head.subarray(0, Math.max(0, head.length - 3));
    const nonAscii = whole.reduce((count, byte) => count + Number(byte >= 0x80), 0);
    const isSure = nonAscii > 3 && [0, 1, 2, 3].some((cut) => isUtf8(head.subarray(0, head.length - cut)));
    if (isSure)
      this.notes.push(
        `${this.path} is read as ${this.encoding}, but its first bytes are UTF-8: is the encoding right?`,
      );
  }

  /** As UTF-8, with a byte that is none for each character that the file's encoding does not have. */
  private encoded(decoded: string): Buffer {
    let text = this.half + decoded;
    this.half = /[\ud800-\udbff]$/.exec(text)?.[0] ?? '';
    text = text.slice(0, text.length - this.half.length);
    // U+FFFD is a character like others where all of them can be written.
    const faults = this.encoding !== null && isUnicode(this.encoding) ? /\p{Surrogate}/gu : /\ufffd/g;
    if (text.search(faults) === -1) return Buffer.from(text, 'utf8');
    const parts = text.split(faults).map((part) => Buffer.from(part, 'utf8'));
    return Buffer.concat(parts.flatMap((part, i) => (i === 0 ? [part] : [NO_CHARACTER, part])));
  }
}

async function* withLast(chunks: AsyncIterable<Buffer>): AsyncGenerator<{ bytes: Buffer; isLast: boolean }> {
  for await (const bytes of chunks) yield { bytes, isLast: false };
  yield { bytes: Buffer.alloc(0), isLast: true };
}

/** Bytes of a file that are looked through for lines that are not ASCII, and bytes of such lines that are enough. */
const SEARCHED = 64 * 2 ** 20;
const ENOUGH = 1 << 16;
const LINE_FEED = 0x0a;

/**
 * What a file that is not UTF-8 seems to be in; null where nothing fits, and for UTF-8 with a few damaged rows.
 *
 * @param chunks the bytes of the file from its start, decompressed
 */
export async function recognizeEncoding(chunks: AsyncIterable<Buffer>): Promise<string | null> {
  const lines: Buffer[] = [];
  let [seen, held] = [0, 0];
  let rest = Buffer.alloc(0);
  for await (const chunk of withLast(chunks)) {
    const bytes = Buffer.concat([rest, chunk.bytes]);
    seen += chunk.bytes.length;
    for (let from = 0; from < bytes.length;) {
      const feed = bytes.indexOf(LINE_FEED, from);
      if (feed === -1 && !chunk.isLast && bytes.length - from < ENOUGH) {
        rest = Buffer.from(bytes.subarray(from));
        break;
      }
      const to = feed === -1 ? bytes.length : feed + 1;
      const line = bytes.subarray(from, to);
      from = to;
      rest = Buffer.alloc(0);
      if (line.every((byte) => byte < 0x80)) continue;
      // Characters of several bytes that are right: the file is UTF-8, and some rows of it are damaged.
      if (isUtf8(line)) return null;
      lines.push(Buffer.from(line));
      held += line.length;
      if (held >= ENOUGH) break;
    }
    if (held >= ENOUGH || seen >= SEARCHED) break;
  }
  return held === 0 ? null : likeliest(Buffer.concat(lines).subarray(0, ENOUGH));
}

/** ICU's statistics know the ISO encodings; files on Windows and from Excel are in the ones that extend them. */
const EXTENDED: Readonly<Record<string, string>> = {
  'ISO-8859-1': 'windows-1252',
  'ISO-8859-2': 'windows-1250',
  'ISO-8859-5': 'iso-8859-5',
  'ISO-8859-6': 'windows-1256',
  'ISO-8859-7': 'windows-1253',
  'ISO-8859-8': 'windows-1255',
  'ISO-8859-9': 'windows-1254',
};
/** Letters of Polish, Slovak and Czech where windows-1250 has signs. */
const ISO_8859_2_LETTERS = /[\xa1\xa6\xa9\xab\xac\xae\xb1\xb6\xb9\xbb\xbc\xbe]/g;
const WINDOWS_1250_LETTERS = /[\x8a\x8c-\x8f\x9a\x9c-\x9f\xa5\xb9\xbc\xbe]/g;

/**
 * The words with letters that are not ASCII, and their neighbours: names of columns and labels, which every row repeats,
 * would drown them. What separates words here is no part of a character in any of the encodings.
 */
function tellingWords(bytes: Buffer): Buffer {
  const words = bytes.toString('latin1').split(/[\s",;:]+/);
  const areTelling = words.map((word) => /[\x80-\xff]/.test(word));
  const telling = words.filter((_, i) => areTelling.slice(Math.max(0, i - 1), i + 2).includes(true));
  return Buffer.from(telling.join(' '), 'latin1');
}

async function likeliest(bytes: Buffer): Promise<string | null> {
  const { default: chardet } = await import('chardet');
  const found = chardet
    .analyse(tellingWords(bytes))
    .find(({ name }) => !name.startsWith('UTF') && name !== 'ASCII');
  if (found === undefined) return null;
  if (found.name === 'ISO-8859-2') {
    const text = bytes.toString('latin1');
    const [iso, windows] = [ISO_8859_2_LETTERS, WINDOWS_1250_LETTERS].map(
      (letters) => text.match(letters)?.length ?? 0,
    );
    return (iso ?? 0) > (windows ?? 0) ? 'iso-8859-2' : 'windows-1250';
  }
  return EXTENDED[found.name] ?? found.name.toLowerCase();
}

/** Of the first bytes, the share that is zero in UTF-16: blanks, digits and line ends are in the texts of all languages. */
const LEAST_ZEROS = 0.03;
/** Fewer zeros may be slips of a program. */
const LEAST_COUNT = 4;

/** UTF-16 or UTF-32 without a mark: zeros stand only where such texts have them, which UTF-8 allows and no text has. */
function unmarkedUnicode(head: Buffer): 'utf-16le' | 'utf-16be' | 'utf-32le' | 'utf-32be' | null {
  const sample = head.subarray(0, 4096);
  const zeros = [0, 0, 0, 0];
  for (const [at, byte] of sample.entries()) if (byte === 0) zeros[at % 4] = (zeros[at % 4] ?? 0) + 1;
  const [first = 0, second = 0, third = 0, fourth = 0] = zeros;
  const quarter = Math.floor(sample.length / 4);
  if (quarter === 0) return null;
  // No character takes more than three bytes, and hardly any more than two.
  if (fourth >= quarter && third > quarter / 2 && first === 0) return 'utf-32le';
  if (first >= quarter && second > quarter / 2 && fourth === 0) return 'utf-32be';
  const [even, odd] = [first + third, second + fourth];
  if (even + odd < Math.max(LEAST_COUNT, LEAST_ZEROS * sample.length)) return null;
  if (even === 0) return 'utf-16le';
  return odd === 0 ? 'utf-16be' : null;
}

const LOOKS_LIKE = ' UTF-8, but looks like ';

/** Why the rows of a file are bad that seems to be of another encoding. */
export function otherEncoding(encoding: string): string {
  return `not valid${LOOKS_LIKE}${encoding}`;
}

/** The encoding in a reason of `otherEncoding`. */
export function encodingIn(reason: string): string | undefined {
  return reason.split(LOOKS_LIKE)[1];
}
