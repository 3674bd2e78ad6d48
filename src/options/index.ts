// Options: the one table (table.ts), and all that is derived from it.
export {
  type ClassifierOptions,
  type EvaluateOptions,
  type ExportOptions,
  type InitOptions,
  type InspectOptions,
  type MergeOptions,
  type PredictOptions,
  type PushCommandOptions,
  type ReportOptions,
  type ScoringOptions,
  type SearchOptions,
  type ServeOptions,
  type TrainingArguments,
  type TrainOptions,
  classifierCommand,
  commands,
  evaluateCommand,
  exportCommand,
  initCommand,
  inspectCommand,
  isShareable,
  mergeCommand,
  optionsWithRole,
  predictCommand,
  pushCommand,
  reportCommand,
  scoringCommand,
  searchCommand,
  serveCommand,
  trainCommand,
  type Command,
} from './commands.js';
export { foreignNames } from './hf-arguments.js';
export { asFlags, commandFlags, normalizeArgs, optionsMarkdown, optionsTable, shownTerm } from './flags.js';
export type { OptionSources } from './resolve.js';
export { OptionsError, type ResumeRole } from './option.js';
export {
  parseClassifierOptions,
  parseEvaluateOptions,
  parseExportOptions,
  parseInitOptions,
  parseInspectOptions,
  parseMergeOptions,
  parsePredictOptions,
  parsePushOptions,
  parseReportOptions,
  parseScoringOptions,
  parseSearchOptions,
  parseServeOptions,
  parseTrainingArguments,
  parseTrainOptions,
  type ParsedOptions,
} from './parse.js';
export { presumedOf, readingOf, readingSettings, withReading } from './reading.js';
export {
  configOf,
  differingOptions,
  settingsOf,
  yamlTemplate,
  type TemplateLine,
} from './config-template.js';
export { fileEntries, readConfigFile, type ConfigFile } from './sources.js';
export { scoringProblems } from './rules.js';
export { lossProblems } from './training-rules.js';
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
