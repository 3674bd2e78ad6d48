// Remarks on labels: how lists were read, where the data decided it, and what is legal but probably not meant.
import { multiLabel, regression, singleLabel } from '../tasks/index.js';
import { counted } from '../util/text.js';
import { asOneName, joinedNames, stillJoined } from './joined-labels.js';
import { differenceOf, foldKey, isBlank, isIntegerText, numberProblem } from './label-values.js';
import { listOfText } from './label-cells.js';
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

/** What the labels of the first rows show of several in a cell, where some rows have none. */
export function severalNames(sample: readonly unknown[]): string[] {
  const texts = new Set(sample.filter((value) => typeof value === 'string' && !isBlank(value)).map(String));
  return [...joinedNames([...texts]), ...listsAsText([...texts])].map(
    (note) => `${note}, and an empty cell as none`,
  );
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
  let [none, one, every] = [0, 0, 0];
  const all = labels.values.length;
  for (let row = 0; row < size; row++) {
    const { length } = labels.at(row);
    if (length === 0) none++;
    if (length === 1) one++;
    if (length === all) every++;
  }
  return [
    ...(every < size || size < 2 || all < 2
      ? []
      : [`Every row has all of the ${all} labels that occur; are these the labels?`]),
    ...(none === 0 ? [] : [`${counted(none, 'row has', 'rows have')} no label: an example of none of them`]),
    ...(one < size || size < 2 || labels.isKindGiven
      ? []
      : [`Each row has exactly one label; problemType ${singleLabel.problemType} learns to choose one`]),
  ];
}
