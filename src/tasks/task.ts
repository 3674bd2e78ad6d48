// The interface behind which everything lies that depends on the kind of problem: how labels are read, what the loss is,
// which metrics there are, what logits mean. Nothing outside of this folder looks at a problem type.
import type { LossKind } from '../native/spec.js';
import type { MetricAccumulator } from './metrics/accumulator.js';
import type { Calibration } from './probabilities.js';

/** What a model is trained for, by the names of Hugging Face's pipelines. */
export const taskNames = ['sequence-classification', 'token-classification', 'masked-lm'] as const;
/**
 * What a model is trained for.
 *
 * @example
 * ```ts
 * import { loadDataset, type TaskName } from 'bertune';
 *
 * const task: TaskName = 'token-classification';
 * const data = await loadDataset({ train: 'entities.jsonl' }, { task });
 * ```
 */
export type TaskName = (typeof taskNames)[number];

/** HF's kinds of sequence classification, by the names of `problem_type` in config.json. */
export const problemTypes = [
  'single_label_classification',
  'multi_label_classification',
  'regression',
] as const;
/**
 * What a head predicts, by Hugging Face's names. `token_classification` and `masked_lm` are none of Hugging Face's: there the
 * name of the architecture says it.
 *
 * @example
 * ```ts
 * import { loadDataset, type ProblemType } from 'bertune';
 *
 * const problemType: ProblemType = 'regression';
 * const data = await loadDataset({ train: 'stars.csv' }, { problemType });
 * ```
 */
export type ProblemType = (typeof problemTypes)[number] | 'token_classification' | 'masked_lm';

/**
 * A task as config.json and scripts describe it.
 *
 * @example
 * ```ts
 * import { predictionOf, type TaskDescription } from 'bertune';
 *
 * const task: TaskDescription = { problemType: 'regression', labels: ['LABEL_0'] };
 * console.log(predictionOf([3.5], task).label); // 3.5
 * ```
 */
export interface TaskDescription {
  readonly problemType: ProblemType;
  /** `labels[i]` is the name of logit i; a regression has the one logit LABEL_0. */
  readonly labels: readonly string[];
}

/** What a label column holds, as far as its rows tell. `probabilities`: one number for each label. */
export type LabelKind = 'string' | 'integer' | 'float' | 'list' | 'probabilities';

/** Which label columns a task reads. */
export interface ColumnPlan {
  /** What a column is taken for before any row was seen. */
  readonly startsAs: LabelKind;
  readonly reads: readonly LabelKind[];
  /** Of several columns of zeros and ones, how many may hold a one; or that they hold numbers. */
  readonly ofSeveral: 'one' | 'any' | 'numbers';
  /** Whether the probabilities of a row add up to one or stand each for itself; null for a task that takes none. */
  readonly probabilities: 'distribution' | 'independent' | null;
}

/**
 * The label of one row: the ids of its labels, or one value for each logit.
 *
 * @example
 * ```ts
 * import { taskOf, type Target } from 'bertune';
 *
 * const rows: Target[] = [{ ids: [0, 1] }, { ids: [] }];
 * console.log(taskOf('multi_label_classification', ['film', 'music']).collate(rows)); // 1, 1, 0, 0
 * ```
 */
export type Target = { readonly ids: readonly number[] } | { readonly values: ArrayLike<number> };

/**
 * The labels of a batch: class ids [rows] (-100: none), or one value for each logit, [rows * numLabels].
 *
 * @example
 * ```ts
 * import { taskOf, type Targets } from 'bertune';
 *
 * const labels: Targets = Int32Array.of(0, 1, 1);
 * console.log(taskOf('single_label_classification', ['neg', 'pos']).classesOf(labels)); // [[0], [1], [1]]
 * ```
 */
export type Targets = Int32Array | Float32Array;

/** Options that some losses have. */
export type LossOption =
  'labelSmoothing' | 'focalGamma' | 'classWeights' | 'posWeight' | 'temperature' | 'alpha';

/** The type of `Prediction.label` by problem type. */
interface LabelOf {
  single_label_classification: string;
  multi_label_classification: string[];
  /** Of a model with one value; one with several has lists of numbers, and its predictions no narrower type. */
  regression: number;
  /** Of one token. */
  token_classification: string;
  /** A masked language model has no labels. */
  masked_lm: never;
}

/**
 * One row's prediction. Where the problem type is known, so is the type of the label: `Prediction<'regression'>` has a
 * number. `classify` and `predict` give such predictions when they are called with a `problemType`.
 *
 * @example
 * ```ts
 * import type { Prediction } from 'bertune';
 *
 * const shout = ({ label }: Prediction<'single_label_classification'>): string => label.toUpperCase();
 * ```
 */
export interface Prediction<P extends ProblemType = ProblemType> {
  /** The most probable class; for multi-label all labels above their thresholds; for regression the value, or all of them. */
  label: ProblemType extends P ? LabelOf[P] | number[] : LabelOf[P];
  /** Probability of `label`; for multi-label the highest one; for regression the value. */
  score: number;
  /** By label name: softmax (they add up to 1) or sigmoid (each for itself). Empty for regression. */
  probabilities: Record<string, number>;
}

/**
 * What is known of a kind of task before its labels are.
 *
 * @example
 * ```ts
 * import { taskOf, type TaskKind } from 'bertune';
 *
 * const kind: TaskKind = taskOf('regression', ['LABEL_0']).kind;
 * console.log(kind.metricNames);
 * ```
 */
export interface TaskKind {
  readonly problemType: ProblemType;
  readonly name: TaskName;
  readonly columns: ColumnPlan;
  readonly loss: LossKind;
  readonly lossOptions: readonly LossOption[];
  /** What a row of logits stands for; of a masked language model one stands for each token that was masked. */
  readonly unit: 'sequence' | 'token' | 'masked token';
  /** Whether logits stand for classes with names. */
  readonly hasClasses: boolean;
  /** In the order of `MetricAccumulator.result()`. */
  readonly metricNames: readonly string[];
  /** The one by which models are compared where none is named; greater is better, and 1 the best. */
  readonly mainMetric: string;
  /** What can be tuned on validation rows after training. */
  readonly tunable: readonly (keyof Calibration)[];
  /**
   * Why a model with these metrics has learned nothing; null where it has.
   *
   * @param metrics by names with `eval_`
   */
  chanceLevel(metrics: Readonly<Record<string, number>>): string | null;
  create(labels: readonly string[]): Task;
}

/**
 * A kind of task with its labels. Its own properties are those of HF's config, so that it can be given for a head.
 *
 * @example
 * ```ts
 * import { loadDataset, type Task } from 'bertune';
 *
 * const data = await loadDataset({ train: 'train.csv' });
 * const task: Task = data.task;
 * console.log(task.describe(), task.numLabels);
 * ```
 */
export interface Task extends TaskDescription {
  /** The number of logits a row. */
  readonly numLabels: number;
  readonly kind: TaskKind;
  /** The type of `Prediction.label`. */
  readonly labelType: { readonly of: 'text' | 'number'; readonly isList: boolean };

  /** The labels of rows as the loss takes them; all of them ids, or all of them values. */
  collate(targets: readonly Target[]): Targets;
  /** The ids of each row's labels; of probabilities the labels that they speak for. Empty without classes. */
  classesOf(targets: Targets): number[][];
  /** A number for each row, equal for rows that should be on both sides of a split in the same proportion. */
  strata(targets: Iterable<Targets>): ArrayLike<number>;
  /** What torch's mean divides the sum of the losses of these labels by. */
  lossDivisor(targets: Targets, classWeights?: Float32Array): number;
  /** Metrics of the model as it is; with `calibration` those that it would change are the changed ones. */
  accumulator(calibration: Calibration): MetricAccumulator;
  /**
   * @param logits of one row, [numLabels]
   * @throws RunError where they are not finite
   */
  decode(logits: ArrayLike<number>, calibration?: Calibration): Prediction;

  /** In words, for messages. */
  describe(): string;
  /** Whether a model of this task can be compared with data of that one, or with rows whose first has these labels. */
  accepts(data: TaskDescription | Targets): boolean;
}

/** What tasks have in common. Its own properties are those of HF's config alone. */
export abstract class TaskBase {
  readonly problemType: ProblemType;
  readonly labels: readonly string[];
  readonly numLabels: number;
  readonly #kind: TaskKind;

  constructor(kind: TaskKind, labels: readonly string[]) {
    this.#kind = kind;
    this.problemType = kind.problemType;
    this.labels = labels;
    this.numLabels = labels.length;
  }

  get kind(): TaskKind {
    return this.#kind;
  }

  get labelType(): Task['labelType'] {
    return { of: 'text', isList: false };
  }
}

/** Names need not agree, since some mean nothing (LABEL_0), but no name may stand for another class. */
export function isSameProblem(model: TaskDescription, data: TaskDescription): boolean {
  if (model.problemType !== data.problemType) return false;
  const isSame = data.labels.every((label, id) => label === model.labels[id]);
  return isSame || !data.labels.some((label) => model.labels.includes(label));
}
