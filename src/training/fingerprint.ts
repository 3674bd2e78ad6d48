// What a resumed run must have in common with the run that it continues, and what of it may be changed with a note.
// The option table has the role of each option; hashes stand for data and weights.
import { createHash } from 'node:crypto';

import type { DataIdentity, LabelledRows } from '../data/batch.js';
import type { EncoderModel } from '../models/encoder-model.js';
import type { World } from '../distributed/world.js';
import { fingerprintFields } from '../models/session.js';
import { optionsWithRole, type TrainingArguments } from '../options/index.js';
import type { BertTokenizer } from '../tokenizer/index.js';
import { difference } from '../util/text.js';
import { UsageError } from '../util/errors.js';
import { isTrainedWith, optimizerOf } from './parameter-groups.js';
import type { RunPlan } from './plan.js';
import { bestMetric, wasEvaluated, type TrainerState } from './state.js';

/** Numbers and hashes, by the name that a difference is reported with. Values are compared as JSON. */
export type Fingerprint = Readonly<Record<string, unknown>>;

const START_WEIGHTS = 'the weights that the training starts from';
const BASE_WEIGHTS = 'the weights of the base';

/** How labels are read decides the targets of every batch. */
const LABEL_READING = ['labelFormat', 'labelDelimiter', 'foldLabels', 'naLabels', 'the kind of the labels'];

function ofEvaluation(name: string): string {
  return `${name} of the evaluation data`;
}

/** With null for what was not asked for, which differs from what an earlier version did not keep. */
function labelReading(
  data: DataIdentity | undefined,
  nameOf = (name: string): string => name,
): Record<string, unknown> {
  if (data?.labels === undefined) return {};
  const { kind, ...options } = data.labels;
  const all: Readonly<Record<string, unknown>> = { ...options, 'the kind of the labels': kind };
  return Object.fromEntries(LABEL_READING.map((name) => [nameOf(name), all[name] ?? null]));
}

/** Rows to evaluate on may come to a run that had none, and earlier versions did not keep all of it. */
const MAY_BE_UNKNOWN = new Set([
  'the evaluation data',
  'the skipped training rows',
  'the skipped rows of the evaluation data',
  'evalRows',
  'truncationSide',
  'quoting',
  'evalQuoting',
  'encoding',
  'evalEncoding',
  'the columns of the evaluation data',
  ...LABEL_READING,
  ...LABEL_READING.map(ofEvaluation),
  START_WEIGHTS, // of a run that was not to save anything
]);

/** Names in a fingerprint that differ from those in messages. */
const SHOWN_AS: Readonly<Record<string, string>> = {
  batchSize: 'perDeviceTrainBatchSize',
  accumulation: 'gradientAccumulationSteps',
  samplingStrategy: 'trainSamplingStrategy',
  trainRows: 'the number of training rows',
  evalRows: 'the number of rows to evaluate on',
  evalQuoting: 'quoting of the evaluation data',
  evalEncoding: 'encoding of the evaluation data',
  totalSteps: 'the number of steps',
};
const KEPT_AS = Object.fromEntries(Object.entries(SHOWN_AS).map(([kept, shown]) => [shown, kept]));

/** Everything that decides the batches, masks and bits of a run, but for the weights and what may be changed on purpose. */
export async function fingerprintOf(
  args: TrainingArguments,
  parts: {
    model: EncoderModel;
    tokenizer: BertTokenizer;
    trainDataset: LabelledRows;
    evalDataset?: LabelledRows | undefined;
    maxLength: number;
    world?: World | undefined;
  },
): Promise<Fingerprint> {
  const { model, tokenizer, trainDataset, evalDataset } = parts;
  const data = await trainDataset.identity?.();
  // Evaluations decide what is the best, when to stop, and with some schedules the learning rate.
  const evaluated = args.evalStrategy === 'no' ? undefined : evalDataset;
  const evaluatedData = await evaluated?.identity?.();
  const effective: Readonly<Record<string, unknown>> = {
    ...args,
    // Rows of a step are what counts, whoever has them.
    perDeviceTrainBatchSize: args.perDeviceTrainBatchSize * (parts.world?.size ?? 1),
    maxSeqLength: parts.maxLength,
    dataSeed: args.dataSeed ?? args.seed,
    optim: optimizerOf(args),
    neftuneNoiseAlpha: args.neftuneNoiseAlpha ?? 0,
    labelAllTokens: model.task.kind.unit === 'token' ? args.labelAllTokens : undefined,
  };
  const options = optionsWithRole('must-match').map((name) => [KEPT_AS[name] ?? name, effective[name]]);
  return {
    'the training data': data?.files,
    'the skipped training rows': data?.skipped,
    'the columns': data?.columns,
    quoting: data?.quoting,
    encoding: data?.encoding,
    'the evaluation data': evaluatedData?.files,
    'the skipped rows of the evaluation data': evaluatedData?.skipped,
    evalQuoting: evaluatedData?.quoting,
    evalEncoding: evaluatedData?.encoding,
    ...data?.masking,
    ...labelReading(data),
    ...labelReading(evaluatedData, ofEvaluation),
    'the columns of the evaluation data': evaluatedData?.columns,
    evalRows: evaluated?.size, // the files are the same with another maxEvalSamples
    trainRows: trainDataset.size,
    labels: model.task.labels,
    ...fingerprintFields(model.config, model.lora),
    'the tokenizer': digest([JSON.stringify(tokenizer.spec.tokenizerJson)]),
    truncationSide: tokenizer.spec.tokenizerConfig.truncation_side ?? 'right',
    ...Object.fromEntries(options),
  };
}

/**
 * The weights before the first step, while the session still holds them. Hashing takes a second for each gigabyte, so only
 * for a run that is to save checkpoints or is compared with one.
 */
export async function startWeights(model: EncoderModel): Promise<Fingerprint> {
  return { [START_WEIGHTS]: await weightsOf(model) };
}

/** A digest of all weights of an open model. */
export function weightsOf(model: EncoderModel): Promise<string> {
  return weightsDigest(model, model.tensorNames());
}

/**
 * The weights of a run that was not to save and does so all the same, as when it is interrupted. Its first weights are gone
 * by now, and the checkpoint has what they became; what it lacks is the base of an adapter, which never changes.
 *
 * @param known what of the fingerprint there is
 */
export async function weightsAtSave(model: EncoderModel, known: Fingerprint): Promise<Fingerprint> {
  return START_WEIGHTS in known || BASE_WEIGHTS in known ? {} : baseWeights(model);
}

async function baseWeights(model: EncoderModel): Promise<Fingerprint> {
  const { lora } = model;
  if (lora === undefined) return {};
  const names = model.tensorNames();
  const frozen = names.filter((name) => !isTrainedWith(lora, name));
  return { [BASE_WEIGHTS]: await weightsDigest(model, frozen) };
}

/**
 * What a saved fingerprint has of weights, of an open model before the first step.
 *
 * @param known what has been computed already
 */
export async function weightsToCompare(
  model: EncoderModel,
  saved: Fingerprint,
  known: Fingerprint,
): Promise<Fingerprint> {
  const isWanted = (name: string): boolean => name in saved && !(name in known);
  return {
    ...(isWanted(START_WEIGHTS) && (await startWeights(model))),
    ...(isWanted(BASE_WEIGHTS) && (await baseWeights(model))),
  };
}

async function weightsDigest({ session }: EncoderModel, names: readonly string[]): Promise<string> {
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

/**
 * @param directory the checkpoint, for the message
 * @throws UsageError naming each difference
 */
export function requireSameRun(directory: string, before: Fingerprint, now: Fingerprint): void {
  // What JSON leaves out was not known to the earlier run.
  const own: Fingerprint = JSON.parse(JSON.stringify(now));
  const differences = Object.keys(own)
    .filter((key) => !isSame(before[key], own[key]))
    .filter((key) => before[key] !== undefined || !MAY_BE_UNKNOWN.has(key))
    .map((key) => difference(SHOWN_AS[key] ?? key, before[key], own[key]));
  if (differences.length > 0) throw otherRun(directory, differences);
}

/**
 * @param updates how many updates the model had in memory before this run
 * @throws UsageError for a trained model where the checkpoint does not know the weights that its run started from
 */
export function requireUntrained(directory: string, before: Fingerprint, updates: number): void {
  if (updates > 0 && !(START_WEIGHTS in before)) throw otherRun(directory, [`${START_WEIGHTS} changed`]);
}

function otherRun(directory: string, differences: readonly string[]): UsageError {
  return new UsageError(
    `${directory} cannot be resumed with these settings: ${differences.join('; ')}. ` +
      'Use those of the first run, or leave out resumeFromCheckpoint to start again, or to train its weights further ' +
      `with ${directory} as the model.`,
  );
}

/** As JSON, in which the order of an object's keys means nothing. */
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

/** Settings that a resumed run may change on purpose, by the name that a change is reported with. */
export type MutableSettings = Readonly<Record<string, unknown>>;

/**
 * What decides the best model as well, where there are evaluations during the training: the size of a batch changes the
 * last digits of a metric, and a state that is not saved cannot be loaded at the end.
 */
const OF_EVALUATIONS = ['perDeviceEvalBatchSize', 'loadBestModelAtEnd', 'saveStrategy', 'saveSteps'] as const;

/** What has a value in every run: where a checkpoint has none, an earlier version did not keep it. */
const ALWAYS_KNOWN: ReadonlySet<string> = new Set(['totalSteps', ...OF_EVALUATIONS]);

/** The settings of a run whose model is open; what has no effect in it is undefined. */
export function mutableSettings(
  args: TrainingArguments,
  { totalSteps, evalSteps, saveSteps }: RunPlan,
  { placement }: EncoderModel,
  processes: number,
): MutableSettings {
  const { evalStrategy, saveStrategy } = args;
  const withoutEvaluations = Object.fromEntries(OF_EVALUATIONS.map((name) => [name, undefined]));
  const effective: Readonly<Record<string, unknown>> = {
    ...args,
    evalSteps: evalStrategy === 'steps' ? evalSteps : undefined,
    saveSteps: saveStrategy === 'steps' ? saveSteps : undefined,
    ...(evalStrategy === 'no' && withoutEvaluations),
    // For these stand the number of steps and the placement.
    numTrainEpochs: undefined,
    maxSteps: undefined,
    device: undefined,
    dtype: undefined,
    threads: undefined,
  };
  const options = optionsWithRole('may-change').map((name) => [name, effective[name]]);
  return {
    totalSteps,
    ...Object.fromEntries(options),
    // Without the reason for it.
    placement: placement.replace(/ \(.*/s, '') + (processes === 1 ? '' : `, ${processes} processes`),
  };
}

/** Each setting that differs, e.g. `learningRate was 0.002 and is now 0.001`. */
export function changedSettings(before: MutableSettings, now: MutableSettings): string[] {
  const isKnown = (name: string): boolean =>
    !ALWAYS_KNOWN.has(name) || (before[name] !== undefined && now[name] !== undefined);
  return [...new Set([...Object.keys(before), ...Object.keys(now)])]
    .filter(isKnown)
    .filter((name) => JSON.stringify(before[name]) !== JSON.stringify(now[name])) // the order of lrFactors counts
    .map((name) => difference(SHOWN_AS[name] ?? name, before[name], now[name]));
}

/**
 * Of two metrics no value is better than one of the other, but the best so far, the count of early stopping and a plateau
 * would be compared with it.
 *
 * @returns whether the metric has changed, where nothing was decided by it so far
 * @throws UsageError when it has changed and something was
 */
export function hasOtherMetric(
  directory: string,
  saved: { state: TrainerState; settings: MutableSettings | undefined; learningRate: object | null },
  args: TrainingArguments,
): boolean {
  const { state, settings, learningRate } = saved;
  if (settings === undefined || !wasEvaluated(state)) return false;
  const { metricForBestModel, greaterIsBetter } = settings;
  const before = bestMetric({
    ...(typeof metricForBestModel === 'string' && { metricForBestModel }),
    ...(typeof greaterIsBetter === 'boolean' && { greaterIsBetter }),
  });
  const now = bestMetric(args);
  if (before.key === now.key && before.greaterIsBetter === now.greaterIsBetter) return false;
  if (learningRate === null && !wasDecidedByMetric(settings)) return true;
  const named = ({ key, greaterIsBetter: greater }: typeof now): string =>
    `the ${greater ? 'greatest' : 'smallest'} ${key}`;
  throw new UsageError(
    `${directory} is of a run whose best model had ${named(before)}, which cannot be compared with ${named(now)}: leave ` +
      `metricForBestModel and greaterIsBetter as they were, or start a new run from its weights, with ${directory} as its model`,
  );
}

function wasDecidedByMetric({
  loadBestModelAtEnd,
  saveStrategy,
  earlyStoppingPatience,
}: MutableSettings): boolean {
  return loadBestModelAtEnd === true || saveStrategy === 'best' || typeof earlyStoppingPatience === 'number';
}
