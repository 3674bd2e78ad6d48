// How often each label occurs; of numbers, how they are spread.
import type { Dataset } from '../dataset.js';

export type LabelReport =
  | { kind: 'counts'; counts: Record<string, number>; withoutLabel: number }
  | { kind: 'numbers'; lowest: number; mean: number; highest: number };

export function countLabels(data: Dataset): LabelReport {
  const { problemType, labels: names, numLabels } = data.task;
  if (problemType === 'regression') return spread(data);
  const counts = new Float64Array(numLabels);
  let withoutLabel = 0;
  for (let row = 0; row < data.size; row++) {
    const labels = data.labels([row]);
    const given = problemType === 'single_label_classification' ? [...labels] : hot(labels);
    for (const id of given) counts[id] = (counts[id] ?? 0) + 1;
    if (given.length === 0) withoutLabel += 1;
  }
  return {
    kind: 'counts',
    counts: Object.fromEntries(names.map((name, id) => [name, counts[id] ?? 0])),
    withoutLabel,
  };
}

function hot(labels: ArrayLike<number>): number[] {
  return Array.from(labels).flatMap((value, id) => (value > 0 ? [id] : []));
}

function spread(data: Dataset): LabelReport {
  let [lowest, sum, highest] = [Infinity, 0, -Infinity];
  for (let row = 0; row < data.size; row++) {
    const [value = Number.NaN] = data.labels([row]);
    lowest = Math.min(lowest, value);
    highest = Math.max(highest, value);
    sum += value;
  }
  return { kind: 'numbers', lowest, mean: sum / data.size, highest };
}
