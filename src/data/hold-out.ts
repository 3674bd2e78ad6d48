// Which rows of the training data are set aside for validation: a pure function of labels, groups and the seed.

import { shuffle } from '../random.js';

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
 * As `holdOut`, but rows of one group stay together. Groups are taken, the largest first, as long as each brings the
 * strata of the rows set aside nearer to their shares; how near depends on the sizes of the groups.
 *
 * @param groups the group of each row
 */
export function holdOutGroups(
  strata: ArrayLike<number>,
  groups: ArrayLike<number>,
  share: number,
  random: Random,
): HeldOut {
  const missing = new Map([...groupBy(strata)].map(([stratum, rows]) => [stratum, share * rows.length]));
  const isAside = new Uint8Array(strata.length);
  for (const rows of largestFirst(groups, random)) {
    const counts = new Map<number, number>();
    for (const row of rows) counts.set(strata[row] ?? 0, (counts.get(strata[row] ?? 0) ?? 0) + 1);
    // (m - c)^2 - m^2 summed: negative when what is missing gets less.
    const change = [...counts].reduce(
      (sum, [stratum, n]) => sum + n * n - 2 * n * (missing.get(stratum) ?? 0),
      0,
    );
    if (change >= 0) continue;
    for (const [stratum, n] of counts) missing.set(stratum, (missing.get(stratum) ?? 0) - n);
    for (const row of rows) isAside[row] = 1;
  }
  return sides(isAside);
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
  return foldsOf(partOf, k);
}

/** As `stratifiedFolds`, but rows of one group stay together: the largest first, each to where its strata are rarest. */
export function groupFolds(
  strata: ArrayLike<number>,
  groups: ArrayLike<number>,
  k: number,
  random: Random,
): HeldOut[] {
  const partOf = new Uint32Array(strata.length);
  const counts = Array.from({ length: k }, () => new Map<number, number>());
  for (const rows of largestFirst(groups, random)) {
    // The rows that a part already has of the strata of this group, each as often as the group has it.
    const load = counts.map((had) => rows.reduce((sum, row) => sum + (had.get(strata[row] ?? 0) ?? 0), 0));
    const part = load.indexOf(Math.min(...load));
    for (const row of rows) {
      const stratum = strata[row] ?? 0;
      counts[part]?.set(stratum, (counts[part]?.get(stratum) ?? 0) + 1);
      partOf[row] = part;
    }
  }
  return foldsOf(partOf, k);
}

function foldsOf(partOf: Uint32Array, k: number): HeldOut[] {
  return Array.from({ length: k }, (_, fold) =>
    sides(Uint8Array.from(partOf, (part) => (part === fold ? 1 : 0))),
  );
}

/** Numbers cut into strata of about equal size by their rank, ten at most: what stratifying means for regression. */
export function quantileStrata(values: ArrayLike<number>): Uint8Array {
  const order = Array.from({ length: values.length }, (_, row) => row).toSorted(
    (a, b) => (values[a] ?? 0) - (values[b] ?? 0),
  );
  const strata = new Uint8Array(values.length);
  const bins = Math.min(10, Math.max(1, Math.floor(values.length / 2)));
  order.forEach((row, rank) => (strata[row] = Math.floor((rank * bins) / order.length)));
  return strata;
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
