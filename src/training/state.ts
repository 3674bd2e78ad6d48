// What a run has been through: HF's trainer_state.json, as transformers' TrainerState reads it; and what is the best so far.
import { z } from 'zod';

import { stepOf } from '../formats/model-folder.js';
import { isGreaterBetter } from '../tasks/index.js';
import { UsageError } from '../util/errors.js';
import { counted } from '../util/text.js';

/** The file of a checkpoint. */
export const TRAINER_STATE = 'trainer_state.json';

/** One entry of the log history, e.g. `{step, epoch, loss, grad_norm, learning_rate}`. */
export type LogEntry = Record<string, number>;

export const count = z.int().nonnegative();
/** JSON has no NaN: a metric that was not defined is null in it. */
export const numberOrNaN = z.union([z.number(), z.nan(), z.null()]).transform((value) => value ?? Number.NaN);

// Not z.record, which would ignore an entry named __proto__.
const logEntry = z
  .custom<Record<string, number | null>>(
    (value) =>
      typeof value === 'object' &&
      value !== null &&
      !Array.isArray(value) &&
      Object.values(value).every((one) => numberOrNaN.safeParse(one).success),
    'expected an object of numbers',
  )
  .transform((entry): LogEntry =>
    Object.fromEntries(Object.entries(entry).map(([name, value]) => [name, value ?? Number.NaN])),
  );

/** The fields of transformers 5.18 `TrainerState`, in its spelling; no others, since it refuses unknown ones. */
export const trainerState = z.object({
  best_global_step: count.nullable(),
  best_metric: z.number().nullable(),
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
  /** By the callback's name. */
  stateful_callbacks: z.record(z.string(), z.unknown()),
  total_flos: z.number(),
  train_batch_size: count,
  trial_name: z.null(),
  trial_params: z.null(),
});
/**
 * The state of a training, with the names of Hugging Face's trainer_state.json.
 *
 * @example
 * ```ts
 * import type { TrainerState } from 'bertune';
 *
 * const losses = ({ log_history: log }: TrainerState): (number | undefined)[] => log.map(({ loss }) => loss);
 * ```
 */
export type TrainerState = z.output<typeof trainerState>;

/** The state before the first step. */
export function initialState(
  settings: Pick<
    TrainerState,
    'eval_steps' | 'logging_steps' | 'max_steps' | 'num_train_epochs' | 'save_steps' | 'train_batch_size'
  >,
): TrainerState {
  return {
    best_global_step: null,
    best_metric: null,
    best_model_checkpoint: null,
    epoch: 0,
    global_step: 0,
    is_hyper_param_search: false,
    is_local_process_zero: true,
    is_world_process_zero: true,
    log_history: [],
    num_input_tokens_seen: 0,
    stateful_callbacks: {},
    total_flos: 0,
    trial_name: null,
    trial_params: null,
    ...settings,
  };
}

/** Which metric decides about the best checkpoint, and in which direction; by default that of the metric. */
export function bestMetric(options: {
  metricForBestModel?: string | undefined;
  greaterIsBetter?: boolean | undefined;
}): { key: string; greaterIsBetter: boolean } {
  const name = options.metricForBestModel ?? 'loss';
  return {
    key: name.startsWith('eval_') ? name : `eval_${name}`,
    greaterIsBetter:
      options.metricForBestModel === undefined ? false : (options.greaterIsBetter ?? isGreaterBetter(name)),
  };
}

/**
 * The state of a resumed run that loads its best model at the end, where so far it did not: what was best may never have
 * been saved. Then it is the better of the checkpoint that was last the best and of the one that is resumed.
 *
 * @param folder the checkpoint that is resumed
 */
export function withSavedBest(
  state: TrainerState,
  folder: string,
  { key, greaterIsBetter }: ReturnType<typeof bestMetric>,
): TrainerState {
  const { best_model_checkpoint: checkpoint, best_global_step: step } = state;
  if (step === null || (checkpoint !== null && stepOf(checkpoint) === step)) return state;
  const found = withoutBest(state);
  for (const [saved, at] of [
    [checkpoint, checkpoint === null ? null : stepOf(checkpoint)],
    [folder, state.global_step],
  ] as const) {
    const value = state.log_history.findLast((entry) => entry['step'] === at && key in entry)?.[key];
    if (value === undefined || !isBetter(value, found.best_metric, greaterIsBetter)) continue;
    found.best_metric = value;
    found.best_global_step = at;
    found.best_model_checkpoint = saved;
  }
  return found;
}

/** The state with nothing as its best so far. */
export function withoutBest(state: TrainerState): TrainerState {
  return { ...state, best_metric: null, best_global_step: null, best_model_checkpoint: null };
}

/**
 * Compares the metrics of an evaluation with the best so far.
 *
 * @returns the value that decides where it is the best, else null
 * @throws UsageError where it is not among the metrics
 */
export function newBest(
  state: TrainerState,
  metrics: Readonly<Record<string, number>>,
  options: Parameters<typeof bestMetric>[0],
): number | null {
  const { key, greaterIsBetter } = bestMetric(options);
  const value = metrics[key];
  if (value !== undefined) return isBetter(value, state.best_metric, greaterIsBetter) ? value : null;
  throw new UsageError(
    `metricForBestModel '${key}' is not among the metrics: ${Object.keys(metrics).join(', ')}`,
  );
}

/** Said of a best model that later evaluations equal: HF keeps the first, which has been trained the least. */
export function tieNote(state: TrainerState, options: Parameters<typeof bestMetric>[0]): string | null {
  const { key } = bestMetric(options);
  const { best_metric: best, best_global_step: step, log_history: history } = state;
  const after = step ?? Infinity;
  const equals = history.filter((entry) => entry[key] === best && (entry['step'] ?? 0) > after).length;
  if (equals === 0 || key === 'eval_loss') return null;
  return (
    `note: ${counted(equals, 'later evaluation')} had the same ${key} as the best, and the first is the one that is kept; ` +
    'metricForBestModel loss would tell them apart'
  );
}

/** Whether an evaluation is in the log history. */
export function wasEvaluated({ log_history: history }: TrainerState): boolean {
  return history.some((entry) => 'eval_runtime' in entry);
}

/** Strictly better, so that a tie keeps the first. A metric that is not defined (NaN) is never better. */
export function isBetter(value: number, best: number | null, greaterIsBetter: boolean): boolean {
  if (Number.isNaN(value)) return false;
  return best === null || (greaterIsBetter ? value > best : value < best);
}

/** HF's estimate: a weight that takes part in matrix products, which is all but the embeddings, costs 6 for each token. */
export function totalFlos(
  tokens: number,
  tensors: readonly { name: string; shape: readonly number[] }[],
): number {
  const weights = tensors.filter(({ name }) => !name.includes('embeddings'));
  const sizes = weights.map(({ shape }) => shape.reduce((product, size) => product * size, 1));
  return 6 * tokens * sizes.reduce((sum, size) => sum + size, 0);
}

/**
 * HF's train_results.json, and figures of our own: real tokens per second, the share of the time in which no step was
 * there to run, and the steps that changed no weight.
 *
 * @param record.updates steps that changed a weight, where a run continues without those that did not
 */
export function trainResults(
  { global_step: step, epoch, num_input_tokens_seen: tokens, total_flos }: TrainerState,
  record: { totalLoss: number; seconds: number; idleSeconds: number; rows: number; updates?: number },
): Record<string, number> {
  const { totalLoss, seconds, idleSeconds, rows, updates } = record;
  return {
    train_loss: totalLoss / Math.max(step, 1),
    train_runtime: seconds,
    train_samples: rows,
    train_samples_per_second: (epoch * rows) / seconds,
    train_steps_per_second: step / seconds,
    train_tokens_per_second: tokens / seconds,
    train_data_wait: idleSeconds / seconds,
    total_flos,
    ...(updates === undefined ? {} : { train_skipped_steps: step - updates }),
  };
}
