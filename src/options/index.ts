// Options: the one table, its readers, and what is made of it. See options.ts for the table itself.
export type {
  EvaluateOptions,
  InspectOptions,
  MergeOptions,
  PredictOptions,
  SearchOptions,
  TrainingArguments,
  TrainOptions,
} from './commands.js';
export {
  commands,
  evaluateCommand,
  inspectCommand,
  mergeCommand,
  optionsWithRole,
  predictCommand,
  searchCommand,
  trainCommand,
  type Command,
} from './commands.js';
export { fileEntries, type ConfigFile } from './file.js';
export { foreignNames } from './foreign.js';
export { optionsMarkdown, optionsTable } from './help.js';
export { lossProblems } from './rules/index.js';
export type { OptionSources } from './merge.js';
export type { ResumeRole } from './option.js';
export {
  parseEvaluateOptions,
  parseInspectOptions,
  parseMergeOptions,
  parsePredictOptions,
  parseSearchOptions,
  parseTrainingArguments,
  parseTrainOptions,
  type ParsedOptions,
} from './parse.js';
export { readConfigFile } from './read.js';
export {
  defaultLrEnd,
  greedyMinLr,
  isAdaptive,
  schedulerTypes,
  type AdaptiveType,
  type PlannedType,
  type SchedulerKwargs,
  type SchedulerType,
} from './schedulers.js';
