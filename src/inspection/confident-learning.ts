// Confident learning (Northcutt, Jiang and Chuang 2021): which given labels out-of-fold probabilities contradict. The
// counts, the rows and their order are those of cleanlab's find_label_issues with its defaults (prune_by_noise_rate), ranked
// by self-confidence; which of equal values comes first numpy leaves to the processor, and here it is the earlier row.

/** What models that did not see a row think of its label. */
export interface LabelledProbabilities {
  /** The given class of each row, [rows]. */
  readonly labels: ArrayLike<number>;
  /** [rows * numLabels] */
  readonly probabilities: ArrayLike<number>;
  readonly numLabels: number;
}

/** A row whose given label is probably wrong. */
export interface LabelIssue {
  readonly row: number;
  /** The ids that the probabilities speak for. */
  readonly suggested: readonly number[];
  /** How probable the given label is, from 0 to 1: the lower, the more certain is the error. */
  readonly score: number;
}

/** Above every probability: the threshold of a class that no row has. */
const NEVER = 2;
/** How near probabilities count as equal. */
const TOLERANCE = 1e-6;
/** Of what several labels of a row score, how much the lowest counts (cleanlab's exponential moving average). */
const ALPHA = 0.8;

/** The mean probability of each class among the rows that are labelled with it, [numLabels]. */
export function confidentThresholds({ labels, probabilities, numLabels }: LabelledProbabilities): number[] {
  const sums = new Float64Array(numLabels);
  const counts = new Uint32Array(numLabels);
  for (let row = 0; row < labels.length; row++) {
    const given = labels[row] ?? 0;
    sums[given] = (sums[given] ?? 0) + (probabilities[row * numLabels + given] ?? 0);
    counts[given] = (counts[given] ?? 0) + 1;
  }
  return Array.from(sums, (sum, id) => {
    const count = counts[id] ?? 0;
    return count === 0 ? NEVER : Math.max(sum / count, 2 * TOLERANCE);
  });
}

/**
 * The confident joint: how many rows with each given label (the first index) are probably of each class (the second). Only
 * rows that reach the threshold of some class are counted; the counts are then scaled to the number of rows of each label.
 */
export function confidentJoint(data: LabelledProbabilities): number[][] {
  const { labels, probabilities, numLabels } = data;
  const thresholds = confidentThresholds(data);
  const counts = Array.from({ length: numLabels }, () => new Float64Array(numLabels));
  const rows = new Uint32Array(numLabels);
  for (let row = 0; row < labels.length; row++) {
    const given = labels[row] ?? 0;
    rows[given] = (rows[given] ?? 0) + 1;
    const id = confidentClass(probabilities, row * numLabels, thresholds);
    const ofLabel = counts[given];
    if (id !== null && ofLabel !== undefined) ofLabel[id] = (ofLabel[id] ?? 0) + 1;
  }
  return counts.map((count, id) => {
    // Each class has one row at least that is labelled as it should be.
    count[id] = Math.max(count[id] ?? 0, 1);
    const sum = sumOf(count);
    return roundedToSum(Array.from(count, (one) => (one / sum) * (rows[id] ?? 0)));
  });
}

/** The class whose threshold a row reaches; of several the most probable one of all classes, and null for none. */
function confidentClass(
  probabilities: ArrayLike<number>,
  from: number,
  thresholds: readonly number[],
): number | null {
  let [reached, first, best] = [0, 0, 0];
  thresholds.forEach((threshold, id) => {
    const probability = probabilities[from + id] ?? 0;
    if (probability > (probabilities[from + best] ?? 0)) best = id;
    if (probability < threshold - TOLERANCE) return;
    if (reached === 0) first = id;
    reached += 1;
  });
  if (reached === 0) return null;
  return reached === 1 ? first : best;
}

/** Whole numbers with the sum of the given ones: those that rounding changed most are moved by one. */
function roundedToSum(values: readonly number[]): number[] {
  const rounded = values.map(roundHalfToEven);
  for (;;) {
    const missing = Math.round(sumOf(values)) - sumOf(rounded);
    if (missing === 0) return rounded;
    const step = Math.sign(missing);
    const cut = (id: number): number => step * ((values[id] ?? 0) - (rounded[id] ?? 0));
    const order = values.map((_, id) => id).toSorted((a, b) => cut(b) - cut(a) || step * (b - a));
    for (const id of order.slice(0, Math.abs(missing))) rounded[id] = (rounded[id] ?? 0) + step;
  }
}

function sumOf(values: ArrayLike<number>): number {
  return Array.from(values).reduce((sum, value) => sum + value, 0);
}

function roundHalfToEven(value: number): number {
  const down = Math.floor(value);
  if (value - down !== 0.5) return Math.round(value);
  return down % 2 === 0 ? down : down + 1;
}

/**
 * Rows with one label each whose labels are probably wrong, the least probable label first. Of each pair of a given label
 * and a class as many as the joint counts: those with the greatest distance between the two probabilities.
 */
export function labelIssues(data: LabelledProbabilities): LabelIssue[] {
  const { labels, probabilities, numLabels } = data;
  const at = (row: number, id: number): number => probabilities[row * numLabels + id] ?? 0;
  const joint = confidentJoint(data);
  const isIssue = new Uint8Array(labels.length);
  rowsByLabel(labels, numLabels).forEach((rows, given) => {
    if (rows.length < 2) return;
    numbersToFind(joint[given] ?? [], given).forEach((number, id) => {
      if (id === given || number === 0) return;
      const margins = new Map(rows.map((row) => [row, at(row, id) - at(row, given)]));
      const order = rows.toSorted((a, b) => (margins.get(b) ?? 0) - (margins.get(a) ?? 0));
      for (const row of order.slice(0, number)) isIssue[row] = 1;
    });
  });
  const issues: LabelIssue[] = [];
  isIssue.forEach((flag, row) => {
    if (flag === 0) return;
    const given = labels[row] ?? 0;
    let best = given;
    for (let id = 0; id < numLabels; id++)
      if (at(row, id) > at(row, best) + (best === given ? TOLERANCE : 0)) best = id;
    // What the model gives itself is no error, however many the joint counts.
    if (best !== given) issues.push({ row, suggested: [best], score: at(row, given) });
  });
  return ranked(issues);
}

/** How many rows to find for each class; one row at least stays as it is labelled, at the cost of all others. */
function numbersToFind(joint: readonly number[], given: number): number[] {
  const missing = Math.max(1 - (joint[given] ?? 0), 0);
  const others = Math.max(joint.filter((count) => count !== 0).length - 1, 1);
  return joint.map((count) => Math.max(Math.trunc(count - missing / others), 0));
}

function rowsByLabel(labels: ArrayLike<number>, numLabels: number): number[][] {
  const rows = Array.from({ length: numLabels }, (): number[] => []);
  for (let row = 0; row < labels.length; row++) rows[labels[row] ?? 0]?.push(row);
  return rows;
}

/** The lowest score first; of equal ones the first row. */
function ranked(issues: readonly LabelIssue[]): LabelIssue[] {
  return issues.toSorted((a, b) => a.score - b.score || a.row - b.row);
}

/**
 * Rows with any number of labels of which at least one is probably wrong, or missing: each label for itself is a problem of
 * two classes. The score puts the labels of a row together, of which the least certain counts most.
 *
 * @param data.hot zeros and ones, [rows * numLabels]
 */
export function multiLabelIssues({
  hot,
  probabilities,
  numLabels,
}: Omit<LabelledProbabilities, 'labels'> & { readonly hot: ArrayLike<number> }): LabelIssue[] {
  const rows = hot.length / numLabels;
  const wrong = new Map<number, Set<number>>();
  for (let id = 0; id < numLabels; id++) {
    const labels = Uint8Array.from({ length: rows }, (_, row) => hot[row * numLabels + id] ?? 0);
    const both = Float64Array.from({ length: 2 * rows }, (_, i) => {
      const probability = probabilities[(i >> 1) * numLabels + id] ?? 0;
      return i % 2 === 0 ? 1 - probability : probability;
    });
    for (const { row } of labelIssues({ labels, probabilities: both, numLabels: 2 }))
      wrong.set(row, (wrong.get(row) ?? new Set()).add(id));
  }
  const issues = Array.from(wrong, ([row, ids]) => {
    const given = Array.from({ length: numLabels }, (_, id) => hot[row * numLabels + id] === 1);
    const scores = given.map((has, id) => {
      const probability = probabilities[row * numLabels + id] ?? 0;
      return has ? probability : 1 - probability;
    });
    const suggested = given.flatMap((has, id) => (has === ids.has(id) ? [] : [id]));
    return { row, suggested, score: movingAverage(scores) };
  });
  return ranked(issues);
}

/** From the highest to the lowest score. */
function movingAverage(scores: readonly number[]): number {
  const [first = 0, ...others] = scores.toSorted((a, b) => b - a);
  return others.reduce((mean, score) => ALPHA * score + (1 - ALPHA) * mean, first);
}
