// Remarks on cells that seem to hold several names: joined by a delimiter, where one label is read or another delimiter is.
import { multiLabel } from '../tasks/index.js';
import { areSpacedNumbers, DELIMITERS, HASH, listOfText, partsOf, recurrence } from './label-cells.js';
import { isIntegerText, isNumberText, numberProblem } from './label-values.js';
import type { LabelColumn } from './labels.js';

/** A number of which another note says that pandas does not take it for one; 1,2 may be two ids just as well. */
const DECIMAL_COMMA = /^[+-]?\d{1,15}(?:\.\d{3}){0,4}(?:,\d{1,15})?$/;

/** Several names in one cell; a comma is also part of names, so that it has to join what occurs elsewhere. */
export function joinedNames(values: readonly string[]): string[] {
  if (values.every((label) => DECIMAL_COMMA.test(label)) && values.some((label) => /,\d\d/.test(label)))
    return [];
  for (const delimiter of [...DELIMITERS, ...(values.every(areSpacedNumbers) ? [' '] : []), HASH]) {
    const joined = joinedBy(values, delimiter);
    const [first] = joined;
    if (first !== undefined && joined.length === values.length && values.every(areDecimals(delimiter)))
      return [
        `${asOneName(first)}; labelFormat probabilities or numbers ` +
          `with labelDelimiter ${JSON.stringify(delimiter)} reads it as ${partsOf(first, delimiter).length} numbers`,
      ];
    const recurs = recurrence(values, delimiter);
    const isSure = ![',', HASH].includes(delimiter);
    const found = joined.find(
      (label) => isSure || recurs(label) || (delimiter === ',' && /[^\d\s],[^\d\s]/.test(label)),
    );
    if (found !== undefined)
      return [
        `${asOneName(found)}; problemType ${multiLabel.problemType} ` +
          `with labelDelimiter ${JSON.stringify(delimiter)} reads it as ${partsOf(found, delimiter).length} labels`,
      ];
  }
  return [];
}

/** What joins names that were to be several where the usual delimiters join none. */
const RARE_DELIMITERS = ['/', '&', '+', ' '];

/** Cells that were to hold several names, of which some or all seem to be joined by something else. */
export function stillJoined(labels: LabelColumn, size: number): string[] {
  const { values, reading } = labels;
  if (reading?.format !== 'names' || reading.delimiter === null) return [];
  if (!labels.areTexts) {
    const names = new Set(values);
    const found = DELIMITERS.flatMap((delimiter) =>
      joinedBy(values, delimiter).filter((label) =>
        partsOf(label, delimiter).every((part) => names.has(part)),
      ),
    );
    return found.slice(0, 1).map((label) => `${asOneName(label)}: what is a list already is not split`);
  }
  const isOneEach = size > 1 && !hasSeveral(labels, size);
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

export function asOneName(label: string): string {
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

function areDecimals(delimiter: string): (label: string) => boolean {
  return (label) => {
    const parts = partsOf(label, delimiter);
    return parts.every(isNumberText) && !parts.every(isIntegerText) && numberProblem(label) === null;
  };
}

function hasSeveral(labels: LabelColumn, size: number): boolean {
  for (let row = 0; row < size; row++) if (labels.at(row).length > 1) return true;
  return false;
}
