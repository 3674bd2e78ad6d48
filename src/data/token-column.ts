// The labels of the words of a split, in two bytes each: what they are called, by which scheme they are written, and as which
// ids a task takes them.
import {
  entitiesOf,
  illegalLabels,
  inScheme,
  schemeOf,
  OUTSIDE,
  type LabelScheme,
} from '../tasks/label-schemes.js';
import { sortTokenLabels, type LabelReader, type Task } from '../tasks/index.js';
import { UsageError } from '../util/errors.js';
import { counted } from '../util/text.js';
import { LabelStore, MAX_CLASSES } from './label-store.js';
import { unknownLabel } from './label-values.js';

const PREFIX = /^[BIESLU]-/;

/** How labels are written, and how they are to be read: null for labels without prefixes. */
export interface SchemeReading {
  readonly from: LabelScheme | null;
  readonly to: LabelScheme | null;
}

export class TokenColumn {
  readonly #store: LabelStore;
  #size = 0;
  /** Shared by the splits of a data set. */
  reading: SchemeReading = { from: null, to: null };

  /** @param column for messages */
  constructor(column: string) {
    this.#store = new LabelStore(
      () =>
        new UsageError(
          `The column ${JSON.stringify(column)} has more than ${MAX_CLASSES} different labels; name another with labelColumn`,
        ),
    );
  }

  get size(): number {
    return this.#size;
  }

  /** As written, in the order in which they came. */
  get names(): readonly string[] {
    return this.#store.names;
  }

  add(labels: readonly string[]): void {
    this.#store.pushNames(labels);
    this.#size += 1;
  }

  /** The labels of a row's words as they are written. */
  writtenAt(row: number): readonly string[] {
    return this.#store.namesAt(row);
  }

  /** The labels of a row's words. */
  at(row: number): readonly string[] {
    return this.read(this.writtenAt(row));
  }

  /** Labels as they are written, in the scheme in which they are read. */
  read(labels: readonly string[]): readonly string[] {
    const { from, to } = this.reading;
    if (from === null || from === to) return labels;
    return to === null ? labels.map((label) => label.replace(PREFIX, '')) : inScheme(labels, from, to);
  }

  /** A number for each row, equal for rows whose rarest type of entity is the same: what stratifying means for entities. */
  strata(): Uint32Array {
    const counts = new Map<string, number>();
    const typesOf = (row: number): Set<string> => new Set(entitiesOf(this.at(row)).map(({ type }) => type));
    for (let row = 0; row < this.#size; row++)
      for (const type of typesOf(row)) counts.set(type, (counts.get(type) ?? 0) + 1);
    const rarest = [...counts].toSorted(([, a], [, b]) => a - b).map(([type]) => type);
    return Uint32Array.from({ length: this.#size }, (_, row) => {
      const types = typesOf(row);
      return 1 + rarest.findIndex((type) => types.has(type));
    });
  }

  /** How many labels stand where their scheme does not let them, and the first row with one. */
  illegal(): { count: number; row: number } {
    const found = { count: 0, row: 0 };
    const { from } = this.reading;
    if (from === null) return found;
    for (let row = 0; row < this.#size; row++) {
      const count = illegalLabels(this.writtenAt(row), from);
      if (found.count === 0) found.row = row;
      found.count += count;
    }
    return found;
  }
}

/**
 * The scheme that labels are written by. B and I alone are IOB2, unless most entities begin with I-, as in the files of
 * CoNLL-2003.
 */
export function writtenScheme(columns: readonly TokenColumn[]): LabelScheme | null {
  const scheme = schemeOf(new Set(columns.flatMap(({ names }) => names)));
  if (scheme !== 'IOB2') return scheme;
  let [begun, all] = [0, 0];
  for (const column of columns)
    for (let row = 0; row < column.size; row++) {
      const labels = column.writtenAt(row);
      for (const { start } of entitiesOf(labels)) {
        all += 1;
        if (labels[start]?.startsWith('B') === true) begun += 1;
      }
    }
  return 2 * begun < all ? 'IOB1' : scheme;
}

/**
 * The labels of a task, and how they are read: in the scheme of those that are given, else in IOB2.
 *
 * @param given the label map, where there is one
 */
export function tokenLabels(
  columns: readonly TokenColumn[],
  given: readonly string[] | undefined,
): { labels: readonly string[]; reading: SchemeReading } {
  const from = writtenScheme(columns);
  const to = given === undefined ? (from === null ? null : 'IOB2') : schemeOf(given);
  const reading = { from, to };
  if (given !== undefined) {
    const twice = given.find((name, i) => given.indexOf(name) !== i);
    if (twice !== undefined) throw new UsageError(`The label list names ${JSON.stringify(twice)} twice`);
    return { labels: given, reading };
  }
  const names = new Set(columns.flatMap((column) => column.names));
  if (from === null || to === null || from === to) return { labels: sortTokenLabels(names), reading };
  const types = [...names].filter((name) => name !== OUTSIDE).map((name) => `B${name.slice(1)}`);
  return { labels: sortTokenLabels(types), reading };
}

/**
 * The ids of the words of rows, text after text.
 *
 * @param place of a row, for messages
 * @throws UsageError for a label that the task does not have
 */
export function tokenLabelReader(
  column: TokenColumn,
  task: Task,
  place: (row: number) => string,
): LabelReader {
  const ids = new Map(task.labels.map((label, id) => [label, id]));
  for (let row = 0; row < column.size; row++) {
    const unknown = column.at(row).find((label) => !ids.has(label));
    if (unknown !== undefined) throw new UsageError(`${place(row)}: ${unknownLabel(unknown, task.labels)}`);
  }
  return (rows) =>
    task.collate(Array.from(rows, (row) => ({ ids: column.at(row).map((label) => ids.get(label) ?? -100) })));
}

/** What a person should know of how the labels were read, a line each. */
export function readingNotes(
  { from, to }: SchemeReading,
  illegal: number,
  firstIllegal: () => string,
): string[] {
  const notes: string[] = [];
  if (from !== null && from !== to)
    notes.push(`The labels are ${from}, and read ${to === null ? 'without their prefixes' : `as ${to}`}`);
  if (illegal > 0)
    notes.push(
      `${counted(illegal, 'label stands', 'labels stand')} where ${from} does not allow it, such as an I- that no B- begins; ` +
        `the first at ${firstIllegal()}: as conlleval does, an entity is taken to begin there`,
    );
  return notes;
}
