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

/** By the name under which a difference is told. Values are compared as JSON. */
export type RunIdentity = Readonly<Record<string, unknown>>;

/** Rows to evaluate on may come to a run that had none, and earlier versions did not keep all of it. */
const MAY_BE_UNKNOWN = new Set([
  'the evaluation data',
  'evalRows',
  'truncationSide',
  'quoting',
  'evalQuoting',
]);

/**
 * Everything that decides the steps of a run but their number, the learning rate and its like, which may be changed on
 * purpose. To be called before the first step, while the session still holds the weights that the training starts from.
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
    'the weights that the training starts from': await weightsDigest(model),
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
  throw new UsageError(
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

async function weightsDigest({ session }: BertForSequenceClassification): Promise<string> {
  const parts: Uint8Array[] = [];
  for (const { name } of session.tensors()) {
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
