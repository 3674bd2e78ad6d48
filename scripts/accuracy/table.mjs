// The table of accuracies in Markdown, from the results of the runs.

/** @typedef {{ task: string, side: 'bertune' | 'HF', seed: number, dtype: string, device: string }} Run */
/** @typedef {Run & { metrics: Record<string, number> }} Result metrics by name, without `eval_` */

/** The two sides of the comparison, in the order in which they alternate. */
export const SIDES = /** @type {const} */ (['bertune', 'HF']);

const ACCURACY = [{ name: 'accuracy', title: 'accuracy' }];

/** What is compared where it is not accuracy alone. With few epochs rare labels are never predicted: ranks say more than F1. */
const METRICS = new Map([
  ['sms-spam', [...ACCURACY, { name: 'f1_macro', title: 'macro F1' }]],
  ['stsb', [{ name: 'pearson', title: "Pearson's r" }]],
  [
    'goemotions',
    [
      { name: 'label_ranking_average_precision', title: 'LRAP' },
      { name: 'f1_micro', title: 'micro F1' },
    ],
  ],
]);

/**
 * One row for each task and metric: the mean of each side, in percent, with the figures of the seeds in their order.
 *
 * @param {readonly Result[]} results
 */
export function accuracyTable(results) {
  const lines = ['| task | metric | bertune | HF |', '| --- | --- | --- | --- |'];
  for (const task of new Set(results.map((result) => result.task)))
    for (const { name, title } of metricsOf(task)) {
      const cells = SIDES.map((side) => {
        const runs = results.filter((result) => result.task === task && result.side === side);
        return cell(
          runs.toSorted((a, b) => a.seed - b.seed).map(({ metrics }) => metrics[name] ?? Number.NaN),
        );
      });
      lines.push(`| ${task} | ${title} | ${cells.join(' | ')} |`);
    }
  return lines.join('\n');
}

/**
 * The figures of one run on one line.
 *
 * @param {Result} result
 */
export function figuresOf({ task, metrics }) {
  return metricsOf(task)
    .map(({ name, title }) => `${title} ${percent(metrics[name] ?? Number.NaN)}`)
    .join(', ');
}

/** @param {string} task */
function metricsOf(task) {
  return METRICS.get(task) ?? ACCURACY;
}

/** @param {readonly number[]} values */
function cell(values) {
  if (values.length === 0) return '';
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  return `${percent(mean)} (${values.map(percent).join(', ')})`;
}

/** @param {number} value */
function percent(value) {
  return (100 * value).toFixed(1);
}
