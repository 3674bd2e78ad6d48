// The state that each of the addon's optimizers has for a tensor.

/** A piece of optimizer state, as torch.optim names it; `step` counts the updates that the tensor had. */
export type StateKind = (typeof stateKinds)[number];
export const stateKinds = ['step', 'exp_avg', 'exp_avg_sq', 'momentum_buffer', 'sum'] as const;

/**
 * As torch.optim has them, by their fused kernels.
 *
 * @example
 * ```ts
 * import type { OptimizerName } from 'bertune';
 *
 * const optimizer: OptimizerName = 'adamw';
 * ```
 */
export type OptimizerName = 'adamw' | 'adam' | 'sgd' | 'adagrad';

export const OPTIMIZER_STATE: Readonly<Record<OptimizerName, readonly StateKind[]>> = {
  adamw: ['exp_avg', 'exp_avg_sq'],
  adam: ['exp_avg', 'exp_avg_sq'],
  sgd: ['momentum_buffer'],
  adagrad: ['sum'],
};
