// A split of a data set of labelled tokens: words with labels, texts with marked parts, or CoNLL files.
import { UsageError } from '../util/errors.js';
import { encodingOf } from './encoding.js';
import type { DataInput, SplitOptions } from './indexer.js';
import type { Example } from './row.js';
import { digestOfInputs, inputsOf, readIndexed, type Split } from './split.js';
import { readingNotes } from './token-column.js';
import type { TokenOptions } from './token-form.js';
import { entitiesIn } from './token-labels.js';
import { indexTokens, type IndexedTokens } from './token-indexer.js';

/** Options that mean nothing for tokens. */
const FOREIGN = [
  'textPairColumn',
  'labelDelimiter',
  'labelFormat',
  'foldLabels',
  'naLabels',
  'softLabels',
  'problemType',
] as const satisfies readonly (keyof SplitOptions)[];

/**
 * Opens the files of a split.
 *
 * @throws UsageError as `openSplit`, and for files without labelled words or marked parts
 */
export async function openTokenSplit(asked: SplitOptions): Promise<Split> {
  const { labelColumn: labels, ...rest } = asked;
  const [labelColumn, another] = [labels ?? []].flat();
  if (another !== undefined)
    throw new UsageError('labelColumn names several columns; the labels of tokens are in one');
  const options: TokenOptions = { ...rest, ...(labelColumn !== undefined && { labelColumn }) };
  const foreign = FOREIGN.find((name) => options[name] !== undefined && options[name] !== false);
  if ((options.passthroughColumns ?? []).length > 0)
    throw new UsageError('idColumn does not go with texts that are split into words; leave it out');
  if (foreign !== undefined)
    throw new UsageError(`${foreign} does not go with token classification; leave it out`);
  const encoding = await encodingOf(options.encoding);
  const inputs = await inputsOf(options);
  return new TokenSplit(options, encoding, inputs, await indexTokens(inputs, options));
}

class TokenSplit implements Split {
  readonly name;
  readonly size;
  readonly columns;
  readonly passthrough = [];
  readonly labels = null;
  readonly labelKind = 'list';
  readonly labelValues = [];
  readonly tokens;
  readonly hasSpans;
  readonly entityOffsets;
  readonly badRows;
  readonly rejected;
  readonly hashes;
  readonly groups;
  readonly quoting = null;
  readonly encoding;
  readonly jsonField;
  readonly escape = undefined;
  readonly textUnit = undefined;
  readonly naLabels = undefined;
  readonly maxRowBytes;
  private readonly rows;
  private readonly isLabelled;
  private readonly ownNotes;
  private digested: Promise<string> | undefined;

  constructor(
    { name, needsLabels, maxSamples = Infinity, jsonField, maxRowBytes, entityOffsets }: TokenOptions,
    encoding: string | null,
    private readonly files: readonly DataInput[],
    { rows, columns, column, badRows, rejected, hashes, groups, hasSpans, notes }: IndexedTokens,
  ) {
    this.name = name;
    this.size = Math.min(rows.size, maxSamples);
    this.columns = columns;
    this.tokens = column;
    this.hasSpans = hasSpans;
    this.entityOffsets = entityOffsets;
    this.badRows = badRows;
    this.rejected = rejected;
    this.ownNotes = notes;
    this.hashes = hashes;
    this.groups = groups;
    this.encoding = files.some(({ format }) => format !== 'parquet' && format !== 'rows') ? encoding : null;
    this.jsonField = jsonField;
    this.maxRowBytes = maxRowBytes;
    this.rows = rows;
    this.isLabelled = needsLabels;
  }

  /** How labels are read is known once the labels of all splits are. */
  get notes(): readonly string[] {
    const illegal = this.tokens.illegal();
    return [
      ...this.ownNotes,
      ...readingNotes(this.tokens.reading, illegal.count, () => this.place(illegal.row)),
    ];
  }

  async preview(n: number): Promise<(Example & { label: string | null })[]> {
    const rows = Array.from({ length: Math.min(n, this.size) }, (_, row) => row);
    const examples = await this.read(rows);
    return examples.map((example) =>
      Object.assign({}, example, { label: this.isLabelled ? shownEntities(example) : null }),
    );
  }

  async read(indices: ArrayLike<number>): Promise<Example[]> {
    return Promise.all(Array.from(indices, (row) => this.readRow(row)));
  }

  place(row: number): string {
    return this.rows.place(row);
  }

  digest(): Promise<string> {
    this.digested ??= digestOfInputs(this.files);
    return this.digested;
  }

  async close(): Promise<void> {
    await Promise.all([this.rows.close(), this.badRows.close()]);
  }

  private async readRow(row: number): Promise<Example> {
    const example = await readIndexed(row, { size: this.size, rows: this.rows, hashes: this.hashes });
    const { marks } = example;
    if (marks === undefined || 'spans' in marks) return example;
    return { ...example, marks: { ...marks, labels: this.tokens.read(marks.labels) } };
  }
}

/** The entities of a row, for people to look at. */
export function shownEntities(example: Example): string {
  const found = entitiesIn(example).map(
    ({ start, end, label }) => `${example.text.slice(start, end)} (${label})`,
  );
  return found.length === 0 ? 'no entity' : found.join(', ');
}
