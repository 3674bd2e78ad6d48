// What a run starts from: the parts of a Trainer, whether they fit together, and the first step or a checkpoint.
import type { LabelledRows } from '../data/batch.js';
import type { ComputeMetrics } from '../evaluation/evaluate.js';
import type { EncoderModel } from '../models/encoder-model.js';
import { areDefaultLabels } from '../models/labels.js';
import { requireSameEverywhere, sharedOptions, updatesBy } from './agreement.js';
import { ALONE, type World } from '../distributed/world.js';
import { lossProblems, parseTrainingArguments, type TrainingArguments } from '../options/index.js';
import { requireTaskFits } from '../tasks/index.js';
import type { Progress } from '../terminal/progress.js';
import type { BertTokenizer } from '../tokenizer/index.js';
import { listed } from '../util/text.js';
import { expected, UsageError } from '../util/errors.js';
import { EarlyStoppingCallback, type TrainerCallback } from './callbacks.js';
import { LogFileCallback, TensorBoardCallback } from './reporting.js';
import {
  changedSettings,
  fingerprintOf,
  hasOtherMetric,
  mutableSettings,
  requireSameRun,
  requireUntrained,
  startWeights,
  weightsToCompare,
  type Fingerprint,
} from './fingerprint.js';
import { intactCheckpoint, markRun, olderCheckpointsNote, removeLeftovers } from './output-folder.js';
import type { RunPlan } from './plan.js';
import {
  applyResumeState,
  readSavedRun,
  type ResumeState,
  type RunCounters,
  type SavedRun,
  type StatefulParts,
} from './resume.js';
import { withoutBest, type TrainerState } from './state.js';
import type { StepExecutor } from './step-executor.js';

/**
 * What a Trainer is made of.
 *
 * @example
 * ```ts
 * import { AutoModelForSequenceClassification, AutoTokenizer } from 'bertune';
 * import { loadDataset, Trainer, trainingArguments, type TrainerParts } from 'bertune';
 *
 * const { train, task } = await loadDataset({ train: 'train.csv' });
 * const parts: TrainerParts = {
 *   model: await AutoModelForSequenceClassification.fromPretrained('bert-base-uncased', task),
 *   tokenizer: await AutoTokenizer.fromPretrained('bert-base-uncased'),
 *   args: trainingArguments({ outputDir: 'out' }),
 *   trainDataset: train,
 * };
 * const trainer = new Trainer(parts);
 * ```
 */
export interface TrainerParts {
  model: EncoderModel;
  args: TrainingArguments;
  tokenizer: BertTokenizer;
  trainDataset: LabelledRows;
  evalDataset?: LabelledRows | undefined;
  progress?: Progress;
  /**
   * The processes that train together, each with a Trainer of its own. Default: this one alone.
   *
   * What must be the same in all of them: `model`, `tokenizer`, data and `args`, but for where a process runs and what it writes
   * (`device`, `threads`, `dataloaderNumWorkers`, `outputDir`, `reportTo`); others are refused before the first step. And the calls of
   * the Trainer and of `world`, which wait for those of all processes: one that is made by rank 0 alone ends the training after the
   * timeout. What may differ: `progress`, and the callbacks (see {@link TrainerCallback}).
   */
  world?: World | undefined;
  /** Called after our own (early stopping, reports), in this order. */
  callbacks?: readonly TrainerCallback[];
  /**
   * Metrics beside our own; HF's compute_metrics. Keeps the logits of all evaluated rows in memory. Of several processes only rank 0
   * calls it, and all have what it gives.
   */
  computeMetrics?: ComputeMetrics;
}

/**
 * Completes and checks the arguments of a Trainer, as `TrainingArguments(...)` in Python.
 *
 * @param values options by HF's names in any case: `{ outputDir: 'out', numTrainEpochs: 3 }`
 * @throws UsageError naming each unknown option, wrong value and contradiction
 *
 * @example
 * ```ts
 * import { trainingArguments } from 'bertune';
 *
 * const args = trainingArguments({ outputDir: 'out', learningRate: 2e-5, evalStrategy: 'epoch' });
 * ```
 */
export function trainingArguments(
  values: Partial<TrainingArguments> & Pick<TrainingArguments, 'outputDir'>,
): TrainingArguments {
  const { options, notes } = parseTrainingArguments(values);
  for (const note of notes) process.emitWarning(note, 'TrainingArguments');
  return options;
}

/** The callbacks that options stand for: early stopping, and HF's `report_to`. */
export function ownCallbacks(args: TrainingArguments, { isMain }: World): TrainerCallback[] {
  const { earlyStoppingPatience: patience, earlyStoppingThreshold: threshold, reportTo, outputDir } = args;
  const stopping = patience === undefined ? [] : [new EarlyStoppingCallback({ patience, threshold })];
  const reports = (isMain ? reportTo : []).map((to) =>
    to === 'tensorboard' ? new TensorBoardCallback(outputDir) : new LogFileCallback(outputDir, to),
  );
  return [...stopping, ...reports];
}

const REMEDY =
  'Make the model for the data: AutoModelForSequenceClassification.fromPretrained(model, data.task), or fromConfig.';

/** @throws UsageError for parts that do not fit together */
export function requirePartsFit(parts: TrainerParts): void {
  const { args, model, trainDataset, evalDataset } = parts;
  const { task } = model;
  requireKnownMetric(parts);
  if (args.evalStrategy !== 'no' && evalDataset === undefined)
    throw new UsageError(`evalStrategy is '${args.evalStrategy}' but there are no rows to evaluate on`);
  const { problemType, labels: labelList } = task;
  const [misfit] = lossProblems({ ...args, problemType, labelList }, (name) => name);
  if (misfit !== undefined) throw new UsageError(misfit.message);
  if (args.labelAllTokens && task.kind.unit !== 'token')
    throw new UsageError(
      `labelAllTokens is for models that classify tokens, and this one is for ${problemType}; leave it out`,
    );
  requireTaskFits(task, trainDataset, 'training data', REMEDY);
  if (evalDataset !== undefined) requireTaskFits(task, evalDataset, 'evaluation data', REMEDY);
}

/** With metrics of the caller's own, their names are known after the first evaluation only. */
function requireKnownMetric({ args, model, computeMetrics }: TrainerParts): void {
  const { metricForBestModel: metric } = args;
  const known: readonly string[] = model.task.kind.metricNames;
  if (metric === undefined || computeMetrics !== undefined || known.includes(metric)) return;
  throw expected(`one of ${known.join(', ')}`, 'metricForBestModel', metric);
}

/**
 * A note where the model's labels are not those of the data: a script that gives the number of labels alone gets
 * predictions that call them LABEL_1, and one that gives others may have names that stand for other classes.
 */
function labelsNote({ model, trainDataset: { task } }: TrainerParts): string | null {
  const { labels } = model.task;
  if (task === undefined || !model.task.kind.hasClasses) return null;
  const haveNames = !areDefaultLabels(task.labels) && !task.labels.every((label) => /^\d+$/.test(label));
  if (!haveNames || labels.some((label) => task.labels.includes(label))) return null;
  return (
    `note: the model calls its labels ${listed(labels, 3)}, and so will its predictions; give it those of the data ` +
    `(${listed(task.labels, 3)}): fromPretrained(..., data.task)`
  );
}

/** A run as far as it is planned. */
interface PlannedRun extends StatefulParts {
  plan: RunPlan;
  maxLength: number;
  state: TrainerState;
  counters: RunCounters;
  log: (line: string) => void;
}

/**
 * Makes an open model ready for the first step that is still to be done.
 *
 * @returns where the run stands, and the checkpoint that it resumes; null for one that starts at the first step
 * @throws UsageError for a checkpoint that cannot be resumed
 */
export async function startOrResume(
  parts: TrainerParts,
  executor: StepExecutor,
  run: PlannedRun,
): Promise<{
  state: TrainerState;
  counters: RunCounters;
  fingerprint: Fingerprint;
  checkpoint: string | null;
}> {
  const { outputDir, saveStrategy } = parts.args;
  const { fingerprint, saved } = await findStart(parts, run);
  await executor.start();
  let { state, counters } = run;
  if (saved !== null) {
    await executor.resume(saved.folder, saved.resume);
    ({ state, counters } = applyResumeState(run, saved, { planned: state, counters }));
  }
  // A run that saves nothing, such as a fold, leaves the folder to the training that it is at.
  const { isMain } = parts.world ?? ALONE;
  if (isMain && (saved !== null || saveStrategy !== 'no')) await markRun(outputDir, counters.run);
  return { state, counters, fingerprint, checkpoint: saved?.folder ?? null };
}

/** Finds out where a run starts, and logs what the person should know of it. */
async function findStart(
  parts: TrainerParts,
  { plan, maxLength, log }: Pick<PlannedRun, 'plan' | 'maxLength' | 'log'>,
): Promise<{ fingerprint: Fingerprint; saved: (SavedRun & { folder: string }) | null }> {
  const { args, model } = parts;
  const { outputDir, saveStrategy, resumeFromCheckpoint: request = false, loadBestModelAtEnd } = args;
  const world = parts.world ?? ALONE;
  if (world.isMain) await removeLeftovers(outputDir);
  const known = {
    ...(await fingerprintOf(args, { ...parts, maxLength })),
    ...(saveStrategy !== 'no' && (await startWeights(model))),
  };
  await requireSameEverywhere(world, { ...sharedOptions(args), ...known, ...updatesBy(model) });
  const labels = labelsNote(parts);
  if (labels !== null) log(labels);
  if (request === false) {
    const older = await olderCheckpointsNote(outputDir, saveStrategy);
    if (older !== null) log(older);
    return { fingerprint: known, saved: null };
  }
  const folder = await world.fromMain(() =>
    intactCheckpoint(outputDir, request, { needsBest: loadBestModelAtEnd, log }),
  );
  if (folder === null) return { fingerprint: known, saved: null };
  const { state, resume } = await readSavedRun(folder);
  const { updates } = await model.session.stats(); // of an earlier training of the same model
  requireUntrained(folder, resume.identity, updates);
  const fingerprint = { ...known, ...(await weightsToCompare(model, resume.identity, known)) };
  requireSameRun(folder, resume.identity, fingerprint);
  const { settings, learningRate } = resume;
  const isOtherMetric = hasOtherMetric(folder, { state, settings, learningRate }, args);
  logResume(folder, resume, { parts, plan, log });
  return { fingerprint, saved: { folder, state: isOtherMetric ? withoutBest(state) : state, resume } };
}

function logResume(
  folder: string,
  { step, settings }: ResumeState,
  { parts, plan, log }: { parts: TrainerParts; plan: RunPlan; log: (line: string) => void },
): void {
  log(`Resuming from ${folder} at step ${step} of ${plan.totalSteps}`);
  const isAtEnd = step >= plan.totalSteps;
  if (isAtEnd) log('note: that training is complete; to train further, raise numTrainEpochs or maxSteps');
  if (settings === undefined) return; // of an earlier version's checkpoint
  const changes = changedSettings(
    settings,
    mutableSettings(parts.args, plan, parts.model, (parts.world ?? ALONE).size),
  );
  const effect = isAtEnd ? 'with which the model was trained' : 'and so the result will differ';
  if (changes.length > 0)
    log(`note: the settings are not those of the checkpoint, ${effect}: ${changes.join('; ')}`);
}
