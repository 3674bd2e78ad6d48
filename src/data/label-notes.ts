// Remarks on labels that are legal but probably not meant.
import { multiLabel, singleLabel } from '../tasks/index.js';
import { counted } from '../util/text.js';
import type { LabelColumn } from './labels.js';

/** One line for each remark; `size` is the number of rows in use. */
export function labelNotes(labels: LabelColumn, size: number): string[] {
  if (labels.kind === 'probabilities') return [];
  if (labels.kind === 'float') return wholeScores(labels, size);
  return [
    ...joinedNames(labels),
    ...listsAsText(labels),
    ...wordsForNothing(labels.values),
    ...lookAlikes(labels.values),
    ...oneClass(labels, size),
    ...oneRowEach(labels, size),
    ...rowsOfNothing(labels, size),
  ];
}

function joinedNames(labels: LabelColumn): string[] {
  const joined = labels.kind === 'string' ? labels.values.find((label) => label.includes('|')) : undefined;
  if (joined === undefined) return [];
  return [
    `The label ${JSON.stringify(joined)} is taken as one name; ` +
      `problemType ${multiLabel.problemType} reads names joined by "|" as several labels`,
  ];
}

function lookAlikes(values: readonly string[]): string[] {
  const first = new Map<string, string>();
  const notes: string[] = [];
  for (const label of values) {
    const other = first.get(label.trim().toLowerCase());
    if (other === undefined) first.set(label.trim().toLowerCase(), label);
    else
      notes.push(
        `The labels ${JSON.stringify(other)} and ${JSON.stringify(label)} differ only in case or spaces`,
      );
  }
  return notes;
}

/** A file sorted by label and cut to its first rows. */
function oneClass(labels: LabelColumn, size: number): string[] {
  if (labels.kind === 'list' || labels.values.length < 2 || size < 2) return [];
  const [only] = labels.at(0);
  for (let row = 1; row < size; row++) {
    if (labels.at(row)[0] !== only) return [];
  }
  return [
    `The first ${size} rows all have the label ${JSON.stringify(only)}; the file seems to be sorted by label`,
  ];
}

/** A column of texts or numbers, taken for labels: no class has a second row to learn from. */
function oneRowEach(labels: LabelColumn, size: number): string[] {
  const fewRows = 10;
  if (labels.kind === 'list' || size < fewRows || labels.values.length < size) return [];
  const used = new Set(Array.from({ length: size }, (_, row) => labels.at(row)[0]));
  if (used.size < size) return [];
  return [`Each of the ${size} rows has a label of its own; is this the column of the labels?`];
}

/** A list that was written to CSV: pandas writes it as Python does. */
function listsAsText({ kind, values }: LabelColumn): string[] {
  const list = kind === 'list' ? undefined : values.find((label) => /^\[.*\]$/s.test(label));
  if (list === undefined) return [];
  return [
    `The label ${JSON.stringify(list)} is taken as one name; for several labels a row write a|b and give ` +
      `problemType ${multiLabel.problemType}, or write lists as JSON Lines or Parquet`,
  ];
}

/** What pandas and Python write for a value that is missing. Nothing else: "none" is a class of many data sets. */
function wordsForNothing(values: readonly string[]): string[] {
  const found = values.filter((label) => /^(?:NaN|nan|NA|N\/A|<NA>|None|null|NULL)$/.test(label));
  if (found.length === 0) return [];
  const named = found.map((label) => JSON.stringify(label)).join(' and ');
  return [
    `${named} ${found.length === 1 ? 'is a label' : 'are labels'} here; rows whose label is missing must be left out, or have nothing there`,
  ];
}

/** Classes whose numbers became decimals, as pandas makes them where one is missing. */
function wholeScores(labels: LabelColumn, size: number): string[] {
  if (labels.isKindGiven || size < 2) return [];
  const found = new Set<number>();
  for (let row = 0; row < size; row++) {
    const value = labels.numberAt(row);
    if (!Number.isInteger(value) || found.size > MOST_LIKELY_CLASSES) return [];
    found.add(value);
  }
  return [
    `The labels are whole numbers written as decimals, such as ${[...found][0]}.0, and taken as scores to predict; ` +
      `problemType ${singleLabel.problemType} takes them as classes`,
  ];
}

/** Scores of so few different whole numbers are rare. */
const MOST_LIKELY_CLASSES = 20;

/** A row of none of the labels, or one that is not labelled yet: the file does not show which. */
function rowsOfNothing(labels: LabelColumn, size: number): string[] {
  if (labels.kind !== 'list') return [];
  let rows = 0;
  for (let row = 0; row < size; row++) if (labels.at(row).length === 0) rows++;
  return rows === 0 ? [] : [`${counted(rows, 'row has', 'rows have')} no label: an example of none of them`];
}
