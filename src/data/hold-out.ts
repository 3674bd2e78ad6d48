// Which rows of the training data are held out for validation: a pure function of labels, groups and the seed.
import { eachTargets, type Task } from '../tasks/index.js';
import { counted } from '../util/text.js';
import { UsageError } from '../util/errors.js';
import { randomNumbers, shuffle } from '../util/random.js';
import type { Split } from './split.js';
import { labelReader } from './task.js';

/** Uniform numbers in [0, 1). */
type Random = () => number;

/** Row numbers of both sides, ascending. */
export interface HeldOut {
  train: Uint32Array;
  validation: Uint32Array;
}

/**
 * Sets aside a share of the rows so that every stratum (a class, say) has that share on both sides, as
 * scikit-learn's train_test_split(stratify=...): ceil(share * rows) rows, for each stratum within one row of its share.
 * A stratum of one row stays in training.
 *
 * @param strata the stratum of each row
 */
export function holdOut(strata: ArrayLike<number>, share: number, random: Random): HeldOut {
  const rowsOf = groupBy(strata);
  const stay = staying(
    [...rowsOf.values()].map((rows) => rows.length),
    strata.length - Math.ceil(share * strata.length),
  );
  const isAside = new Uint8Array(strata.length);
  [...rowsOf.values()].forEach((rows, i) => {
    for (const row of shuffle(rows, random).slice(stay[i])) isAside[row] = 1;
  });
  return sides(isAside);
}

/**
 * As `holdOut`, but rows of one group stay together; how near both sides come to their shares depends on the sizes of
 * the groups.
 *
 * @param groups the group of each row
 */
export function holdOutGroups(
  strata: ArrayLike<number>,
  groups: ArrayLike<number>,
  share: number,
  random: Random,
): HeldOut {
  const partOf = dealGroups(strata, groups, [1 - share, share], random);
  // Of groups that are all larger than the share, the one that is nearest to it.
  for (const [part, rows] of [(1 - share) * strata.length, share * strata.length].entries()) {
    if (partOf.includes(part)) continue;
    const off = (group: readonly number[]): number => Math.abs(group.length - rows);
    const [nearest] = largestFirst(groups, random).toSorted((a, b) => off(a) - off(b));
    if (nearest !== undefined && nearest.length < strata.length)
      for (const row of nearest) partOf[row] = part;
  }
  return sides(Uint8Array.from(partOf));
}

/**
 * Cuts the rows into k parts of equal size with equal shares of every stratum, as scikit-learn's StratifiedKFold:
 * sorted by stratum, the parts are dealt out one row after another, and within a stratum at random.
 *
 * @returns for each fold the rows to train on and those of its own part to validate with
 */
export function stratifiedFolds(strata: ArrayLike<number>, k: number, random: Random): HeldOut[] {
  const partOf = new Uint32Array(strata.length);
  let position = 0;
  for (const rows of groupBy(strata).values()) {
    const parts = shuffle(rows, random).map((row) => ({ row, part: position++ % k }));
    for (const { row, part } of parts) partOf[row] = part;
  }
  return foldsByPart(partOf, k);
}

/** As `stratifiedFolds`, but rows of one group stay together. */
export function groupFolds(
  strata: ArrayLike<number>,
  groups: ArrayLike<number>,
  k: number,
  random: Random,
): HeldOut[] {
  const shares = Array.from({ length: k }, () => 1 / k);
  return foldsByPart(dealGroups(strata, groups, shares, random), k);
}

/**
 * The part of each row. Groups are dealt out whole, the largest first, each to the part whose number of rows, and of rows
 * of each stratum, then stays nearest to its share: by squares, of a stratum in proportion to its size. The number of all
 * rows weighs as much as all strata together, so that parts are filled where no stratum is in more than one group.
 */
function dealGroups(
  strata: ArrayLike<number>,
  groups: ArrayLike<number>,
  shares: readonly number[],
  random: Random,
): Uint32Array {
  const sizes = new Map([...groupBy(strata)].map(([stratum, rows]) => [stratum, rows.length]));
  const partOf = new Uint32Array(strata.length);
  const parts = shares.map((share) => ({ share, rows: 0, of: new Map<number, number>() }));
  for (const rows of largestFirst(groups, random)) {
    const counts = countsOf(rows, strata);
    // By how much the sum of count^2 / (share * size) grows.
    const costs = parts.map(({ share, rows: had, of }) => {
      const grows = (before: number, n: number, size: number): number =>
        (n * (2 * before + n)) / (share * size);
      const ofStrata = Array.from(counts, ([stratum, n]) =>
        grows(of.get(stratum) ?? 0, n, sizes.get(stratum) ?? 1),
      );
      return ofStrata.reduce((sum, cost) => sum + cost, sizes.size * grows(had, rows.length, strata.length));
    });
    const index = costs.indexOf(Math.min(...costs));
    const part = parts[index];
    if (part === undefined) continue; // there is one
    part.rows += rows.length;
    for (const [stratum, n] of counts) part.of.set(stratum, (part.of.get(stratum) ?? 0) + n);
    for (const row of rows) partOf[row] = index;
  }
  return partOf;
}

function countsOf(rows: readonly number[], strata: ArrayLike<number>): Map<number, number> {
  const counts = new Map<number, number>();
  for (const row of rows) counts.set(strata[row] ?? 0, (counts.get(strata[row] ?? 0) ?? 0) + 1);
  return counts;
}

function foldsByPart(partOf: Uint32Array, k: number): HeldOut[] {
  return Array.from({ length: k }, (_, fold) =>
    sides(Uint8Array.from(partOf, (part) => (part === fold ? 1 : 0))),
  );
}

/**
 * How many rows of each stratum stay, of `total` that stay in all: shares in whole numbers, rounded down and then up
 * where most was cut off, which is how scikit-learn cuts; but at least one.
 */
function staying(sizes: readonly number[], total: number): number[] {
  const all = sizes.reduce((sum, size) => sum + size, 0);
  const shares = sizes.map((size) => (size * total) / all);
  const parts = shares.map(Math.floor);
  const left = total - parts.reduce((sum, part) => sum + part, 0);
  const byRemainder = shares
    .map((part, i) => ({ i, rest: part - Math.floor(part) }))
    .toSorted((a, b) => b.rest - a.rest || (sizes[b.i] ?? 0) - (sizes[a.i] ?? 0));
  for (const { i } of byRemainder.slice(0, left)) parts[i] = (parts[i] ?? 0) + 1;
  return parts.map((part) => Math.max(part, 1));
}

/** Rows by their number, in the order in which the numbers first occur. */
function groupBy(numbers: ArrayLike<number>): Map<number, number[]> {
  const rowsOf = new Map<number, number[]>();
  for (let row = 0; row < numbers.length; row++) {
    const number = numbers[row] ?? 0;
    const rows = rowsOf.get(number);
    if (rows === undefined) rowsOf.set(number, [row]);
    else rows.push(row);
  }
  return rowsOf;
}

/** The rows of each group; groups of one size in a random order. */
function largestFirst(groups: ArrayLike<number>, random: Random): number[][] {
  return shuffle([...groupBy(groups).values()], random).toSorted((a, b) => b.length - a.length);
}

function sides(isAside: Uint8Array): HeldOut {
  const validation = new Uint32Array(isAside.reduce((sum, flag) => sum + flag, 0));
  const train = new Uint32Array(isAside.length - validation.length);
  let [t, v] = [0, 0];
  isAside.forEach((flag, row) => {
    if (flag === 1) validation[v++] = row;
    else train[t++] = row;
  });
  return { train, validation };
}

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
      `${found.validation.length} to validate with; use another share, or validationFile`,
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
  const { groups, tokens } = split;
  const strata = tokens?.strata().subarray(0, split.size);
  const hasLabels = task.kind.columns.reads.length > 0;
  const unlabelled = hasLabels ? undefined : new Uint8Array(split.size);
  return {
    strata:
      strata ??
      unlabelled ??
      task.strata(eachTargets({ size: split.size, labels: labelReader(split, task) })),
    groups: groups === null ? null : rows.map((row) => groups.at(row)),
  };
}
