// What an evaluation showed of each class: which were taken for which, and precision, recall and F1.
import { tokenClassification } from '../tasks/index.js';
import type { EvaluationFacts } from './facts.js';
import { markup, numbers, percent, shortened, shownNumber, table, threeDigits, type Html } from './html.js';

/** Labels of a confusion matrix on the page: more do not fit a screen. */
const MATRIX_LABELS = 16;
const PAIRS_SHOWN = 20;
const CLASSES_SHOWN = 200;
/** Characters of a label. */
const LABEL = 40;

/** Counts and shares of each row; of many labels those that are mistaken most often, and the pairs. */
export function confusionMatrix({ confusion, labels }: EvaluationFacts): Html | null {
  if (confusion === null || confusion.length === 0) return null;
  const byLabel = new Map<number, Map<number, number>>();
  for (const [label, guess, rows] of confusion) {
    const row = byLabel.get(label) ?? new Map<number, number>();
    row.set(guess, rows);
    byLabel.set(label, row);
  }
  const pairs = confusion.filter(([label, guess]) => label !== guess).toSorted(([, , a], [, , b]) => b - a);
  const mistaken = [...new Set(pairs.flatMap(([label, guess]) => [label, guess]))];
  const isWhole = labels.length <= MATRIX_LABELS;
  const shown = isWhole
    ? labels.map((_, id) => id)
    : mistaken.slice(0, MATRIX_LABELS).toSorted((a, b) => a - b);
  const rows = shown.map((label) => {
    const own = byLabel.get(label) ?? new Map<number, number>();
    const total = [...own.values()].reduce((sum, one) => sum + one, 0);
    const cells = shown.map((guess) => matrixCell(own.get(guess) ?? 0, total, label === guess));
    return markup`<tr>
      <th scope="row">${shortened(labels[label] ?? '', LABEL)}</th>
      ${cells}
      <td class="number">${shownNumber(total)}</td>
    </tr> `;
  });
  const head = shown.map((guess) => markup`<th scope="col">${shortened(labels[guess] ?? '', 16)}</th>`);
  const matrix = markup`<div class="scroll" tabindex="0">
    <table class="matrix">
      <caption>
        Rows: label of the data. Columns: prediction. Below each count its share of the row.
      </caption>
      <thead>
        <tr>
          <td></td>
          ${head}
          <th scope="col">rows</th>
        </tr>
      </thead>
      <tbody>
        ${rows}
      </tbody>
    </table>
  </div>`;
  if (isWhole && (labels.length <= 4 || pairs.length === 0)) return matrix;
  if (pairs.length === 0) return markup`<p>No row is predicted wrong.</p>`;
  return markup`${isWhole ? null : markup`<p>The ${shown.length} of ${labels.length} labels that are mistaken most often; the rest is in eval_results.json.</p>`}${matrix}
    <h3>Most frequent confusions</h3>
    ${pairTable(pairs.slice(0, PAIRS_SHOWN), labels, byLabel)}`;
}

function matrixCell(rows: number, total: number, isRight: boolean): Html {
  if (rows === 0) return markup`<td class="none">0</td>`;
  return markup`<td class="${isRight ? 'right' : 'wrong'}" style="--share:${Math.round((100 * rows) / total)}%">
    ${shownNumber(rows)}<small>${percent(rows / total)}</small>
  </td>`;
}

function pairTable(
  pairs: readonly (readonly [number, number, number])[],
  labels: readonly string[],
  byLabel: ReadonlyMap<number, ReadonlyMap<number, number>>,
): Html {
  const rows = pairs.map(([label, guess, count]) => {
    const total = [...(byLabel.get(label) ?? new Map<number, number>()).values()].reduce(
      (sum, one) => sum + one,
      0,
    );
    return [
      shortened(labels[label] ?? '', LABEL),
      shortened(labels[guess] ?? '', LABEL),
      shownNumber(count),
      percent(count / total),
    ];
  });
  return table(['label', 'taken for', ...numbers('rows', 'of the label')], rows);
}

/** By rows, most first. */
export function classTable({ perClass, problemType }: EvaluationFacts): Html | null {
  if (perClass === null || perClass.length === 0) return null;
  const sorted = perClass.toSorted((a, b) => b.support - a.support);
  const hidden = sorted.length - CLASSES_SHOWN;
  const rows = sorted
    .slice(0, CLASSES_SHOWN)
    .map(({ label, precision, recall, f1, support }) => [
      shortened(label, LABEL),
      shownNumber(support),
      threeDigits(precision),
      threeDigits(recall),
      bar(f1),
    ]);
  const unit = problemType === tokenClassification.problemType ? 'entities' : 'rows';
  return markup`${table(['label', ...numbers(unit, 'precision', 'recall', 'F1')], rows)}${hidden > 0 ? markup`<p>and ${hidden} more with fewer ${unit}, in eval_results.json</p>` : null}`;
}

function bar(value: number): Html {
  return markup`<span class="bar" style="--share:${Math.round(100 * value)}%">${threeDigits(value)}</span>`;
}
