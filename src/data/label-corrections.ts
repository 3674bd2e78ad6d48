// The file of label errors that `inspect` writes, after a person edited it: its suggested labels in place of the given ones.
import { createHash } from 'node:crypto';
import { UsageError } from '../util/errors.js';
import { labelMembers } from './label-cells.js';
import { isBlank, labelIds, labelText, numberOf, unknownLabel } from './label-values.js';
import type { LabelColumn } from './labels.js';
import type { RawRecord } from './records.js';
import { readPlaced } from './source.js';
import type { Split } from './split.js';

/** What joins several labels in a cell of the file. */
const DELIMITER = '|';
const AGAIN =
  'the rows are others than those in which the errors were found; find them again with inspect --label-errors';

/**
 * Gives the rows of a file of label errors their suggested labels, as a person left them. A row without one keeps its label,
 * and so does every row that is not in the file.
 *
 * @param split all rows of the training data, with their labels
 * @throws UsageError naming the line, for rows with another text or label than the file has, and for unknown labels
 */
export async function correctLabels(split: Split, path: string): Promise<void> {
  const { labels } = split;
  if (labels === null || labels.kind === 'float' || labels.kind === 'probabilities')
    throw new UsageError(
      'labelCorrections is for texts whose labels are classes, and these rows have others or none; leave it out',
    );
  const corrected = new Map<number, readonly string[]>();
  const placeOf = new Map<number, string>();
  for await (const { record, place } of readPlaced(path)) {
    const row = rowOf(record, labels, place);
    const before = placeOf.get(row);
    if (before !== undefined)
      throw new UsageError(`${place}: row ${row} is in ${before} already; leave out one`);
    placeOf.set(row, place);
    if (row >= split.size) continue; // beyond maxTrainSamples
    await requireSame(record, row, split, labels, place);
    const suggested = record.value('suggested_label');
    if (!isBlank(suggested))
      corrected.set(row, namesIn(suggested, labels, `${place}, column "suggested_label"`));
  }
  const digest = createHash('sha256')
    .update(JSON.stringify([...corrected]))
    .digest('hex');
  labels.correct(corrected, { path, digest });
}

const NEEDED = ['row', 'text', 'label', 'suggested_label'] as const;

function rowOf(record: RawRecord, { rows }: LabelColumn, place: string): number {
  const columns = record.columns();
  const lacking = NEEDED.find((name) => !columns.includes(name) && name !== 'suggested_label');
  if (lacking !== undefined)
    throw new UsageError(
      `${place}: there is no column ${JSON.stringify(lacking)}; labelCorrections takes a file of inspect --label-errors, with ${NEEDED.join(', ')}`,
    );
  const row = numberOf(record.value('row'));
  if (row === null || !Number.isInteger(row) || row < 0)
    throw new UsageError(
      `${place}, column "row": expected the number of a row but found ${shown(record.value('row'))}`,
    );
  if (row >= rows) throw new UsageError(`${place}: there is no row ${row}: the data have ${rows}; ${AGAIN}`);
  return row;
}

/** Text and label must be those that the file has, or the data have changed. */
async function requireSame(
  record: RawRecord,
  row: number,
  split: Split,
  labels: LabelColumn,
  place: string,
): Promise<void> {
  const [example] = await split.read([row]);
  const text = String(record.value('text'));
  if (example !== undefined && ![example.text, `'${example.text}`].some((own) => plain(own) === plain(text)))
    throw new UsageError(`${place}: row ${row} (${split.place(row)}) has another text; ${AGAIN}`);
  const given = namesIn(record.value('label'), labels, `${place}, column "label"`);
  if (given.toSorted().join('\n') !== labels.at(row).toSorted().join('\n'))
    throw new UsageError(
      `${place}: row ${row} (${split.place(row)}) has the label ${labels.shownAt(row)}, not ${given.join(DELIMITER)}; ${AGAIN}`,
    );
}

/** Spreadsheets change the ends of lines, and blanks at the ends of cells. */
function plain(text: string): string {
  return text.trim().replaceAll(/\s+/g, ' ');
}

/** The labels of a cell, as the data write them. */
function namesIn(value: unknown, labels: LabelColumn, where: string): string[] {
  const members = labels.kind === 'list' ? labelMembers(value, DELIMITER) : [value];
  const { known } = labels;
  const idOf = labelIds(known, labels.isFolded);
  return members.map((member) => {
    const read = labelText(member);
    if ('problem' in read) throw new UsageError(`${where}: ${read.problem}`);
    // The apostrophe is what keeps a spreadsheet from computing =1+1.
    const id = idOf(read.value) ?? (read.value.startsWith("'") ? idOf(read.value.slice(1)) : undefined);
    const name = id === undefined ? undefined : known[id];
    if (name === undefined) throw new UsageError(`${where}: ${unknownLabel(read.value, known)}`);
    return name;
  });
}

function shown(value: unknown): string {
  return typeof value === 'string' || typeof value === 'number' ? JSON.stringify(value) : 'none';
}
