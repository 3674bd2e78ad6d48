// How often each label occurs; of numbers, how they are spread.
import type { Dataset } from '../data/dataset.js';
import { countLabels, eachTargets } from '../tasks/index.js';

export type LabelReport =
  | { kind: 'counts'; counts: Record<string, number>; withoutLabel: number }
  | { kind: 'numbers'; lowest: number; mean: number; highest: number };

export function describeLabels(data: Dataset): LabelReport {
  const { kind, labels: names } = data.task;
  if (!kind.hasClasses) return spread(data);
  const { counts, unlabelled } = countLabels(data.task, data);
  return {
    kind: 'counts',
    counts: Object.fromEntries(names.map((name, id) => [name, counts[id] ?? 0])),
    withoutLabel: unlabelled,
  };
}

function spread(data: Dataset): LabelReport {
  let [lowest, sum, highest] = [Infinity, 0, -Infinity];
  for (const values of eachTargets(data)) {
    for (const value of values) {
      lowest = Math.min(lowest, value);
      highest = Math.max(highest, value);
      sum += value;
    }
  }
  return { kind: 'numbers', lowest, mean: sum / data.size, highest };
}
