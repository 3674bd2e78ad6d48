// Which rows of a split are set aside, by its labels and groups: what data/hold-out.ts does for plain numbers.
import { counted } from '../util/counted.js';
import {
  groupFolds,
  holdOut,
  holdOutGroups,
  labelReader,
  stratifiedFolds,
  type HeldOut,
  type Split,
} from './index.js';
import { eachTargets, type Task } from '../tasks/index.js';
import { UsageError } from '../util/errors.js';
import { randomNumbers } from '../util/random.js';

/** A share of the training rows to be set aside for validation. */
export interface HoldOut {
  /** Above 0 and below 1. */
  share: number;
  seed: number;
}

/** Rows to train on and to validate with: stratified by label, and group by group where the split has groups. */
export function heldOut(split: Split, task: Task, { share, seed }: HoldOut): HeldOut {
  const { strata, groups } = stratified(split, task);
  const random = randomNumbers(seed);
  const found =
    groups === null ? holdOut(strata, share, random) : holdOutGroups(strata, groups, share, random);
  if (found.train.length > 0 && found.validation.length > 0) return found;
  throw new UsageError(
    `A validation split of ${share} of ${counted(split.size, 'training row')} leaves ${found.train.length} to train on and ` +
      `${found.validation.length} to validate with; use another share, or --validation-file`,
  );
}

/**
 * The rows cut into k parts of equal size with equal shares of every stratum, for each fold both sides.
 *
 * @throws UsageError for fewer groups than folds
 */
export function foldsOf(split: Split, task: Task, k: number, seed: number): HeldOut[] {
  const { strata, groups } = stratified(split, task);
  const random = randomNumbers(seed);
  if (groups === null) return stratifiedFolds(strata, k, random);
  const folds = groupFolds(strata, groups, k, random);
  if (folds.every(({ train, validation }) => train.length > 0 && validation.length > 0)) return folds;
  throw new UsageError(
    `The rows are of ${counted(new Set(groups).size, 'group')}, too few for ${k} folds: rows of a group stay together, ` +
      'and every fold needs some; use fewer folds',
  );
}

/** The stratum of each row, and its group. */
function stratified(split: Split, task: Task): { strata: ArrayLike<number>; groups: Uint32Array | null } {
  const rows = Uint32Array.from({ length: split.size }, (_, row) => row);
  const { groups } = split;
  return {
    strata: task.strata(eachTargets({ size: split.size, labels: labelReader(split, task) })),
    groups: groups === null ? null : rows.map((row) => groups.at(row)),
  };
}
