// Masked language modelling: the tokens that were masked, predicted among all of the vocabulary. There are no labels in the data:
// the targets are tokens of the texts themselves.
import { UsageError } from '../util/errors.js';
import type { MetricAccumulator } from './metrics/accumulator.js';
import {
  TaskBase,
  type Prediction,
  type Targets,
  type Task,
  type TaskDescription,
  type TaskKind,
} from './task.js';

/** The label of a token that is not to be predicted. */
export const NOT_MASKED = -100;

export const maskedLm: TaskKind = {
  problemType: 'masked_lm',
  name: 'masked-lm',
  columns: { startsAs: 'list', reads: [], ofSeveral: 'any', probabilities: null },
  loss: 'cross_entropy',
  lossOptions: [],
  unit: 'masked token',
  hasClasses: false,
  metricNames: ['loss', 'perplexity', 'accuracy'],
  mainMetric: 'accuracy',
  tunable: [],
  chanceLevel: () => null,
  create: () => new MaskedLmTask(maskedLm, []),
};

class MaskedLmTask extends TaskBase implements Task {
  collate(): Targets {
    return new Int32Array();
  }

  classesOf(): number[][] {
    return [];
  }

  strata(): ArrayLike<number> {
    return [];
  }

  /** The masked tokens. */
  lossDivisor(targets: Targets): number {
    let divisor = 0;
    for (const id of targets) if (id !== NOT_MASKED) divisor += 1;
    return divisor;
  }

  accumulator(): MetricAccumulator {
    return new MaskedLmMetrics();
  }

  /** @throws UsageError always: what it predicts are words */
  decode(): Prediction {
    throw new UsageError(
      'A masked language model gives no labels; train a classifier from it: bertune train --model FOLDER with labelled data',
    );
  }

  describe(): string {
    return 'masked_lm, the masked tokens of the texts';
  }

  accepts(data: TaskDescription | Targets): boolean {
    return !ArrayBuffer.isView(data) && data.problemType === this.problemType;
  }
}

/** Of all masked tokens: their mean loss, e to its power, and the share whose most probable word is the right one. */
class MaskedLmMetrics implements MetricAccumulator {
  #loss = 0;
  #right = 0;
  #tokens = 0;

  /**
   * @param scores [masked tokens * 2]: the loss of each and its most probable word, as `Session.predict` gives them
   * @param labels [tokens]: the right word of the masked ones, -100 elsewhere
   */
  add(scores: Float32Array, labels: Targets): void {
    const masked = labels.filter((label) => label !== NOT_MASKED);
    if (scores.length !== 2 * masked.length)
      throw new RangeError(
        `Expected 2 scores for each of ${masked.length} masked tokens but received ${scores.length}`,
      );
    for (const [i, label] of masked.entries()) {
      this.#loss += scores[2 * i] ?? Number.NaN;
      if (scores[2 * i + 1] === label) this.#right += 1;
    }
    this.#tokens += masked.length;
  }

  result(): Record<string, number> {
    const loss = this.#loss / this.#tokens;
    return { loss, perplexity: Math.exp(loss), accuracy: this.#right / this.#tokens };
  }

  details(): null {
    return null;
  }
}
