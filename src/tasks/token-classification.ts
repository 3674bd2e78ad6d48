// A class for each token, as entities are found: cross-entropy over the tokens that have a label, and the metrics of entities.
import { listed } from '../util/text.js';
import { schemeOf, OUTSIDE, type LabelScheme } from './label-schemes.js';
import type { MetricAccumulator } from './metrics/accumulator.js';
import { TokenMetrics, tokenMetricNames } from './metrics/token-classification.js';
import { requireFinite, softmax, type Calibration } from './probabilities.js';
import {
  isSameProblem,
  TaskBase,
  type Prediction,
  type Target,
  type Targets,
  type Task,
  type TaskDescription,
  type TaskKind,
} from './task.js';

const LABELS_SHOWN = 8;

export const tokenClassification: TaskKind = {
  problemType: 'token_classification',
  name: 'token-classification',
  columns: { startsAs: 'list', reads: ['list'], ofSeveral: 'any', probabilities: null },
  loss: 'cross_entropy',
  lossOptions: ['labelSmoothing', 'focalGamma', 'classWeights'],
  unit: 'token',
  hasClasses: true,
  metricNames: tokenMetricNames,
  mainMetric: 'f1',
  tunable: [],
  chanceLevel: ({ eval_f1: f1 = 1, eval_recall: recall = 1 }) =>
    f1 === 0 && recall === 0 ? 'it finds none of the entities (F1 of 0)' : null,
  create: (labels) => new TokenClassificationTask(tokenClassification, labels),
};

class TokenClassificationTask extends TaskBase implements Task {
  /** The ids of all words or tokens, text after text. */
  collate(targets: readonly Target[]): Targets {
    return Int32Array.from(targets.flatMap((target) => ('ids' in target ? target.ids : [])));
  }

  /** For each word or token, not each text. */
  classesOf(targets: Targets): number[][] {
    return Array.from(targets, (id) => (id === -100 ? [] : [id]));
  }

  strata(targets: Iterable<Targets>): ArrayLike<number> {
    return Array.from(targets).flatMap((some) => Array.from(some));
  }

  lossDivisor(targets: Targets, classWeights?: Float32Array): number {
    let divisor = 0;
    for (const id of targets)
      if (id !== -100) divisor += classWeights === undefined ? 1 : (classWeights[id] ?? 0);
    return divisor;
  }

  accumulator(): MetricAccumulator {
    return new TokenMetrics(this.labels);
  }

  /** Of one token. */
  decode(logits: ArrayLike<number>, { temperature = 1 }: Calibration = {}): Prediction {
    requireFinite(logits);
    const probabilities = softmax(Array.from(logits, (logit) => logit / temperature));
    const score = Math.max(...probabilities);
    return {
      label: this.labels[probabilities.indexOf(score)] ?? '',
      score,
      probabilities: Object.fromEntries(this.labels.map((label, id) => [label, probabilities[id] ?? 0])),
    };
  }

  describe(): string {
    return `token_classification with the labels ${listed(this.labels, LABELS_SHOWN)}`;
  }

  accepts(data: TaskDescription | Targets): boolean {
    if (data instanceof Int32Array) return data.every((id) => id < this.numLabels);
    if (data instanceof Float32Array) return false;
    return data.labels.length <= this.numLabels && isSameProblem(this, data);
  }
}

const PREFIXES = ['B', 'I', 'E', 'S', 'L', 'U'];

/**
 * Labels in the order of their ids: what is no entity first, then type by type, B- before I-. To each B- of a scheme belongs an
 * I-, and the other way round, since a longer word or entity needs it.
 */
export function sortTokenLabels(labels: Iterable<string>): string[] {
  const found = new Set(labels);
  const scheme: LabelScheme | null = schemeOf(found);
  if (scheme === 'IOB1' || scheme === 'IOB2')
    for (const label of found) {
      if (label === OUTSIDE) continue;
      for (const prefix of ['B', 'I']) found.add(prefix + label.slice(1));
    }
  if (scheme !== null) found.add(OUTSIDE);
  const keyOf = (label: string): [string, number] =>
    scheme === null ? [label, 0] : [label.slice(2), PREFIXES.indexOf(label.slice(0, 1))];
  return [...found].toSorted((left, right) => {
    if (left === OUTSIDE || right === OUTSIDE) return left === right ? 0 : left === OUTSIDE ? -1 : 1;
    const [[type, prefix], [otherType, otherPrefix]] = [keyOf(left), keyOf(right)];
    if (type !== otherType) return type < otherType ? -1 : 1;
    return prefix - otherPrefix;
  });
}
