// The typed session: one model in training, for scripts and the trainer.
import { expected } from '../util/errors.js';
import { loadAddon, type NativeSession, type WorldAddress } from './addon.js';
import { withStack } from './failures.js';
import { OPTIMIZER_STATE, stateKinds, type StateKind } from './optimizer-state.js';
import type { LossKind, SessionSpec } from './spec.js';
import type {
  ReduceOptions,
  AccumulateOptions,
  LossOptions,
  PackedBatch,
  SessionOptions,
  StateInfo,
  TensorData,
  TensorInfo,
  TensorKind,
  TensorSettings,
  TrainingOptions,
  TrainingStats,
  UpdateOptions,
} from './types.js';

/**
 * A model in training, its optimizer and its random state, on one device and one native thread.
 *
 * Calls return at once and run in the order they were made. A failed one rejects with one line and the
 * caller's stack: a UsageError for an argument of the wrong type or range, else a RunError. The session is then as it was
 * before that call, unless the message ends in `the session is closed`: every later call but `close` rejects.
 *
 * @example
 * ```ts
 * import { AutoModelForSequenceClassification, pack } from 'bertune';
 *
 * const model = await AutoModelForSequenceClassification.fromPretrained('out');
 * await model.open({ device: 'cpu' });
 * const batch = pack([{ ids: Int32Array.of(101, 2023, 102), typeIds: null }]);
 * console.log(await model.session.predict(batch)); // [1 * numLabels]
 * await model.close();
 * ```
 */
export class Session {
  readonly #native: NativeSession;
  readonly #tensors: readonly TensorInfo[];
  readonly #loss: LossKind;
  #closed = false;
  #lossSeen = 0;
  #stateKinds: readonly StateKind[] = OPTIMIZER_STATE.adamw;

  private constructor(native: NativeSession, tensors: readonly TensorInfo[], loss: LossKind) {
    this.#native = native;
    this.#tensors = tensors;
    this.#loss = loss;
  }

  /**
   * Makes a model with random initial weights, as the spec describes them.
   *
   * @throws UsageError for a spec that does not fit itself, or a device or dtype that this machine does not have
   */
  static async create(spec: SessionSpec, options: SessionOptions): Promise<Session> {
    return withStack(async () => {
      const native = new (loadAddon().Session)(spec, options);
      try {
        return new Session(native, inOrder(spec, await native.open()), spec.loss);
      } catch (error) {
        await native.close(); // its thread and memory, which the garbage collector may leave for long
        throw error;
      }
    });
  }

  /** All tensors of the model by the names that the spec gives them, in the order of Hugging Face's modules. */
  tensors(): readonly TensorInfo[] {
    return this.#tensors;
  }

  /** Copies a tensor as float32, in row-major order. Gradients exist between accumulate and update. */
  read(name: string, kind: TensorKind = 'weight'): Promise<Float32Array> {
    return withStack(async () => this.#native.read(name, knownKind(kind)));
  }

  /** Overwrites a tensor of the same shape, or, with `firstRow`, some of its rows. */
  write(name: string, tensor: TensorData, kind: Exclude<TensorKind, 'gradient'> = 'weight'): Promise<void> {
    return withStack(async () => this.#native.write(name, knownKind(kind), tensor));
  }

  /**
   * Runs forward and backward with dropout and adds the gradients of (sum of losses) / divisor.
   *
   * @throws UsageError for an option that the loss does not have
   */
  accumulate(batch: PackedBatch, options: AccumulateOptions): Promise<void> {
    return withStack(async () => {
      requireMeaning(options, this.#loss);
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

  /**
   * From now on updates are with the sums of the gradients of all processes of a world, which make the same calls of update; a
   * process that has no batch for one makes it without.
   *
   * @param name tells sessions of the same processes apart
   * @returns why gradients on GPUs go through the memory of the host, in one line; empty where they do not, and on CPUs
   */
  join(world: WorldAddress, name: string, options: ReduceOptions): Promise<string> {
    return withStack(() => this.#native.join(world, name, options));
  }

  /** Updates with its own gradients alone again. */
  leave(): Promise<void> {
    return withStack(() => this.#native.leave());
  }

  /**
   * Logits without dropout, [rows * outputs]: a row for each sequence, or token. Of a head that ends with a vocabulary and a batch
   * with labels: [labelled tokens * 2], the loss of each and the id with the largest logit.
   */
  predict(batch: PackedBatch): Promise<Float32Array> {
    return withStack(() => this.#native.predict(batch));
  }

  /**
   * FLOP/s of a matrix product [rows, inner] x [columns, inner]^T with this session's device, dtype and threads: the
   * reference of the bench.
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
   * which `updates` were applied (decides AdamW's bias correction), with `totalLoss` so far. `maxTokens` of stats()
   * cuts micro-batches as the earlier run did after memory ran out (autoFindBatchSize); 0 for not at all.
   */
  setProgress(step: number, updates: number, totalLoss: number, maxTokens = 0): Promise<void> {
    return withStack(async () => {
      await this.#native.setProgress(step, updates, totalLoss, maxTokens);
      this.#lossSeen = totalLoss;
    });
  }

  /**
   * Sets how tensors are trained from the next step on; all that are not named are trained as usual. A frozen tensor
   * gets no gradient and no moments, and below the lowest trainable one there is no backward pass.
   *
   * @throws when nothing is left to train, or between accumulate and update
   */
  configure(settings: readonly TensorSettings[]): Promise<void> {
    return withStack(() => this.#native.configure(settings));
  }

  /** The state that the optimizer has for each tensor that it updates. */
  get stateKinds(): readonly StateKind[] {
    return [...this.#stateKinds, 'step'];
  }

  /** The state that the optimizer has by now: that of the tensors it has updated. */
  optimizerState(): Promise<StateInfo[]> {
    return withStack(() => this.#native.optimizerState());
  }

  /** Starts a new training of the same weights: gradients, moments, settings, counters and loss are reset. */
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

  /** The same as `close`, for `await using`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

function knownKind(kind: TensorKind): TensorKind {
  const kinds: readonly TensorKind[] = ['weight', 'gradient', ...stateKinds];
  if (kinds.includes(kind)) return kind;
  throw expected(`one of ${kinds.join(', ')}`, 'kind', kind);
}

/** The canonical name without `.weight` or `.bias`. */
function layerOf(name: string): string {
  return name.replace(/\.\w+$/, '');
}

// Layer by layer, and of a layer that is several outside (query, key, value) each with its bias, as in Hugging Face's modules.
function inOrder({ parameters }: SessionSpec, infos: readonly TensorInfo[]): TensorInfo[] {
  const places = new Map<string, readonly [layer: number, part: number]>();
  const layers = [...new Set(parameters.map(({ name }) => layerOf(name)))];
  for (const { name, tensors } of parameters)
    for (const [part, tensor] of tensors.entries())
      places.set(tensor.name, [layers.indexOf(layerOf(name)), part]);
  const placeOf = ({ name }: TensorInfo): readonly [number, number] => places.get(name) ?? [0, 0];
  return infos.toSorted((a, b) => {
    const [[layer, part], [otherLayer, otherPart]] = [placeOf(a), placeOf(b)];
    return layer - otherLayer || part - otherPart;
  });
}

// A loss would ignore an option that it does not have.
function requireMeaning(options: LossOptions | undefined, loss: LossKind): void {
  const { labelSmoothing = 0, focalGamma = 0, classWeights, posWeight } = options ?? {};
  const { temperature = 1, alpha = 1 } = options ?? {};
  const refuse = (option: string, remedy: string): never => {
    throw new RangeError(`${option} does not go with ${loss}; leave it out${remedy}`);
  };
  if (loss === 'mean_squared_error' && labelSmoothing !== 0) refuse('labelSmoothing', ', or give 0');
  if (loss === 'mean_squared_error' && focalGamma !== 0) refuse('focalGamma', ', or give 0');
  if (loss === 'mean_squared_error' && temperature !== 1) refuse('temperature', ', or give 1');
  if (loss === 'mean_squared_error' && alpha !== 1) refuse('alpha', ', or give 1');
  if (loss !== 'cross_entropy' && classWeights !== undefined) refuse('classWeights', '');
  if (loss !== 'binary_cross_entropy' && posWeight !== undefined) refuse('posWeight', '');
  if (labelSmoothing !== 0 && focalGamma !== 0)
    throw new RangeError(
      'labelSmoothing and focalGamma exclude each other; leave one of them out, or give 0',
    );
  if ((temperature !== 1 || alpha !== 1) && (labelSmoothing !== 0 || focalGamma !== 0))
    throw new RangeError(
      `${alpha === 1 ? 'temperature' : 'alpha'} and ${focalGamma === 0 ? 'labelSmoothing' : 'focalGamma'} exclude each other; leave one of them out`,
    );
}
