// Texts that are in no file: those of `predict --text`, and standard input, JSON Lines or a text a line, as JSON Lines.
import { UsageError } from '../util/errors.js';

/** The options that decide how texts become rows. */
interface TextOptions {
  /** The column that the model reads. */
  textColumn?: string;
  /** A line that is longer is refused. */
  maxRowBytes?: number;
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
 * @returns the rows as text of a .jsonl file, and whether they bring columns of their own
 * @throws UsageError where there is nothing to read
 */
export async function readStandardInput(
  input: AsyncIterable<Uint8Array>,
  options: TextOptions,
): Promise<{ rows: AsyncIterable<string>; hasColumns: boolean }> {
  const lines = linesOf(decoded(input), options.maxRowBytes ?? MOST_BYTES);
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
  return { rows: hasColumns ? withLineFeeds(all) : asRows(all, options), hasColumns };
}

const MOST_BYTES = 2 ** 24;

/** Rows of JSON may be laid out over several lines, so that the first one need not be JSON by itself. */
function isJson(line: string): boolean {
  return /^(\[\s*)?\{\s*("|\}|$)|^\[\s*(\[|$)/.test(line.trim());
}

async function* startingWith(first: readonly string[], rest: AsyncIterable<string>): AsyncGenerator<string> {
  yield* first;
  yield* rest;
}

async function* withLineFeeds(lines: AsyncIterable<string>): AsyncGenerator<string> {
  for await (const line of lines) yield `${line}\n`;
}

/** @throws UsageError for what is not UTF-8 */
async function* decoded(input: AsyncIterable<Uint8Array>): AsyncGenerator<string> {
  const decoder = new TextDecoder('utf-8', { fatal: true });
  try {
    for await (const chunk of input) yield decoder.decode(chunk, { stream: true });
    yield decoder.decode();
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    throw new UsageError('standard input is not UTF-8 text; convert it, e.g. with iconv -t utf-8', {
      cause: error,
    });
  }
}

/** @throws UsageError for a line of more than `most` characters */
async function* linesOf(pieces: AsyncIterable<string>, most: number): AsyncGenerator<string> {
  let rest = '';
  for await (const piece of pieces) {
    const lines = (rest + piece).split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) yield line.replace(/\r$/, '');
    if (rest.length > most)
      throw new UsageError(
        `A line of standard input is longer than maxRowBytes, ${most}; raise it, or cut the texts`,
      );
  }
  if (rest !== '') yield rest.replace(/\r$/, '');
}
