// checkpoint-N folders: a complete model for Hugging Face and all that a resumed run needs.
import { stat } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';

import { loadOptimizerState, tensorOf } from '../models/session-tensors.js';
import type { BertForSequenceClassification } from '../models/bert-for-sequence-classification.js';
import { UsageError } from '../util/errors.js';
import { isFolder } from '../util/make-folder.js';
import { listCheckpoints, stepOf } from '../formats/step-checkpoints.js';
import { removeDirectoryAtomic, writeDirectoryAtomic, writeJson } from '../util/files.js';
import { writeSafetensors, type TensorData } from '../formats/safetensors-writer.js';
import type { BertTokenizer } from '../tokenizer/index.js';
import type { AdaptiveState } from './adaptive-schedules.js';
import type { TrainerControl } from './callbacks.js';
import type { ChangeableSettings } from './changes.js';
import { verifyChecksums, writeChecksums } from './checksums.js';
import { requireSameRun, type RunIdentity } from './identity.js';
import { checkpointsOf, requireOfRun } from './run-mark.js';
import { RESUME_STATE, readSavedState } from './saved-state.js';
import type { TrainerState } from './state.js';

const OPTIMIZER = 'optimizer.safetensors';
export const TRAINER_STATE = 'trainer_state.json';

/** The numbers that a run goes on from; everything else follows from the step. */
export interface ResumePoint {
  /** Which training it is of; an earlier version did not keep it. */
  run?: string;
  step: number;
  updates: number;
  totalLoss: number;
  lossLogged: number;
  stepLogged: number;
  trainSeconds: number;
  /** Of these, the seconds without a step to run. */
  idleSeconds: number;
  lrSchedulerType: string;
  /** Of a schedule that goes by the metric; null of one that goes by the step. */
  learningRate: AdaptiveState | null;
  /** What was still to be done for this step when the run was interrupted. */
  pending: Pick<TrainerControl, 'shouldEvaluate' | 'shouldSave' | 'shouldTrainingStop'>;
  /** Whether `onEpochEnd` has been called for this step, or is called for a later one. */
  hasEpochEnded?: boolean;
  /** Most tokens of a micro-batch since memory ran out: how batches are cut decides how sums are rounded. */
  maxTokens?: number;
  /** Of this step, for a log that is still to be written. */
  gradNorm?: number;
  lastRate?: number;
  identity: RunIdentity;
  settings?: ChangeableSettings;
}

/**
 * Writes a checkpoint under a temporary name and renames it, so that a folder of this name is always whole.
 *
 * @param options.isResumable whether to write what a resumed run needs beside the model (HF's save_only_model: no)
 */
export async function saveTrainingCheckpoint(
  directory: string,
  parts: {
    model: BertForSequenceClassification;
    tokenizer: BertTokenizer;
    state: TrainerState;
    resume: ResumePoint;
  },
  options: { isResumable: boolean },
): Promise<void> {
  await writeDirectoryAtomic(directory, async (folder) => {
    await parts.model.savePretrained(folder);
    await parts.tokenizer.savePretrained(folder);
    await writeJson(join(folder, TRAINER_STATE), parts.state);
    if (options.isResumable) {
      await saveMoments(parts.model, join(folder, OPTIMIZER));
      await writeJson(join(folder, RESUME_STATE), parts.resume);
    }
    await writeChecksums(folder);
  });
}

async function saveMoments(model: BertForSequenceClassification, path: string): Promise<void> {
  const { session } = model;
  const state = await session.optimizerState();
  const layout = state.map(({ name, kind, shape }) => ({
    name: `${kind}.${name}`,
    dtype: 'F32' as const,
    shape,
  }));
  async function* moments(): AsyncGenerator<TensorData> {
    for (const info of state) yield tensorOf(session, info, info.kind);
  }
  await writeSafetensors(path, moments(), layout, { format: 'pt' });
}

/**
 * Loads weights, moments and counters of a checkpoint into an open model.
 *
 * @param options.goOnAt where the counters are to stand instead: the run goes on from there with the checkpoint's weights
 * @throws UsageError when the folder is no checkpoint of bertune, or one of a run that differs, naming the difference
 */
export async function resumeFrom(
  directory: string,
  model: BertForSequenceClassification,
  identity: RunIdentity,
  { goOnAt }: { goOnAt?: Pick<ResumePoint, 'step' | 'totalLoss'> } = {},
): Promise<{ state: TrainerState; resume: ResumePoint }> {
  const { state, resume } = await readSavedState(savedIn(directory));
  requireSameRun(directory, resume.identity, identity);
  await model.loadWeights(directory);
  const { step, totalLoss } = goOnAt ?? resume;
  await model.session.setProgress(step, resume.updates, totalLoss, resume.maxTokens);
  // Before the first update an optimizer has no state.
  if (resume.updates > 0) await loadOptimizerState(model.session, join(directory, OPTIMIZER));
  return { state: withBestBeside(directory, state), resume };
}

export function savedIn(directory: string): { resume: string; state: string } {
  return { resume: join(directory, RESUME_STATE), state: join(directory, TRAINER_STATE) };
}

/** Where the best checkpoint is gone, a model keeps the weights of the last step, as in HF. */
export async function loadBestWeights(
  model: BertForSequenceClassification,
  folder: string,
  say: (line: string) => void,
): Promise<void> {
  if (await isFolder(folder)) {
    say(`Loading the best model, ${folder}`);
    await model.loadWeights(folder);
  } else say(`The best model, ${folder}, is gone: keeping the weights of the last step`);
}

/** The output folder may have been moved since: the best checkpoint lies beside the one that is resumed. */
function withBestBeside(directory: string, state: TrainerState): TrainerState {
  const best = state.best_model_checkpoint;
  return {
    ...state,
    best_model_checkpoint: best === null ? null : join(dirname(directory), basename(best)),
  };
}

/**
 * The checkpoint to resume from, with every byte checked. `auto` takes, of the training that the folder is at, the newest that is whole and tells of the others.
 *
 * @param options.needsBest whether the best checkpoint so far, too, must be whole, since it is loaded at the end
 * @returns null for `auto` where there is none, so that the run starts at the beginning
 * @throws UsageError as `findCheckpoint`, and for a damaged checkpoint that was asked for
 */
export async function intactCheckpoint(
  outputDir: string,
  request: string | true,
  options: { needsBest: boolean; say: (line: string) => void },
): Promise<string | null> {
  const { needsBest, say } = options;
  const checked = async (wanted: string | true): Promise<string> => {
    const folder = await findCheckpoint(outputDir, wanted);
    await verifyChecksums(folder, 'resume');
    if (needsBest) await verifyBest(folder);
    return folder;
  };
  if (request !== AUTO) return checked(request);
  const { own, others } = await checkpointsOf(outputDir);
  for (const folder of own.toReversed()) {
    try {
      return await checked(folder);
    } catch (error) {
      if (!(error instanceof UsageError)) throw error;
      say(`Passing over ${folder}: ${error.message}`);
    }
  }
  const last = others.at(-1);
  say(
    last === undefined
      ? `${outputDir} has no checkpoint to resume from: starting at the beginning`
      : `The training that was begun last in ${outputDir} has no checkpoint to resume from: starting at the beginning. ` +
          `To go on from an earlier one, name its checkpoint: --resume-from-checkpoint ${last}`,
  );
  return null;
}

/** @throws UsageError when there is none of the training that the folder is at */
async function newestOf(outputDir: string): Promise<string> {
  const { own, others } = await checkpointsOf(outputDir);
  const found = own.at(-1);
  if (found !== undefined) return found;
  const other = others.at(-1);
  throw new UsageError(
    other === undefined
      ? `${outputDir} has no checkpoint-N folder to resume from; leave --resume-from-checkpoint out`
      : `The training that was begun last in ${outputDir} has no checkpoint to resume from; leave --resume-from-checkpoint ` +
          `out, or name one of an earlier training, such as ${other}`,
  );
}

async function verifyBest(folder: string): Promise<void> {
  const { state, resume } = await readSavedState(savedIn(folder));
  const { best_model_checkpoint: best } = withBestBeside(folder, state);
  if (best === null || basename(best) === basename(folder)) return;
  try {
    await verifyChecksums(best, 'load');
    await requireOfRun(best, resume.run);
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    throw new UsageError(
      `${folder} is the sequel of ${best}, the best so far, which is to be loaded at the end; but ${error.message} ` +
        'Or leave --load-best-model-at-end out.',
      { cause: error },
    );
  }
}

/** Asks for the newest checkpoint that is whole, or else for a start at the beginning. */
export const AUTO = 'auto';

/**
 * The folder to resume from: the one given, or for `true` the newest of the training that the output folder is at.
 *
 * @throws UsageError when there is none, or it is no checkpoint of bertune
 */
export async function findCheckpoint(outputDir: string, request: string | true): Promise<string> {
  const found = request === true ? await newestOf(outputDir) : request;
  if (!(await isFolder(found))) throw new UsageError(`There is no checkpoint folder ${found} to resume from`);
  const isOurs = await stat(join(found, RESUME_STATE)).catch(() => null);
  if (isOurs === null)
    throw new UsageError(
      `${found} is not a checkpoint of bertune: it has no ${RESUME_STATE}, or was saved with --save-only-model. Name a checkpoint-N folder, or start ` +
        `anew from its weights with --model ${found}`,
    );
  return found;
}

/**
 * Removes the oldest checkpoints beyond the limit, but never the best one, nor the one just written, nor the last from
 * which the run can go on where only the model is saved (HF: save_total_limit). Checkpoints of a later step are another
 * run's: they stay and do not count.
 */
export async function removeOldCheckpoints(
  outputDir: string,
  limit: number,
  keep: { newest: string; best: string | null; resumable: string | null },
): Promise<void> {
  const own = [keep.newest, keep.best, keep.resumable].filter((folder) => folder !== null);
  const kept = new Set(own.filter((folder) => isIn(outputDir, folder)).map((folder) => basename(folder)));
  const step = stepOf(keep.newest);
  const removable = (await listCheckpoints(outputDir)).filter(
    (folder) => stepOf(folder) < step && !kept.has(basename(folder)),
  );
  const surplus = Math.max(removable.length + kept.size - limit, 0);
  for (const folder of removable.slice(0, surplus)) await removeDirectoryAtomic(folder);
}

/** A run may have been resumed from a checkpoint that lies elsewhere. */
function isIn(outputDir: string, folder: string): boolean {
  return resolve(dirname(folder)) === resolve(outputDir);
}
