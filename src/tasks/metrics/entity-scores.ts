// Precision, recall and F1 of entities: an entity counts as found where its type and both its ends are right. Equal to
// seqeval 1.2.2, in its default mode and in the strict one.
import { entitiesOf, strictEntitiesOf, type LabelScheme } from '../label-schemes.js';
import { classScores, type ClassScores, type Tally } from './class-counts.js';

/** The metrics in the order of `result()`. */
export const entityMetricNames = [
  'precision',
  'recall',
  'f1',
  'f1_macro',
  'f1_weighted',
  'accuracy',
] as const;

/** Sentences one after another. */
export class EntityScores {
  readonly #scheme: LabelScheme | null;
  readonly #tallies = new Map<string, Tally>();
  #tokens = 0;
  #right = 0;

  /** @param scheme for the strict mode, in which only entities written by its rules count; null for the default mode */
  constructor(scheme: LabelScheme | null = null) {
    this.#scheme = scheme;
  }

  /**
   * @param labels of the tokens of one sentence
   * @param predicted for the same tokens
   * @throws RangeError for lists of different length; UsageError for a label that is none of the scheme
   */
  add(labels: readonly string[], predicted: readonly string[]): void {
    if (labels.length !== predicted.length)
      throw new RangeError(`${labels.length} labels and ${predicted.length} predictions`);
    const given = new Set(this.#keysOf(labels));
    for (const entity of given) this.#tally(entity).labelled++;
    for (const entity of this.#keysOf(predicted)) {
      const tally = this.#tally(entity);
      tally.predicted++;
      if (given.has(entity)) tally.hits++;
    }
    this.#tokens += labels.length;
    this.#right += labels.filter((label, index) => label === predicted[index]).length;
  }

  /** precision, recall and f1 over all entities, the means of the types, and the share of tokens that are right. */
  result(): Record<(typeof entityMetricNames)[number], number> {
    const tallies = [...this.#tallies.values()];
    const total = tallies.reduce(
      (sum, { hits, predicted, labelled }) => ({
        hits: sum.hits + hits,
        predicted: sum.predicted + predicted,
        labelled: sum.labelled + labelled,
      }),
      { hits: 0, predicted: 0, labelled: 0 },
    );
    const f1s = tallies.map((tally) => classScores(tally).f1);
    const weighted = tallies.reduce((sum, { labelled }, at) => sum + labelled * (f1s[at] ?? 0), 0);
    return {
      ...classScores(total),
      f1_macro: f1s.length === 0 ? 0 : f1s.reduce((sum, f1) => sum + f1, 0) / f1s.length,
      f1_weighted: total.labelled === 0 ? 0 : weighted / total.labelled,
      accuracy: this.#right / this.#tokens,
    };
  }

  /** By type, in the order of their names. `support`: the entities in the labels. */
  byType(): Record<string, ClassScores & { support: number }> {
    const sorted = Array.from(this.#tallies).toSorted(([left], [right]) => (left < right ? -1 : 1));
    return Object.fromEntries(
      sorted.map(([type, tally]) => [type, { ...classScores(tally), support: tally.labelled }]),
    );
  }

  /** An entity as one string: both ends, and its type. */
  #keysOf(labels: readonly string[]): string[] {
    const entities = this.#scheme === null ? entitiesOf(labels) : strictEntitiesOf(labels, this.#scheme);
    return entities.map(({ type, start, end }) => `${start} ${end} ${type}`);
  }

  #tally(entity: string): Tally {
    const type = entity.split(' ').slice(2).join(' ');
    const known = this.#tallies.get(type);
    if (known !== undefined) return known;
    const tally = { hits: 0, predicted: 0, labelled: 0 };
    this.#tallies.set(type, tally);
    return tally;
  }
}
