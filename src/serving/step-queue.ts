// Calls that come at any time, packed into steps of the model: one step runs, and what arrives meanwhile goes into the next.
import { setMaxListeners } from 'node:events';
import type { Encoding } from '../tokenizer/index.js';

/**
 * One step of a classifier.
 *
 * @example
 * ```ts
 * import { createClassifier, type Step } from 'bertune';
 *
 * const onStep = ({ texts, tokens, seconds }: Step): void => console.log(texts, tokens / seconds);
 * await using classifier = await createClassifier('out', { onStep });
 * ```
 */
export interface Step {
  /** Texts, and of texts that are read as windows, windows. */
  readonly texts: number;
  readonly tokens: number;
  readonly seconds: number;
}

export interface StepQueueOptions {
  /** Most tokens of a step; a longer sequence makes a step by itself. */
  readonly maxTokens: number;
  /** Milliseconds that a step waits at most for calls that are being tokenized. */
  readonly maxWait: number;
  readonly onStep?: ((step: Step) => void) | undefined;
  /** Whether logits are those of tokens, [tokens * numLabels], and not of sequences. */
  readonly byToken?: boolean;
}

/** A call whose sequences wait or run. */
interface Call {
  readonly rows: Float32Array[];
  left: number;
  isOver: boolean;
  readonly answer: (rows: Float32Array[]) => void;
  readonly fail: (error: unknown) => void;
}

interface Entry {
  readonly call: Call;
  /** Which sequence of the call it is. */
  readonly index: number;
  readonly encoding: Encoding;
}

/**
 * Runs steps, first come, first served. With nothing running a step starts at once, so that a call alone never waits; but where
 * others are being tokenized, it waits for them up to `maxWait`, so that calls made together share a step.
 */
export class StepQueue {
  readonly #predict: (encodings: readonly Encoding[]) => Promise<Float32Array>;
  readonly #options: StepQueueOptions;
  readonly #waiting = new Set<Entry>(); // in the order of their coming
  #waitingTokens = 0;
  #coming = 0;
  #isRunning = false;
  #timer: NodeJS.Timeout | undefined;

  /** @param predict the logits of sequences, [sequences * numLabels] */
  constructor(predict: (encodings: readonly Encoding[]) => Promise<Float32Array>, options: StepQueueOptions) {
    this.#predict = predict;
    this.#options = options;
  }

  /** Sequences that wait for a step. */
  get size(): number {
    return this.#waiting.size;
  }

  /**
   * Logits of each sequence of a call, [numLabels] each.
   *
   * @param tokenize is under way when this returns, and steps wait for it a little
   * @param signal takes the call out of the queue; of a step that runs with it the answer is dropped
   */
  async run(tokenize: () => Promise<readonly Encoding[]>, signal?: AbortSignal): Promise<Float32Array[]> {
    signal?.throwIfAborted();
    if (signal !== undefined) setMaxListeners(0, signal); // one signal may be that of many calls
    this.#coming += 1;
    let encodings: readonly Encoding[] = [];
    try {
      encodings = await orAborted(tokenize(), signal);
      signal?.throwIfAborted();
    } finally {
      this.#coming -= 1; // in the same turn as the call joins the queue
      if (encodings.length === 0) this.#startIfDue(); // others may have waited for it
    }
    return new Promise((resolve, reject) => {
      const abort = (): void => this.#end(call, signal?.reason);
      const done = (): void => signal?.removeEventListener('abort', abort);
      const call: Call = {
        rows: [],
        left: encodings.length,
        isOver: false,
        answer: (rows) => (done(), resolve(rows)),
        fail: (error) => (done(), reject(error)),
      };
      signal?.addEventListener('abort', abort);
      for (const [index, encoding] of encodings.entries()) this.#add({ call, index, encoding });
      this.#startIfDue();
    });
  }

  #add(entry: Entry): void {
    this.#waiting.add(entry);
    this.#waitingTokens += entry.encoding.ids.length;
  }

  #remove(entry: Entry): void {
    if (this.#waiting.delete(entry)) this.#waitingTokens -= entry.encoding.ids.length;
  }

  /** Ends a call without an answer. */
  #end(call: Call, error: unknown): void {
    if (call.isOver) return;
    call.isOver = true;
    for (const entry of this.#waiting) if (entry.call === call) this.#remove(entry);
    call.fail(error);
  }

  #startIfDue(): void {
    if (this.#isRunning || this.#waiting.size === 0) return;
    const { maxTokens, maxWait } = this.#options;
    if (this.#coming > 0 && maxWait > 0 && this.#waitingTokens < maxTokens) {
      this.#timer ??= setTimeout(() => this.#start(), maxWait);
      return;
    }
    this.#start();
  }

  #start(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const entries = this.#take();
    if (entries.length > 0) void this.#runStep(entries);
  }

  #take(): Entry[] {
    const taken: Entry[] = [];
    let tokens = 0;
    for (const entry of this.#waiting) {
      tokens += entry.encoding.ids.length;
      if (taken.length > 0 && tokens > this.#options.maxTokens) break;
      taken.push(entry);
    }
    for (const entry of taken) this.#remove(entry);
    return taken;
  }

  async #runStep(entries: readonly Entry[]): Promise<void> {
    this.#isRunning = true;
    const rows = await this.#rowsOf(entries);
    this.#isRunning = false;
    this.#startIfDue(); // the next step computes while the answers of this one go out
    for (const [i, { call, index }] of entries.entries()) {
      const row = rows[i];
      if (row === undefined || call.isOver) continue;
      call.rows[index] = row;
      call.left -= 1;
      if (call.left > 0) continue;
      call.isOver = true;
      call.answer(call.rows);
    }
  }

  /** The rows of a step; a call whose sequences fail is ended, and has none. */
  async #rowsOf(entries: readonly Entry[]): Promise<(Float32Array | undefined)[]> {
    try {
      return await this.#logitsOf(entries);
    } catch (error) {
      const [first] = entries;
      if (first !== undefined && entries.length === 1) {
        this.#end(first.call, error);
        return [];
      }
    }
    // One of them may be at fault, or there were too many for the memory: the others are not to pay for it.
    const rows: (Float32Array | undefined)[] = [];
    for (const entry of entries) rows.push(entry.call.isOver ? undefined : (await this.#rowsOf([entry]))[0]);
    return rows;
  }

  async #logitsOf(entries: readonly Entry[]): Promise<Float32Array[]> {
    const began = performance.now();
    const logits = await this.#predict(entries.map(({ encoding }) => encoding));
    const step = {
      texts: entries.length,
      tokens: entries.reduce((sum, { encoding }) => sum + encoding.ids.length, 0),
      seconds: (performance.now() - began) / 1000,
    };
    queueMicrotask(() => this.#options.onStep?.(step)); // what it throws is no failure of the step
    const width = logits.length / (this.#options.byToken === true ? step.tokens : step.texts);
    let end = 0;
    return entries.map(({ encoding }) => {
      const rows = this.#options.byToken === true ? encoding.ids.length : 1;
      return logits.slice(end, (end += rows * width));
    });
  }
}

/** What comes first: the result, or the signal's reason. */
function orAborted<T>(work: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return work;
  return new Promise((resolve, reject) => {
    const abort = (): void => reject(signal.reason as unknown);
    signal.addEventListener('abort', abort);
    const done = (): void => signal.removeEventListener('abort', abort);
    work.then(resolve, reject).finally(done);
  });
}
