// The commands: which options of the table each takes, as one zod schema a command, and the TypeScript types that follow.
import { z } from 'zod';
import type { CommandName, Option, ResumeRole } from './option.js';
import { options } from './table.js';

type Table = typeof options;
type ValueOf<O> = O extends Option<infer T> ? T : never;
/** The options for which a command always has a value, and those that may be missing. */
type Certain<C extends CommandName> = {
  [K in keyof Table]: C extends Table[K]['neededBy'][number] ? K : never;
}[keyof Table];
type Possible<C extends CommandName> = {
  [K in keyof Table]: C extends Table[K]['commands'][number] ? K : never;
}[keyof Table];
type Flat<T> = { [K in keyof T]: T[K] };
type OptionsOf<C extends CommandName> = Flat<
  { [K in Certain<C>]: ValueOf<Table[K]> } & { [K in Exclude<Possible<C>, Certain<C>>]?: ValueOf<Table[K]> }
>;

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

/** The commands of the command line. */
export const commands: readonly Command[] = [
  trainCommand,
  evaluateCommand,
  predictCommand,
  searchCommand,
  inspectCommand,
  mergeCommand,
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
export type TrainingArguments = OptionsOf<'trainer'>;
export type TrainOptions = OptionsOf<'train'>;
export type InspectOptions = OptionsOf<'inspect'>;
export type SearchOptions = OptionsOf<'search'>;
export type EvaluateOptions = OptionsOf<'evaluate'>;
export type MergeOptions = OptionsOf<'merge'>;
export type PredictOptions = OptionsOf<'predict'>;

/** The options of a Trainer that have a role when a run is resumed, in the order of the table. */
export function optionsWithRole(role: ResumeRole): readonly (keyof TrainingArguments)[] {
  return Object.keys(trainerCommand.options)
    .filter(isOfTrainer)
    .filter((name) => options[name].onResume === role);
}

function isOfTrainer(name: string): name is keyof TrainingArguments {
  return Object.hasOwn(trainerCommand.options, name);
}

function command<C extends CommandName>(name: C, summary: string): Command<OptionsOf<C>> {
  const own = Object.entries<Option>(options).filter(([, { commands: all }]) => all.includes(name));
  const shape = own.map(([key, { kind, neededBy }]) => [
    key,
    neededBy.includes(name) ? kind.schema : kind.schema.exactOptional(),
  ]);
  const schema: z.ZodType = z.strictObject(Object.fromEntries(shape));
  // The compiler cannot follow that the types above are those of these schemas.
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion
  return { name, summary, options: Object.fromEntries(own), schema: schema as z.ZodType<OptionsOf<C>> };
}
