// The two files of numbers in a checkpoint, checked as what others may have written.
import { z } from 'zod';

import { UsageError } from '../util/errors.js';
import { readJson } from '../util/json.js';
import type { ResumePoint } from './checkpoint.js';
import type { LogEntry, TrainerState } from './state.js';

/** The file of a checkpoint with the numbers that a run goes on from. */
export const RESUME_STATE = 'bertune_state.json';

const count = z.int().nonnegative();
/** JSON has no NaN: a metric that was not defined comes back as null. */
const orNull = z.number().nullable();

// Not z.record, which would pass over an entry named __proto__.
const logEntry = z.custom<LogEntry>(
  (value) =>
    typeof value === 'object' &&
    value !== null &&
    !Array.isArray(value) &&
    Object.values(value).every((one) => orNull.safeParse(one).success),
  'expected an object of numbers',
);

const RESUME_POINT = z.object({
  run: z.string().optional(),
  step: count,
  updates: count,
  totalLoss: z.number(),
  lossLogged: z.number(),
  stepLogged: count,
  trainSeconds: z.number().nonnegative(),
  idleSeconds: z.number().nonnegative(),
  lrSchedulerType: z.string(),
  learningRate: z
    .object({
      rate: z.number().nonnegative(),
      best: orNull,
      badEvaluations: count,
      goodEvaluations: count,
      cooldownLeft: count,
      warmupLeft: count,
      resetLeft: count,
      recent: z.array(orNull),
      recentSum: orNull,
    })
    .nullable(),
  pending: z.object({
    shouldEvaluate: z.boolean(),
    shouldSave: z.boolean(),
    shouldTrainingStop: z.boolean().optional(),
  }),
  hasEpochEnded: z.boolean().optional(),
  maxTokens: count.optional(),
  gradNorm: orNull.optional(),
  lastRate: z.number().nonnegative().optional(),
  identity: z.record(z.string(), z.unknown()),
  settings: z.record(z.string(), z.unknown()).optional(),
});

const TRAINER_STATE = z.object({
  best_global_step: count.nullable(),
  best_metric: orNull,
  best_model_checkpoint: z.string().nullable(),
  epoch: z.number().nonnegative(),
  eval_steps: z.number(),
  global_step: count,
  is_hyper_param_search: z.literal(false),
  is_local_process_zero: z.literal(true),
  is_world_process_zero: z.literal(true),
  log_history: z.array(logEntry),
  logging_steps: z.number(),
  max_steps: z.int(),
  num_input_tokens_seen: z.number().nonnegative(),
  num_train_epochs: z.number(),
  save_steps: z.number(),
  stateful_callbacks: z.record(z.string(), z.unknown()),
  total_flos: z.number(),
  train_batch_size: count,
  trial_name: z.null(),
  trial_params: z.null(),
});

/**
 * Reads where a run stood and what it had been through.
 *
 * @param paths bertune_state.json and trainer_state.json of a checkpoint
 * @throws UsageError naming the file and its first fault, or that the two are of different steps
 */
export async function readSavedState(paths: {
  resume: string;
  state: string;
}): Promise<{ state: TrainerState; resume: ResumePoint }> {
  const resume = await readChecked<ResumePoint>(paths.resume, RESUME_POINT);
  const state = await readChecked<TrainerState>(paths.state, TRAINER_STATE);
  if (state.global_step !== resume.step)
    throw damaged(paths.state, `it is of step ${state.global_step}, the run stood at ${resume.step}`);
  return { state, resume };
}

/** The value as it stands in the file, since what zod makes of it has other keys in another order. */
async function readChecked<T>(path: string, schema: z.ZodType): Promise<T> {
  const json = await readJson(path);
  const [issue] = schema.safeParse(json).error?.issues ?? [];
  if (issue !== undefined) throw damaged(path, `${issue.path.join('.') || 'its content'}: ${issue.message}`);
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion
  return json as T;
}

function damaged(path: string, fault: string): UsageError {
  return new UsageError(`${path} is damaged: ${fault}. Resume from an earlier checkpoint.`);
}
