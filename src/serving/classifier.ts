// A model for the lifetime of a server: calls at any time, packed into steps, with a bounded queue.
import { maxLengthOf, pack } from '../data/batch.js';
import {
  joinWindows,
  longTextsOf,
  poolWindows,
  requireSingle,
  textReading,
  type TextReading,
} from '../evaluation/long-texts.js';
import type { EncoderModel } from '../models/encoder-model.js';
import { loadAnyModel } from '../models/auto-model.js';
import { createEntityReader, requireTokens, type Entity } from '../evaluation/entities.js';
import { requireTexts } from '../evaluation/predict.js';
import {
  classifierCommand,
  parseClassifierOptions,
  withReading,
  type ClassifierOptions,
} from '../options/index.js';
import {
  requireProblemType,
  type AggregationStrategy,
  type Prediction,
  type ProblemType,
} from '../tasks/index.js';
import { AutoTokenizer, type BertTokenizer, type Encoding, type TextExample } from '../tokenizer/index.js';
import { expected, RunError, UsageError } from '../util/errors.js';
import { withoutUndefined } from '../util/without-undefined.js';
import { ClassifierClosedError, QueueFullError } from './errors.js';
import { StepQueue, type Step } from './step-queue.js';

type Text = string | TextExample;

/** What a classifier is made of. */
interface Parts {
  readonly model: EncoderModel;
  readonly reading: TextReading;
  readonly queue: StepQueue;
  readonly maxQueue: number;
  readonly tokenizer: BertTokenizer;
  /** Of tokens. */
  readonly aggregationStrategy: AggregationStrategy | undefined;
  /** Frees what the classifier made. */
  readonly free: () => Promise<void>;
}

/**
 * Classifies texts for the lifetime of a server; `createClassifier` makes one. The answers are those of `predict`. A text gets
 * the same answer alone and beside others up to rounding: logits differ by less than 1e-6 of their size on a CPU.
 *
 * @template P the problem type, where `createClassifier` was called with one
 *
 * @example
 * ```ts
 * import { createClassifier, type Classifier } from 'bertune';
 *
 * await using classifier: Classifier = await createClassifier('out');
 * const answers = await Promise.all(['What a film!', 'Two lost hours.'].map((text) => classifier.classify(text)));
 * console.log(answers.map(({ label }) => label));
 * ```
 */
export class Classifier<P extends ProblemType = ProblemType> implements AsyncDisposable {
  readonly model: EncoderModel;
  readonly #parts: Parts;
  #pending = 0;
  #failure: RunError | undefined;
  #closing: Promise<void> | undefined;
  #drained: (() => void) | undefined;

  /** `createClassifier` calls it. */
  constructor(parts: Parts) {
    this.model = parts.model;
    this.#parts = parts;
  }

  /** How tokens become entities, where something else than `first` was asked for. */
  get aggregationStrategy(): AggregationStrategy | undefined {
    return this.#parts.aggregationStrategy;
  }

  /** Texts that have no answer yet, and those of aborted calls that are still being tokenized. */
  get pending(): number {
    return this.#pending;
  }

  /** Texts, or windows of them, that wait for a step. */
  get waiting(): number {
    return this.#parts.queue.size;
  }

  /** Whether there are as many texts without an answer as `maxQueue` allows. */
  get isFull(): boolean {
    return this.#pending >= this.#parts.maxQueue;
  }

  get isClosing(): boolean {
    return this.#closing !== undefined;
  }

  /** What the last call failed with, where that was no fault of the call, and none has succeeded since. */
  get failure(): RunError | undefined {
    return this.#failure;
  }

  /**
   * Classifies a text or a pair, or several in their order. Calls that are made while others wait share their steps.
   *
   * @param options.signal ends the call with the signal's reason: its texts leave the queue; a step that runs with them goes on,
   *   and its answer is dropped
   * @throws QueueFullError when too many texts wait; ClassifierClosedError after `close`; UsageError for what is no text, a pair
   *   with a stride, and more texts than the queue takes
   */
  classify(text: Text, options?: { signal?: AbortSignal }): Promise<Prediction<P>>;
  classify(texts: readonly Text[], options?: { signal?: AbortSignal }): Promise<Prediction<P>[]>;
  async classify(
    texts: Text | readonly Text[],
    options: { signal?: AbortSignal } = {},
  ): Promise<Prediction<P> | Prediction<P>[]> {
    const { task, calibration } = this.model;
    requireTexts(task);
    const logits = await this.logits(isList(texts) ? texts : [texts], options);
    const predictions: unknown[] = logits.map((row) => task.decode(row, calibration));
    // The compiler cannot follow that the model's task is of this type.
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion
    return (isList(texts) ? predictions : predictions[0]) as Prediction<P> | Prediction<P>[];
  }

  /**
   * The entities of texts, of a model that classifies tokens, in the order of the texts; see `extractEntities`. Takes and throws what
   * `classify` does.
   *
   * @param options.aggregationStrategy in place of the classifier's
   */
  async extractEntities(
    texts: readonly string[],
    options: { signal?: AbortSignal; aggregationStrategy?: AggregationStrategy } = {},
  ): Promise<Entity[][]> {
    requireTokens(this.model);
    const { tokenizer, aggregationStrategy } = this.#parts;
    const strategy = options.aggregationStrategy ?? aggregationStrategy;
    const read = createEntityReader(this.model.task, tokenizer, strategy);
    let encodings: readonly Encoding[] = [];
    const logits = await this.logits(texts, { ...options, onEncoded: (all) => (encodings = all) });
    return logits.map((own, i) => {
      const encoding = encodings[i] ?? { ids: new Int32Array(), typeIds: null };
      return read({ text: texts[i] ?? '' }, encoding, own);
    });
  }

  /**
   * The logits of each text, [numLabels], or of its tokens, [tokens * numLabels]. Takes and throws what `classify` does;
   * `onEncoded` is called with the tokens of the texts.
   */
  async logits(
    texts: readonly Text[],
    {
      signal,
      onEncoded,
    }: { signal?: AbortSignal; onEncoded?: (encodings: readonly Encoding[]) => void } = {},
  ): Promise<Float32Array[]> {
    const examples = texts.map(exampleOf);
    if (this.isClosing) throw new ClassifierClosedError();
    const { reading, queue, maxQueue } = this.#parts;
    const { pool, longTexts } = reading;
    if (longTexts !== undefined) requireSingle(examples.some(({ textPair }) => textPair !== undefined));
    if (examples.length > maxQueue)
      throw new UsageError(
        `A call has ${examples.length} texts, and the queue takes ${maxQueue}; make several calls, or raise maxQueue`,
      );
    if (this.#pending + examples.length > maxQueue)
      throw new QueueFullError(
        `The queue is full: ${this.#pending} texts have no answer yet, of ${maxQueue} at most (maxQueue); try again later`,
      );
    if (examples.length === 0) return [];
    this.#pending += examples.length;
    let encoding: Promise<unknown> | undefined;
    try {
      // Of each text, what it became.
      let windows: (Encoding & { readonly first?: number })[][] = [];
      const tokenize = async () => {
        const encoded = pool.encode(examples);
        encoding = encoded.catch(() => undefined);
        const encodings = await encoded.finally(() => {
          encoding = undefined;
        });
        onEncoded?.(encodings);
        windows = encodings.map((whole) => longTexts?.windowsOf(whole) ?? [whole]);
        return windows.flat();
      };
      const rows = await queue.run(tokenize, signal);
      this.#failure = undefined;
      let end = 0;
      return windows.map((parts) => {
        const own = rows.slice(end, (end += parts.length));
        if (this.model.task.kind.unit !== 'token') return poolWindows(own, longTexts?.pooling ?? 'mean');
        const [first = new Float32Array()] = own;
        const placed = parts.map((part) => Object.assign({}, part, { first: part.first ?? 0 }));
        return longTexts === undefined ? first : joinWindows(placed, own, longTexts);
      });
    } catch (error) {
      if (error instanceof RunError) this.#failure = error;
      throw error;
    } finally {
      const leave = (): void => {
        this.#pending -= examples.length;
        if (this.#pending === 0) this.#drained?.();
      };
      // Tokenization cannot be stopped: texts of a call that was given up count until it is done with them, so that clients that
      // go away cannot pile up work.
      if (encoding === undefined) leave();
      else void encoding.then(leave);
    }
  }

  /**
   * Takes no more calls, waits for the answers of those that were made, and frees the threads; and the model, where the
   * classifier loaded it.
   */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    if (this.#pending > 0) await new Promise<void>((resolve) => (this.#drained = resolve));
    await this.#parts.free();
  }

  /** The same as `close`, for `await using`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

/**
 * Makes a classifier, warm: the model is loaded, and a first step is done.
 *
 * @param model a folder or hub id, which the classifier loads and closes; or a model, which stays the caller's, with its
 *   `tokenizer`
 * @param options.tokenizer default: that of the folder
 * @param options.problemType makes sure that the model has it, and gives labels its type: strings, lists of strings, numbers
 * @param options.onStep called after each step
 * @throws UsageError for a model or options that cannot be used; RunError for damaged weights, and where memory does not suffice
 *
 * @example
 * ```ts
 * import { createClassifier } from 'bertune';
 *
 * await using classifier = await createClassifier('out', { maxQueue: 2000 });
 * const { label, score } = await classifier.classify('What a film!', { signal: AbortSignal.timeout(1000) });
 * console.log(label, score);
 * ```
 */
export async function createClassifier<P extends ProblemType = ProblemType>(
  model: string | EncoderModel,
  options: ClassifierOptions & {
    tokenizer?: BertTokenizer;
    problemType?: P;
    onStep?: (step: Step) => void;
  } = {},
): Promise<Classifier<P>> {
  const { tokenizer: given, problemType, onStep, ...asked } = options;
  if (typeof model === 'string') {
    // The model first: where the folder is none, its message says why.
    const loaded = await loadAnyModel(model);
    const close = (): Promise<void> => loaded.close();
    try {
      requireProblemType(loaded.task, problemType);
      const tokenizer = given ?? (await AutoTokenizer.fromPretrained(model));
      return await warmed(loaded, tokenizer, asked, { onStep, close });
    } catch (error) {
      await close();
      throw error;
    }
  }
  requireProblemType(model.task, problemType);
  if (given === undefined)
    throw new UsageError(
      "tokenizer is needed beside a model: { tokenizer: await AutoTokenizer.fromPretrained('out') }",
    );
  return warmed(model, given, asked, { onStep, close: () => Promise.resolve() });
}

async function warmed<P extends ProblemType>(
  model: EncoderModel,
  tokenizer: BertTokenizer,
  asked: ClassifierOptions,
  { onStep, close }: { onStep: ((step: Step) => void) | undefined; close: () => Promise<void> },
): Promise<Classifier<P>> {
  const own = withReading<ClassifierOptions>(classifierCommand, asked, model.reading, 'the model');
  const { options } = parseClassifierOptions(withoutUndefined(own.options));
  const { maxBatchTokens: maxTokens, maxWait, maxQueue, dataloaderNumWorkers: workers } = options;
  const maxLength = maxLengthOf(model, tokenizer, options.maxSeqLength);
  const longTexts = longTextsOf(tokenizer, { ...options, maxLength });
  const { tokenTypes, task } = model;
  const withOffsets = task.kind.unit === 'token';
  const reading = textReading(tokenizer, { maxLength, workers, longTexts, tokenTypes, withOffsets });
  try {
    await model.open(options);
    model.warnIfUntrained();
    const logits = await model.session.predict(pack(await reading.pool.encode([{ text: 'a' }])));
    task.decode(logits.subarray(0, task.numLabels)); // damaged weights show now, and not in each answer
  } catch (error) {
    await reading.pool.close();
    throw error;
  }
  const queue = new StepQueue((encodings) => model.session.predict(pack(encodings)), {
    maxTokens,
    maxWait,
    onStep,
    byToken: withOffsets,
  });
  const free = async (): Promise<void> => {
    await reading.pool.close();
    await close();
  };
  const { aggregationStrategy } = options;
  return new Classifier({ model, reading, queue, maxQueue, tokenizer, aggregationStrategy, free });
}

function isList(texts: Text | readonly Text[]): texts is readonly Text[] {
  return Array.isArray(texts);
}

/** @throws UsageError for what is no text, from callers without types */
function exampleOf(text: Text): TextExample {
  if (typeof text === 'string') return { text };
  if (!isExample(text)) throw expected('a text, or { text, textPair }', 'texts', text);
  const { textPair } = text;
  if (textPair !== undefined && typeof textPair !== 'string') throw expected('a text', 'textPair', textPair);
  return text;
}

function isExample(value: unknown): value is TextExample {
  return typeof value === 'object' && value !== null && 'text' in value && typeof value.text === 'string';
}
