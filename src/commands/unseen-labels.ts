// Labels that are evaluated but never trained on: figures that no training can make good.
import { eachTargets } from '../tasks/index.js';
import { counted } from '../util/counted.js';
import type { Dataset } from '../data/dataset.js';
import type { DatasetDict } from '../data/dataset.js';
import type { Progress } from '../terminal/progress.js';

const SHOWN = 5;

/** Says which labels only validation rows have, in how many of them, and where one stands. */
export function reportUnseenLabels({ splits }: DatasetDict, progress: Progress): void {
  const { train, validation } = splits;
  if (train === undefined || validation === undefined) return;
  const unseen = labelsOf(validation);
  for (const label of labelsOf(train).keys()) unseen.delete(label);
  const [first] = unseen.values();
  if (first === undefined) return;
  const rows = counted(validation.size, 'validation row');
  const shown = [...unseen]
    .slice(0, SHOWN)
    .map(([label, { count }]) => `${JSON.stringify(label)} in ${count} of ${rows}`);
  const more = unseen.size > SHOWN ? ` and ${unseen.size - SHOWN} more` : '';
  progress.line(
    `note: ${counted(unseen.size, 'label has', 'labels have')} no training row: ${shown.join(', ')}${more}, ` +
      `e.g. ${validation.place(first.row)}; the model cannot learn ${unseen.size === 1 ? 'it' : 'them'}`,
  );
}

/** How many rows have each label, and the first of them. */
function labelsOf(data: Dataset): Map<string, { count: number; row: number }> {
  const found = new Map<string, { count: number; row: number }>();
  let row = 0;
  for (const targets of eachTargets(data)) {
    for (const ids of data.task.classesOf(targets)) {
      for (const label of ids.map((id) => data.task.labels[id] ?? '')) {
        const known = found.get(label);
        if (known === undefined) found.set(label, { count: 1, row });
        else known.count++;
      }
      row++;
    }
  }
  return found;
}
