// Texts that are in no file: those of `predict --text`, and standard input, JSON Lines or a text a line, as JSON Lines.
import { Readable } from 'node:stream';
import { labelledColumns } from '../data/columns.js';
import { encodingOf, recognizeEncoding, Utf8Stream } from '../data/encoding.js';
import { UsageError } from '../util/errors.js';
import { linesOf, quoted } from '../util/text.js';

/** The options that decide how texts become rows. */
interface TextOptions {
  /** The column that the model reads. */
  textColumn?: string;
  /** A line that is longer is refused. */
  maxRowBytes?: number;
  /** Of the bytes of standard input; default UTF-8. */
  encoding?: string;
}

/** @throws UsageError for a text of nothing, but where bad rows are skipped and some are left */
export function requireTexts(texts: readonly string[], { badRows }: { badRows: 'stop' | 'skip' }): void {
  const empty = texts.findIndex((text) => text.trim() === '');
  if (empty === -1 || (badRows === 'skip' && texts.some((text) => text.trim() !== ''))) return;
  const which = texts.length === 1 ? '--text is' : `text ${empty + 1} of --text is`;
  const found = texts[empty] === '' ? 'empty' : 'nothing but white space';
  throw new UsageError(`${which} ${found}; give it at least one word`);
}

/** Texts as rows of the one column that the model reads. */
export async function* asRows(
  texts: Iterable<string> | AsyncIterable<string>,
  { textColumn = 'text' }: TextOptions,
): AsyncGenerator<string> {
  for await (const text of texts) yield `${JSON.stringify({ [textColumn]: text })}\n`;
}

/**
 * Decides by the first line that is not blank: the start of an object of JSON, or of an array of them, means JSON.
 *
 * @returns the rows as text of a .jsonl file, whether they bring columns of their own, and remarks on how they are read
 * @throws UsageError where there is nothing to read, and for CSV
 */
export async function readStandardInput(
  input: AsyncIterable<Uint8Array>,
  options: TextOptions,
): Promise<{ rows: AsyncIterable<string>; hasColumns: boolean; notes: readonly string[] }> {
  const bytes = new Utf8Stream('standard input', await encodingOf(options.encoding));
  const lines = shortLines(decoded(input, bytes), options.maxRowBytes ?? MOST_BYTES);
  const before: string[] = [];
  let first = await lines.next();
  while (first.done !== true && first.value.trim() === '') {
    before.push(first.value);
    first = await lines.next();
  }
  if (first.done === true)
    throw new UsageError('standard input is empty; give it a text a line, or JSON Lines');
  const all = startingWith([...before, first.value], lines);
  const hasColumns = isJson(first.value);
  if (!hasColumns && isHeader(first.value, options))
    throw new UsageError(
      `standard input begins with ${quoted(first.value)}, which is the header of a table; it takes JSON Lines or a text ` +
        'a line: give the table as a file, such as --test-file rows.csv',
    );
  return { rows: hasColumns ? withLineFeeds(all) : asRows(all, options), hasColumns, notes: bytes.notes };
}

/** Whether a line is the names of columns, that of the texts or usual ones among them. */
function isHeader(line: string, { textColumn = 'text' }: TextOptions): boolean {
  return [',', ';', '\t', '|'].some((delimiter) => {
    const names = line.split(delimiter).map((name) => name.replace(/^"(.*)"$/, '$1'));
    // Names do not begin with a blank, as what follows a comma in a text does.
    if (names.some((name) => name !== name.trim())) return false;
    return names.includes(textColumn) || labelledColumns(names);
  });
}

const MOST_BYTES = 2 ** 24;

/** Rows of JSON may be laid out over several lines, so that the first one need not be JSON by itself. */
function isJson(line: string): boolean {
  const start = line.trim();
  return /^(\[\s*)?\{\s*("|\}|$)|^\[\s*(\[|$)/.test(start) || isListOfTexts(start);
}

/** `["a film", "another"]`, as a .json file may have it too. */
function isListOfTexts(line: string): boolean {
  if (!/^\[\s*"/.test(line)) return false;
  try {
    return Array.isArray(JSON.parse(line));
  } catch {
    return false;
  }
}

async function* startingWith(first: readonly string[], rest: AsyncIterable<string>): AsyncGenerator<string> {
  yield* first;
  yield* rest;
}

async function* withLineFeeds(lines: AsyncIterable<string>): AsyncGenerator<string> {
  for await (const line of lines) yield `${line}\n`;
}

/** @throws UsageError for bytes that are not of the encoding */
async function* decoded(input: AsyncIterable<Uint8Array>, stream: Utf8Stream): AsyncGenerator<string> {
  const decoder = new TextDecoder('utf-8', { fatal: true });
  let last: Buffer = Buffer.alloc(0);
  const seen = async function* (): AsyncGenerator<Buffer> {
    for await (const chunk of input) yield (last = Buffer.from(chunk));
  };
  try {
    for await (const chunk of stream.decode(seen())) yield decoder.decode(chunk, { stream: true });
    yield decoder.decode();
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    throw await notDecoded(last, stream.encoding, error);
  }
}

async function notDecoded(bytes: Buffer, encoding: string | null, cause: TypeError): Promise<UsageError> {
  if (encoding !== null)
    return new UsageError(`standard input is not valid ${encoding}; name its own encoding`, { cause });
  const found = await recognizeEncoding(Readable.from([bytes]));
  return new UsageError(
    found === null
      ? 'standard input is not UTF-8; read it with encoding windows-1252, or what it is in'
      : `standard input is not UTF-8, but looks like ${found}; read it with encoding ${found}`,
    { cause },
  );
}

/** @throws UsageError for a line of more than `most` characters */
async function* shortLines(pieces: AsyncIterable<string>, most: number): AsyncGenerator<string> {
  const check = (length: number): void => {
    if (length > most)
      throw new UsageError(
        `A line of standard input is longer than maxRowBytes, ${most}; raise it, or cut the texts`,
      );
  };
  for await (const line of linesOf(pieces, check)) yield line.replace(/\r$/, '');
}
