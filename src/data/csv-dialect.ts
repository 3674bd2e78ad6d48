// How a CSV file is written, and what csv-parse has to be told of it.
import type { Options } from 'csv-parse/sync';

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
}

/** Rows may have any number of fields, and quotes stand where a field does not begin; blank lines are passed over. */
export function csvOptions({ delimiter, quoting }: Dialect): Options {
  return {
    delimiter,
    quote: quoting === 'none' ? null : '"',
    record_delimiter: ['\r\n', '\n', '\r'],
    relax_column_count: true,
    relax_quotes: true,
    skip_empty_lines: true,
  };
}
