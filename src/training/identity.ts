// What a resumed run must have in common with the one that it continues: together it decides every batch, mask and bit.
import { createHash } from 'node:crypto';

import type { LabelledRows } from '../data/batch.js';
import { sessionConfig } from '../models/session-config.js';
import type { BertForSequenceClassification } from '../models/bert-for-sequence-classification.js';
import type { SessionConfig } from '../native/index.js';
import type { TrainingArguments } from '../options/index.js';
import { difference } from '../util/difference.js';
import { UsageError } from '../util/errors.js';
import type { BertTokenizer } from '../tokenizer/index.js';
import { optimizerOf } from './optimizer-step.js';
import { isTrainedWith } from './parameter-groups.js';

/** By the name under which a difference is told. Values are compared as JSON. */
export type RunIdentity = Readonly<Record<string, unknown>>;

const START_WEIGHTS = 'the weights that the training starts from';
const BASE_WEIGHTS = 'the weights of the base';

/** Rows to evaluate on may come to a run that had none, and earlier versions did not keep all of it. */
const MAY_BE_UNKNOWN = new Set([
  'the evaluation data',
  'evalRows',
  'truncationSide',
  'quoting',
  'evalQuoting',
  START_WEIGHTS, // of a run that was not to save anything
]);

/**
 * Everything that decides the steps of a run but the weights, and the number of steps, the learning rate and its like,
 * which may be changed on purpose.
 */
export async function runIdentity(
  args: TrainingArguments,
  parts: {
    model: BertForSequenceClassification;
    tokenizer: BertTokenizer;
    trainDataset: LabelledRows;
    evalDataset?: LabelledRows | undefined;
    maxLength: number;
  },
): Promise<RunIdentity> {
  const { model, tokenizer, trainDataset, evalDataset } = parts;
  const data = await trainDataset.identity?.();
  // Evaluations decide what is the best, when to stop, and with some schedules the learning rate.
  const evaluated = args.evalStrategy === 'no' ? undefined : evalDataset;
  const evaluatedData = await evaluated?.identity?.();
  return {
    'the training data': data?.files,
    'the columns': data?.columns,
    quoting: data?.quoting,
    'the evaluation data': evaluatedData?.files,
    evalQuoting: evaluatedData?.quoting,
    evalRows: evaluated?.size, // the files are the same with another --max-eval-samples
    trainRows: trainDataset.size,
    labels: model.task.labels,
    ...shapeOf(model),
    'the tokenizer': digest([JSON.stringify(tokenizer.spec.tokenizerJson)]),
    truncationSide: tokenizer.spec.tokenizerConfig.truncation_side ?? 'right',
    maxSeqLength: parts.maxLength,
    seed: args.seed,
    dataSeed: args.dataSeed ?? args.seed,
    batchSize: args.perDeviceTrainBatchSize,
    accumulation: args.gradientAccumulationSteps,
    samplingStrategy: args.trainSamplingStrategy,
    optim: optimizerOf(args),
    momentum: args.momentum,
    neftuneNoiseAlpha: args.neftuneNoiseAlpha ?? 0,
  };
}

/**
 * @param directory the checkpoint, for the message
 * @throws UsageError naming each difference
 */
export function requireSameRun(directory: string, before: RunIdentity, now: RunIdentity): void {
  // What JSON leaves out was not known to the earlier run.
  const own: RunIdentity = JSON.parse(JSON.stringify(now));
  const differences = Object.keys(own)
    .filter((key) => !isSame(before[key], own[key]))
    .filter((key) => before[key] !== undefined || !MAY_BE_UNKNOWN.has(key))
    .map((key) => difference(SHOWN_AS[key] ?? key, before[key], own[key]));
  if (differences.length === 0) return;
  throw otherRun(directory, differences);
}

/** @throws UsageError for a model that was trained in memory, of which the checkpoint knows no first weights */
export function requireUntrained(directory: string, before: RunIdentity, updates: number): void {
  if (updates > 0 && !(START_WEIGHTS in before)) throw otherRun(directory, [`${START_WEIGHTS} changed`]);
}

function otherRun(directory: string, differences: readonly string[]): UsageError {
  return new UsageError(
    `${directory} cannot be resumed with these settings: ${differences.join('; ')}. ` +
      'Use those of the first run, or leave out --resume-from-checkpoint to train anew, or to train its weights further ' +
      `with --model ${directory}.`,
  );
}

/** The names of options, where what they decide has another here. */
const SHOWN_AS: Readonly<Record<string, string>> = {
  batchSize: 'perDeviceTrainBatchSize',
  accumulation: 'gradientAccumulationSteps',
  samplingStrategy: 'trainSamplingStrategy',
  trainRows: 'the number of training rows',
  evalRows: 'the number of rows to evaluate on',
  evalQuoting: 'quoting of the evaluation data',
};

/** The numbers of a config that decide shapes and arithmetic; not the rest of it, which may name folders. */
const SHAPE = [
  'vocabSize',
  'hiddenSize',
  'numHiddenLayers',
  'numAttentionHeads',
  'intermediateSize',
  'hiddenAct',
  'hiddenDropoutProb',
  'attentionProbsDropoutProb',
  'classifierDropout',
  'maxPositionEmbeddings',
  'typeVocabSize',
  'initializerRange',
  'layerNormEps',
  'padTokenId',
  'problemType',
  'lora',
] as const satisfies readonly (keyof SessionConfig)[];

function shapeOf({ config, lora }: BertForSequenceClassification): Partial<SessionConfig> {
  const all = sessionConfig(config, lora);
  return Object.fromEntries(SHAPE.map((name) => [name, all[name]]));
}

/** As JSON, in which the order of an object's keys says nothing. */
function isSame(before: unknown, now: unknown): boolean {
  return JSON.stringify(sorted(before)) === JSON.stringify(sorted(now));
}

function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .toSorted(([a], [b]) => (a < b ? -1 : 1))
      .map(([key, one]) => [key, sorted(one)]),
  );
}

/**
 * What the weights are before the first step. To be called then; hashing them takes a second for each gigabyte, so only by
 * a run that is to save checkpoints or is compared with one.
 */
export async function startWeights(model: BertForSequenceClassification): Promise<RunIdentity> {
  const names = model.session.tensors().map(({ name }) => name);
  return { [START_WEIGHTS]: await weightsDigest(model, names) };
}

/**
 * Of a run that was not to save and does so all the same, as when it is interrupted: its first weights are gone by now, and
 * the checkpoint has those that they became. What it does not have is the base of an adapter, which never changes.
 */
export async function weightsAtSave(
  model: BertForSequenceClassification,
  known: RunIdentity,
): Promise<RunIdentity> {
  return START_WEIGHTS in known || BASE_WEIGHTS in known ? {} : baseWeights(model);
}

async function baseWeights(model: BertForSequenceClassification): Promise<RunIdentity> {
  const { session, lora } = model;
  if (lora === undefined) return {};
  const names = session.tensors().map(({ name }) => name);
  const frozen = names.filter((name) => !isTrainedWith(lora, name));
  return { [BASE_WEIGHTS]: await weightsDigest(model, frozen) };
}

/**
 * What a run that is to be resumed says of weights, as it is of an open model before the first step.
 *
 * @param known what of it has been computed already
 */
export async function weightsToCompare(
  model: BertForSequenceClassification,
  saved: RunIdentity,
  known: RunIdentity,
): Promise<RunIdentity> {
  const isWanted = (name: string): boolean => name in saved && !(name in known);
  return {
    ...(isWanted(START_WEIGHTS) && (await startWeights(model))),
    ...(isWanted(BASE_WEIGHTS) && (await baseWeights(model))),
  };
}

async function weightsDigest(
  { session }: BertForSequenceClassification,
  names: readonly string[],
): Promise<string> {
  const parts: Uint8Array[] = [];
  for (const name of names) {
    const values = await session.read(name);
    const hash = createHash('sha256').update(name);
    parts.push(hash.update(new Uint8Array(values.buffer, values.byteOffset, values.byteLength)).digest());
  }
  return digest(parts);
}

function digest(parts: readonly (string | Uint8Array)[]): string {
  const hash = createHash('sha256');
  for (const part of parts) hash.update(part);
  return `sha256:${hash.digest('hex')}`;
}
