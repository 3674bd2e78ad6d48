// Metrics of token classification: those of entities, and the loss and the accuracy of the tokens that have a label.
import { OUTSIDE, schemeOf, type LabelScheme } from '../label-schemes.js';
import { softmaxRow } from '../probabilities.js';
import { checkLengths, undefinedMetrics, type MetricAccumulator, type MetricDetails } from './accumulator.js';
import { entityMetricNames, EntityScores } from './entity-scores.js';

export const tokenMetricNames = ['loss', ...entityMetricNames] as const;

/** Of texts one after another; a row is a token. */
export class TokenMetrics implements MetricAccumulator {
  readonly #labels: readonly string[];
  /** As the entities are counted: a label without a prefix continues one of its kind, as in Hugging Face's pipeline. */
  readonly #named: readonly string[];
  readonly #scores: EntityScores;
  #loss = 0;
  #tokens = 0;

  /** @param scheme for the strict mode: only entities that are written by its rules count */
  constructor(labels: readonly string[], scheme: LabelScheme | null = null) {
    this.#labels = labels;
    const hasPrefixes = schemeOf(labels) !== null;
    this.#named = labels.map((label) => (hasPrefixes || label === OUTSIDE ? label : `I-${label}`));
    this.#scores = new EntityScores(scheme);
  }

  /**
   * @param labels ids [tokens], -100 for those without a label
   * @param bounds where each text begins and the last ends, [texts + 1]; left out, all are one text
   */
  add(
    logits: Float32Array,
    labels: Int32Array | Float32Array,
    tokens: number,
    bounds: ArrayLike<number> = [0, tokens],
  ): void {
    const width = this.#labels.length;
    checkLengths(logits.length, tokens * width, labels.length, tokens);
    for (let text = 0; text + 1 < bounds.length; text++) {
      const [given, predicted]: [string[], string[]] = [[], []];
      for (let token = bounds[text] ?? 0; token < (bounds[text + 1] ?? 0); token++) {
        const id = labels[token] ?? -100;
        if (id === -100) continue;
        const name = this.#named[id];
        if (name === undefined)
          throw new RangeError(`Expected class ids from 0 to ${width - 1}, or -100, but received ${id}`);
        const row = logits.subarray(token * width, (token + 1) * width);
        const { guess, logSum } = softmaxRow(row);
        this.#loss += logSum - (row[id] ?? Number.NaN);
        given.push(name);
        predicted.push(this.#named[guess] ?? OUTSIDE);
      }
      this.#tokens += given.length;
      this.#scores.add(given, predicted);
    }
  }

  result(): Record<string, number> {
    if (this.#tokens === 0) return undefinedMetrics(tokenMetricNames);
    return { loss: this.#loss / this.#tokens, ...this.#scores.result() };
  }

  /** By type of entity. */
  details(): MetricDetails {
    return { per_class: this.#scores.byType() };
  }
}
