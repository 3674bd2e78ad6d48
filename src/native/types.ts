// What passes between TypeScript and the addon: shapes, units and meanings.
import type { OptimizerName, StateKind } from './optimizer-state.js';

/** Sequences one after another without padding: all tokens, and where each sequence begins and ends. */
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
}

/** How a training runs beside its loss and optimizer. */
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
}

export interface SessionOptions {
  device: 'cpu' | 'cuda';
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

export interface TensorInfo {
  /** The name in a Hugging Face checkpoint, e.g. `bert.encoder.layer.0.attention.self.query.weight`. */
  name: string;
  shape: number[];
}

/** Bytes of one tensor, little-endian as in safetensors. */
export interface TensorData {
  dtype: 'F32' | 'F16' | 'BF16';
  shape: readonly number[];
  data: Uint8Array;
}

export type TensorKind = 'weight' | 'gradient' | StateKind;

/** How a tensor is trained; what is left out is as usual: trainable, and factors of 1. */
export interface TensorSettings {
  name: string;
  trainable?: boolean;
  /** Of the update's learning rate. */
  learningRateFactor?: number;
  /** Of the update's weight decay; biases and LayerNorm weights never decay. */
  weightDecayFactor?: number;
}

/** A piece of optimizer state that there is. */
export interface StateInfo extends TensorInfo {
  kind: StateKind;
}

/** How losses are smoothed and weighed; mean_squared_error has none of it. */
export interface LossOptions {
  /** Label smoothing factor, 0 to 1; of binary targets y * (1 - factor) + factor / 2. */
  labelSmoothing?: number;
  /** The exponent of a focal loss (Lin et al. 2017), which takes no smoothing; 0 is none. */
  focalGamma?: number;
  /** A factor for each class, of cross_entropy: torch.nn.CrossEntropyLoss(weight). */
  classWeights?: Float32Array;
  /** A factor of each label's positive term, of binary_cross_entropy: torch.nn.BCEWithLogitsLoss(pos_weight). */
  posWeight?: Float32Array;
}

export interface AccumulateOptions extends LossOptions {
  /**
   * What the sum of losses is divided by: the number of labels over all micro-batches of the optimizer step
   * (labels other than -100; of values that are no probabilities rows * outputs). For torch's mean with class
   * weights it is the sum of the weights of those labels.
   */
  divisor: number;
}

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
}
