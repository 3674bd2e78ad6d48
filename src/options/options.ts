// THE option table: every option once, with its type, default, check and help. Flags, config files, `--help`,
// docs/options.md and the TypeScript types all come from here. Names and defaults are those of Hugging Face's
// TrainingArguments and run_classification.py (transformers 5.18) wherever those have one.
import {
  choice,
  choices,
  epochOrSteps,
  integer,
  list,
  real,
  steps,
  text,
  textOrShare,
  textOrTrue,
  toggle,
} from './kinds.js';
import { DEFAULT_LIMITS } from '../data/limits.js';
import { labelWeights } from './label-weights.js';
import { patternFactors } from './pattern-factors.js';
import { optional, withDefault } from './option.js';
import { thresholdModes } from '../evaluation/tuning.js';
import { poolings } from '../evaluation/long-texts.js';
import { problemTypes } from '../tasks/index.js';
import { formatNames } from '../predictions/formats.js';
import { schedulerKwargs, schedulerTypes } from './schedulers.js';

const positive = real('above 0', (n) => n > 0);
const notNegative = real('of at least 0', (n) => n >= 0);
const atLeastOne = real('of at least 1', (n) => n >= 1 && n < 1e6);
const fraction = real('from 0 to below 1', (n) => n >= 0 && n < 1);
const seed = integer(0, { max: 2 ** 32 - 1 });
const when = choice(['no', 'steps', 'epoch']);
const optimizers = ['adamw_torch_fused', 'adamw_torch', 'adam', 'sgd', 'adagrad'] as const;
const files = list('FILE', 'a file name or several');

/** Every option of every command. Which command takes which is in commands.ts. */
export const options = {
  model: optional(text('DIR_OR_ID'), {
    group: 'Model',
    onResume: 'must-match',
    help: 'the weights: a folder, or a Hugging Face hub id such as bert-base-uncased',
    hf: 'model_name_or_path',
  }),
  modelRevision: optional(text('REV'), {
    group: 'Model',
    onResume: 'must-match',
    help: 'branch, tag or commit of a hub model',
    otherwise: 'main',
  }),
  baseModel: optional(text('DIR_OR_ID'), {
    group: 'Model',
    onResume: 'must-match',
    help: 'of an adapter: the model that it is laid on, where it is no longer the one that its adapter_config.json names',
    otherwise: 'that one',
    hf: 'base_model_name_or_path',
  }),
  config: optional(text('FILE'), {
    group: 'Model',
    onResume: 'must-match',
    help: "in place of --model: a model's config.json, to start from random weights of that shape",
    hf: 'config_name',
  }),
  tokenizer: optional(text('DIR_OR_ID'), {
    group: 'Model',
    onResume: 'must-match',
    help: 'folder or hub id of the tokenizer',
    otherwise: "the model's own",
    hf: 'tokenizer_name',
  }),
  problemType: optional(choice(problemTypes), {
    group: 'Model',
    onResume: 'must-match',
    help: 'what the head predicts, and so the loss',
    otherwise: 'seen from the labels: lists are multi-label, decimals regression',
  }),
  numLabels: optional(integer(1), {
    group: 'Model',
    onResume: 'must-match',
    help: 'outputs of the head',
    otherwise: 'counted from the labels',
  }),
  labelList: optional(list('LABEL', 'a label or several'), {
    group: 'Model',
    onResume: 'must-match',
    help: 'the labels in the order of their ids; any other label is a bad row',
    otherwise: 'all labels of the data, sorted',
  }),
  maxSeqLength: optional(integer(3), {
    group: 'Model',
    onResume: 'must-match',
    help: 'longer inputs are cut to this many tokens, special tokens included',
    otherwise: "512, or the model's positions where those are fewer",
  }),
  stride: optional(integer(0), {
    group: 'Model',
    onResume: 'irrelevant',
    help: 'read longer texts whole, as windows of --max-seq-length that share N tokens',
    otherwise: 'longer texts are cut',
  }),
  pooling: optional(choice(poolings), {
    group: 'Model',
    onResume: 'irrelevant',
    help: "what becomes of the windows' logits, with --stride",
    otherwise: 'mean',
  }),

  trainFile: withDefault(files, [], {
    group: 'Data',
    onResume: 'must-match',
    help: 'training rows: csv, tsv, jsonl, json or parquet; globs work',
  }),
  validationFile: withDefault(files, [], {
    group: 'Data',
    onResume: 'must-match',
    help: 'rows to evaluate on',
  }),
  testFile: withDefault(files, [], { group: 'Data', onResume: 'irrelevant', help: 'rows to predict' }),
  dataset: optional(text('ID'), {
    group: 'Data',
    onResume: 'must-match',
    help: 'in place of files: a hub dataset, e.g. stanfordnlp/imdb',
    hf: 'dataset_name',
  }),
  datasetConfig: optional(text('NAME'), {
    group: 'Data',
    onResume: 'must-match',
    help: 'configuration of the hub dataset, e.g. sst2 of nyu-mll/glue',
    hf: 'dataset_config_name',
  }),
  trainSplit: withDefault(text('NAME'), 'train', {
    group: 'Data',
    onResume: 'must-match',
    help: 'split of the hub dataset to train on',
    hf: 'train_split_name',
  }),
  validationSplit: optional(
    textOrShare('NAME_OR_SHARE', "a split's name, or a share of the training rows above 0 and below 1"),
    {
      group: 'Data',
      onResume: 'must-match',
      help: 'split of the hub dataset to evaluate on; or, as 0.1, a share of the training rows, stratified by label',
      otherwise: 'of a hub dataset validation, else test',
      hf: 'validation_split_name',
    },
  ),
  validationGroupColumn: optional(text('NAME'), {
    group: 'Data',
    onResume: 'must-match',
    help: 'rows with equal values in this column stay together when a share is set aside',
    otherwise: 'each row for itself',
  }),
  testSplit: withDefault(text('NAME'), 'test', {
    group: 'Data',
    onResume: 'irrelevant',
    help: 'split of the hub dataset to predict',
    hf: 'test_split_name',
  }),
  textColumn: optional(text('NAME'), {
    group: 'Data',
    onResume: 'must-match',
    help: 'column of the text',
    otherwise: 'found by its usual names (text, sentence, review ...)',
  }),
  textPairColumn: optional(text('NAME'), {
    group: 'Data',
    onResume: 'must-match',
    help: 'column of the second text, for pairs',
    otherwise: 'found with the first (sentence1 and sentence2 ...)',
  }),
  idColumn: optional(list('NAME', 'a column or several'), {
    group: 'Data',
    onResume: 'irrelevant',
    help: 'columns that are carried over to the predictions, such as an id',
    otherwise: 'none',
  }),
  labelColumn: optional(list('NAME', 'a column or several'), {
    group: 'Data',
    onResume: 'must-match',
    help: 'column of the label; or several of zeros and ones (or probabilities), one for each label',
    otherwise: 'found by its usual names (label, labels, class ...)',
    hf: 'label_column_name',
  }),
  labelDelimiter: optional(text('TEXT'), {
    group: 'Data',
    onResume: 'must-match',
    help: 'what separates several labels written as one text, for multi-label',
    otherwise: '|',
  }),
  softLabels: withDefault(toggle(), false, {
    group: 'Data',
    onResume: 'must-match',
    help: 'labels are probabilities, in a column for each or in lists; metrics other than the loss take the likeliest',
  }),
  crossValidation: optional(integer(2), {
    group: 'Data',
    onResume: 'irrelevant',
    help: 'train N times, each time on all parts but one of N, stratified by label, and evaluate on that part; no model is saved',
    otherwise: 'one training',
  }),
  badRows: withDefault(choice(['stop', 'skip']), 'stop', {
    group: 'Data',
    onResume: 'must-match',
    help: 'a row that cannot be used stops the run, or is skipped and reported',
  }),
  quoting: withDefault(choice(['minimal', 'none']), 'minimal', {
    group: 'Data',
    onResume: 'must-match',
    help: 'none: quotes in CSV and TSV are characters like others, as in the files of GLUE',
  }),
  maxRowBytes: withDefault(integer(1024, { max: 2 ** 29 }), DEFAULT_LIMITS.maxRowBytes, {
    group: 'Data',
    onResume: 'must-match',
    help: 'a row of a text file that is longer is a bad row (16 MiB)',
  }),
  maxCompressionRatio: withDefault(integer(1), DEFAULT_LIMITS.maxCompressionRatio, {
    group: 'Data',
    onResume: 'irrelevant',
    help: 'a file that becomes more than so many times as large when it is decompressed is refused (beyond 64 MiB)',
  }),
  maxTrainSamples: optional(integer(1), {
    group: 'Data',
    onResume: 'must-match',
    help: 'train on the first N rows only',
    otherwise: 'all',
  }),
  maxEvalSamples: optional(integer(1), {
    group: 'Data',
    onResume: 'must-match',
    help: 'evaluate on the first N rows only',
    otherwise: 'all',
  }),
  maxPredictSamples: optional(integer(1), {
    group: 'Data',
    onResume: 'irrelevant',
    help: 'predict the first N rows only',
    otherwise: 'all',
  }),

  numTrainEpochs: withDefault(positive, 3, {
    group: 'Training',
    onResume: 'may-change',
    help: 'passes over the training rows; 0.5 is half a pass',
  }),
  maxSteps: withDefault(integer(1, { also: -1 }), -1, {
    group: 'Training',
    onResume: 'may-change',
    help: 'stop after N optimizer steps whatever the epochs; -1 means by epochs',
  }),
  perDeviceTrainBatchSize: withDefault(integer(1), 8, {
    group: 'Training',
    onResume: 'must-match',
    help: 'rows a batch',
  }),
  gradientAccumulationSteps: withDefault(integer(1), 1, {
    group: 'Training',
    onResume: 'must-match',
    help: 'batches an optimizer step; the result does not depend on how a step is cut into batches',
  }),
  autoFindBatchSize: withDefault(toggle(), false, {
    group: 'Training',
    onResume: 'irrelevant',
    help: 'where memory runs out, cut batches further and go on; the gradients stay the same',
  }),
  gradientCheckpointing: withDefault(toggle(), false, {
    group: 'Training',
    onResume: 'irrelevant',
    help: 'compute layers again in the backward pass instead of keeping them: less memory, more time, same result',
  }),
  learningRate: withDefault(positive, 5e-5, {
    group: 'Training',
    onResume: 'may-change',
    help: 'peak learning rate',
  }),
  lrSchedulerType: withDefault(choice(schedulerTypes), 'linear', {
    group: 'Training',
    onResume: 'may-change',
    help: 'how the learning rate goes on after warmup',
  }),
  lrSchedulerKwargs: optional(schedulerKwargs(), {
    group: 'Training',
    onResume: 'may-change',
    help: 'further arguments of the schedule, by their names in HF, e.g. {"num_cycles": 2}',
    otherwise: "HF's",
  }),
  warmupSteps: withDefault(steps({ allowZero: true }), 0, {
    group: 'Training',
    onResume: 'may-change',
    help: 'steps of linear warmup, or below 1 the share of all steps',
  }),
  optim: withDefault(choice(optimizers), 'adamw_torch_fused', {
    group: 'Training',
    onResume: 'must-match',
    help: 'optimizer, as torch.optim; adamw_torch is the same as adamw_torch_fused',
  }),
  momentum: withDefault(fraction, 0, {
    group: 'Training',
    onResume: 'must-match',
    help: 'with --optim sgd: momentum',
  }),
  weightDecay: withDefault(notNegative, 0, {
    group: 'Training',
    onResume: 'may-change',
    help: 'weight decay, not applied to biases and LayerNorm; with another optimizer than AdamW an L2 term',
  }),
  adamBeta1: withDefault(fraction, 0.9, {
    group: 'Training',
    onResume: 'may-change',
    help: 'beta 1 of AdamW and Adam',
    hf: 'adam_beta1',
  }),
  adamBeta2: withDefault(fraction, 0.999, {
    group: 'Training',
    onResume: 'may-change',
    help: 'beta 2 of AdamW and Adam',
    hf: 'adam_beta2',
  }),
  adamEpsilon: withDefault(positive, 1e-8, {
    group: 'Training',
    onResume: 'may-change',
    help: 'epsilon of AdamW and Adam',
  }),
  maxGradNorm: withDefault(notNegative, 1, {
    group: 'Training',
    onResume: 'may-change',
    help: 'clip the gradient to this norm; 0 does not clip',
  }),
  nonfiniteGradient: withDefault(choice(['stop', 'skip', 'rollback']), 'stop', {
    group: 'Training',
    onResume: 'may-change',
    help: 'a step whose loss or gradient is NaN or infinite changes no weight; then stop the run, skip the step and count it, or take back what came after the last checkpoint and go on with the next rows',
  }),
  labelSmoothingFactor: withDefault(fraction, 0, {
    group: 'Training',
    onResume: 'may-change',
    help: 'label smoothing, for classes; evaluation stays unsmoothed, unlike HF',
  }),
  classWeights: optional(labelWeights(), {
    group: 'Training',
    onResume: 'may-change',
    help: 'for one label a row: a weight of each label in the loss, in the order of their ids, or balanced, by how rare each is; evaluation stays unweighted',
    otherwise: 'equal',
  }),
  posWeight: optional(labelWeights(), {
    group: 'Training',
    onResume: 'may-change',
    help: 'for several labels a row: a weight of each label where a row has it, or balanced, rows without by rows with it',
    otherwise: 'equal',
  }),
  neftuneNoiseAlpha: optional(notNegative, {
    group: 'Training',
    onResume: 'must-match',
    help: 'noise on word embeddings in training (NEFTune, Jain et al. 2023); the paper tries 5, 10 and 15',
    otherwise: 'none',
  }),
  focalGamma: optional(notNegative, {
    group: 'Training',
    onResume: 'may-change',
    help: 'focal loss: how far rows that are right already count less, e.g. 2',
    otherwise: 'none',
  }),
  freeze: optional(list('PATTERN', 'a pattern of tensor names or several'), {
    group: 'Training',
    onResume: 'may-change',
    help: 'tensors that stay as they are, e.g. bert.embeddings "bert.encoder.layer.{0..5}"; the layers below the lowest trained one cost no backward pass',
    otherwise: 'none',
  }),
  gradualUnfreezing: optional(epochOrSteps(), {
    group: 'Training',
    onResume: 'may-change',
    help: 'begin with the head alone and add a layer from the top every epoch, or every N steps',
    otherwise: 'no',
  }),
  layerLrDecay: optional(atLeastOne, {
    group: 'Training',
    onResume: 'may-change',
    help: 'discriminative learning rates: each layer learns at the rate of the one above it divided by this, e.g. 2.6',
    otherwise: '1',
  }),
  lrFactors: optional(patternFactors(), {
    group: 'Training',
    onResume: 'may-change',
    help: "factors of the learning rate by tensor name, e.g. 'classifier=10'; of several that match the last counts",
    otherwise: 'none',
  }),
  loraRank: optional(integer(1), {
    group: 'Training',
    onResume: 'must-match',
    help: 'LoRA: train low-rank updates of this rank and the head in place of all weights, and save them as PEFT does',
    otherwise: 'all weights are trained',
    hf: 'r',
  }),
  loraAlpha: optional(positive, {
    group: 'Training',
    onResume: 'must-match',
    help: 'updates of LoRA are scaled by this over the rank',
    otherwise: "8, PEFT's",
  }),
  loraDropout: optional(fraction, {
    group: 'Training',
    onResume: 'must-match',
    help: 'dropout before the updates of LoRA',
    otherwise: '0',
  }),
  loraTargetModules: optional(list('NAME', 'a name or pattern of linear layers, or several'), {
    group: 'Training',
    onResume: 'must-match',
    help: 'linear layers that get updates: query, key, value, attention.output.dense, intermediate.dense, output.dense, pooler.dense, a pattern, or all-linear',
    otherwise: "query value, PEFT's",
    hf: 'target_modules',
  }),
  trainSamplingStrategy: withDefault(choice(['random', 'group_by_length', 'sequential']), 'random', {
    group: 'Training',
    onResume: 'must-match',
    help: 'which rows form a batch; nothing is padded, so none of the three wastes work',
  }),
  seed: withDefault(seed, 42, {
    group: 'Training',
    onResume: 'must-match',
    help: 'seed of initial weights, dropout and order',
  }),
  dataSeed: optional(seed, {
    group: 'Training',
    onResume: 'must-match',
    help: 'seed of the order of rows',
    otherwise: '--seed',
  }),
  resumeFromCheckpoint: optional(textOrTrue('DIR', 'a checkpoint folder, auto, true or false'), {
    group: 'Training',
    onResume: 'irrelevant',
    help: 'go on from a checkpoint; without a folder, from the newest one in the output folder; auto: from the newest that is whole, or else from the beginning',
  }),

  evalStrategy: withDefault(when, 'no', {
    group: 'Evaluation',
    onResume: 'may-change',
    help: 'when to evaluate during training; given rows are always evaluated at the end',
  }),
  evalDelay: withDefault(notNegative, 0, {
    group: 'Evaluation',
    onResume: 'may-change',
    help: 'no evaluation before this many epochs, or steps with --eval-strategy steps',
  }),
  evalOnStart: withDefault(toggle(), false, {
    group: 'Evaluation',
    onResume: 'irrelevant',
    help: 'evaluate before the first step as well',
  }),
  evalSteps: optional(steps({ allowZero: false }), {
    group: 'Evaluation',
    onResume: 'may-change',
    help: 'with --eval-strategy steps: evaluate every N steps',
    otherwise: '--logging-steps',
  }),
  perDeviceEvalBatchSize: withDefault(integer(1), 8, {
    group: 'Evaluation',
    onResume: 'may-change',
    help: 'rows a batch in evaluation and prediction',
  }),
  metricForBestModel: optional(text('METRIC'), {
    group: 'Evaluation',
    onResume: 'may-change',
    help: 'metric that says which checkpoint is best, e.g. accuracy',
    otherwise: 'loss',
  }),
  greaterIsBetter: optional(toggle(), {
    group: 'Evaluation',
    onResume: 'may-change',
    help: 'whether a greater metric is better',
    otherwise: 'known for each metric',
  }),
  loadBestModelAtEnd: withDefault(toggle(), false, {
    group: 'Evaluation',
    onResume: 'may-change',
    help: 'save the weights of the best checkpoint, not those of the last step',
  }),
  earlyStoppingPatience: optional(integer(1), {
    group: 'Evaluation',
    onResume: 'may-change',
    help: 'stop after this many evaluations in which the metric for the best model did not improve',
    otherwise: 'never',
  }),
  earlyStoppingThreshold: withDefault(notNegative, 0, {
    group: 'Evaluation',
    onResume: 'may-change',
    help: 'an improvement of this or less does not count',
  }),
  tuneThresholds: optional(choice(thresholdModes), {
    group: 'Evaluation',
    onResume: 'irrelevant',
    help: 'for several labels a row: choose the probability above which a label is given by F1, and save it with the model',
    otherwise: 'one half, or what was tuned before',
  }),
  tuneTemperature: withDefault(toggle(), false, {
    group: 'Evaluation',
    onResume: 'irrelevant',
    help: 'scale the probabilities so that the labels are most likely (Guo et al. 2017), and save that with the model',
  }),

  outputDir: optional(text('DIR'), {
    group: 'Saving and logging',
    onResume: 'irrelevant',
    help: 'folder for the model, the checkpoints and the metrics',
  }),
  outputFile: optional(text('FILE'), {
    group: 'Saving and logging',
    onResume: 'irrelevant',
    help: 'file for the predictions',
    otherwise: 'standard output',
  }),
  outputFormat: optional(choice(formatNames), {
    group: 'Saving and logging',
    onResume: 'irrelevant',
    help: 'how the predictions are written; parquet needs --output-file',
    otherwise: 'by the ending of --output-file, else jsonl',
  }),
  saveStrategy: withDefault(choice(['no', 'steps', 'epoch', 'best']), 'steps', {
    group: 'Saving and logging',
    onResume: 'may-change',
    help: 'when to write a checkpoint; best: whenever an evaluation was the best so far',
  }),
  saveSteps: withDefault(steps({ allowZero: false }), 500, {
    group: 'Saving and logging',
    onResume: 'may-change',
    help: 'with --save-strategy steps: a checkpoint every N steps',
  }),
  saveTotalLimit: optional(integer(1), {
    group: 'Saving and logging',
    onResume: 'irrelevant',
    help: 'keep N checkpoints; the best and the newest are never removed',
    otherwise: 'all',
  }),
  saveOnlyModel: withDefault(toggle(), false, {
    group: 'Saving and logging',
    onResume: 'irrelevant',
    help: 'checkpoints without the optimizer: a third of the size, but no run can resume from them',
  }),
  loggingStrategy: withDefault(when, 'steps', {
    group: 'Saving and logging',
    onResume: 'irrelevant',
    help: 'when to log loss and learning rate',
  }),
  loggingSteps: withDefault(steps({ allowZero: false }), 500, {
    group: 'Saving and logging',
    onResume: 'irrelevant',
    help: 'with --logging-strategy steps: log every N steps',
  }),
  loggingFirstStep: withDefault(toggle(), false, {
    group: 'Saving and logging',
    onResume: 'irrelevant',
    help: 'log the first step as well',
  }),
  reportTo: withDefault(
    choices(['tensorboard', 'jsonl', 'csv'], 'a callback sends logs elsewhere, see examples/callbacks.ts'),
    [],
    {
      group: 'Saving and logging',
      onResume: 'irrelevant',
      help: 'also write the logs as they come, to files in the output folder',
    },
  ),
  json: withDefault(toggle(), false, {
    group: 'Saving and logging',
    onResume: 'irrelevant',
    help: 'print what was found as one JSON object',
  }),
  verbose: withDefault(toggle(), false, {
    group: 'Saving and logging',
    onResume: 'irrelevant',
    help: 'say more, and show the stack of an error',
  }),

  device: withDefault(choice(['auto', 'cpu', 'cuda']), 'auto', {
    group: 'Device',
    onResume: 'may-change',
    help: 'where to compute; auto takes a CUDA device where there is one',
  }),
  dtype: withDefault(choice(['auto', 'float32', 'bfloat16']), 'auto', {
    group: 'Device',
    onResume: 'may-change',
    help: 'precision of the computation, over float32 weights; auto takes bfloat16 where the device is good at it',
  }),
  tf32: optional(toggle(), {
    group: 'Device',
    onResume: 'may-change',
    help: 'on a CUDA device, whether float32 products may round their inputs to TF32: 10 bits of mantissa, several times faster',
    otherwise: "LibTorch's default, which is no",
  }),
  threads: optional(integer(1), {
    group: 'Device',
    onResume: 'may-change',
    help: 'CPU threads of the computation',
    otherwise: 'all cores',
  }),
  dataloaderNumWorkers: withDefault(integer(0), 1, {
    group: 'Device',
    onResume: 'irrelevant',
    help: 'threads that tokenize ahead of the training step; 0 tokenizes between the steps',
  }),

  nTrials: withDefault(integer(1), 20, {
    group: 'Search',
    onResume: 'irrelevant',
    help: 'trainings to try, earlier ones of the same search included',
  }),
  sampler: withDefault(choice(['tpe', 'random']), 'tpe', {
    group: 'Search',
    onResume: 'irrelevant',
    help: 'how the next values are chosen: where earlier ones were good, or at random',
  }),
  pruner: withDefault(choice(['median', 'none']), 'median', {
    group: 'Search',
    onResume: 'irrelevant',
    help: 'whether a training is given up when it is worse than half of the earlier ones were at the same step',
  }),
};

export type OptionName = keyof typeof options;
