// A model of any family: a config and its weights, on disk until a native session is opened for them.
import { availableParallelism } from 'node:os';

import { openModelFolder, saveModelFolder, type ReadingSettings } from '../formats/model-folder.js';
import { openAdapterFolder, saveAdapterFolder } from '../formats/peft.js';
import type { TensorData } from '../formats/safetensors.js';
import {
  chooseDevice,
  deviceInfo,
  kernelsProblem,
  Session,
  type Device,
  type SessionOptions,
} from '../native/index.js';
import type { OnnxValidationBatch } from '../onnx/check.js';
import type { OnnxExport } from '../onnx/folder.js';
import { exportSettings, type OnnxDtype } from '../onnx/settings.js';
import { taskOf, type Calibration, type Task } from '../tasks/index.js';
import type { Tokenizer } from '../tokenizer/tokenizer.js';
import { counted } from '../util/text.js';
import { RunError, UsageError } from '../util/errors.js';
import {
  configJson,
  encoderOf,
  maxTokensOf,
  parseConfig,
  type ModelConfig,
  problemTypeOf,
} from './config.js';
import { addUpdate, adapterShapes, loraShapes, scalingOf, targetModulesOf, type Lora } from './lora.js';
import { matchingNames, parameterShapes } from './parameters.js';
import { fitAdapter, matchCheckpoint, readConfig, type LoadedModel } from './pretrained.js';
import {
  ofAnotherModel,
  requireSameShapes,
  sessionSpec,
  tensorOf,
  withoutInitialValues,
  writeTensors,
} from './session.js';

/**
 * Where and how the model is computed.
 *
 * @example
 * ```ts
 * import { AutoModelForSequenceClassification, type Runtime } from 'bertune';
 *
 * const runtime: Runtime = { device: 'cpu', dtype: 'float32', threads: 2, seed: 1 };
 * const model = await AutoModelForSequenceClassification.fromPretrained('out');
 * await model.open(runtime);
 * ```
 */
export interface Runtime {
  device?: Device;
  dtype?: 'auto' | 'float32' | 'bfloat16';
  /** On a CUDA device, whether float32 products may round their inputs to TF32; see SessionOptions. */
  tf32?: boolean;
  /** CPU threads; default: all cores. */
  threads?: number;
  /** Seeds newly initialised weights and dropout; default 42, as HF. */
  seed?: number;
}

/**
 * How a model is exported.
 *
 * @example
 * ```ts
 * import { AutoModelForSequenceClassification, AutoTokenizer, type ExportOnnxOptions } from 'bertune';
 *
 * const options: ExportOnnxOptions = { tokenizer: await AutoTokenizer.fromPretrained('out') };
 * const model = await AutoModelForSequenceClassification.fromPretrained('out');
 * await model.exportOnnx('out-onnx', options);
 * await model.close();
 * ```
 */
export interface ExportOnnxOptions {
  /** Written beside the model, as transformers.js needs it. */
  tokenizer?: Tokenizer;
  /** Tokens at which texts are cut; default: as the model was trained, else 512 or the limit of model or tokenizer. */
  maxSeqLength?: number;
  /** The files to write; default: `fp32` and `q8`, which transformers.js takes in Node and in browsers. */
  dtypes?: readonly OnnxDtype[];
  /** The version of ONNX's operators, 17 to 21; default 17, which the oldest runtimes in use know. */
  opset?: number;
  /** Labelled rows, from the first one on in each call, on which the files are compared with the model. */
  validation?: () => AsyncIterable<OnnxValidationBatch>;
  /** Points (hundredths) of the main metric (accuracy, micro F1, R2) that a file may lose on those rows; default 1. */
  maxMetricDrop?: number;
  /**
   * Layers that stay float32 in `q8` and `q4`: names or patterns of tensors, as for `freeze`; or `auto`: as few as make a file fit
   * that is not.
   */
  keepFloat?: readonly string[] | 'auto';
}

/** Largest differences of logits between the file and the model, as a share: of rounding, and of products in bfloat16 or TF32. */
const TOLERANCE = { float32: 1e-4, rounded: 0.1 };

/** Checks the device that a command line names, before time is spent on data. @throws UsageError */
export function requireDevice({ device, dtype }: Runtime): void {
  // The others are always there, and asking the addon takes the time to load LibTorch.
  if (device?.startsWith('cuda')) chooseDevice({ device, dtype: dtype ?? 'auto' }, deviceInfo(), '--');
}

/**
 * A model: what classes such as BertForSequenceClassification have in common. Weights are float32 tensors in a native session
 * from `open` to `close`; before that they are on disk, or random.
 *
 * @example
 * ```ts
 * import { AutoModelForSequenceClassification, type EncoderModel } from 'bertune';
 *
 * const model: EncoderModel = await AutoModelForSequenceClassification.fromPretrained('out');
 * await model.open({ device: 'cpu' });
 * console.log(model.placement, model.task.labels, model.session.tensors().length);
 * await model.close();
 * ```
 */
export class EncoderModel {
  readonly config: ModelConfig;
  /** The adapter that is trained in place of the weights, if there is one. */
  readonly lora: Lora | undefined;
  /** Tensors that the checkpoint did not bring and that start from random values. */
  readonly newlyInitialised: readonly string[];
  /** Tensors of the checkpoint that the model has no use for. */
  readonly unused: readonly string[];
  /** What a person should know about how the model was loaded. */
  readonly notes: readonly string[];
  /** What of the data the model reads, saved with it; a Trainer sets what it trains on. */
  reading: ReadingSettings;
  readonly #source: LoadedModel['source'];
  #calibration: Calibration;
  #session: Session | undefined;
  #opening: Promise<Session> | undefined;
  #settings: SessionOptions | undefined;
  #placement = '';
  #isClosed = false;
  /** Newly initialised tensors of a checkpoint, until they are trained or a warning names them. */
  #untrained: readonly string[];

  constructor({ config, calibration = {}, reading = {}, lora, source }: LoadedModel) {
    this.config = config;
    this.reading = reading;
    this.lora = lora;
    this.#calibration = calibration;
    this.#source = source;
    this.newlyInitialised = source?.match.newlyInitialised ?? [...parameterShapes(config).keys()];
    this.#untrained = source?.match.newlyInitialised ?? []; // a model of a config alone is random on purpose
    this.unused = source?.match.unused ?? [];
    this.notes = [...config.warnings, ...(source?.match.notes ?? [])];
  }

  /** The problem and the class names that the head was made for. */
  get task(): Task {
    return taskOf(problemTypeOf(this.config), this.config.id2label);
  }

  /** Most tokens of a sequence. */
  get maxTokens(): number {
    return maxTokensOf(this.config);
  }

  /** Rows of the table of token types; 0 for an encoder without one. */
  get tokenTypes(): number {
    return encoderOf(this.config).embeddings.tokenTypes;
  }

  /**
   * What `bertune evaluate` tuned for the weights of the folder; empty where nothing was, for another head, and for other
   * weights.
   */
  get calibration(): Calibration {
    return this.#calibration;
  }

  /**
   * To be called when the weights change, as a Trainer does: what was tuned was true of the former ones only, and what was newly
   * initialised is trained.
   */
  weightsChanged(): void {
    this.#calibration = {};
    this.#untrained = [];
  }

  /** Warns once where predictions come from random weights, as transformers does when it loads them. */
  warnIfUntrained(): void {
    const names = this.#untrained;
    this.#untrained = [];
    if (names.length === 0) return;
    process.emitWarning(
      `The model predicts with random weights: its checkpoint lacks ${names.join(', ')}, which are newly initialised; train it first`,
      'UntrainedModel',
    );
  }

  /** The open session. @throws RunError before `open`, and after `close` */
  get session(): Session {
    this.#requireNotClosed();
    if (this.#session === undefined) throw new RunError('The model is not open: call open() first');
    return this.#session;
  }

  /** Device and dtype in use, with the reason, e.g. `cpu, float32, 2 threads (no GPU: ...)`. */
  get placement(): string {
    return this.#placement;
  }

  /**
   * Puts the weights into a native session. An open model gives the session that it has.
   *
   * @throws UsageError for a device that is not there, or a model that is open with other settings; RunError when memory
   *   does not suffice, for a model that was closed, and for files that were changed after it was loaded
   */
  async open(runtime: Runtime = {}): Promise<Session> {
    this.#requireNotClosed();
    this.#opening ??= this.#openOnce(runtime).catch((error: unknown) => {
      this.#opening = undefined; // another device may do
      throw error;
    });
    const session = await this.#opening;
    requireSameSettings(runtime, this.#settings);
    return session;
  }

  async #openOnce(runtime: Runtime): Promise<Session> {
    const { device: wished = 'auto', dtype: precision = 'auto', tf32 } = runtime;
    const { device, dtype, reason } = chooseDevice(
      { device: wished, dtype: precision, ...(tf32 === undefined ? {} : { tf32 }) },
      deviceInfo(),
    );
    const threads = runtime.threads ?? availableParallelism();
    const seed = runtime.seed ?? 42;
    const settings = { device, dtype, ...(tf32 === undefined ? {} : { tf32 }), threads, seed };
    const { match, adapter } = this.#source ?? {};
    const loaded = new Map([...(match?.matched ?? []), ...(adapter ?? [])]);
    const spec = sessionSpec(this.config, this.lora);
    const session = await Session.create(withoutInitialValues(spec, loaded), settings);
    try {
      await writeTensors(session, loaded);
    } catch (error) {
      await session.close();
      throw error;
    } finally {
      await this.#source?.close();
    }
    this.#settings = settings;
    const kernels = device === 'cpu' ? '' : kernelsProblem();
    const reasons = [reason, kernels].filter((why) => why !== '');
    const why = reasons.length === 0 ? '' : ` (${reasons.join('; ')})`;
    this.#placement = `${device}, ${dtype}, ${counted(threads, 'thread')}${why}`;
    this.#session = session;
    return session;
  }

  /**
   * Replaces all weights by those of a folder that bertune or HF saved for this very model; of an adapter, whose base
   * never changes, those that are saved with it.
   *
   * @throws UsageError for the folder of another model, or one that is damaged
   */
  async loadWeights(directory: string): Promise<void> {
    this.weightsChanged();
    if (this.lora !== undefined) return this.#loadAdapter(directory, this.lora);
    const checkpoint = await openModelFolder(directory, parseConfig);
    try {
      requireSameShapes(directory, parameterShapes(checkpoint.config), parameterShapes(this.config));
      const { matched, newlyInitialised } = matchCheckpoint(this.config, checkpoint, directory);
      if (newlyInitialised.length > 0)
        throw ofAnotherModel(directory, `it lacks ${newlyInitialised.join(', ')}`);
      await writeTensors(this.session, matched);
    } finally {
      await checkpoint.close();
    }
  }

  async #loadAdapter(directory: string, lora: Lora): Promise<void> {
    const files = await openAdapterFolder(directory);
    try {
      const config = await readConfig(directory);
      const found = fitAdapter(directory, files, config, lora.base);
      requireSameShapes(directory, adapterShapes(config, found), adapterShapes(this.config, lora));
      if (scalingOf(found) !== scalingOf(lora))
        throw ofAnotherModel(directory, `it scales updates by ${scalingOf(found)}, not ${scalingOf(lora)}`);
      const own = [...adapterShapes(config, lora).keys()].map((name) => {
        const tensor = files.tensors.get(name);
        if (tensor === undefined) throw ofAnotherModel(directory, `it lacks ${name}`);
        return [name, tensor] as const;
      });
      await writeTensors(this.session, own);
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
    const { lora } = this;
    if (lora === undefined) await this.#saveWhole(directory, session);
    else await this.#saveAdapter(directory, session, lora);
  }

  async #saveAdapter(directory: string, session: Session, lora: Lora): Promise<void> {
    const { config } = this;
    const adapter = {
      config: lora,
      targetModules: targetModulesOf(config, lora.modules),
      model: configJson(config),
      shapes: adapterShapes(config, lora),
      reading: this.reading,
    };
    await saveAdapterFolder(directory, adapter, (name, shape) =>
      tensorOf(session, { name, shape }, 'weight'),
    );
  }

  async #saveWhole(directory: string, session: Session): Promise<void> {
    const shapes = parameterShapes(this.config);
    async function* weights(): AsyncGenerator<TensorData> {
      for (const [name, shape] of shapes) yield tensorOf(session, { name, shape }, 'weight');
    }
    await saveModelFolder(directory, configJson(this.config), shapes, weights(), this.reading);
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
      await this.#saveWhole(directory, session);
    } finally {
      await this.close();
    }
  }

  /**
   * Writes the model as ONNX into a folder of its own, with its adapter merged: config.json, a file in onnx/ for each dtype, and the
   * tokenizer if it is given. A tuned temperature is part of it. The logits are compared with those of onnxruntime-node, where that
   * is installed: in float32 they are equal but for rounding, and a file in fewer bits that loses too much is left out.
   *
   * @throws UsageError for a folder with other files than those of an earlier export, unknown dtypes or tensors, and validation
   *   rows without onnxruntime-node; RunError when it cannot be written, the float32 logits differ, or no file is fit for use
   */
  async exportOnnx(directory: string, options: ExportOnnxOptions = {}): Promise<OnnxExport> {
    const { tokenizer, maxSeqLength = this.reading['maxSeqLength'], ...asked } = options;
    const { dtypes, opset, keepFloat, maxMetricDrop } = exportSettings(asked);
    const spec = sessionSpec(this.config);
    const names = [...parameterShapes(this.config).keys()];
    const kept =
      keepFloat === 'auto'
        ? keepFloat
        : keepFloat.flatMap((pattern) => matchingNames(pattern, names, 'keepFloat'));
    const session = await this.open();
    const { exportFolder } = await import('../onnx/folder.js');
    const { dtype, tf32 = false } = this.#settings ?? {};
    const { textColumn, textPairColumn } = this.reading;
    return exportFolder(directory, {
      spec,
      config: configJson(this.config),
      task: this.task,
      dtypes,
      opset,
      keepFloat: kept,
      maxMetricDrop,
      validation: options.validation,
      temperature: this.calibration.temperature ?? 1,
      tolerance: dtype === 'float32' && !tf32 ? TOLERANCE.float32 : TOLERANCE.rounded,
      text: tokenizer && {
        tokenizer,
        maxLength: Math.min(
          typeof maxSeqLength === 'number' ? maxSeqLength : Math.min(512, tokenizer.modelMaxLength),
          this.maxTokens,
        ),
        readsPairs: textColumn === undefined ? undefined : textPairColumn !== undefined,
      },
      predict: (batch) => session.predict(batch),
      read: (name) => this.#merged(session, name),
    });
  }

  /** A weight with what its adapter adds. */
  async #merged(session: Session, name: string): Promise<Float32Array> {
    const weight = await session.read(name);
    const module = name.replace(/\.weight$/, '');
    if (this.lora?.modules.includes(module) !== true) return weight;
    const a = await session.read(`${module}.lora_A.weight`);
    const b = await session.read(`${module}.lora_B.weight`);
    addUpdate(weight, { a, b, rank: this.lora.rank, scaling: scalingOf(this.lora) });
    return weight;
  }

  /** The tensors of the session by name: the model's, then the adapter's. */
  tensorNames(): string[] {
    const adapter = this.lora === undefined ? [] : loraShapes(this.config, this.lora).keys();
    return [...parameterShapes(this.config).keys(), ...adapter];
  }

  /** Frees the native session. The model cannot be opened again. */
  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#opening?.catch(() => undefined);
    await this.#session?.close();
  }

  #requireNotClosed(): void {
    if (this.#isClosed)
      throw new RunError('The model is closed: load it again, or close it only after its last use');
  }

  /** The same as `close`, for `await using`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

/** `auto` and what is left out go with any settings, and `cuda` with each of its devices. */
function requireSameSettings(asked: Runtime, settings: SessionOptions | undefined): void {
  if (settings === undefined) return;
  for (const key of ['device', 'dtype', 'tf32', 'threads', 'seed'] as const) {
    const [wanted, now] = [asked[key], settings[key]];
    if (wanted === undefined || wanted === 'auto' || wanted === now) continue;
    if (wanted === 'cuda' && String(now).startsWith('cuda:')) continue;
    throw new UsageError(
      `The model is open with ${key} ${now ?? 'left out'}, not ${wanted}; close it and load it again for other settings`,
    );
  }
}
