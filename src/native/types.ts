// What passes between TypeScript and the addon: shapes, units and meanings.
import type { OptimizerName, StateKind } from './optimizer-state.js';

/**
 * Sequences one after another without padding: all tokens, and where each sequence begins and ends.
 *
 * @example
 * ```ts
 * import type { PackedBatch } from 'bertune';
 *
 * // Two sequences of 3 and 2 tokens, one after the other, without padding.
 * const batch: PackedBatch = {
 *   inputIds: Int32Array.of(101, 2023, 102, 101, 102),
 *   cuSeqlens: Int32Array.of(0, 3, 5),
 *   labels: Int32Array.of(1, 0),
 * };
 * ```
 */
export interface PackedBatch {
  /** Token ids of all sequences, [tokens]. */
  inputIds: Int32Array;
  /** Offsets into inputIds, [sequences + 1], from 0 to the number of tokens. */
  cuSeqlens: Int32Array;
  /** Segment ids, [tokens]; left out when all are 0. */
  tokenTypeIds?: Int32Array;
  /**
   * For each row of logits, a sequence or a token: a class id (-100 = none), or one value a logit. For cross-entropy values are
   * probabilities of the classes.
   */
  labels?: Int32Array | Float32Array;
  /**
   * Of each sequence how many tokens and sequences of the optimizer step are before it, where several processes have parts of the
   * step: what dropout on a CPU is a function of. Left out, those of the batches before.
   */
  places?: { readonly tokens: Int32Array; readonly sequences: Int32Array };
}

/**
 * How a training runs beside its loss and optimizer.
 *
 * @example
 * ```ts
 * import type { TrainingOptions } from 'bertune';
 *
 * const options: TrainingOptions = { optimizer: 'sgd', momentum: 0.9, gradientCheckpointing: true };
 * ```
 */
export interface TrainingOptions {
  /** Default adamw. The weight decay of the others is an L2 term of the gradient. */
  optimizer?: OptimizerName;
  /** Of sgd, 0 to 1; default 0, which has no state. */
  momentum?: number;
  /** NEFTune (Jain et al. 2023): noise of alpha / sqrt(tokens of the sequence * hidden size) on word embeddings. */
  neftuneNoiseAlpha?: number;
  /** Layers keep their input only and run again in the backward pass: less memory, about a third more time. */
  gradientCheckpointing?: boolean;
  /** When memory runs out, the micro-batch is split and the step runs again; gradients stay the same. */
  autoFindBatchSize?: boolean;
  /** On a CUDA device, record what a step launches and repeat it for batches of about the same size. Default true. */
  cudaGraphs?: boolean;
}

/**
 * Where and how a session computes.
 *
 * @example
 * ```ts
 * import type { SessionOptions } from 'bertune';
 *
 * const options: SessionOptions = { device: 'cpu', dtype: 'float32', threads: 2, seed: 42 };
 * ```
 */
export interface SessionOptions {
  /** `cuda` is the first CUDA device, and `cuda:1` the second. */
  device: 'cpu' | 'cuda' | `cuda:${number}`;
  /** The dtype of the encoder's matrix products; weights, gradients and the head stay float32. */
  dtype: 'float32' | 'bfloat16';
  /**
   * On a CUDA device, whether float32 matrix products may round their inputs to TF32; default: as LibTorch has it, which is
   * no. One setting for the process, as in LibTorch: it is that of the session that was opened last with one.
   */
  tf32?: boolean;
  /** CPU threads of this session. Results are bit-identical for the same number of threads. */
  threads: number;
  /** Seeds initial weights and dropout. */
  seed: number;
}

/**
 * A tensor of the model.
 *
 * @example
 * ```ts
 * import type { Session, TensorInfo } from 'bertune';
 *
 * export function parametersOf(session: Session): number {
 *   const size = ({ shape }: TensorInfo): number => shape.reduce((product, side) => product * side, 1);
 *   return session.tensors().reduce((sum, tensor) => sum + size(tensor), 0);
 * }
 * ```
 */
export interface TensorInfo {
  /** The name in a Hugging Face checkpoint, e.g. `bert.encoder.layer.0.attention.self.query.weight`. */
  name: string;
  shape: number[];
}

/**
 * Bytes of one tensor, little-endian as in safetensors.
 *
 * @example
 * ```ts
 * import type { TensorData } from 'bertune';
 *
 * const zeros: TensorData = { dtype: 'F32', shape: [2], data: new Uint8Array(8) };
 * ```
 */
export interface TensorData {
  dtype: 'F32' | 'F16' | 'BF16';
  shape: readonly number[];
  data: Uint8Array;
  /** Where these rows begin in the tensor that is written; left out, they are all of it. */
  firstRow?: number;
}

/**
 * What there is of a tensor: its weights, its gradient, and what the optimizer keeps for it.
 *
 * @example
 * ```ts
 * import type { Session, TensorKind } from 'bertune';
 *
 * export async function readBias(session: Session, kind: TensorKind = 'weight'): Promise<Float32Array> {
 *   return session.read('classifier.bias', kind);
 * }
 * ```
 */
export type TensorKind = 'weight' | 'gradient' | StateKind;

/**
 * How a tensor is trained; what is left out is as usual: trainable, and factors of 1.
 *
 * @example
 * ```ts
 * import type { TensorSettings } from 'bertune';
 *
 * const settings: TensorSettings[] = [
 *   { name: 'bert.embeddings.word_embeddings.weight', trainable: false },
 *   { name: 'classifier.weight', learningRateFactor: 10 },
 * ];
 * ```
 */
export interface TensorSettings {
  name: string;
  trainable?: boolean;
  /** Of the update's learning rate. */
  learningRateFactor?: number;
  /** Of the update's weight decay; biases and LayerNorm weights never decay. */
  weightDecayFactor?: number;
}

/**
 * A piece of optimizer state that there is.
 *
 * @example
 * ```ts
 * import type { Session, StateInfo } from 'bertune';
 *
 * export async function momentNames(session: Session): Promise<string[]> {
 *   const state: StateInfo[] = await session.optimizerState();
 *   return state.map(({ name, kind }) => `${name} ${kind}`);
 * }
 * ```
 */
export interface StateInfo extends TensorInfo {
  kind: StateKind;
}

/**
 * How losses are smoothed and weighed; mean_squared_error has none of it.
 *
 * @example
 * ```ts
 * import type { LossOptions } from 'bertune';
 *
 * const rare: LossOptions = { classWeights: Float32Array.of(1, 4) };
 * ```
 */
export interface LossOptions {
  /** Label smoothing factor, 0 to 1; of binary targets y * (1 - factor) + factor / 2. */
  labelSmoothing?: number;
  /** The exponent of a focal loss (Lin et al. 2017), which takes no smoothing; 0 is none. */
  focalGamma?: number;
  /** A factor for each class, of cross_entropy: torch.nn.CrossEntropyLoss(weight). */
  classWeights?: Float32Array;
  /** A factor of each label's positive term, of binary_cross_entropy: torch.nn.BCEWithLogitsLoss(pos_weight). */
  posWeight?: Float32Array;
  /**
   * Of distillation, 0.01 to 1000: labels are probabilities of a teacher, which are softened by it as the logits are, and
   * the loss is multiplied by its square (Hinton et al. 2015). It takes neither smoothing nor a focal loss.
   */
  temperature?: number;
  /**
   * Of distillation, 0 to 1: the share of the teacher's probabilities in the loss; the rest is that of the rows' own labels, at
   * temperature 1. Below 1 labels are [rows, 2 * outputs]: the probabilities of a row, then zeros and ones.
   */
  alpha?: number;
}

/**
 * What `Session.accumulate` takes beside the batch.
 *
 * @example
 * ```ts
 * import type { AccumulateOptions, PackedBatch, Session } from 'bertune';
 *
 * // One micro-batch of a step with so many labels in all.
 * export async function accumulate(session: Session, batch: PackedBatch, labels: number): Promise<void> {
 *   const options: AccumulateOptions = { divisor: labels, labelSmoothing: 0.1 };
 *   await session.accumulate(batch, options);
 * }
 * ```
 */
export interface AccumulateOptions extends LossOptions {
  /**
   * What the sum of losses is divided by: the number of labels over all micro-batches of the optimizer step
   * (labels other than -100; of values that are no probabilities rows * outputs). For torch's mean with class
   * weights it is the sum of the weights of those labels.
   */
  divisor: number;
  /** Whether it is the step's last batch of this process: where there are several, they sum gradients meanwhile. */
  endsStep?: boolean;
}

/**
 * What `Session.update` takes.
 *
 * @example
 * ```ts
 * import type { UpdateOptions } from 'bertune';
 *
 * const adamW: UpdateOptions = {
 *   learningRate: 5e-5,
 *   beta1: 0.9,
 *   beta2: 0.999,
 *   epsilon: 1e-8,
 *   weightDecay: 0,
 *   maxGradNorm: 1,
 * };
 * ```
 */
export interface UpdateOptions {
  learningRate: number;
  beta1: number;
  beta2: number;
  epsilon: number;
  /** Decoupled weight decay of matrices; biases and LayerNorm weights never decay. */
  weightDecay: number;
  /** Gradients are scaled down to this global L2 norm; 0 leaves them alone. */
  maxGradNorm: number;
}

/**
 * What `Session.stats` reports. Reading it waits for the device.
 *
 * @example
 * ```ts
 * import type { Session, TrainingStats } from 'bertune';
 *
 * // Waits for the steps so far.
 * export async function meanLoss(session: Session): Promise<number> {
 *   const { totalLoss, updates }: TrainingStats = await session.stats();
 *   return totalLoss / updates;
 * }
 * ```
 */
export interface TrainingStats {
  /** Sum of the accumulated losses since the last call. */
  loss: number;
  /** Sum of all accumulated losses, resumed ones included: each is its batch's loss sum / divisor. */
  totalLoss: number;
  /** Global gradient norm of the last update, before clipping. */
  gradNorm: number;
  /** Updates applied, resumed ones included. */
  updates: number;
  /** Updates left out since the session began because the gradient norm was not finite. */
  skipped: number;
  /** Most tokens of a micro-batch since memory ran out (autoFindBatchSize); 0 when it did not. */
  maxTokens: number;
  /** Why a step that was to be repeated as a CUDA graph ran as it is, in one line; empty where none did. */
  graphProblem: string;
}

/** Where native time went between startPhases and stopPhases, over all sessions of the process. */
export interface PhaseTimes {
  /** Thread-seconds in matrix products of linear layers. */
  gemm: number;
  /** Thread-seconds in attention, its matrix products included. */
  attention: number;
  /** Thread-seconds in everything between matrix products: LayerNorm, dropout, activations, conversions, embeddings. */
  elementWise: number;
  /** Thread-seconds in updates. */
  optimizer: number;
  /** Thread-seconds in summing gradients over processes, in waiting for the others too. */
  reduction: number;
  /** Operators of LibTorch that were called, those that others of them call included. */
  dispatches: number;
  /** On a GPU: launches of fused kernels, and nodes of CUDA graphs that were repeated. LibTorch's other launches are not counted. */
  launches: number;
}

/**
 * How the gradients of several processes are summed.
 *
 * @example
 * ```ts
 * import type { ReduceOptions, Session, World } from 'bertune';
 *
 * const options: ReduceOptions = { reduceDtype: 'bfloat16', nccl: true };
 *
 * export async function sumGradients(world: World, session: Session): Promise<void> {
 *   const problem = await world.join(session, options);
 *   if (problem !== '') process.stderr.write(`By way of the host: ${problem}\n`);
 * }
 * ```
 */
export interface ReduceOptions {
  /** What they are rounded to on their way; bfloat16 is half the traffic. */
  reduceDtype: 'float32' | 'bfloat16';
  /** Whether GPUs sum among themselves, by NCCL, where all processes have it; else the sums go through the memory of the host. */
  nccl: boolean;
}
