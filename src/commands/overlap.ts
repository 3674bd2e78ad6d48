// Rows that are both trained on and evaluated on: the figures of such an evaluation are too good.
import { counted } from '../util/counted.js';
import type { Dataset } from '../data/dataset.js';
import type { DatasetDict } from '../data/dataset.js';
import type { Progress } from '../terminal/progress.js';

/** Says how many validation rows are among the training rows, with one of them. */
export function reportOverlap({ splits }: DatasetDict, progress: Progress): void {
  const { train, validation } = splits;
  if (train !== undefined && validation !== undefined) reportShared({ train, validation }, progress);
}

/** The same of the first fold, which stands for all. */
export function reportOverlapOfFolds(
  [fold]: readonly { train: Dataset; validation: Dataset }[],
  progress: Progress,
): void {
  if (fold !== undefined) reportShared(fold, progress);
}

function reportShared(
  { train, validation }: { train: Dataset; validation: Dataset },
  progress: Progress,
): void {
  const shared = sharedRows(train, validation);
  const [first] = shared;
  if (first === undefined) return;
  const share = ((100 * shared.length) / validation.size).toFixed(1);
  const trained = firstEqual(train, validation, first);
  progress.line(
    `note: ${shared.length} of ${counted(validation.size, 'validation row')} (${share} %) ` +
      `${shared.length === 1 ? 'is also a training row' : 'are also training rows'}, e.g. ` +
      `${validation.place(first)}${trained === null ? '' : ` and ${train.place(trained)}`}; the metrics will be too good. ` +
      'inspect counts them; where they come of a share or of folds, --validation-group-column keeps rows together.',
  );
}

/** The validation rows with a text that is among the training rows: 8 bytes a training row. */
function sharedRows(train: Dataset, validation: Dataset): number[] {
  const known = Float64Array.from({ length: train.size }, (_, row) => train.hash(row)).toSorted();
  const rows = Array.from({ length: validation.size }, (_, row) => row);
  return rows.filter((row) => isAmong(known, validation.hash(row)));
}

function firstEqual(train: Dataset, validation: Dataset, row: number): number | null {
  const hash = validation.hash(row);
  for (let other = 0; other < train.size; other++) if (train.hash(other) === hash) return other;
  return null;
}

function isAmong(sorted: Float64Array, value: number): boolean {
  let [low, high] = [0, sorted.length];
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((sorted[middle] ?? 0) < value) low = middle + 1;
    else high = middle;
  }
  return sorted[low] === value;
}
