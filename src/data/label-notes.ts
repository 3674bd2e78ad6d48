// Remarks on labels: how lists were read, where the data decided it, and what is legal but probably not meant.
import { multiLabel, regression, singleLabel } from '../tasks/index.js';
import { counted } from '../util/text.js';
import { areSpacedNumbers, DELIMITERS } from './label-lists.js';
import { differenceOf, foldKey, isBlank, isIntegerText, isNumberText, numberProblem } from './label-values.js';
import { listOfText, partsOf } from './list-text.js';
import type { LabelColumn } from './labels.js';

/**
 * One line for each remark.
 *
 * @param size the number of rows in use
 * @param place where a row stands
 */
export function labelNotes(labels: LabelColumn, size: number, place: (row: number) => string): string[] {
  const read = howRead(labels, size, place);
  if (labels.kind === 'probabilities') return read;
  if (labels.kind === 'float') return [...read, ...wholeScores(labels, size)];
  return [
    ...read,
    ...(labels.kind === 'list' ? stillJoined(labels, size) : joinedNames(labels.values)),
    ...(labels.kind === 'list' ? [] : listsAsText(labels.values)),
    ...wordsForNothing(labels),
    ...lookAlikes(labels.values),
    ...withBlanks(labels),
    ...numbersAsText(labels.values),
    ...mergedNumbers(labels),
    ...oneClass(labels, size),
    ...oneRowEach(labels, size),
    ...(labels.kind === 'list' ? rowsOfLists(labels, size) : []),
  ];
}

const SHOWN_MEMBERS = 8;

/** What the data decided of lists, with an example. */
function howRead(labels: LabelColumn, size: number, place: (row: number) => string): string[] {
  const { reading, width } = labels;
  if (reading === null || size === 0 || labels.isFormatGiven) return [];
  const example = (row: number, values: readonly (string | number)[]): string => {
    const more = values.length > SHOWN_MEMBERS ? ', ...' : '';
    return `Labels such as [${values.slice(0, SHOWN_MEMBERS).join(', ')}${more}] at ${place(row)} are read as`;
  };
  switch (reading.format) {
    case 'names': {
      const row = firstRow(size, (each) => labels.at(each).length > 1);
      if (row === null) return [];
      if (labels.isSplit)
        return [
          `${example(row, labels.at(row))} several labels, written with ${JSON.stringify(reading.delimiter)} between them; labelDelimiter names another`,
        ];
      if (labels.isListText)
        return [`${example(row, labels.at(row))} several labels: the cells are lists written as text`];
      return labels.values.every(isIntegerText) ? [`${example(row, labels.at(row))} ids of classes`] : [];
    }
    case 'multi_hot': {
      if (labels.classNames !== null) return [];
      const hot = (labels.ordered ?? []).map((name) => (labels.at(0).includes(name) ? 1 : 0));
      return [
        `${example(0, hot)} zeros and ones by position, one for each of ${width} labels; ` +
          'labelFormat names takes them as ids of classes',
      ];
    }
    case 'probabilities': {
      const row = firstRow(size, (each) => !labels.valuesAt(each).every(Number.isInteger)) ?? 0;
      const isOne = labels.task === singleLabel;
      return [
        `${example(row, labels.at(row))} probabilities of ${width} labels${isOne ? ', of which a row has one' : ', each for itself'}; ` +
          `problemType ${(isOne ? multiLabel : regression).problemType} ${isOne ? 'takes each for itself' : 'takes them as numbers to predict'}`,
      ];
    }
    case 'numbers':
      if (width < 2 || labels.isKindGiven) return [];
      return [`${example(0, labels.at(0))} ${width} numbers to predict (${regression.problemType})`];
    default:
      return [];
  }
}

function firstRow(size: number, holds: (row: number) => boolean): number | null {
  for (let row = 0; row < size; row++) if (holds(row)) return row;
  return null;
}

/** A number of which another note says that pandas does not take it for one; 1,2 may be two ids just as well. */
const DECIMAL_COMMA = /^[+-]?\d{1,15}(?:\.\d{3}){0,4}(?:,\d{1,15})?$/;

/** What the labels of the first rows show of several in a cell, where some rows have none. */
export function severalNames(sample: readonly unknown[]): string[] {
  const texts = new Set(sample.filter((value) => typeof value === 'string' && !isBlank(value)).map(String));
  return [...joinedNames([...texts]), ...listsAsText([...texts])].map(
    (note) => `${note}, and an empty cell as none`,
  );
}

/** Several names in one cell; a comma is also part of names, so that it has to join what occurs elsewhere. */
function joinedNames(values: readonly string[]): string[] {
  if (values.every((label) => DECIMAL_COMMA.test(label)) && values.some((label) => /,\d\d/.test(label)))
    return [];
  for (const delimiter of [...DELIMITERS, ...(values.every(areSpacedNumbers) ? [' '] : [])]) {
    const joined = joinedBy(values, delimiter);
    const [first] = joined;
    if (first !== undefined && joined.length === values.length && values.every(areDecimals(delimiter)))
      return [
        `${asOneName(first)}; labelFormat probabilities or numbers ` +
          `with labelDelimiter ${JSON.stringify(delimiter)} reads it as ${partsOf(first, delimiter).length} numbers`,
      ];
    const recurs = recurrence(values, delimiter);
    const found = joined.find((label) => delimiter !== ',' || recurs(label) || /[^\d\s],[^\d\s]/.test(label));
    if (found !== undefined)
      return [
        `${asOneName(found)}; problemType ${multiLabel.problemType} ` +
          `with labelDelimiter ${JSON.stringify(delimiter)} reads it as ${partsOf(found, delimiter).length} labels`,
      ];
  }
  return [];
}

/** What joins names that were to be several where the usual delimiters join none. */
const RARE_DELIMITERS = ['/', '&', '+', '#', ' '];

/** Cells that were to hold several names, of which some or all seem to be joined by something else. */
function stillJoined(labels: LabelColumn, size: number): string[] {
  const { values, reading } = labels;
  if (reading?.format !== 'names') return [];
  if (!labels.areTexts) {
    const names = new Set(values);
    const found = DELIMITERS.flatMap((delimiter) =>
      joinedBy(values, delimiter).filter((label) =>
        partsOf(label, delimiter).every((part) => names.has(part)),
      ),
    );
    return found.slice(0, 1).map((label) => `${asOneName(label)}: what is a list already is not split`);
  }
  const isOneEach = size > 1 && firstRow(size, (row) => labels.at(row).length > 1) === null;
  for (const delimiter of [...DELIMITERS, ...(isOneEach ? RARE_DELIMITERS : [])]) {
    const found = joinedBy(values, delimiter).find(recurrence(values, delimiter));
    if (found !== undefined && delimiter !== reading.delimiter)
      return [
        `${asOneName(found)}; labelDelimiter ${JSON.stringify(delimiter)} reads it as ${partsOf(found, delimiter).length} labels`,
      ];
  }
  if (!isOneEach) return [];
  return [
    `No row has more than one label, since none holds the delimiter ${JSON.stringify(reading.delimiter)}; labelDelimiter names another`,
  ];
}

function asOneName(label: string): string {
  return `The label ${JSON.stringify(label)} is taken as one name`;
}

/** A reference to a character, as HTML writes it, ends in a semicolon that separates nothing. */
const CHARACTER_REFERENCE = /&(?:#\d{1,7}|#x[\da-f]{1,6}|[a-z]{2,8}\d{0,2});/gi;

function joinedBy(values: readonly string[], delimiter: string): string[] {
  return values.filter((label) => {
    const text = delimiter === ';' ? label.replaceAll(CHARACTER_REFERENCE, '') : label;
    return partsOf(text.trim(), delimiter).length > 1 && listOfText(label) === null;
  });
}

/** Whether one of the names that a label joins occurs elsewhere. */
function recurrence(values: readonly string[], delimiter: string): (label: string) => boolean {
  const counts = new Map<string, number>();
  for (const part of values.flatMap((label) => partsOf(label, delimiter)))
    counts.set(part, (counts.get(part) ?? 0) + 1);
  return (label) => partsOf(label, delimiter).some((part) => part !== '' && (counts.get(part) ?? 0) > 1);
}

function areDecimals(delimiter: string): (label: string) => boolean {
  return (label) => {
    const parts = partsOf(label, delimiter);
    return parts.every(isNumberText) && !parts.every(isIntegerText) && numberProblem(label) === null;
  };
}

/** Blanks around names, such as those behind each comma of a line, that other files may not have. */
function withBlanks({ values, isFolded }: LabelColumn): string[] {
  const found = values.filter((label) => label !== label.trim());
  const bare = new Set(values.map(foldKey));
  // Others of the same name are noted already.
  if (found[0] === undefined || isFolded || bare.size < values.length) return [];
  return [
    `${counted(found.length, 'label')} begin${found.length === 1 ? 's' : ''} or end${found.length === 1 ? 's' : ''} with white space, ` +
      `such as ${JSON.stringify(found[0])}; foldLabels leaves it off`,
  ];
}

const MOST_PAIRS = 3;

function lookAlikes(values: readonly string[]): string[] {
  const first = new Map<string, string>();
  const notes: string[] = [];
  for (const label of values) {
    const key = foldKey(label);
    const other = first.get(key);
    if (other === undefined) first.set(key, label);
    else
      notes.push(
        `The labels ${JSON.stringify(other)} and ${JSON.stringify(label)} differ only in ${differenceOf(other, label)}; foldLabels makes them one`,
      );
  }
  const more = notes.length - MOST_PAIRS;
  return more > 0
    ? [...notes.slice(0, MOST_PAIRS), `${counted(more, 'more pair')} of labels like these`]
    : notes;
}

/** A file sorted by label and cut to its first rows. */
function oneClass(labels: LabelColumn, size: number): string[] {
  if (labels.kind === 'list' || labels.values.length < 2 || size < 2) return [];
  const [only] = labels.at(0);
  if (firstRow(size, (row) => labels.at(row)[0] !== only) !== null) return [];
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

/** Lists that were written to CSV among other texts. */
function listsAsText(values: readonly string[]): string[] {
  const list = values.find((label) => listOfText(label) !== null);
  const object = values.find((label) => /^\s*\{\s*(?:"[^"]*"|'[^']*')\s*:.*\}\s*$/su.test(label));
  if (object !== undefined)
    return [
      `${asOneName(object)}: objects are read in JSON Lines and Parquet, not as texts; write such a file, or a column for each label`,
    ];
  if (list === undefined) return [];
  return [
    `The label ${JSON.stringify(list)} is taken as one name, since other rows hold no list; ` +
      `problemType ${multiLabel.problemType} reads lists`,
  ];
}

/**
 * What pandas, Python, spreadsheets, statistics packages and databases write for a value that is missing, and people for one
 * that is still to come. Not "none" and "unknown": these are classes of many data sets.
 */
const NOTHING = new Set(
  (
    'nan -nan +nan na #na n/a n.a. n.a #n/a <na> null (null) nil undefined \\n (blank) (empty) (missing) - -- --- – — ? ?? ??? . .. ... ' +
    '#value! #ref! #num! #null! #name? #div/0! tbd todo unlabeled unlabelled'
  ).split(' '),
).add('#n/a n/a');

function meansNothing(label: string): boolean {
  const word = label.trim();
  return word === 'None' || NOTHING.has(word.toLowerCase());
}

function wordsForNothing(labels: LabelColumn): string[] {
  const found = labels.values.filter(meansNothing);
  // The signs of sentiments.
  if (found.length === 0 || labels.values.includes('+')) return [];
  const counts = labels.counts();
  const shown = found.map((label) => `${JSON.stringify(label)} (${counted(counts.get(label) ?? 0, 'row')})`);
  const names = found.map((label) => JSON.stringify(label.trim())).join(' ');
  return [
    `${shown.join(' and ')} ${found.length === 1 ? 'is a label' : 'are labels'} here; ` +
      `if that means that a row has none, naLabels ${names} leaves ${found.length === 1 ? 'it' : 'them'} out`,
  ];
}

/** Numbers as people write them, which are names of classes here as for pandas. */
function numbersAsText(values: readonly string[]): string[] {
  const found = values.filter((label) => numberProblem(label) !== null);
  const [first] = found;
  if (first === undefined || 2 * found.length < values.length) return [];
  return [
    `The label ${JSON.stringify(first)} is taken as a name; to make it a number, ${numberProblem(first)}`,
  ];
}

function mergedNumbers({ merged, values }: LabelColumn): string[] {
  const truths = values.filter((label) => /^(?:true|false)$/i.test(label));
  const bits = values.filter((label) => label === '0' || label === '1');
  if (truths.length > 0 && bits.length > 0 && truths.length + bits.length === values.length)
    return [
      `The labels are ${values.map((label) => JSON.stringify(label)).join(', ')}: truth values and numbers are different labels; write one kind`,
    ];
  if (merged === null) return [];
  return [`${JSON.stringify(merged[0])} and ${JSON.stringify(merged[1])} are the same, and so one label`];
}

/** Classes whose numbers became decimals, as pandas makes them where one is missing. */
function wholeScores(labels: LabelColumn, size: number): string[] {
  if (labels.isKindGiven || size < 2 || labels.width > 1) return [];
  const found = new Set<number>();
  for (let row = 0; row < size; row++) {
    const [value = Number.NaN] = labels.valuesAt(row);
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

/** Rows of none of the labels, or not labelled yet: the file does not show which. And rows that have one label each. */
function rowsOfLists(labels: LabelColumn, size: number): string[] {
  let [none, one] = [0, 0];
  for (let row = 0; row < size; row++) {
    const { length } = labels.at(row);
    if (length === 0) none++;
    if (length === 1) one++;
  }
  return [
    ...(none === 0 ? [] : [`${counted(none, 'row has', 'rows have')} no label: an example of none of them`]),
    ...(one < size || size < 2 || labels.isKindGiven
      ? []
      : [`Each row has exactly one label; problemType ${singleLabel.problemType} learns to choose one`]),
  ];
}
