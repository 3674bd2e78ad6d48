// Data sets as a person uses them: splits with a shared label map.
export { Dataset } from './dataset.js';
export { DatasetDict, type SplitName } from './dataset-dict.js';
export { loadDataset, openSplits, type SplitFiles } from './load.js';
export type { ReadOptions } from './read-options.js';
