// Options: the one table, its readers, and what is made of it. See options.ts for the table itself.
export type { EvaluateOptions, PredictOptions, TrainingArguments, TrainOptions } from './commands.js';
export { evaluateCommand, predictCommand, trainCommand, type Command } from './commands.js';
export type { ConfigFile } from './file.js';
export { optionsMarkdown } from './help.js';
export { lossProblems } from './loss-rules.js';
export type { OptionSources } from './merge.js';
export {
  parseEvaluateOptions,
  parsePredictOptions,
  parseTrainingArguments,
  parseTrainOptions,
  type ParsedOptions,
} from './parse.js';
export { readConfigFile } from './read.js';
export { schedulerTypes, defaultLrEnd, type SchedulerKwargs, type SchedulerType } from './schedulers.js';
