// The splits of a data set and the task that their labels make.
import type { Task } from '../tasks/index.js';
import type { Split, SplitOptions } from './index.js';
import { expected, UsageError } from '../util/errors.js';
import { Dataset } from './dataset.js';
import { foldsOf, heldOut, type HoldOut } from './dataset-hold-out.js';

export type SplitName = SplitOptions['name'];

export class DatasetDict {
  readonly task: Task;
  readonly splits: Readonly<Partial<Record<SplitName, Dataset>>>;

  readonly #opened: readonly Split[];
  readonly #maxValidation: number | undefined;

  /**
   * @param options.aside the share of the training rows that becomes the validation split
   * @param options.maxValidation of rows that are set aside, for a share or a fold, only the first so many are validated with
   */
  constructor(
    splits: readonly Split[],
    task: Task,
    { aside, maxValidation }: { aside?: HoldOut | undefined; maxValidation?: number | undefined } = {},
  ) {
    this.task = task;
    this.#opened = splits;
    this.#maxValidation = maxValidation;
    const whole = Object.fromEntries(splits.map((split) => [split.name, new Dataset(split, task)]));
    const train = splits.find(({ name }) => name === 'train');
    if (aside === undefined || train === undefined) {
      this.splits = whole;
      return;
    }
    const rows = heldOut(train, task, aside);
    this.splits = {
      ...whole,
      train: new Dataset(train, task, rows.train),
      validation: this.#validating(train, rows.validation),
    };
  }

  get train(): Dataset {
    return this.#split('train');
  }

  get validation(): Dataset {
    return this.#split('validation');
  }

  get test(): Dataset {
    return this.#split('test');
  }

  /**
   * The training rows cut into k folds, stratified by label, and by group where a group column was named: for each
   * fold a part to validate with and the others to train on.
   *
   * @throws UsageError for fewer than 2 folds or more than there are rows or groups
   */
  folds(k: number, seed = 42): { train: Dataset; validation: Dataset }[] {
    const { split } = this.train;
    if (!Number.isInteger(k) || k < 2 || k > split.size)
      throw expected(`a whole number of folds from 2 to ${split.size}, the rows`, 'folds', k);
    return foldsOf(split, this.task, k, seed).map(({ train, validation }) => ({
      train: new Dataset(split, this.task, train),
      validation: this.#validating(split, validation),
    }));
  }

  /** Closes the files of all splits. */
  async close(): Promise<void> {
    await Promise.all(this.#opened.map((split) => split.close()));
  }

  /** Of rows in the order of their file, as run_classification.py takes the first of its validation split. */
  #validating(split: Split, rows: Uint32Array): Dataset {
    return new Dataset(split, this.task, rows.subarray(0, this.#maxValidation));
  }

  #split(name: SplitName): Dataset {
    const dataset = this.splits[name];
    if (dataset === undefined)
      throw new UsageError(
        `The data set has no ${name} split; it has ${Object.keys(this.splits).join(', ')}`,
      );
    return dataset;
  }
}
