// Files whose content is not what their name says, and formats that people have but cannot be read: what they are, and what to do.

export type Format = 'csv' | 'tsv' | 'jsonl' | 'json' | 'text' | 'conll' | 'parquet';
export type Compression = 'none' | 'gzip' | 'zstd';

/** Enough of a file to tell. */
export const HEAD_BYTES = 512;

interface Kind {
  /** What its bytes begin with, a character for each. */
  begins: readonly string[] | RegExp;
  what: string;
  remedy: string;
  /** Where it is no fault. */
  isFor?: (format: Format, compression: Compression) => boolean;
}

const ends = (ending: string): string => `give it a name that ends in ${ending}`;
const IN_PYTHON = 'write it as Parquet in Python, and name that file';

const ENCRYPTED = 'is an encrypted Parquet file';
const UNENCRYPTED = 'write it again without encryption';
export const ENCRYPTED_PARQUET = `${ENCRYPTED}; ${UNENCRYPTED}`;

/** Parquet's marks are letters, which also begin texts; the numbers behind them are no characters of a text. */
const KINDS: readonly Kind[] = [
  {
    begins: ['\x1f\x8b'],
    what: 'is compressed with gzip',
    remedy: ends('.gz'),
    isFor: (_, compression) => compression === 'gzip',
  },
  {
    begins: ['\x28\xb5\x2f\xfd'],
    what: 'is compressed with Zstandard',
    remedy: ends('.zst'),
    isFor: (_, compression) => compression === 'zstd',
  },
  { begins: /^BZh[1-9]1AY&SY/, what: 'is compressed with bzip2', remedy: 'decompress it' },
  { begins: ['\xfd7zXZ'], what: 'is compressed with xz', remedy: 'decompress it' },
  {
    begins: ['PK\x03\x04', '\xd0\xcf\x11\xe0'],
    what: 'is a workbook or a ZIP archive',
    remedy: 'save the sheet as CSV, or unpack the archive',
  },
  {
    begins: /^PAR1[^]{0,3}[^\t-\r\x20-\xff]/,
    what: 'is a Parquet file',
    remedy: ends('.parquet'),
    isFor: (format) => format === 'parquet',
  },
  { begins: /^PARE[^]{0,3}[^\t-\r\x20-\xff]/, what: ENCRYPTED, remedy: UNENCRYPTED },
  { begins: ['ARROW1\0'], what: "is in Arrow's format", remedy: IN_PYTHON },
  { begins: ['SQLite format 3\0'], what: 'is a database of SQLite', remedy: 'export the table as CSV' },
  { begins: ['%PDF-'], what: 'is a PDF document', remedy: 'rows are read from tables' },
  {
    begins: /^(?:\xef\xbb\xbf)?\s*<(?:!doctype\s+html|html|head|body)[\s>]/i,
    what: 'is a web page, not the file itself',
    remedy: 'download it again; the address may need a login, or another link',
    isFor: (format) => format === 'text' || format === 'conll',
  },
  {
    begins: /^(?:\xef\xbb\xbf)?\s*<\?xml\s/,
    what: 'is XML',
    remedy: 'convert it to CSV or JSON Lines',
    isFor: (format) => format === 'text' || format === 'conll',
  },
  {
    begins: /^(?:\xef\xbb\xbf)?\s*\[?\s*\{\s*"[^"\r\n]*"\s*:/,
    what: 'holds JSON',
    remedy: ends('.jsonl, or in .json'),
    isFor: (format) => format !== 'csv' && format !== 'tsv',
  },
];

/** What the first bytes of a file are, where its name promises something else, and what to do; null where they may be right. */
export function otherContent(head: Buffer, format: Format, compression: Compression): string | null {
  const text = head.toString('latin1', 0, HEAD_BYTES);
  const found = KINDS.find(({ begins }) =>
    begins instanceof RegExp ? begins.test(text) : begins.some((bytes) => text.startsWith(bytes)),
  );
  if (found === undefined || found.isFor?.(format, compression) === true) return null;
  return `${found.what}; ${found.remedy}`;
}

const ENDINGS: readonly (readonly [ending: RegExp, remedy: string])[] = [
  [/\.(?:xlsx?|xlsm|ods)$/i, 'save the sheet as CSV'],
  [/\.(?:zip|7z|rar|tar|tgz|tar\.gz)$/i, 'unpack it first'],
  [/\.(?:bz2|xz|lz4)$/i, 'decompress it, or compress it with gzip'],
  [/\.(?:pkl|pickle|pt|npy|npz|orc|avro|sav|dta|rds|h5|hdf5?)$/i, IN_PYTHON],
];

/** What to do about a file of a known format that is not read; null where that is not known. */
export function remedyForEnding(name: string): string | null {
  return ENDINGS.find(([ending]) => ending.test(name))?.[1] ?? null;
}
