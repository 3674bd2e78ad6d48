// The only file that sees the addon: loads it, types it, and gives its failures a JavaScript stack.
import { createRequire } from 'node:module';
import { availableParallelism } from 'node:os';
import { fileURLToPath } from 'node:url';

import type { DeviceInfo } from './device.js';
import { expected, messageOf, RunError, UsageError } from './errors.js';

export { chooseDevice, type DeviceInfo } from './device.js';

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

/** What an optimizer keeps of a tensor, as torch.optim names it; `step` counts the updates that the tensor had. */
export type StateKind = (typeof stateKinds)[number];
const stateKinds = ['step', 'exp_avg', 'exp_avg_sq', 'momentum_buffer', 'sum'] as const;

/** As torch.optim has them, by their fused kernels. */
export type OptimizerName = 'adamw' | 'adam' | 'sgd' | 'adagrad';

export type TensorKind = 'weight' | 'gradient' | StateKind;

const OPTIMIZER_STATE: Readonly<Record<OptimizerName, readonly StateKind[]>> = {
  adamw: ['exp_avg', 'exp_avg_sq'],
  adam: ['exp_avg', 'exp_avg_sq'],
  sgd: ['momentum_buffer'],
  adagrad: ['sum'],
};

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

interface NativeSession {
  open(): Promise<TensorInfo[]>;
  read(name: string, kind: TensorKind): Promise<Float32Array>;
  write(name: string, kind: TensorKind, tensor: TensorData): Promise<void>;
  accumulate(batch: PackedBatch, options: AccumulateOptions): Promise<void>;
  update(options: UpdateOptions): Promise<void>;
  predict(batch: PackedBatch): Promise<Float32Array>;
  matmulRate(rows: number, inner: number, columns: number): Promise<number>;
  stats(): Promise<Omit<TrainingStats, 'totalLoss'>>;
  setProgress(step: number, updates: number, loss: number): Promise<void>;
  restart(options: TrainingOptions): Promise<void>;
  mergeAdapters(): Promise<void>;
  configure(settings: readonly TensorSettings[]): Promise<void>;
  optimizerState(): Promise<StateInfo[]>;
  close(): Promise<void>;
}

interface Addon {
  cudaPeakBytes(): number;
  busySeconds(): number;
  startPhases(): void;
  stopPhases(): PhaseTimes;
  Session: new (config: SessionConfig, options: SessionOptions) => NativeSession;
  deviceInfo(): {
    cudaDevices: number;
    cudaProblem: string;
    cudaCapability?: [major: number, minor: number];
    cudaName: string;
    cpuHasBFloat16: boolean;
    libtorch: string;
  };
}

const LONGEST_MESSAGE = 300;

let addon: Addon | undefined; // a process loads a shared library once

function load(): Addon {
  if (addon !== undefined) return addon;
  const path = fileURLToPath(new URL('../build/Release/bertune.node', import.meta.url));
  // OpenMP reads this once, when LibTorch is loaded. Its threads would otherwise spin at every barrier, which takes
  // the cores from the tokenizer threads and, where another program wants a core too, makes steps many times slower.
  // Some microseconds of it are worth more than they cost: with none, steps of small models took half as long again.
  process.env['OMP_WAIT_POLICY'] ??= 'PASSIVE';
  process.env['GOMP_SPINCOUNT'] ??= '2000';
  try {
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- built from native/ of this very version
    addon = createRequire(import.meta.url)(path) as Addon;
  } catch (error) {
    const [reason = ''] = messageOf(error).split('\n');
    throw new RunError(
      `The native addon could not be loaded (${reason}). Run \`npm run setup\` in the folder of bertune: ` +
        'it finds or fetches LibTorch and builds the addon for this machine.',
    );
  }
  return addon;
}

/** Asks the addon what the machine offers. */
export function deviceInfo(): DeviceInfo {
  const info = load().deviceInfo();
  return {
    cuda: info.cudaDevices > 0,
    cudaProblem: info.cudaProblem,
    ...(info.cudaCapability === undefined ? {} : { cudaCapability: info.cudaCapability }),
    ...(info.cudaName === '' ? {} : { cudaName: info.cudaName }),
    bfloat16: info.cpuHasBFloat16,
    cores: availableParallelism(),
    libtorch: info.libtorch,
  };
}

/** Most memory that LibTorch has held on the CUDA device, in bytes; 0 without one. */
export function cudaPeakBytes(): number {
  return load().cudaPeakBytes();
}

/** Seconds in which the threads of sessions have had calls to work on, since the process began. */
export function busySeconds(): number {
  return load().busySeconds();
}

/** Begins to count where native time goes, for the bench. Until then and after stopPhases it costs nothing. */
export function startPhases(): void {
  load().startPhases();
}

/** Ends the count and gives it. */
export function stopPhases(): PhaseTimes {
  return load().stopPhases();
}

/**
 * A model in training, its optimizer and its random state, on one device and one native thread.
 *
 * Calls return at once and run in the order they were made. A call with a wrong argument rejects without
 * touching the session; a failed native step rejects with one line and the caller's stack.
 */
export class Session {
  readonly #native: NativeSession;
  readonly #tensors: readonly TensorInfo[];
  readonly #problemType: SessionConfig['problemType'];
  #closed = false;
  #lossSeen = 0;
  #stateKinds: readonly StateKind[] = OPTIMIZER_STATE.adamw;

  private constructor(
    native: NativeSession,
    tensors: readonly TensorInfo[],
    problemType: SessionConfig['problemType'],
  ) {
    this.#native = native;
    this.#tensors = tensors;
    this.#problemType = problemType;
  }

  /**
   * Makes a model with HF's random initial weights (normal(0, initializerRange), zero biases).
   *
   * @throws UsageError for a config, device or dtype that cannot be had
   */
  static async create(config: SessionConfig, options: SessionOptions): Promise<Session> {
    return withStack(async () => {
      const native = new (load().Session)(config, options);
      return new Session(native, await native.open(), config.problemType);
    });
  }

  /** All tensors of the model in Hugging Face's order. */
  tensors(): readonly TensorInfo[] {
    return this.#tensors;
  }

  /** Copies a tensor as float32, in row-major order. Gradients exist between accumulate and update. */
  read(name: string, kind: TensorKind = 'weight'): Promise<Float32Array> {
    return withStack(async () => this.#native.read(name, knownKind(kind)));
  }

  /** Overwrites a tensor; the shape must be the tensor's own. */
  write(name: string, tensor: TensorData, kind: Exclude<TensorKind, 'gradient'> = 'weight'): Promise<void> {
    return withStack(async () => this.#native.write(name, knownKind(kind), tensor));
  }

  /**
   * Runs forward and backward with dropout and adds the gradients of (sum of losses) / divisor.
   *
   * @throws UsageError for an option that the loss of this problem does not know
   */
  accumulate(batch: PackedBatch, options: AccumulateOptions): Promise<void> {
    return withStack(async () => {
      requireMeaning(options, this.#problemType);
      await this.#native.accumulate(batch, options);
    });
  }

  /**
   * Clips the gradients, applies the optimizer (torch.optim, fused) and forgets the gradients. With a norm that
   * is not finite nothing is applied, and stats().skipped grows.
   */
  update(options: UpdateOptions): Promise<void> {
    return withStack(() => this.#native.update(options));
  }

  /** Logits without dropout, [sequences * numLabels]. */
  predict(batch: PackedBatch): Promise<Float32Array> {
    return withStack(() => this.#native.predict(batch));
  }

  /**
   * FLOP/s of a matrix product [rows, inner] x [columns, inner]^T with this session's device, dtype and threads: the
   * yardstick of the bench.
   */
  matmulRate(rows: number, inner: number, columns: number): Promise<number> {
    return withStack(() => this.#native.matmulRate(rows, inner, columns));
  }

  /** Reads the running loss and counters. Waits for the device: call it to log. */
  async stats(): Promise<TrainingStats> {
    const { loss: totalLoss, ...rest } = await withStack(() => this.#native.stats());
    const loss = totalLoss - this.#lossSeen;
    this.#lossSeen = totalLoss;
    return { ...rest, loss, totalLoss };
  }

  /**
   * Continues the counters of an earlier run: `step` optimizer steps were begun (decides the dropout masks), of
   * which `updates` were applied (decides AdamW's bias correction), with `totalLoss` so far.
   */
  setProgress(step: number, updates: number, totalLoss: number): Promise<void> {
    return withStack(async () => {
      await this.#native.setProgress(step, updates, totalLoss);
      this.#lossSeen = totalLoss;
    });
  }

  /**
   * Says how tensors are trained from the next step on; all that are not named are trained as usual. A frozen tensor
   * gets no gradient and no moments, and below the lowest trainable one there is no backward pass.
   *
   * @throws when nothing is left to train, or between accumulate and update
   */
  configure(settings: readonly TensorSettings[]): Promise<void> {
    return withStack(() => this.#native.configure(settings));
  }

  /** What the optimizer keeps of each tensor that it updates. */
  get stateKinds(): readonly StateKind[] {
    return [...this.#stateKinds, 'step'];
  }

  /** The state that the optimizer has by now: that of the tensors it has updated. */
  optimizerState(): Promise<StateInfo[]> {
    return withStack(() => this.#native.optimizerState());
  }

  /** Begins a new training of the same weights: gradients, moments, settings, counters and loss are forgotten. */
  restart(options: TrainingOptions = {}): Promise<void> {
    return withStack(async () => {
      const { optimizer = 'adamw', momentum = 0 } = options;
      await this.#native.restart(options);
      this.#lossSeen = 0;
      this.#stateKinds = optimizer === 'sgd' && momentum === 0 ? [] : OPTIMIZER_STATE[optimizer];
    });
  }

  /** Adds scaling * B A of each LoRA adapter to the weight that it adapts, and sets B to zero. */
  mergeAdapters(): Promise<void> {
    return withStack(() => this.#native.mergeAdapters());
  }

  /** Frees the model after the calls made before; later calls reject. Closing twice does nothing. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await withStack(() => this.#native.close());
  }
}

function knownKind(kind: TensorKind): TensorKind {
  const kinds: readonly TensorKind[] = ['weight', 'gradient', ...stateKinds];
  if (kinds.includes(kind)) return kind;
  throw expected(`one of ${kinds.join(', ')}`, 'kind', kind);
}

// A loss that does not know an option would leave it out without a word.
function requireMeaning(options: LossOptions | undefined, problem: SessionConfig['problemType']): void {
  const { labelSmoothing = 0, focalGamma = 0, classWeights, posWeight } = options ?? {};
  const refuse = (option: string, remedy: string): never => {
    throw new RangeError(`${option} does not go with ${problem}; leave it out${remedy}`);
  };
  if (problem === 'regression' && labelSmoothing !== 0) refuse('labelSmoothing', ', or give 0');
  if (problem === 'regression' && focalGamma !== 0) refuse('focalGamma', ', or give 0');
  if (problem !== 'single_label_classification' && classWeights !== undefined) refuse('classWeights', '');
  if (problem !== 'multi_label_classification' && posWeight !== undefined) refuse('posWeight', '');
  if (labelSmoothing !== 0 && focalGamma !== 0)
    throw new RangeError(
      'labelSmoothing and focalGamma exclude each other; leave one of them out, or give 0',
    );
}

// A place in LibTorch's sources and the condition that did not hold there say nothing to a person.
const LIBTORCH_PLACE = /^\[enforce fail at [^\]]*\] (?:[^.\n]*\. )?/;

// What a caller's getter throws may have any length and any number of lines.
function oneLineOf(error: unknown): string {
  const text = messageOf(error).replace(LIBTORCH_PLACE, '');
  const line = text.replaceAll(/[\p{Cc}\u2028\u2029]+\s*/gu, ' ');
  return line.length > LONGEST_MESSAGE ? `${line.slice(0, LONGEST_MESSAGE)}...` : line;
}

function explained(message: string): string {
  // oneDNN, which computes bfloat16 on CPUs, has no other words for it.
  if (
    !/DefaultCPUAllocator|out of memory|could not create a primitive|bad_alloc|allocation failed/.test(
      message,
    )
  )
    return message;
  const remedies = 'smaller batches, shorter texts, gradientCheckpointing or autoFindBatchSize';
  return `Memory ran out; use ${remedies} (${message})`;
}

// A native failure has no JavaScript frames of its own, so the error is made here, at the caller.
async function withStack<T>(call: () => Promise<T>): Promise<T> {
  const site: { stack?: string } = {};
  Error.captureStackTrace(site, withStack);
  try {
    return await call();
  } catch (error) {
    if (error instanceof RunError) throw error;
    const message = explained(oneLineOf(error));
    const wrapped =
      error instanceof TypeError || error instanceof RangeError || error instanceof UsageError
        ? new UsageError(message)
        : new RunError(message);
    wrapped.stack = `${wrapped.name}: ${message}\n${(site.stack ?? '').split('\n').slice(1).join('\n')}`;
    throw wrapped;
  }
}
