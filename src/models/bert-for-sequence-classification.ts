// BertForSequenceClassification: a config and its weights, on disk until a native session is opened for them.
import { availableParallelism } from 'node:os';

import { counted } from '../util/counted.js';
import { RunError, UsageError } from '../util/errors.js';
import { modelDirectory, type HubOptions } from '../hub/index.js';
import { adapterShapes, loraShapes, scalingOf, type Lora } from './lora.js';
import { fitAdapter, isAdapterFolder, openAdapterFiles, saveAdapter } from '../formats/adapter-file.js';
import { matchTensors, type TensorMatch } from '../formats/match.js';
import { openCheckpoint, readBertConfig, saveCheckpoint } from '../formats/checkpoint.js';
import { parameterShapes } from './parameters.js';
import { readCalibration, taskOf, type Calibration, type Task } from '../tasks/index.js';
import type { BertConfig } from './config.js';
import type { TensorData } from '../formats/safetensors-writer.js';
import type { TensorSource } from '../formats/safetensors-reader.js';
import { chooseDevice, deviceInfo, Session } from '../native/index.js';
import { freshLora, openAdapter, type LoraOptions } from './adapter.js';
import { isSameHead, problemTypeOf, withHead, type HeadOptions } from './head.js';
import type { Runtime } from './runtime.js';
import { sessionConfig } from './session-config.js';
import { ofAnotherModel, requireSameShapes, tensorOf, weightsOf, writeTensor } from './session-tensors.js';

/** Adapters: a new one, or where the base of the folder's is. */
export interface AdapterOptions {
  /** Trains low-rank updates of linear layers in place of the weights. */
  lora?: LoraOptions;
  /** A folder or hub id in place of the base that an adapter names. */
  baseModel?: string;
}

/** Where weights come from until they are in a session. */
interface Source {
  match: TensorMatch;
  /** The tensors of an adapter that was saved. */
  adapter?: ReadonlyMap<string, TensorSource>;
  lora?: Lora;
  close(): Promise<void>;
}

export class BertForSequenceClassification {
  readonly config: BertConfig;
  /** The adapter that is trained in place of the weights, if there is one. */
  readonly lora: Lora | undefined;
  /** Tensors that the checkpoint did not bring and that start from random values. */
  readonly newlyInitialised: readonly string[];
  /** What a person should know about how the model was loaded. */
  readonly notes: readonly string[];
  readonly #source: Source | null;
  #calibration: Calibration;
  #session: Session | undefined;
  #opening: Promise<Session> | undefined;
  #chosen = '';

  private constructor(config: BertConfig, source: Source | null, calibration: Calibration = {}) {
    this.config = config;
    this.lora = source?.lora;
    this.#calibration = calibration;
    this.#source = source;
    this.newlyInitialised = source?.match.newlyInitialised ?? [...parameterShapes(config).keys()];
    this.notes = [...config.warnings, ...(source?.match.notes ?? [])];
  }

  /**
   * Opens a checkpoint from a folder or a Hugging Face hub id; weights are read when the model is first used.
   *
   * @throws UsageError for a folder that holds no usable BERT; RunError when the hub cannot be reached
   */
  static async fromPretrained(
    idOrDir: string,
    options: HeadOptions & AdapterOptions & HubOptions = {},
  ): Promise<BertForSequenceClassification> {
    const directory = await modelDirectory(idOrDir, { ...options, files: 'all' });
    const isAdapter = await isAdapterFolder(directory);
    requireOneAdapter(directory, isAdapter, options);
    const checkpoint: Awaited<ReturnType<typeof openCheckpoint>> & Partial<Pick<Source, 'lora' | 'adapter'>> =
      isAdapter ? await openAdapter(directory, options) : await openCheckpoint(directory);
    try {
      const config = withHead(checkpoint.config, options);
      const match = matchTensors(config, checkpoint.tensors, directory);
      const task = { problemType: problemTypeOf(config), labels: config.id2label };
      const isOwnHead = isSameHead(config, checkpoint.config);
      const calibration = isOwnHead ? await readCalibration(directory, task) : {};
      const source: Source = { match, close: () => checkpoint.close() };
      if (checkpoint.adapter !== undefined) source.adapter = checkpoint.adapter;
      if (checkpoint.lora !== undefined) source.lora = checkpoint.lora;
      if (options.lora !== undefined)
        source.lora = await freshLora(
          config,
          {
            baseName: idOrDir,
            ...(options.revision === undefined ? {} : { baseRevision: options.revision }),
            ...options.lora,
          },
          match.newlyInitialised,
        );
      return new BertForSequenceClassification(config, source, calibration);
    } catch (error) {
      await checkpoint.close();
      throw error;
    }
  }

  /** A model with random weights, as `BertForSequenceClassification(config)` in Python. */
  static fromConfig(config: BertConfig, options: HeadOptions = {}): BertForSequenceClassification {
    return new BertForSequenceClassification(withHead(config, options), null);
  }

  /** The problem and the class names that the head was made for. */
  get task(): Task {
    return taskOf(problemTypeOf(this.config), this.config.id2label);
  }

  /**
   * What `bertune evaluate` tuned for the weights of the folder; empty where nothing was, for another head, and for other
   * weights.
   */
  get calibration(): Calibration {
    return this.#calibration;
  }

  /** To be called when the weights change: what was tuned was true of the former ones only. A Trainer does. */
  dropCalibration(): void {
    this.#calibration = {};
  }

  /** The open session. @throws RunError before `open` */
  get session(): Session {
    if (this.#session === undefined) throw new RunError('The model is not open: call open() first');
    return this.#session;
  }

  /** Device and dtype in use, with the reason, e.g. `cpu, float32, 2 threads (no GPU: ...)`. */
  get placement(): string {
    return this.#chosen;
  }

  /**
   * Puts the weights into a native session. Opening an open model gives the session that it has.
   *
   * @throws UsageError for a device that cannot be had; RunError when memory does not suffice
   */
  open(runtime: Runtime = {}): Promise<Session> {
    this.#opening ??= this.#openOnce(runtime).catch((error: unknown) => {
      this.#opening = undefined; // another device may do
      throw error;
    });
    return this.#opening;
  }

  async #openOnce(runtime: Runtime): Promise<Session> {
    const { device: wished = 'auto', dtype: precision = 'auto', tf32 } = runtime;
    const { device, dtype, reason } = chooseDevice(
      { device: wished, dtype: precision, ...(tf32 === undefined ? {} : { tf32 }) },
      deviceInfo(),
    );
    const threads = runtime.threads ?? availableParallelism();
    const session = await Session.create(sessionConfig(this.config, this.lora), {
      device,
      dtype,
      ...(tf32 === undefined ? {} : { tf32 }),
      threads,
      seed: runtime.seed ?? 42,
    });
    try {
      await this.#load(session);
    } catch (error) {
      await session.close();
      throw error;
    }
    this.#chosen = `${device}, ${dtype}, ${counted(threads, 'thread')}${reason === '' ? '' : ` (${reason})`}`;
    this.#session = session;
    return session;
  }

  async #load(session: Session): Promise<void> {
    for (const [name, tensor] of this.#source?.match.matched ?? [])
      await writeTensor(session, name, tensor, 'weight');
    for (const [name, tensor] of this.#source?.adapter ?? [])
      await writeTensor(session, name, tensor, 'weight');
    await this.#source?.close();
  }

  /**
   * Replaces all weights by those of a folder that bertune or HF saved for this very model; of an adapter, whose base
   * never changes, those that are saved with it.
   *
   * @throws UsageError for the folder of another model, or one that is damaged
   */
  async loadWeights(directory: string): Promise<void> {
    this.dropCalibration();
    if (this.lora !== undefined) return this.#loadAdapter(directory, this.lora);
    const checkpoint = await openCheckpoint(directory);
    try {
      requireSameShapes(directory, parameterShapes(checkpoint.config), parameterShapes(this.config));
      const { matched, newlyInitialised } = matchTensors(this.config, checkpoint.tensors, directory);
      if (newlyInitialised.length > 0)
        throw ofAnotherModel(directory, `it lacks ${newlyInitialised.join(', ')}`);
      for (const [name, tensor] of matched) await writeTensor(this.session, name, tensor, 'weight');
    } finally {
      await checkpoint.close();
    }
  }

  async #loadAdapter(directory: string, lora: Lora): Promise<void> {
    const files = await openAdapterFiles(directory);
    try {
      const config = await readBertConfig(directory);
      const found = fitAdapter(directory, files, config, lora.base);
      requireSameShapes(directory, adapterShapes(config, found), adapterShapes(this.config, lora));
      if (scalingOf(found) !== scalingOf(lora))
        throw ofAnotherModel(directory, `it scales updates by ${scalingOf(found)}, not ${scalingOf(lora)}`);
      for (const name of adapterShapes(config, lora).keys()) {
        const tensor = files.tensors.get(name);
        if (tensor === undefined) throw ofAnotherModel(directory, `it lacks ${name}`);
        await writeTensor(this.session, name, tensor, 'weight');
      }
    } finally {
      await files.close();
    }
  }

  /**
   * Writes config.json and model.safetensors (float32) as transformers writes them; of a model with an adapter, in place
   * of its weights adapter_config.json and adapter_model.safetensors as PEFT writes them.
   */
  async savePretrained(directory: string): Promise<void> {
    const session = await this.open();
    const read = (name: string, shape: number[]): Promise<TensorData> =>
      tensorOf(session, { name, shape }, 'weight');
    if (this.lora !== undefined) return saveAdapter(directory, this.config, this.lora, read);
    await saveCheckpoint(directory, this.config, weightsOf(session, this.config));
  }

  /**
   * Folds the adapter into the weights, writes them as a plain model, and closes this one.
   *
   * @throws UsageError for a model without an adapter
   */
  async saveMerged(directory: string): Promise<void> {
    if (this.lora === undefined) throw new UsageError('The model has no adapter to merge');
    const session = await this.open();
    try {
      await session.mergeAdapters();
      await saveCheckpoint(directory, this.config, weightsOf(session, this.config));
    } finally {
      await this.close();
    }
  }

  /** The tensors of the session by name: the model's, then the adapter's. */
  tensorNames(): string[] {
    const adapter = this.lora === undefined ? [] : loraShapes(this.config, this.lora).keys();
    return [...parameterShapes(this.config).keys(), ...adapter];
  }

  /** Frees the native session and closes the files. */
  async close(): Promise<void> {
    await this.#opening?.catch(() => undefined);
    await this.#source?.close();
    await this.#session?.close();
  }
}

function requireOneAdapter(directory: string, isAdapter: boolean, { lora, baseModel }: AdapterOptions): void {
  if (isAdapter && lora !== undefined)
    throw new UsageError(
      `${directory} is an adapter already, and its training goes on as it is; leave the LoRA options (--lora-rank ...) out, or merge it first with bertune merge`,
    );
  if (!isAdapter && baseModel !== undefined)
    throw new UsageError(`${directory} is no adapter and has no base; leave the base (--base-model) out`);
}
