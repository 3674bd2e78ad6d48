// The commands: which options of the table each takes, as one zod schema a command; and their TypeScript types.
import { z } from 'zod';
import { together, type CommandName, type Option, type ResumeRole } from './option.js';
import { options, type OptionName } from './table.js';
import type { CommandOptions, OptionValues } from './values.js';

type OptionsOf<C extends CommandName> = Pick<OptionValues, CommandOptions[C]['always']> &
  Partial<Pick<OptionValues, CommandOptions[C]['optional']>>;

/** One command: its options and the schema made of them. */
export interface Command<T = unknown> {
  readonly name: CommandName;
  /** One sentence for the help. */
  readonly summary: string;
  /** In the order of the table. */
  readonly options: Readonly<Record<string, Option>>;
  readonly schema: z.ZodType<T>;
}

/** `bertune train` */
export const trainCommand = command(
  'train',
  'Fine-tune a classifier or regressor (BERT, RoBERTa ...) and save it as Hugging Face does.',
);

/** `bertune search`: a training with ranges in place of values, many times. */
export const searchCommand = command(
  'search',
  'Try values of options for the best metric, and write the best as a configuration file.',
);

/** `bertune inspect` */
export const inspectCommand = command('inspect', 'Describe training data, before a training.');

/** `bertune init`: what `inspect` takes of model and data, and where to write. */
export const initCommand = commandOf(
  'init',
  'Look at training data and write a commented configuration for them.',
  Object.entries<Option>(options)
    .filter(
      ([, { commands: all, group }]) =>
        all.includes('init') || (all.includes('inspect') && ['Model', 'Data'].includes(group)),
    )
    .map(([name, option]) => [name, { ...option, neededBy: option.fallback === undefined ? [] : ['init'] }]),
);

/** What a script gives to a Trainer: the options of `bertune train` but for the model and the data. */
export const trainerCommand = command('trainer', 'Options of a Trainer.');

/** `bertune evaluate` */
export const evaluateCommand = command('evaluate', 'Print the metrics of a saved model on labelled rows.');

/** `bertune predict` */
export const predictCommand = command('predict', 'Write label, score and probabilities of every row.');

/** `bertune merge` */
export const mergeCommand = command(
  'merge',
  'Fold a LoRA adapter into the weights of its base, and save a plain model.',
);

/** `bertune export` */
export const exportCommand = command(
  'export',
  'Write a trained model as ONNX, in the folder that transformers.js and onnxruntime load.',
);

/** `bertune serve` */
export const serveCommand = command('serve', 'Answer requests over HTTP with the labels of texts.');

/** `bertune push` */
export const pushCommand = command(
  'push',
  'Upload a model, with its model card, to a repository of the Hugging Face hub.',
);

/** `bertune report` */
export const reportCommand = command(
  'report',
  'Write a page with charts of a training, an evaluation or a search, or of two trainings side by side.',
);

/** What the options of `bertune evaluate` and `bertune predict` have in common, but for the model and the data. */
const scoringNames = [
  'maxSeqLength',
  'stride',
  'pooling',
  'perDeviceEvalBatchSize',
  'device',
  'dtype',
  'tf32',
  'threads',
  'dataloaderNumWorkers',
] as const satisfies readonly OptionName[];

/** What a script gives to `evaluate()` and `predict()`. */
export const scoringCommand = scriptCommand('scoring', 'Options of evaluate() and predict().', scoringNames);

/** How a classifier reads texts, computes, and packs calls into steps. */
const classifierNames = [
  'maxSeqLength',
  'stride',
  'pooling',
  'aggregationStrategy',
  'device',
  'dtype',
  'tf32',
  'threads',
  'dataloaderNumWorkers',
  'maxWait',
  'maxBatchTokens',
  'maxQueue',
] as const satisfies readonly OptionName[];

/** What a script gives to `createClassifier()`. */
export const classifierCommand = scriptCommand(
  'classifier',
  'Options of createClassifier().',
  classifierNames,
);

/** Whether several processes may do a command together. */
export function isShareable({ name }: Command): boolean {
  return together.includes(name);
}

/** The commands of the command line. */
export const commands: readonly Command[] = [
  trainCommand,
  evaluateCommand,
  predictCommand,
  searchCommand,
  inspectCommand,
  initCommand,
  mergeCommand,
  exportCommand,
  serveCommand,
  pushCommand,
  reportCommand,
];

/**
 * Options of a Trainer, by HF's names: `bertune train` without model and data.
 *
 * @example
 * ```ts
 * import { trainingArguments, type TrainingArguments } from 'bertune';
 *
 * const args: TrainingArguments = trainingArguments({ outputDir: 'out', numTrainEpochs: 2 });
 * console.log(args.learningRate); // 5e-5
 * ```
 */
export interface TrainingArguments extends OptionsOf<'trainer'> {}
/**
 * How a script's `evaluate()` and `predict()` read texts and compute; all may be left out.
 *
 * @example
 * ```ts
 * import type { ScoringOptions } from 'bertune';
 *
 * const long: ScoringOptions = { maxSeqLength: 256, stride: 32, pooling: 'max' };
 * ```
 */
export interface ScoringOptions extends Partial<Pick<OptionValues, (typeof scoringNames)[number]>> {}
export type CompleteScoringOptions = OptionsOf<'scoring'>;
/**
 * How a classifier reads texts, computes, and packs calls into steps; all may be left out.
 *
 * @example
 * ```ts
 * import type { ClassifierOptions } from 'bertune';
 *
 * const busy: ClassifierOptions = { threads: 2, maxBatchTokens: 4096, maxQueue: 2000 };
 * ```
 */
export interface ClassifierOptions extends Partial<Pick<OptionValues, (typeof classifierNames)[number]>> {}
export type CompleteClassifierOptions = OptionsOf<'classifier'>;
export type TrainOptions = OptionsOf<'train'>;
export type InspectOptions = OptionsOf<'inspect'>;
export type InitOptions = OptionsOf<'init'>;
export type SearchOptions = OptionsOf<'search'>;
export type EvaluateOptions = OptionsOf<'evaluate'>;
export type MergeOptions = OptionsOf<'merge'>;
export type ExportOptions = OptionsOf<'export'>;
export type ServeOptions = OptionsOf<'serve'>;
export type PushCommandOptions = OptionsOf<'push'>;
export type PredictOptions = OptionsOf<'predict'>;
export type ReportOptions = OptionsOf<'report'>;

/** The options of a Trainer that have a role when a run is resumed, in the order of the table. */
export function optionsWithRole(role: ResumeRole): readonly (keyof TrainingArguments)[] {
  return Object.keys(trainerCommand.options)
    .filter(isOfTrainer)
    .filter((name) => options[name].onResume === role);
}

function isOfTrainer(name: string): name is keyof TrainingArguments {
  return Object.hasOwn(trainerCommand.options, name);
}

/** Some options of the table for a function of the API: those with a default always have a value. */
function scriptCommand<C extends CommandName>(
  name: C,
  summary: string,
  names: readonly OptionName[],
): Command<OptionsOf<C>> {
  const own = Object.entries<Option>(options)
    .filter(([key]) => names.some((one) => one === key))
    .map(([key, option]): [string, Option] => [
      key,
      { ...option, neededBy: option.fallback === undefined ? [] : [name] },
    ]);
  return commandOf(name, summary, own);
}

function command<C extends CommandName>(name: C, summary: string): Command<OptionsOf<C>> {
  const own = Object.entries<Option>(options).filter(([, { commands: all }]) => all.includes(name));
  return commandOf(name, summary, own);
}

function commandOf<C extends CommandName>(
  name: C,
  summary: string,
  own: readonly [string, Option][],
): Command<OptionsOf<C>> {
  const shape = own.map(([key, { kind, neededBy }]) => [
    key,
    neededBy.includes(name) ? kind.schema : kind.schema.exactOptional(),
  ]);
  const schema: z.ZodType = z.strictObject(Object.fromEntries(shape));
  const described = own.map(([key, option]) => [
    key,
    { ...option, help: option.helpOf?.[name] ?? option.help },
  ]);
  // The compiler cannot follow that the generated types are those of these schemas.
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion
  return { name, summary, options: Object.fromEntries(described), schema: schema as z.ZodType<OptionsOf<C>> };
}
