// Remarks on labels that are legal but probably not meant.

import type { LabelColumn } from './labels.js';

/** One line for each remark; `size` is the number of rows in use. */
export function labelNotes(labels: LabelColumn, size: number): string[] {
  if (labels.kind === 'float') return [];
  return [
    ...joinedNames(labels),
    ...lookAlikes(labels.values),
    ...oneClass(labels, size),
    ...oneRowEach(labels, size),
  ];
}

function joinedNames(labels: LabelColumn): string[] {
  const joined = labels.kind === 'string' ? labels.values.find((label) => label.includes('|')) : undefined;
  if (joined === undefined) return [];
  return [
    `The label ${JSON.stringify(joined)} is taken as one name; ` +
      `--problem-type multi_label_classification reads names joined by "|" as several labels`,
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
