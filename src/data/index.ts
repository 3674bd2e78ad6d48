// The data layer: files of texts and labels in, rows by number out.
export { type BadRow, type BadRowReport, describeBadRow } from './bad-rows.js';
export type { ColumnChoice } from './columns.js';
export { DEFAULT_LIMITS, type DataLimits } from './compression.js';
export { encodingIn } from './encoding.js';
export type { Quoting } from './csv-dialect.js';
export type { SplitOptions } from './indexer.js';
export { labelFormats, type LabelFormat } from './label-lists.js';
export {
  differenceOf,
  foldKey,
  isIntegerText,
  isNumberText,
  labelIds,
  numberOf,
  sortLabels,
} from './label-values.js';
export type { LabelColumn } from './labels.js';
export type { RawRecord } from './records.js';
export type { Example, PassthroughKind, PassthroughValue } from './row.js';
export { JsonLinesText, readAllColumns, readPlaced } from './source.js';
export { openSplit, type Split } from './split.js';
export { type TaskOptions, inferTask, labelArray, labelReader } from './task.js';
