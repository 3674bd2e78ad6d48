// Tokenization beside the training step: a few worker threads take lists of texts, and results keep their order.
import { Worker } from 'node:worker_threads';
import { RunError, UsageError, expected, messageOf } from '../util/errors.js';
import type { EncodeOptions, Encoding } from './sequence-encoder.js';
import type { TokenizerSpec } from './tokenizer-json.js';
import type { Tokenizer } from './tokenizer.js';

/**
 * Encodes texts on worker threads.
 *
 * @example
 * ```ts
 * import { AutoTokenizer, createTokenizerPool, type TokenizerPool } from 'bertune';
 *
 * const tokenizer = await AutoTokenizer.fromPretrained('out');
 * const pool: TokenizerPool = createTokenizerPool(tokenizer, { workers: 0 });
 * console.log(await pool.encode([{ text: 'What a film!' }]));
 * ```
 */
export interface TokenizerPool extends AsyncDisposable {
  /**
   * Encodes a list of examples, truncated to the pool's `maxLength` if it has one; the result has the order of the list.
   *
   * @throws UsageError for an example without a text; RunError when a worker thread dies or the pool is closed
   */
  encode(examples: readonly TextExample[]): Promise<Encoding[]>;
  /** Stops the threads; what is still under way is rejected. */
  close(): Promise<void>;
}

/** Examples in one message: enough to hide its cost, few enough to spread a list over the threads. */
const EXAMPLES_PER_JOB = 64;

/**
 * Starts threads that tokenize.
 *
 * @param options.maxLength tokens per example, special tokens included; default: no truncation
 * @param options.tokenTypes how many token types the model has; see {@link EncodeOptions}
 * @param options.withOffsets whether encodings have `offsets`, of single texts
 * @param options.workers threads; 0 tokenizes in the calling thread
 *
 * @example
 * ```ts
 * import { AutoTokenizer, createTokenizerPool } from 'bertune';
 *
 * const tokenizer = await AutoTokenizer.fromPretrained('bert-base-uncased');
 * const pool = createTokenizerPool(tokenizer, { maxLength: 128, workers: 2 });
 * const encodings = await pool.encode([{ text: 'What a film!' }, { text: 'a', textPair: 'b' }]);
 * await pool.close();
 * ```
 */
export function createTokenizerPool(
  tokenizer: Tokenizer,
  options: { maxLength?: number; tokenTypes?: number; withOffsets?: boolean; workers: number },
): TokenizerPool {
  const { workers, ...encodeOptions } = options;
  if (!Number.isInteger(workers) || workers < 0) throw expected('a whole number from 0', 'workers', workers);
  tokenizer.encode('', encodeOptions.withOffsets === true ? undefined : '', encodeOptions); // a wrong maxLength shows here, not in a thread
  if (workers === 0) {
    return {
      encode: async (examples) =>
        examples.map(({ text, textPair }) => tokenizer.encode(text, textPair, encodeOptions)),
      close: async () => {},
      [Symbol.asyncDispose]: async () => {},
    };
  }
  const setup: WorkerSetup = { spec: tokenizer.spec, encodeOptions };
  const threads = Array.from({ length: workers }, () => new TokenizerThread(setup));
  let next = 0;
  const close = async (): Promise<void> => {
    await Promise.all(threads.map((thread) => thread.close()));
  };
  return {
    encode: async (examples) => {
      const jobs: Promise<Encoding[]>[] = [];
      for (let start = 0; start < examples.length; start += EXAMPLES_PER_JOB) {
        const thread = threads[next++ % threads.length];
        if (thread !== undefined) jobs.push(thread.run(examples.slice(start, start + EXAMPLES_PER_JOB)));
      }
      return (await Promise.all(jobs)).flat();
    },
    close,
    [Symbol.asyncDispose]: close,
  };
}

interface Job {
  resolve(encodings: Encoding[]): void;
  reject(error: Error): void;
}

/** One worker and the jobs it has; it keeps the process alive only while it has some. */
class TokenizerThread {
  readonly #worker: Worker;
  readonly #jobs = new Map<number, Job>();
  #lastJob = 0;
  #failure: Error | null = null;

  constructor(setup: WorkerSetup) {
    // The worker is plain JavaScript: the caller's loaders and flags (--import, --input-type) are not for it.
    this.#worker = new Worker(new URL('worker.js', import.meta.url), { workerData: setup, execArgv: [] });
    this.#worker.unref();
    this.#worker.on('message', (reply: WorkerReply) => this.#resolve(reply));
    this.#worker.on('error', (error) =>
      this.#fail(
        new RunError(
          `A tokenizer thread failed: ${messageOf(error)}; start again, or tokenize without threads: dataloaderNumWorkers 0`,
        ),
      ),
    );
    this.#worker.on('exit', (code) =>
      this.#fail(
        new RunError(
          `A tokenizer thread ended (exit code ${code}); start again, or tokenize without threads: dataloaderNumWorkers 0`,
        ),
      ),
    );
  }

  run(examples: readonly TextExample[]): Promise<Encoding[]> {
    return new Promise((resolve, reject) => {
      if (this.#failure !== null) {
        reject(this.#failure);
        return;
      }
      const job = ++this.#lastJob;
      this.#jobs.set(job, { resolve, reject });
      this.#worker.ref();
      this.#worker.postMessage({ job, examples }, []);
    });
  }

  async close(): Promise<void> {
    this.#fail(new RunError('The tokenizer pool is closed'));
    this.#worker.ref(); // what waits for the thread to end must not find the process ended first
    await this.#worker.terminate();
  }

  #resolve(reply: WorkerReply): void {
    const job = this.#jobs.get(reply.job);
    this.#jobs.delete(reply.job);
    if (this.#jobs.size === 0 && this.#failure === null) this.#worker.unref();
    if ('packed' in reply) job?.resolve(unpackEncodings(reply.packed));
    else job?.reject(new UsageError(reply.error));
  }

  /** The first failure counts: an exit follows every error. */
  #fail(error: Error): void {
    this.#failure ??= error;
    for (const job of this.#jobs.values()) job.reject(this.#failure);
    this.#jobs.clear();
    this.#worker.unref();
  }
}

/**
 * A text, or a pair of texts.
 *
 * @example
 * ```ts
 * import type { TextExample } from 'bertune';
 *
 * const pair: TextExample = { text: 'a superb film', textPair: 'a great film' };
 * ```
 */
export interface TextExample {
  text: string;
  textPair?: string;
}

export interface WorkerSetup {
  spec: TokenizerSpec;
  encodeOptions: EncodeOptions;
}

export interface WorkerRequest {
  job: number;
  examples: readonly TextExample[];
}

export type WorkerReply = { job: number; packed: PackedEncodings } | { job: number; error: string };

/** Encodings of a list of examples end to end, so that they cross threads as two or three buffers. */
export interface PackedEncodings {
  /** [all tokens] */
  ids: Int32Array;
  /** [examples]: where each example's tokens end. */
  ends: Int32Array;
  /** [all tokens], 0 where an example has none; null when no example is a pair. */
  typeIds: Int32Array | null;
  /** Which examples are pairs. */
  pairs: readonly boolean[];
  /** [2 * all tokens]; null where there are none. */
  offsets: Int32Array | null;
}

export function packEncodings(encodings: readonly Encoding[]): PackedEncodings {
  const total = encodings.reduce((sum, { ids }) => sum + ids.length, 0);
  const pairs = encodings.map(({ typeIds }) => typeIds !== null);
  const ids = new Int32Array(total);
  const typeIds = pairs.includes(true) ? new Int32Array(total) : null;
  const ends = new Int32Array(encodings.length);
  const offsets = encodings.some((one) => one.offsets !== undefined) ? new Int32Array(2 * total) : null;
  let end = 0;
  for (const [index, encoding] of encodings.entries()) {
    ids.set(encoding.ids, end);
    if (encoding.typeIds !== null) typeIds?.set(encoding.typeIds, end);
    if (encoding.offsets !== undefined) offsets?.set(encoding.offsets, 2 * end);
    end += encoding.ids.length;
    ends[index] = end;
  }
  return { ids, ends, typeIds, pairs, offsets };
}

/** The encodings again, as views of the packed buffers. */
function unpackEncodings({ ids, ends, typeIds, pairs, offsets }: PackedEncodings): Encoding[] {
  return pairs.map((isPair, index) => {
    const start = index === 0 ? 0 : (ends[index - 1] ?? 0);
    const end = ends[index] ?? 0;
    return {
      ids: ids.subarray(start, end),
      typeIds: isPair ? (typeIds?.subarray(start, end) ?? null) : null,
      ...(offsets !== null && { offsets: offsets.subarray(2 * start, 2 * end) }),
    };
  });
}
