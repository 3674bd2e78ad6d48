// Where a run starts: at the first step, or at a checkpoint of a run that was the same.
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
import { intactCheckpoint, olderCheckpointsNote, removeLeftovers } from './output-folder.js';
import { labelsNote, type TrainerParts } from './parts.js';
import type { RunPlan } from './plan.js';
import { readSavedRun, type ResumeState, type SavedRun } from './resume.js';
import { withoutBest } from './state.js';

export interface Start {
  fingerprint: Fingerprint;
  /** The checkpoint to resume, null to start at the first step. */
  saved: (SavedRun & { folder: string }) | null;
}

/**
 * Finds out where a run with an open model starts, and logs what the person should know of it.
 *
 * @throws UsageError for a checkpoint that cannot be resumed
 */
export async function findStart(
  parts: TrainerParts,
  { plan, maxLength, log }: { plan: RunPlan; maxLength: number; log: (line: string) => void },
): Promise<Start> {
  const { args, model } = parts;
  const { outputDir, saveStrategy, resumeFromCheckpoint: request = false, loadBestModelAtEnd } = args;
  await removeLeftovers(outputDir);
  const known = {
    ...(await fingerprintOf(args, { ...parts, maxLength })),
    ...(saveStrategy !== 'no' && (await startWeights(model))),
  };
  const labels = labelsNote(parts);
  if (labels !== null) log(labels);
  if (request === false) {
    const older = await olderCheckpointsNote(outputDir, saveStrategy);
    if (older !== null) log(older);
    return { fingerprint: known, saved: null };
  }
  const folder = await intactCheckpoint(outputDir, request, { needsBest: loadBestModelAtEnd, log });
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
  const changes = changedSettings(settings, mutableSettings(parts.args, plan, parts.model));
  const effect = isAtEnd ? 'with which the model was trained' : 'and so the result will differ';
  if (changes.length > 0)
    log(`note: the settings are not those of the checkpoint, ${effect}: ${changes.join('; ')}`);
}
