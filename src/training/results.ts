// The figures of a finished training, by HF's names.
import type { EncoderModel } from '../models/encoder-model.js';
import type { Metrics } from '../evaluation/evaluate.js';
import type { TrainerState } from './state.js';

/** What the loop measured. */
export interface TrainingRecord {
  totalLoss: number;
  seconds: number;
  idleSeconds: number;
  rows: number;
  /** Steps that changed a weight, where a run goes on without those that did not. */
  updates?: number;
}

/**
 * HF's train_results.json, and two figures of our own: real tokens per second, and the share of the time in which no
 * step was there to run.
 */
export function trainMetrics(state: TrainerState, record: TrainingRecord): Metrics {
  const { global_step: step, epoch, num_input_tokens_seen: tokens } = state;
  const { totalLoss, seconds, idleSeconds, rows, updates } = record;
  return {
    train_loss: totalLoss / Math.max(step, 1),
    train_runtime: seconds,
    train_samples: rows,
    train_samples_per_second: (epoch * rows) / seconds,
    train_steps_per_second: step / seconds,
    train_tokens_per_second: tokens / seconds,
    train_data_wait: idleSeconds / seconds,
    total_flos: state.total_flos,
    ...(updates === undefined ? {} : { train_skipped_steps: step - updates }),
  };
}

/** Weights that take part in matrix products: all but the embeddings (HF's count for total_flos). */
export function encoderWeights(model: EncoderModel): number {
  return model.session
    .tensors()
    .filter(({ name }) => !name.includes('embeddings'))
    .reduce((sum, { shape }) => sum + shape.reduce((product, size) => product * size, 1), 0);
}
