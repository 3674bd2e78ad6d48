// The data layer: files of texts and labels in, rows by number out.

export { readAllColumns } from './all-columns.js';
export type { BadRow, BadRowReport } from './bad-rows.js';
export { describeBadRow } from './bad-rows.js';
export { groupFolds, holdOut, holdOutGroups, stratifiedFolds, type HeldOut } from './hold-out.js';
export { isIntegerText, isNumberText, sortLabels } from './label-values.js';
export type { KeptKind, KeptValue } from './kept.js';
export type { LabelColumn } from './labels.js';
export { DEFAULT_LIMITS, type DataLimits } from './limits.js';
export type { Quoting } from './csv-dialect.js';
export type { RawRecord } from './records.js';
export { openSplit } from './split.js';
export type { TaskOptions } from './task.js';
export { inferTask, labelArray, labelReader } from './task.js';
export type { ColumnChoice, Example, Split, SplitOptions } from './types.js';
