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
  /** Class ids [sequences] (-100 = none), or multi-hot or regression values [sequences * numLabels]. */
  labels?: Int32Array | Float32Array;
}

/** The numbers of a BERT config that decide shapes and arithmetic. */
export interface SessionConfig {
  vocabSize: number;
  hiddenSize: number;
  numHiddenLayers: number;
  numAttentionHeads: number;
  intermediateSize: number;
  hiddenAct: string;
  hiddenDropoutProb: number;
  attentionProbsDropoutProb: number;
  classifierDropout: number;
  maxPositionEmbeddings: number;
  typeVocabSize: number;
  initializerRange: number;
  layerNormEps: number;
  /** The word embedding row that gets no gradient, or -1 for none. */
  padTokenId: number;
  numLabels: number;
  problemType: 'single_label_classification' | 'multi_label_classification' | 'regression';
  /**
   * Low-rank adapters (Hu et al. 2021) of linear layers of the encoder. Each adds the tensors
   * `<module>.lora_A.weight` [rank, in] and `<module>.lora_B.weight` [out, rank].
   */
  lora?: {
    /** Full names, e.g. `bert.encoder.layer.0.attention.self.query`. */
    modules: string[];
    rank: number;
    /** The factor of B A, alpha / rank in PEFT. */
    scaling: number;
    /** Dropout probability of the adapters' input. */
    dropout: number;
  };
}

/** How a training runs beside its loss and optimizer. */
export interface TrainingOptions {
  /** Default adamw. The weight decay of the others is an L2 term of the gradient. */
  optimizer?: OptimizerName;
  /** Of sgd, 0 to 1; default 0, which keeps no state. */
  momentum?: number;
  /** NEFTune (Jain et al. 2023): noise of alpha / sqrt(tokens of the sequence * hidden size) on word embeddings. */
  neftuneNoiseAlpha?: number;
  /** Layers keep their input only and run again in the backward pass: less memory, about a third more time. */
  gradientCheckpointing?: boolean;
  /** Where memory runs out, a micro-batch is cut further and the step begun anew; gradients stay the same. */
  autoFindBatchSize?: boolean;
}

export interface SessionOptions {
  device: 'cpu' | 'cuda';
  /** The dtype of the encoder's products; weights, gradients and the head stay float32. */
  dtype: 'float32' | 'bfloat16';
  /**
   * On a CUDA device, whether float32 products may round their inputs to TF32; default: as LibTorch has it, which is
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

/** How the losses of classes are smoothed and weighed; a regression has none of it. */
export interface LossOptions {
  /** Label smoothing factor, 0 to 1; of multi-label targets y * (1 - factor) + factor / 2. */
  labelSmoothing?: number;
  /** The exponent of a focal loss (Lin et al. 2017), which takes no smoothing; 0 is none. */
  focalGamma?: number;
  /** A factor for each class, for single-label classification: torch.nn.CrossEntropyLoss(weight). */
  classWeights?: Float32Array;
  /** A factor of each label's positive term, for multi-label: torch.nn.BCEWithLogitsLoss(pos_weight). */
  posWeight?: Float32Array;
}

export interface AccumulateOptions extends LossOptions {
  /**
   * What the sum of losses is divided by: the number of labels over all micro-batches of the optimizer step
   * (labels other than -100; for multi-label and regression sequences * numLabels). For torch's mean with class
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
  /** Thread-seconds in matrix products of dense layers. */
  gemm: number;
  /** Thread-seconds in attention, its products included. */
  attention: number;
  /** Thread-seconds in everything between the products: LayerNorm, dropout, activations, conversions, embeddings. */
  elementWise: number;
  /** Thread-seconds in updates. */
  optimizer: number;
}
