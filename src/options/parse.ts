// From what was written to the options of a run: merged, checked once, and completed.
import { isGreaterBetter } from '../tasks/index.js';
import {
  classifierCommand,
  evaluateCommand,
  exportCommand,
  initCommand,
  inspectCommand,
  mergeCommand,
  predictCommand,
  pushCommand,
  reportCommand,
  searchCommand,
  scoringCommand,
  serveCommand,
  trainCommand,
  trainerCommand,
  type Command,
  type ClassifierOptions,
  type CompleteClassifierOptions,
  type CompleteScoringOptions,
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
} from './commands.js';
import { kebabCase, OptionsError } from './option.js';
import {
  isOptionName,
  mergeSources,
  spelledLike,
  valueFaults,
  type Merged,
  type OptionSources,
} from './resolve.js';
import {
  evaluateProblems,
  exportProblems,
  initProblems,
  inspectProblems,
  predictProblems,
  scoringProblems,
  trainerProblems,
  trainProblems,
} from './rules.js';
import { comparesMetrics, withoutEffect, type NameOf, type Problem } from './training-rules.js';

/** Options that passed every check, and remarks on how they were understood, one line each. */
export interface ParsedOptions<T> {
  readonly options: T;
  readonly notes: string[];
}

/**
 * The options of a training run.
 *
 * @throws UsageError with one line a problem: unknown or misspelt names (with the nearest), wrong values, and options
 *   that do not fit together; for a file with its name, line and column
 */
export function parseTrainOptions(sources: OptionSources): ParsedOptions<TrainOptions> {
  const parsed = parse(trainCommand, sources, trainProblems);
  const notes = [...parsed.notes, ...withoutEffect(parsed.options, parsed.nameOf)];
  return { options: completed(parsed.options), notes };
}

/**
 * The arguments of a Trainer in a script: `parseTrainingArguments({ outputDir: 'out', numTrainEpochs: 3 })`. Names may
 * be Hugging Face's, v4 aliases included. Throws as `parseTrainOptions`.
 */
export function parseTrainingArguments(
  values: Readonly<Record<string, unknown>>,
): ParsedOptions<TrainingArguments> {
  const { options, notes, nameOf } = parse(trainerCommand, { values }, trainerProblems);
  return { options: completed(options), notes: [...notes, ...withoutEffect(options, nameOf)] };
}

/** The options of one trial of a search. Throws as `parseTrainOptions`. */
export function parseSearchOptions(sources: OptionSources): ParsedOptions<SearchOptions> {
  const parsed = parse(searchCommand, sources, trainProblems);
  const notes = [...parsed.notes, ...withoutEffect(parsed.options, parsed.nameOf)];
  return { options: completed(parsed.options), notes };
}

/** The options of `evaluate()` and `predict()` in a script. Throws as `parseTrainOptions`. */
export function parseScoringOptions(values: ScoringOptions): ParsedOptions<CompleteScoringOptions> {
  return parse(scoringCommand, { values: { ...values } }, scoringProblems);
}

/** The options of `createClassifier()` in a script. Throws as `parseTrainOptions`. */
export function parseClassifierOptions(values: ClassifierOptions): ParsedOptions<CompleteClassifierOptions> {
  return parse(classifierCommand, { values: { ...values } }, scoringProblems);
}

/** The options of an evaluation. Throws as `parseTrainOptions`. */
export function parseEvaluateOptions(sources: OptionSources): ParsedOptions<EvaluateOptions> {
  return parse(evaluateCommand, sources, evaluateProblems);
}

/** The options of an inspection. Throws as `parseTrainOptions`. */
export function parseInspectOptions(sources: OptionSources): ParsedOptions<InspectOptions> {
  return parse(inspectCommand, sources, inspectProblems);
}

/** The options of a configuration to be written. Throws as `parseTrainOptions`. */
export function parseInitOptions(sources: OptionSources): ParsedOptions<InitOptions> {
  return parse(initCommand, sources, initProblems);
}

/** The options of a merge. Throws as `parseTrainOptions`. */
export function parseMergeOptions(sources: OptionSources): ParsedOptions<MergeOptions> {
  return parse(mergeCommand, sources, () => []);
}

/** The options of an export. Throws as `parseTrainOptions`. */
export function parseExportOptions(sources: OptionSources): ParsedOptions<ExportOptions> {
  return parse(exportCommand, sources, exportProblems);
}

/** The options of a server. Throws as `parseTrainOptions`. */
export function parseServeOptions(sources: OptionSources): ParsedOptions<ServeOptions> {
  return parse(serveCommand, sources, () => []);
}

/** The options of a push. Throws as `parseTrainOptions`. */
export function parsePushOptions(sources: OptionSources): ParsedOptions<PushCommandOptions> {
  return parse(pushCommand, sources, () => []);
}

/** The options of a report. Throws as `parseTrainOptions`. */
export function parseReportOptions(sources: OptionSources): ParsedOptions<ReportOptions> {
  return parse(reportCommand, sources, () => []);
}

/** The options of a prediction. Throws as `parseTrainOptions`. */
export function parsePredictOptions(sources: OptionSources): ParsedOptions<PredictOptions> {
  return parse(predictCommand, sources, predictProblems);
}

/**
 * Fills in what HF fills in: `evalSteps` from `loggingSteps`, `metricForBestModel` (`loss`) where the best model is
 * asked for, and `greaterIsBetter`. Unlike HF, which takes only names that end in `loss` for errors, mse and mae are
 * known to be better when smaller.
 */
function completed<T extends TrainingArguments>(options: T): T {
  const all = { ...options };
  if (options.evalStrategy === 'steps') all.evalSteps ??= options.loggingSteps;
  if (comparesMetrics(options)) all.metricForBestModel ??= 'loss';
  if (all.metricForBestModel !== undefined) {
    all.metricForBestModel = all.metricForBestModel.replace(/^eval_/, '');
    all.greaterIsBetter ??= isGreaterBetter(all.metricForBestModel);
  }
  if (options.resumeFromCheckpoint === false) delete all.resumeFromCheckpoint;
  return all;
}

interface Issue {
  readonly path: readonly PropertyKey[];
}

function parse<T>(
  command: Command<T>,
  sources: OptionSources,
  findProblems: (options: T, nameOf: NameOf) => Problem[],
): ParsedOptions<T> & { readonly nameOf: NameOf } {
  const merged = mergeSources(command, sources);
  const nameOf = namer(merged, sources);
  const values = [...merged.given].map(([name, { value }]) => [name, value] as const);
  const checked = command.schema.safeParse({ ...defaultsOf(command), ...Object.fromEntries(values) });
  const problems = [...merged.problems];
  if (!checked.success) problems.push(...valueProblems(checked.error.issues, merged, nameOf, command));
  // Options that do not fit together are looked at last: with a faulty one among them the answer would mislead.
  if (checked.success && problems.length === 0) {
    const place = ({ about }: Problem): string => merged.given.get(about)?.entry.at ?? '';
    problems.push(...findProblems(checked.data, nameOf).map((problem) => place(problem) + problem.message));
  }
  if (!checked.success || problems.length > 0) throw problemList(problems);
  return { options: checked.data, notes: merged.notes, nameOf };
}

function defaultsOf(command: Command): Record<string, unknown> {
  const entries = Object.entries(command.options)
    .filter(([, { neededBy }]) => neededBy.includes(command.name))
    .map(([name, option]) => [name, option.fallback] as const);
  return Object.fromEntries(entries.filter(([, fallback]) => fallback !== undefined));
}

function valueProblems(
  issues: readonly Issue[],
  merged: Merged,
  nameOf: NameOf,
  { options }: Command,
): string[] {
  // A list reports each of its bad items; one line an option is enough.
  const names = new Set(issues.map(({ path }) => String(path[0])));
  return [...names].filter(isOptionName).flatMap((name) => {
    const given = merged.given.get(name);
    if (given) return valueFaults(given);
    // A name that was given but not understood may be the one that is missing: one message is enough.
    return merged.problems.length > 0 ? [] : [`${nameOf(name)} is needed: ${options[name]?.help}`];
  });
}

/** Names options in messages as the person wrote them, or would have. */
function namer(merged: Merged, { file, values, flags }: OptionSources): NameOf {
  const isScript = file === undefined && flags === undefined && values !== undefined;
  return (name) => {
    const entry = merged.given.get(name)?.entry;
    if (entry) return spelledLike(entry, name);
    return isScript ? name : `--${kebabCase(name)}`;
  };
}

function problemList(problems: readonly string[]): OptionsError {
  const [first = '', ...others] = problems;
  if (others.length === 0) return new OptionsError(first);
  const lines = problems.map((line) => `  ${line}`);
  return new OptionsError(`${problems.length} problems with the options:\n${lines.join('\n')}`);
}
