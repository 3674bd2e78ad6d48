// How often each label occurs.
import type { Task } from './index.js';
import type { LabelledRows } from './batch.js';

/** Rows whose labels are counted at a time. */
const CHUNK = 65_536;

/** What the labels of rows come to. */
export interface LabelCounts {
  /** Rows with each label, by its id. */
  counts: number[];
  /** All labels of all rows. */
  total: number;
  /** Rows without any. */
  unlabelled: number;
}

/** Counts the labels of a task with classes, one or several a row. */
export function countLabels(task: Pick<Task, 'numLabels'>, rows: LabelledRows): LabelCounts {
  const counts = Array.from({ length: task.numLabels }, () => 0);
  let unlabelled = 0;
  for (let first = 0; first < rows.size; first += CHUNK) {
    const length = Math.min(CHUNK, rows.size - first);
    const labels = rows.labels(Uint32Array.from({ length }, (_, i) => first + i));
    const width = labels instanceof Int32Array ? 1 : task.numLabels;
    for (let row = 0; row < length; row++) {
      const own = labels.subarray(row * width, (row + 1) * width);
      const given = labels instanceof Int32Array ? classOf(own) : labelsOf(own);
      for (const label of given) counts[label] = (counts[label] ?? 0) + 1;
      if (given.length === 0) unlabelled += 1;
    }
  }
  return { counts, total: counts.reduce((sum, count) => sum + count, 0), unlabelled };
}

/** -100 is none. */
function classOf([label = -100]: ArrayLike<number> & Iterable<number>): number[] {
  return label === -100 ? [] : [label];
}

function labelsOf(hot: ArrayLike<number>): number[] {
  return Array.from(hot).flatMap((value, label) => (value > 0.5 ? [label] : []));
}
