// How a CSV file is written: what separates its fields and what quotes mean. Spreadsheets in much of Europe write
// semicolons, and exports called .csv hold tabs; an unmistakable delimiter wins over the one that the extension implies.
import { CsvError, type Options, parse } from 'csv-parse/sync';

export type Delimiter = ',' | '\t' | ';' | '|';

/**
 * What quotes mean: `minimal`, that they keep a field together (csv.QUOTE_MINIMAL of Python); `none`, nothing, they are
 * characters like others, as in the files of GLUE (csv.QUOTE_NONE).
 */
export type Quoting = 'minimal' | 'none';

/** As Python's csv module calls it. */
export interface Dialect {
  readonly delimiter: Delimiter;
  readonly quoting: Quoting;
  /** Makes the character behind it one like others, within quotes and without: `escapechar` of Python; null for none. */
  readonly escape: string | null;
}

/** Rows may have any number of fields, and quotes stand where a field does not begin; blank lines are skipped. */
export function csvOptions({ delimiter, quoting, escape }: Dialect): Options {
  return {
    delimiter,
    quote: quoting === 'none' ? null : '"',
    escape: escape ?? '"',
    record_delimiter: ['\r\n', '\n', '\r'],
    relax_column_count: true,
    relax_quotes: true,
    skip_empty_lines: true,
  };
}

const DELIMITERS: readonly Delimiter[] = [',', '\t', ';', '|'];

/** Rows behind the header that have to agree. */
const ROWS = 20;

/** The header and a few rows; a longer header is read with the delimiter of the extension. */
const HEAD_BYTES = 65_536;

/**
 * The delimiter of a file. It is another than the usual one only where that makes one column of the header, exactly one
 * other makes several, and then each of the first rows has as many fields.
 *
 * @param bytes the head of the file: whole lines, without a byte order mark
 * @param expected how the file is written, but for the delimiter if it is another
 * @param isAll whether nothing follows the bytes
 * @returns null where more bytes are needed to tell
 */
export function delimiterOf(bytes: Buffer, expected: Dialect, isAll: boolean): Delimiter | null {
  const { delimiter: usual } = expected;
  const head = headOf(bytes);
  const mayGrow = !isAll && bytes.length < HEAD_BYTES;
  const columns = (delimiter: Delimiter): number => firstWidths(head, { ...expected, delimiter }, 1)[0] ?? 0;
  const usually = columns(usual);
  if (usually !== 1) return usually === 0 && mayGrow ? null : usual;
  const [found, ...others] = DELIMITERS.filter((delimiter) => columns(delimiter) > 1);
  if (found === undefined || others.length > 0) return usual;
  const [width, ...rows] = firstWidths(head, { ...expected, delimiter: found }, ROWS + 1);
  if (rows.length < ROWS && mayGrow) return null;
  return rows.length > 0 && rows.every((fields) => fields === width) ? found : usual;
}

/** Whole lines: a record that is cut has fewer fields. Cut at a line end within quotes, it has none. */
function headOf(bytes: Buffer): Buffer {
  const head = bytes.subarray(0, HEAD_BYTES);
  if (head.length === bytes.length) return head;
  return head.subarray(0, Math.max(head.lastIndexOf('\n'), head.lastIndexOf('\r')) + 1);
}

/** The numbers of fields of the first records, up to one with a quote that is never closed. */
function firstWidths(head: Buffer, dialect: Dialect, records: number): number[] {
  const widths: number[] = [];
  try {
    parse(head, {
      ...csvOptions(dialect),
      to: records,
      on_record: (fields: string[]) => void widths.push(fields.length),
    });
  } catch (error) {
    if (!(error instanceof CsvError)) throw error;
  }
  return widths;
}

/**
 * The delimiter that a first line such as `sep=;` declares, as some programs write it for Excel. The line is no header.
 *
 * @param bytes the head of the file: whole lines, without a byte order mark
 * @returns also the length of the line with its end, in bytes; null where there is none
 */
export function separatorLine(bytes: Buffer): { delimiter: Delimiter; length: number } | null {
  const match = /^("?)sep=(.)\1(?:\r\n|\n|\r|$)/i.exec(bytes.toString('latin1', 0, '"sep=;"\r\n'.length));
  const delimiter = DELIMITERS.find((known) => known === match?.[2]);
  return match === null || delimiter === undefined ? null : { delimiter, length: match[0].length };
}

/** Its name in messages. */
export function delimiterName(delimiter: Delimiter): string {
  return { ',': 'commas', '\t': 'tabs', ';': 'semicolons', '|': 'vertical bars' }[delimiter];
}
