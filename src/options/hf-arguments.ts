// Names that people bring from other tools (Trainer of transformers 4 and 5, run_classification.py, run_glue.py,
// notebooks): what each means here. Nothing is taken in silence: a renamed or ignored option leaves a note.
import { regression } from '../tasks/index.js';
import { UsageError, expected } from '../util/errors.js';
import type { OptionName } from './table.js';

/** What a foreign option means: one of ours with a value, or nothing (and why, if that is worth a note). */
export type Meaning =
  | { readonly option: OptionName; readonly value: unknown }
  | { readonly option?: never; readonly note?: string };

/** How to read a foreign option. `isSwitch`: on the command line it may stand without a value. */
export interface Foreign {
  readonly isSwitch: boolean;
  /** The option it stands for, so that a flag's text is read as that option's. */
  readonly renames?: OptionName;
  /** @throws UsageError when the option asks for something bertune does not do */
  readonly read: (value: unknown, name: string) => Meaning;
}

/** The foreign option of that name (camelCase), if it is a known one. */
export function foreignOption(name: string): Foreign | undefined {
  return foreign.get(name);
}

/** Every known foreign name, in camelCase. */
export function foreignNames(): string[] {
  return [...foreign.keys()];
}

const renamed: Record<string, OptionName> = {
  evaluationStrategy: 'evalStrategy',
  modelName: 'model',
  modelId: 'model',
  tokenizerPath: 'tokenizer',
  datasetId: 'dataset',
  numEpochs: 'numTrainEpochs',
  epochs: 'numTrainEpochs',
  nEpochs: 'numTrainEpochs',
  batchSize: 'perDeviceTrainBatchSize',
  trainBatchSize: 'perDeviceTrainBatchSize',
  perGpuTrainBatchSize: 'perDeviceTrainBatchSize',
  evalBatchSize: 'perDeviceEvalBatchSize',
  perGpuEvalBatchSize: 'perDeviceEvalBatchSize',
  lr: 'learningRate',
  scheduler: 'lrSchedulerType',
  lrScheduler: 'lrSchedulerType',
  numWarmupSteps: 'warmupSteps',
  gradientAccumulation: 'gradientAccumulationSteps',
  labelSmoothing: 'labelSmoothingFactor',
  maxLength: 'maxSeqLength',
  maxSeqLen: 'maxSeqLength',
  maxLen: 'maxSeqLength',
  modelMaxLength: 'maxSeqLength',
  textField: 'textColumn',
  labelField: 'labelColumn',
  evalFile: 'validationFile',
  valFile: 'validationFile',
  devFile: 'validationFile',
  predictFile: 'testFile',
  maxValSamples: 'maxEvalSamples',
  maxTestSamples: 'maxPredictSamples',
  preprocessingNumWorkers: 'dataloaderNumWorkers',
  numWorkers: 'dataloaderNumWorkers',
  numThreads: 'threads',
  torchDtype: 'dtype',
  resume: 'resumeFromCheckpoint',
};

const padding = 'nothing is ever padded, batches are packed';
const oneProcess =
  'each process of a training has one device and needs no further settings; see docs/scaling.md';
const logs = 'the log is written to trainer_state.json in the output folder';
const streams = 'evaluation streams, and the metrics keep a few bytes a row';
const notPushed = 'only `bertune train` pushes by itself; `pushToHub` and `bertune push` upload a folder';
const noToken = 'set HF_TOKEN to read private repositories and to push';
const kernels = 'the native steps have kernels of their own, whose results it would not change';
const loader = 'the next batches are always prepared ahead in worker threads';

/** Switches without effect, whichever way they stand. */
const ignoredSwitches: Record<string, string> = {
  padToMaxLength: padding,
  overwriteOutputDir: 'the output folder may exist, and a run is resumed only with {resumeFromCheckpoint}',
  overwriteCache: 'there is no cache of tokenized text',
  useFastTokenizer: 'there is one tokenizer',
  trustRemoteCode: 'no code is ever downloaded',
  ignoreMismatchedSizes: 'a head of another shape is always newly initialised, with a line that names it',
  shuffleTrainDataset: 'training rows are shuffled every epoch unless {trainSamplingStrategy} is another',
  removeUnusedColumns: 'only the text and label columns are read',
  fullDeterminism: 'the same seed and number of threads always give the same run',
  disableTqdm: 'the progress bar is shown on a terminal only',
  logOnEachNode: oneProcess,
  saveOnEachNode: oneProcess,
  ddpFindUnusedParameters: oneProcess,
  averageTokensAcrossDevices: oneProcess,
  ddpBroadcastBuffers: oneProcess,
  ddpStaticGraph: oneProcess,
  evalUseGatherObject: oneProcess,
  useLigerKernel: kernels,
  useCache: 'an encoder has no cache of keys and values',
  enableJitCheckpoint: 'SIGTERM always saves a checkpoint',
  restoreCallbackStatesFromCheckpoint: 'a resumed run always restores the states of its callbacks',
  hubPrivateRepo: notPushed,
  hubAlwaysPush:
    'a checkpoint that was not pushed while another one was is pushed after it, unless a newer one came',
  loggingNanInfFilter:
    'a loss that is not finite does not count in the logs; {nonfiniteGradient} decides what is done about its step',
  skipMemoryMetrics: 'memory is not logged',
  bf16FullEval: 'evaluation computes in the same {dtype} as training',
  torchCompile: 'the native steps need no compilation',
  dataloaderPinMemory: loader,
  dataloaderPersistentWorkers: loader,
  dataloaderInOrder: 'batches always come in their order',
  predictionLossOnly: streams,
  batchEvalMetrics: streams,
  evalDoConcatBatches: streams,
};

/** Options with a value, without effect. */
const ignoredValues: Record<string, string> = {
  padding,
  padToMultipleOf: padding,
  loggingDir: logs,
  runName: logs,
  project: logs,
  trackioSpaceId: logs,
  trackioBucketId: logs,
  trackioStaticSpaceId: logs,
  logLevel: 'use {verbose} to see more',
  logLevelReplica: oneProcess,
  localRank: oneProcess,
  ddpBucketCapMb: oneProcess,
  acceleratorConfig: oneProcess,
  cacheDir: 'downloads go to the folder that HF_HOME or HF_HUB_CACHE names',
  hubModelId: notPushed,
  hubStrategy: notPushed,
  hubRevision: notPushed,
  hubToken: noToken,
  token: noToken,
  useAuthToken: noToken,
  metricName: 'every metric of the problem type is always computed',
  labelNames: 'use {labelColumn}',
  lengthColumnName: 'lengths come from tokenization',
  shuffleSeed: 'use {dataSeed}',
  dataloaderPrefetchFactor: loader,
  dataloaderMultiprocessingContext: loader,
  evalAccumulationSteps: streams,
  includeNumInputTokensSeen: 'num_input_tokens_seen in trainer_state.json always counts them',
  gradientCheckpointingKwargs: 'there is one way to compute layers again',
  ligerKernelConfig: kernels,
  torchEmptyCacheSteps:
    'a step uses the memory of the one before; where it runs out, see {autoFindBatchSize}',
  torchCompileBackend: 'the native steps need no compilation',
  torchCompileMode: 'the native steps need no compilation',
};

/** Switches that would change the result or promise something: refused when on. */
const refusedSwitches: Record<string, string> = {
  fp16: 'float16 is not supported; use {dtype} bfloat16, or {dtype} float32',
  fp16FullEval: 'float16 is not supported; use {dtype} bfloat16, or {dtype} float32',
  pushToHub: notPushed,
  dataloaderDropLast: 'the last batch of an epoch is always trained on',
  ignoreDataSkip: 'a resumed run always continues where it stopped',
};

/** Options with a value that would change the result: refused when set. */
const refusedValues: Record<string, string> = {
  deepspeed: oneProcess,
  fsdp: oneProcess,
  fsdpConfig: oneProcess,
  parallelismConfig: oneProcess,
  optimArgs:
    'sgd takes {momentum}, AdamW and Adam take {adamBeta1}, {adamBeta2} and {adamEpsilon}, and all take {weightDecay}',
  optimTargetModules: 'no optimizer projects gradients; {freeze} and {loraRank} train less with less memory',
  includeForMetrics: 'computeMetrics is given logits and labels',
  debug:
    'a loss or gradient that is not finite is always found; {nonfiniteGradient} decides what is done about its step',
  removeSplits: 'name the split to use with {trainSplit} and {validationSplit}',
  taskName: 'use {dataset} nyu-mll/glue with {datasetConfig} <task> instead',
};

const special: Record<string, Foreign> = {
  warmupRatio: { isSwitch: false, renames: 'warmupSteps', read: warmupRatio },
  groupByLength: whenTrue({ option: 'trainSamplingStrategy', value: 'group_by_length' }),
  noCuda: whenTrue({ option: 'device', value: 'cpu' }),
  useCpu: whenTrue({ option: 'device', value: 'cpu' }),
  doRegression: whenTrue({ option: 'problemType', value: regression.problemType }),
  bf16: {
    isSwitch: true,
    read: (value, name) => {
      return { option: 'dtype', value: truth(value, name) ? 'bfloat16' : 'float32' };
    },
  },
  doTrain: {
    isSwitch: true,
    read: (value, name) => {
      if (truth(value, name)) return {};
      const trains = '`bertune train` trains; `bertune evaluate` evaluates without training';
      // HF's default, which is in every file that TrainingArguments wrote; on the command line it is intended.
      if (name.startsWith('--')) throw new UsageError(`${name}: ${trains}`);
      return { note: `has no effect: ${trains}` };
    },
  },
  doEval: {
    isSwitch: true,
    read: () => ({ note: 'has no effect: validation rows are evaluated whenever they are given' }),
  },
  doPredict: {
    isSwitch: true,
    read: () => ({ note: 'has no effect: run `bertune predict` on the saved model' }),
  },
  saveSafetensors: insist(true, 'weights are always saved as safetensors'),
  textColumnNames: { isSwitch: false, renames: 'textColumn', read: textColumns },
};

const foreign = new Map<string, Foreign>([
  ...rows(renamed, (option) => ({
    isSwitch: false,
    renames: option,
    read: (value) => ({ option, value }),
  })),
  ...rows(ignoredSwitches, (why) => ({ isSwitch: true, read: () => ({ note: `has no effect: ${why}` }) })),
  ...rows(ignoredValues, (why) => ({ isSwitch: false, read: () => ({ note: `has no effect: ${why}` }) })),
  ...rows(refusedSwitches, (why) => insist(false, why)),
  ...rows(refusedValues, (why) => ({ isSwitch: false, read: refuseUnlessEmpty(why) })),
  ...Object.entries(special),
]);

function rows<T>(table: Record<string, T>, make: (row: T) => Foreign): [string, Foreign][] {
  return Object.entries(table).map(([name, row]) => [name, make(row)]);
}

function whenTrue(meaning: Meaning): Foreign {
  return { isSwitch: true, read: (value, name) => (truth(value, name) ? meaning : {}) };
}

function insist(only: boolean, why: string): Foreign {
  return {
    isSwitch: true,
    read: (value, name) => {
      if (truth(value, name) === only) return {};
      throw new UsageError(`${name}: ${why}`);
    },
  };
}

function refuseUnlessEmpty(why: string): Foreign['read'] {
  return (value, name) => {
    const empty =
      value === '' || (typeof value === 'object' && value !== null && Object.keys(value).length === 0);
    if (empty) return {};
    throw new UsageError(`${name} is not supported: ${why}`);
  };
}

function truth(value: unknown, name: string): boolean {
  if (typeof value === 'boolean') return value;
  throw expected('true or false', name, value);
}

function warmupRatio(value: unknown, name: string): Meaning {
  if (typeof value !== 'number' || !(value >= 0 && value < 1))
    throw expected('a number from 0 to below 1', name, value);
  return { option: 'warmupSteps', value };
}

/** run_classification.py joins several text columns with a space; a pair of texts is something else, so ask. */
function textColumns(value: unknown, name: string): Meaning {
  const names = [value].flat().flatMap((item) => (typeof item === 'string' ? item.split(',') : [item]));
  if (names.length === 1) return { option: 'textColumn', value: names[0] };
  throw new UsageError(
    `${name}: columns are not joined; give one as {textColumn}, and a second text as {textPairColumn}`,
  );
}
