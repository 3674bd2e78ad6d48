// Which parts of the readers an input reached, from V8's own counters: an input that reaches a new one is worth mutating again.
import { Session } from 'node:inspector';

/** The product, and the packages that read files for it. */
const WATCHED =
  /\/dist\/|node_modules\/(csv-parse|fzstd|hyparquet|hyparquet-compressors|zod|@huggingface\/tokenizers)\//;

/**
 * Lookups in a row without a new part after which coverage is switched off: V8 does not optimize while it counts, and without
 * it most readers take half the time.
 */
const MAX_FRUITLESS = 100;

export class Coverage {
  #session = new Session();
  #fruitless = 0;
  /** @type {Set<string>} */
  #known = new Set();

  constructor() {
    this.#session.connect();
    this.#session.post('Profiler.enable');
    this.#session.post('Profiler.startPreciseCoverage', { callCount: true, detailed: true });
  }

  /** How many parts have been reached so far. */
  get size() {
    return this.#known.size;
  }

  /**
   * The inputs among those just run that reached something new.
   *
   * @template Input
   * @param {readonly Input[]} inputs
   * @param {(input: Input) => Promise<unknown>} again runs one of them once more
   * @returns {Promise<Input[]>}
   */
  async newAmong(inputs, again) {
    if (this.#fruitless === MAX_FRUITLESS) return [];
    const fresh = new Set(this.#take().filter((part) => !this.#known.has(part)));
    for (const part of fresh) this.#known.add(part);
    this.#fruitless = fresh.size === 0 ? this.#fruitless + 1 : 0;
    if (this.#fruitless === MAX_FRUITLESS) this.#session.post('Profiler.stopPreciseCoverage');
    const found = [];
    for (const input of inputs) {
      if (fresh.size === 0) break;
      await again(input);
      const reached = this.#take().filter((part) => fresh.delete(part));
      if (reached.length > 0) found.push(input);
    }
    return found;
  }

  /** The blocks that ran since the last call. @returns {string[]} */
  #take() {
    /** @type {import('node:inspector').Profiler.ScriptCoverage[]} */
    let scripts = [];
    // The answer comes before the call returns: the session is in this thread.
    this.#session.post('Profiler.takePreciseCoverage', (error, answer) => {
      if (error === null) scripts = answer.result;
    });
    return scripts
      .filter(({ url }) => WATCHED.test(url))
      .flatMap(({ url, functions }) =>
        functions.flatMap(({ ranges }) =>
          ranges
            .filter(({ count }) => count > 0)
            .map(({ startOffset, endOffset }) => `${url}:${startOffset}:${endOffset}`),
        ),
      );
  }
}
