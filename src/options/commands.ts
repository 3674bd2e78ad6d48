// Which options each command takes, as one zod schema a command, and the TypeScript types that follow.
import { z } from 'zod';
import { factsOf, mandatory, type ResumeRole } from './option.js';
import { options as o } from './options.js';

/** One command: its options and the schema made of them. */
export interface Command<T = unknown> {
  readonly name: 'train' | 'trainer' | 'evaluate' | 'predict' | 'search' | 'inspect' | 'merge';
  /** One sentence for the help. */
  readonly summary: string;
  /** The options by name; `factsOf` tells what the help says of each. */
  readonly options: Readonly<Record<string, z.ZodType>>;
  readonly schema: z.ZodType<T>;
}

const input = {
  modelRevision: o.modelRevision,
  tokenizer: o.tokenizer,
  maxSeqLength: o.maxSeqLength,
  dataset: o.dataset,
  datasetConfig: o.datasetConfig,
  textColumn: o.textColumn,
  textPairColumn: o.textPairColumn,
  badRows: o.badRows,
  quoting: o.quoting,
  maxRowBytes: o.maxRowBytes,
  maxCompressionRatio: o.maxCompressionRatio,
  perDeviceEvalBatchSize: o.perDeviceEvalBatchSize,
  verbose: o.verbose,
  device: o.device,
  dtype: o.dtype,
  tf32: o.tf32,
  threads: o.threads,
  dataloaderNumWorkers: o.dataloaderNumWorkers,
};

const windows = { stride: o.stride, pooling: o.pooling };

const {
  testFile: _testFile,
  testSplit: _testSplit,
  idColumn: _id,
  maxPredictSamples: _max,
  outputFile: _file,
  nTrials,
  sampler,
  pruner,
  json: _json,
  outputFormat: _format,
  tuneThresholds: _thresholds,
  tuneTemperature: _temperature,
  stride: _stride,
  pooling: _pooling,
  ...trainable
} = o;

const training = { ...trainable, outputDir: mandatory(o.outputDir) };
// Each trial is measured by the same validation rows.
const { crossValidation: _folds, ...searchable } = training;

/** `bertune train`: everything but the options of prediction. */
export const trainCommand = command(
  'train',
  'Fine-tune a BERT classifier and save it as Hugging Face does.',
  training,
);

/** `bertune search`: a training with ranges in place of values, many times. */
export const searchCommand = command(
  'search',
  'Try values of options for the best metric, and write the best as a configuration file.',
  { ...searchable, nTrials, sampler, pruner },
);

/** `bertune inspect` */
export const inspectCommand = command('inspect', 'Say what is in training data, before a training.', {
  model: o.model,
  config: o.config,
  ...input,
  problemType: o.problemType,
  trainFile: o.trainFile,
  trainSplit: o.trainSplit,
  labelColumn: o.labelColumn,
  labelDelimiter: o.labelDelimiter,
  softLabels: o.softLabels,
  labelList: o.labelList,
  maxTrainSamples: o.maxTrainSamples,
  maxEvalSamples: o.maxEvalSamples,
  numTrainEpochs: o.numTrainEpochs,
  perDeviceTrainBatchSize: o.perDeviceTrainBatchSize,
  gradientAccumulationSteps: o.gradientAccumulationSteps,
  seed: o.seed,
  json: o.json,
});

/** What a script gives to a Trainer: the options of `bertune train` but for the model and the data. */
export const trainerCommand = command('trainer', 'Options of a Trainer.', {
  outputDir: mandatory(o.outputDir),
  maxSeqLength: o.maxSeqLength,
  numTrainEpochs: o.numTrainEpochs,
  maxSteps: o.maxSteps,
  perDeviceTrainBatchSize: o.perDeviceTrainBatchSize,
  perDeviceEvalBatchSize: o.perDeviceEvalBatchSize,
  gradientAccumulationSteps: o.gradientAccumulationSteps,
  autoFindBatchSize: o.autoFindBatchSize,
  gradientCheckpointing: o.gradientCheckpointing,
  learningRate: o.learningRate,
  lrSchedulerType: o.lrSchedulerType,
  lrSchedulerKwargs: o.lrSchedulerKwargs,
  warmupSteps: o.warmupSteps,
  optim: o.optim,
  momentum: o.momentum,
  weightDecay: o.weightDecay,
  adamBeta1: o.adamBeta1,
  adamBeta2: o.adamBeta2,
  adamEpsilon: o.adamEpsilon,
  maxGradNorm: o.maxGradNorm,
  nonfiniteGradient: o.nonfiniteGradient,
  labelSmoothingFactor: o.labelSmoothingFactor,
  classWeights: o.classWeights,
  posWeight: o.posWeight,
  focalGamma: o.focalGamma,
  neftuneNoiseAlpha: o.neftuneNoiseAlpha,
  freeze: o.freeze,
  gradualUnfreezing: o.gradualUnfreezing,
  layerLrDecay: o.layerLrDecay,
  lrFactors: o.lrFactors,
  trainSamplingStrategy: o.trainSamplingStrategy,
  seed: o.seed,
  dataSeed: o.dataSeed,
  resumeFromCheckpoint: o.resumeFromCheckpoint,
  evalStrategy: o.evalStrategy,
  evalDelay: o.evalDelay,
  evalOnStart: o.evalOnStart,
  evalSteps: o.evalSteps,
  metricForBestModel: o.metricForBestModel,
  greaterIsBetter: o.greaterIsBetter,
  loadBestModelAtEnd: o.loadBestModelAtEnd,
  earlyStoppingPatience: o.earlyStoppingPatience,
  earlyStoppingThreshold: o.earlyStoppingThreshold,
  saveStrategy: o.saveStrategy,
  saveSteps: o.saveSteps,
  saveTotalLimit: o.saveTotalLimit,
  saveOnlyModel: o.saveOnlyModel,
  loggingStrategy: o.loggingStrategy,
  loggingSteps: o.loggingSteps,
  loggingFirstStep: o.loggingFirstStep,
  reportTo: o.reportTo,
  device: o.device,
  dtype: o.dtype,
  tf32: o.tf32,
  threads: o.threads,
  dataloaderNumWorkers: o.dataloaderNumWorkers,
});

/** `bertune evaluate` */
export const evaluateCommand = command('evaluate', 'Print the metrics of a saved model on labelled rows.', {
  model: mandatory(o.model),
  baseModel: o.baseModel,
  ...input,
  ...windows,
  validationFile: o.validationFile,
  validationSplit: o.validationSplit,
  labelColumn: o.labelColumn,
  labelDelimiter: o.labelDelimiter,
  softLabels: o.softLabels,
  maxEvalSamples: o.maxEvalSamples,
  tuneThresholds: o.tuneThresholds,
  tuneTemperature: o.tuneTemperature,
  outputDir: o.outputDir,
});

/** `bertune predict` */
export const predictCommand = command('predict', 'Write label, score and probabilities of every row.', {
  model: mandatory(o.model),
  baseModel: o.baseModel,
  ...input,
  ...windows,
  testFile: o.testFile,
  testSplit: o.testSplit,
  idColumn: o.idColumn,
  maxPredictSamples: o.maxPredictSamples,
  outputFile: o.outputFile,
  outputFormat: o.outputFormat,
});

/** `bertune merge` */
export const mergeCommand = command(
  'merge',
  'Fold a LoRA adapter into the weights of its base, and save a plain model.',
  {
    model: mandatory(o.model),
    modelRevision: o.modelRevision,
    baseModel: o.baseModel,
    tokenizer: o.tokenizer,
    outputDir: mandatory(o.outputDir),
    verbose: o.verbose,
  },
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

/** Options of a Trainer, by HF's names: `bertune train` without model and data. */
export type TrainingArguments = z.output<typeof trainerCommand.schema>;
export type TrainOptions = z.output<typeof trainCommand.schema>;
export type InspectOptions = z.output<typeof inspectCommand.schema>;
export type SearchOptions = z.output<typeof searchCommand.schema>;
export type EvaluateOptions = z.output<typeof evaluateCommand.schema>;
export type MergeOptions = z.output<typeof mergeCommand.schema>;
export type PredictOptions = z.output<typeof predictCommand.schema>;

/** The options of a Trainer that have a role when a run is resumed, in the order of the table. */
export function optionsWithRole(role: ResumeRole): readonly (keyof TrainingArguments)[] {
  return Object.entries(o)
    .filter(([, option]) => factsOf(option).onResume === role)
    .map(([name]) => name)
    .filter(isOfTrainer);
}

function isOfTrainer(name: string): name is keyof TrainingArguments {
  return Object.hasOwn(trainerCommand.options, name);
}

function command<S extends Record<string, z.ZodType>>(
  name: Command['name'],
  summary: string,
  options: S,
): Command<z.output<z.ZodObject<S, z.core.$strict>>> {
  return { name, summary, options, schema: z.strictObject(options) };
}
