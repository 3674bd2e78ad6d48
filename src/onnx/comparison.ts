// Logits of an exported file beside those of the model, on the same rows. A masked language model has as many for each token as its
// vocabulary has words, so that few tokens are compared; of validation rows the loss of each masked token and its most probable word.
import type { EncoderSpec } from '../native/index.js';
import type { Targets, Task } from '../tasks/index.js';
import { indexOfLargest, softmaxRow } from '../tasks/probabilities.js';

/**
 * How an exported file compares with the model: on the validation rows where there are some, else on rows of random tokens.
 *
 * @example
 * ```ts
 * import type { OnnxFigures } from 'bertune';
 *
 * const show = ({ sameLabels, meanDifference }: OnnxFigures): void => console.log(sameLabels, meanDifference);
 * ```
 */
export interface OnnxFigures {
  /** Of logits that were compared: texts, or tokens of a model that is for these. */
  readonly rows: number;
  /** Largest and mean absolute difference of logits; of masked tokens in validation rows, of their losses. */
  readonly difference: number;
  readonly meanDifference: number;
  /** Share of rows with the same label, or of a masked language model the same most probable word, 0 to 1; null for numbers. */
  readonly sameLabels: number | null;
  /** Of the validation rows, by their names without `eval_`; null without such rows. */
  readonly metrics: Readonly<Record<string, number>> | null;
}

/** What is compared. */
export interface Outputs {
  /** Numbers in a row. */
  readonly width: number;
  /** Of them from the first on, whose differences count. */
  readonly compared: number;
  /** The label or word of a row; undefined where it is numbers. */
  readonly answerOf: ((row: Float32Array) => string | number | undefined) | undefined;
}

/** Rows of logits. */
export function logitsOf(task: Task, { embeddings }: EncoderSpec): Outputs {
  const width = isOfWords(task) ? embeddings.vocab : task.numLabels;
  const label = (logits: Float32Array): string => JSON.stringify(task.decode(logits).label);
  const answerOf = isOfWords(task) ? indexOfLargest : task.kind.hasClasses ? label : undefined;
  return { width, compared: width, answerOf };
}

/** What `wordScores` gives. */
export const WORD_SCORES: Outputs = { width: 2, compared: 1, answerOf: ([, word]) => word };

/** Whether logits are those of a vocabulary. */
export function isOfWords({ kind }: Task): boolean {
  return kind.unit === 'masked token';
}

/**
 * What the metrics of masked tokens are made of.
 *
 * @param logits [labels * width], of the masked tokens
 * @param labels their right words
 * @returns [labels * 2]: the loss of each and its most probable word, as `Session.predict` gives them
 */
export function wordScores(logits: Float32Array, labels: Targets, width: number): Float32Array {
  const scores = new Float32Array(2 * labels.length);
  for (const [i, label] of labels.entries()) {
    const own = logits.subarray(i * width, (i + 1) * width);
    const { guess, logSum } = softmaxRow(own);
    scores.set([logSum - (own[label] ?? Number.NaN), guess], 2 * i);
  }
  return scores;
}

/** Logits of two models on the same rows. */
export class Comparison {
  readonly #outputs: Outputs;
  #rows = 0;
  #numbers = 0;
  #sum = 0;
  #squares = 0;
  #squaresOfModel = 0;
  #same = 0;
  difference = 0;
  /** Largest logit of the model, at least 1. */
  largest = 1;

  constructor(outputs: Outputs) {
    this.#outputs = outputs;
  }

  add(model: Float32Array, file: Float32Array): void {
    const { width, compared, answerOf } = this.#outputs;
    for (const [i, logit] of model.entries()) {
      if (i % width >= compared) continue;
      const distance = Math.abs((file[i] ?? NaN) - logit);
      if (!(distance <= this.difference)) this.difference = distance;
      this.largest = Math.max(this.largest, Math.abs(logit));
      this.#sum += distance;
      this.#squares += distance ** 2;
      this.#squaresOfModel += logit ** 2;
    }
    this.#numbers += (model.length / width) * compared;
    this.#rows += model.length / width;
    if (answerOf === undefined || !file.every(Number.isFinite)) return;
    for (let begin = 0; begin < model.length; begin += width) {
      const [one, other] = [model, file].map((logits) => answerOf(logits.subarray(begin, begin + width)));
      if (one === other) this.#same += 1;
    }
  }

  /** The difference as a share of the model's logits. */
  get relative(): number {
    return this.#squares === 0 ? 0 : Math.sqrt(this.#squares / this.#squaresOfModel);
  }

  figures(): Omit<OnnxFigures, 'metrics'> {
    return {
      rows: this.#rows,
      difference: this.difference,
      meanDifference: this.#sum / this.#numbers,
      sameLabels: this.#outputs.answerOf === undefined ? null : this.#same / this.#rows,
    };
  }
}
