// What a run has been through: HF's trainer_state.json, kept as transformers' TrainerState reads it.
import { isGreaterBetter } from '../tasks/index.js';
import { stepOf } from '../formats/step-checkpoints.js';

/** One entry of the log history, e.g. `{step, epoch, loss, grad_norm, learning_rate}`. */
export type LogEntry = Record<string, number>;

/** The fields of transformers 5.18 `TrainerState`, in its spelling; no others, since it refuses unknown ones. */
export interface TrainerState {
  best_global_step: number | null;
  best_metric: number | null;
  best_model_checkpoint: string | null;
  epoch: number;
  eval_steps: number;
  global_step: number;
  is_hyper_param_search: false;
  is_local_process_zero: true;
  is_world_process_zero: true;
  log_history: LogEntry[];
  logging_steps: number;
  max_steps: number;
  num_input_tokens_seen: number;
  num_train_epochs: number;
  save_steps: number;
  /** By the callback's name. */
  stateful_callbacks: Record<string, unknown>;
  total_flos: number;
  train_batch_size: number;
  trial_name: null;
  trial_params: null;
}

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
 * A state that goes on with its best to be loaded at the end, where so far it was not: what was best may never have been
 * saved. Then it is the better of the checkpoint that was last the best and of the one that is resumed.
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
    // JSON has no NaN: a metric that was not defined is null here.
    if (
      value === undefined ||
      !Number.isFinite(value) ||
      !isBetter(value, found.best_metric, greaterIsBetter)
    )
      continue;
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

/** Whether an evaluation is in the log history. */
export function wasEvaluated({ log_history: history }: TrainerState): boolean {
  return history.some((entry) => 'eval_runtime' in entry);
}

/** Strictly better, so that a tie keeps the first. A metric that is not defined (NaN) is never better. */
export function isBetter(value: number, best: number | null, greaterIsBetter: boolean): boolean {
  if (Number.isNaN(value)) return false;
  return best === null || (greaterIsBetter ? value > best : value < best);
}
