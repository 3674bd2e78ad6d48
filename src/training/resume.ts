// The numbers that a resumed run continues from: bertune_state.json beside HF's trainer_state.json, how they are taken from a
// run, read back as what others may have written, and given to the run that continues.
import { randomUUID } from 'node:crypto';
import { basename, dirname, join } from 'node:path';
import { z } from 'zod';

import type { TrainingStats } from '../native/index.js';
import type { TrainingArguments } from '../options/index.js';
import { UsageError } from '../util/errors.js';
import { readJson } from '../util/json.js';
import type { CallbackList, TrainerControl } from './callbacks.js';
import { metricScheduleState } from './metric-schedules.js';
import type { LearningRate } from './schedules.js';
import {
  bestMetric,
  count,
  numberOrNaN,
  TRAINER_STATE,
  trainerState,
  withSavedBest,
  type TrainerState,
} from './state.js';

export const RESUME_STATE = 'bertune_state.json';

/** Everything else follows from the step. What is optional is not in checkpoints of earlier versions. */
const resumeState = z.object({
  /** Tells this training from others in the same output folder. */
  run: z.string().exactOptional(),
  step: count,
  updates: count,
  totalLoss: z.number(),
  /** Of the total loss and the steps, what has been logged. */
  lossLogged: z.number(),
  stepLogged: count,
  trainSeconds: z.number().nonnegative(),
  /** Of these, the seconds without a step to run. */
  idleSeconds: z.number().nonnegative(),
  lrSchedulerType: z.string(),
  /** Of a schedule that follows a metric; null of one that follows the step. */
  learningRate: metricScheduleState.nullable(),
  /** What was still to be done for this step when the run was interrupted. */
  pending: z.object({
    shouldEvaluate: z.boolean(),
    shouldSave: z.boolean(),
    shouldTrainingStop: z.boolean().exactOptional(),
  }),
  /** Whether `onEpochEnd` has been called for this step, or is called for a later one. */
  hasEpochEnded: z.boolean().exactOptional(),
  /** Most tokens of a micro-batch since memory ran out: how batches are cut decides how sums are rounded. */
  maxTokens: count.exactOptional(),
  /** Of this step, for a log that is still to be written. */
  gradNorm: numberOrNaN.exactOptional(),
  lastRate: z.number().nonnegative().exactOptional(),
  /** The fingerprint and the mutable settings, see fingerprint.ts. */
  identity: z.record(z.string(), z.unknown()),
  settings: z.record(z.string(), z.unknown()).exactOptional(),
});
export type ResumeState = z.output<typeof resumeState>;

/** Where a run stood, and what it had been through. */
export interface SavedRun {
  state: TrainerState;
  resume: ResumeState;
}

/** What a Trainer counts beside HF's state. */
export type RunCounters = Required<
  Pick<ResumeState, 'run' | 'lossLogged' | 'stepLogged' | 'trainSeconds' | 'hasEpochEnded' | 'lastRate'>
>;

/** Before the first step of a new run. */
export function newCounters(): RunCounters {
  return {
    run: randomUUID(),
    lossLogged: 0,
    stepLogged: 0,
    trainSeconds: 0,
    hasEpochEnded: true,
    lastRate: 0,
  };
}

/** The parts of a run that have a state of their own. */
export interface StatefulParts {
  args: TrainingArguments;
  control: TrainerControl;
  learningRate: LearningRate;
  callbacks: CallbackList;
}

/**
 * What a checkpoint of a run must hold; `applyResumeState` takes it back.
 *
 * @param isInterrupted whether the run ends here with something left to do
 */
export function resumeStateOf(
  { args, control, learningRate }: StatefulParts,
  run: {
    step: number;
    counters: RunCounters;
    idleSeconds: number;
    stats: TrainingStats;
    isInterrupted: boolean;
    fingerprint: ResumeState['identity'];
    settings: NonNullable<ResumeState['settings']>;
  },
): ResumeState {
  const { updates, totalLoss, maxTokens, gradNorm } = run.stats;
  const { shouldEvaluate, shouldSave, shouldTrainingStop } = control;
  return {
    ...run.counters,
    step: run.step,
    idleSeconds: run.idleSeconds,
    updates,
    totalLoss,
    lrSchedulerType: args.lrSchedulerType,
    learningRate: learningRate.state,
    pending: {
      shouldEvaluate,
      shouldSave: shouldEvaluate && shouldSave,
      shouldTrainingStop: run.isInterrupted && shouldTrainingStop,
    },
    maxTokens,
    gradNorm,
    identity: run.fingerprint,
    settings: run.settings,
  };
}

/**
 * Gives the parts of a run what a checkpoint holds for them.
 *
 * @param folder the checkpoint
 * @param planned the state of the run that continues, which may be a longer one
 * @param counters its counters
 * @throws UsageError for a callback's state that is damaged
 */
export function applyResumeState(
  { args, control, learningRate, callbacks }: StatefulParts,
  { folder, state, resume }: SavedRun & { folder: string },
  { planned, counters }: { planned: TrainerState; counters: RunCounters },
): { state: TrainerState; counters: RunCounters } {
  const { max_steps, num_train_epochs } = planned;
  const best = args.loadBestModelAtEnd ? withSavedBest(state, folder, bestMetric(args)) : state;
  const lastRate = resume.lastRate ?? learningRate.at(resume.step - 1);
  if (resume.lrSchedulerType === args.lrSchedulerType) learningRate.restore(resume.learningRate);
  callbacks.restore(state.stateful_callbacks, join(folder, TRAINER_STATE));
  Object.assign(control, resume.pending);
  const { run = counters.run, lossLogged, stepLogged, trainSeconds } = resume;
  const { hasEpochEnded = true } = resume; // as every checkpoint of an earlier version
  return {
    state: { ...best, max_steps, num_train_epochs },
    counters: { run, lossLogged, stepLogged, trainSeconds, hasEpochEnded, lastRate },
  };
}

/**
 * Reads where the run of a checkpoint stood. The output folder may have been moved since: the best checkpoint lies beside
 * the one that is read.
 *
 * @throws UsageError naming the file and its first fault
 */
export async function readSavedRun(folder: string): Promise<SavedRun> {
  const saved = await readSavedState({
    resume: join(folder, RESUME_STATE),
    state: join(folder, TRAINER_STATE),
  });
  const best = saved.state.best_model_checkpoint;
  if (best !== null) saved.state.best_model_checkpoint = join(dirname(folder), basename(best));
  return saved;
}

/** @throws UsageError naming the file and its first fault, or that the two are of different steps */
export async function readSavedState(paths: { resume: string; state: string }): Promise<SavedRun> {
  const resume = await readChecked(paths.resume, resumeState);
  const state = await readChecked(paths.state, trainerState);
  if (state.global_step !== resume.step)
    throw damaged(paths.state, `it is of step ${state.global_step}, the run stood at ${resume.step}`);
  return { state, resume };
}

async function readChecked<S extends z.ZodType>(path: string, schema: S): Promise<z.output<S>> {
  const { data, error } = schema.safeParse(await readJson(path));
  if (data !== undefined) return data;
  const [issue] = error?.issues ?? [];
  throw damaged(path, `${issue?.path.join('.') || 'its content'}: ${issue?.message}`);
}

function damaged(path: string, fault: string): UsageError {
  return new UsageError(`${path} is damaged: ${fault}. Resume from an earlier checkpoint.`);
}
