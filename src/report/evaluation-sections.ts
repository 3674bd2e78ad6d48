// What an evaluation showed: of classes, curves, calibration, values of a regression, and the worst errors.
import { multiLabel, regression, tokenClassification } from '../tasks/index.js';
import { confusionMatrix, classTable } from './class-sections.js';
import { barChart, xyChart, type Point } from './charts.js';
import type { EvaluationFacts, WorstRow } from './facts.js';
import {
  details,
  figure,
  markup,
  numbers,
  shortened,
  shownNumber,
  table,
  threeDigits,
  type Html,
  type Section,
} from './html.js';

const LABEL = 40;
const CURVE_TABLE_ROWS = 25;

export function evaluationSections(facts: EvaluationFacts): Section[] {
  const confusion = confusionMatrix(facts);
  const classes = classTable(facts);
  const charts = [
    curvesChart(facts),
    calibrationChart(facts),
    valuesChart(facts),
    residualsChart(facts),
  ].filter((chart) => chart !== null);
  return [
    ...(confusion === null ? [] : [{ id: 'confusion', title: 'Confusion matrix', body: confusion }]),
    ...(classes === null ? [] : [{ id: 'classes', title: 'Classes', body: classes }]),
    ...(charts.length === 0
      ? []
      : [
          {
            id: 'curves',
            title: facts.values === null ? 'Probabilities' : 'Values',
            body: markup`<div class="charts">${charts}</div>`,
          },
        ]),
    ...worstSection(facts),
  ];
}

/** One curve for each label, with its threshold marked where labels have one. */
function curvesChart({ curves, labels, problemType }: EvaluationFacts): Html | null {
  if (curves.length === 0) return null;
  // Of two classes the curves of both would be the same rows seen from two sides.
  const series = curves.map(({ label, points, threshold }, i) => {
    const at = threshold === null ? undefined : points.findLast(([, , value]) => value >= threshold);
    return {
      name: label,
      points: points.map(([recall, precision]): Point => [recall, precision]),
      colour: i,
      style: 'steps' as const,
      marks:
        at === undefined || threshold === null
          ? []
          : [{ at: [at[0], at[1]] as const, text: threshold.toFixed(2) }],
    };
  });
  const hasThresholds = curves.some(({ threshold }) => threshold !== null);
  const rows = curves.flatMap(({ label, points }) => {
    const every = Math.ceil(points.length / CURVE_TABLE_ROWS);
    return points
      .filter((_, i) => i % every === 0 || i === points.length - 1)
      .map(([recall, precision, threshold]) => [
        shortened(label, LABEL),
        shownNumber(threshold),
        threeDigits(recall),
        threeDigits(precision),
      ]);
  });
  const note = [
    hasThresholds
      ? 'The circles are the thresholds above which the model gives a label.'
      : 'Each label against all others, by its probability.',
    ...(curves.length < labels.length
      ? [`The ${curves.length} of ${labels.length} labels with most ${counted(problemType)}.`]
      : []),
  ].join(' ');
  return figure({
    title: 'Precision and recall',
    note,
    chart: xyChart(
      'Precision over recall for each label',
      { x: 'recall', y: 'precision', xRange: [0, 1], yRange: [0, 1] },
      series,
    ),
    table: table(['label', ...numbers('threshold', 'recall', 'precision')], rows),
  });
}

/** What has a label each. */
function counted(problemType: EvaluationFacts['problemType']): 'tokens' | 'rows' {
  return problemType === tokenClassification.problemType ? 'tokens' : 'rows';
}

function calibrationChart({ calibration, problemType }: EvaluationFacts): Html | null {
  if (calibration === null) return null;
  const filled = calibration.bins.filter(({ rows }) => rows > 0);
  if (filled.length === 0) return null;
  const isSeveral = problemType === multiLabel.problemType;
  const what = isSeveral ? 'a label' : 'its prediction';
  const dots = isSeveral ? 'labels' : counted(problemType);
  const most = filled.reduce((largest, { rows }) => Math.max(largest, rows), 0);
  const tuned =
    calibration.temperature === null
      ? ''
      : ` With the tuned temperature of ${shownNumber(calibration.temperature)}.`;
  return figure({
    title: 'Calibration',
    note: `How often ${what} is right, by the probability that the model gives it; on the dashed line the two are the same. Large dots stand for many ${dots}.${tuned}`,
    chart: xyChart(
      'Share that is right over mean probability',
      { x: 'probability', y: 'right', xRange: [0, 1], yRange: [0, 1] },
      [
        {
          name: 'observed',
          points: filled.map(({ confidence, right }): Point => [confidence, right]),
          colour: 0,
          style: 'dots',
          sizes: filled.map(({ rows }) => 6 + 18 * Math.sqrt(rows / most)),
        },
        {
          name: 'perfect',
          points: [
            [0, 0],
            [1, 1],
          ],
          colour: 3,
          style: 'dashed',
        },
      ],
    ),
    table: table(
      numbers('mean probability', 'right', dots),
      filled.map(({ confidence, right, rows }) => [
        threeDigits(confidence),
        threeDigits(right),
        shownNumber(rows),
      ]),
    ),
  });
}

/** Predictions over labels of a regression. */
function valuesChart({ values, labels, rows }: EvaluationFacts): Html | null {
  if (values === null || values.length === 0) return null;
  const all = values.flatMap(([, gold, predicted]) => [gold, predicted]).filter(Number.isFinite);
  const [low, high] = [Math.min(...all), Math.max(...all)];
  const ids = [...new Set(values.map(([id]) => id))];
  const series = ids.map((id) => ({
    name: ids.length === 1 ? 'rows' : (labels[id] ?? String(id)),
    points: values.filter(([own]) => own === id).map(([, gold, predicted]): Point => [gold, predicted]),
    colour: id,
    style: 'dots' as const,
  }));
  const shownRows = values.length / Math.max(ids.length, 1);
  return figure({
    title: 'Predictions over labels',
    note: `On the dashed line they are the same.${shownRows < rows ? ` ${shownNumber(shownRows)} of ${shownNumber(rows)} rows, at equal distances.` : ''}`,
    chart: xyChart('Prediction over label', { x: 'label', y: 'prediction', isCut: true }, [
      ...series,
      {
        name: 'equal',
        points: [
          [low, low],
          [high, high],
        ],
        colour: 3,
        style: 'dashed',
      },
    ]),
    table: table(
      ['value', ...numbers('label', 'prediction')],
      values
        .slice(0, CURVE_TABLE_ROWS)
        .map(([id, gold, predicted]) => [labels[id] ?? id, shownNumber(gold), shownNumber(predicted)]),
    ),
  });
}

const RESIDUAL_BINS = 21;

function residualsChart({ values }: EvaluationFacts): Html | null {
  if (values === null || values.length === 0) return null;
  const errors = values.map(([, gold, predicted]) => predicted - gold).filter(Number.isFinite);
  const most = errors.reduce((a, b) => Math.max(a, Math.abs(b)), 0);
  if (most === 0) return null;
  const width = (2 * most) / RESIDUAL_BINS;
  const counts = Array.from({ length: RESIDUAL_BINS }, () => 0);
  for (const error of errors) {
    const at = Math.min(Math.floor((error + most) / width), RESIDUAL_BINS - 1);
    counts[at] = (counts[at] ?? 0) + 1;
  }
  const bars = counts.map((value, i) => ({
    name: shownNumber(Number((-most + (i + 0.5) * width).toPrecision(2))),
    value,
  }));
  return figure({
    title: 'Errors',
    note: 'Prediction less label.',
    chart: barChart('Rows by prediction less label', { x: 'prediction less label', y: 'rows' }, bars),
    table: table(
      numbers('about', 'rows'),
      bars.map(({ name, value }) => [name, value]),
    ),
  });
}

function worstSection({ worst, wrongRows, values, problemType }: EvaluationFacts): Section[] {
  if (worst.length === 0) return [];
  const isRegression = values !== null;
  const unit = problemType === tokenClassification.problemType ? 'text' : 'row';
  const intro = isRegression
    ? `The ${worst.length} rows whose predictions are furthest off.`
    : `${shownNumber(wrongRows)} ${wrongRows === 1 ? `${unit} is` : `${unit}s are`} predicted wrong; these ${worst.length} have the largest loss. Some may have a wrong label.`;
  const items = worst.map((row) => worstItem(row, problemType));
  return [
    {
      id: 'errors',
      title: isRegression ? 'Largest errors' : 'Worst errors',
      body: markup`<p>${intro}</p>
        <ol class="worst">
          ${items}
        </ol>`,
    },
  ];
}

function labelText(value: WorstRow['label']): string {
  if (typeof value === 'number') return shownNumber(value);
  if (typeof value === 'string') return shortened(value, LABEL);
  if (value.length === 0) return 'no label';
  return shortened(
    value.map((one) => (typeof one === 'number' ? shownNumber(one) : one)).join(', '),
    4 * LABEL,
  );
}

function worstItem(
  { row, text, textPair, label, prediction, loss, probabilities }: WorstRow,
  problemType: string,
): Html {
  const all = probabilities.map(
    ([name, probability]) => markup`<li>${shortened(name, LABEL)} <b>${probability.toFixed(3)}</b></li>`,
  );
  const word = problemType === regression.problemType ? 'squared error' : 'loss';
  return markup`<li>
    ${text === undefined ? null : markup`<blockquote dir="auto">${text}</blockquote>`}${textPair === undefined ? null : markup`<blockquote dir="auto">${textPair}</blockquote>`}
    <p>
      <span class="tag">label</span> ${labelText(label)}
      <span class="tag wrong">predicted</span> ${labelText(prediction)}
      <span class="muted">${word} ${shownNumber(loss)}, row ${row}</span>
    </p>
    ${
      all.length === 0
        ? null
        : markup`<ul class="chips">
            ${all}
          </ul>`
    }
  </li> `;
}

/** The metrics of an evaluation, the first ones open. */
export function metricsTable(metrics: Readonly<Record<string, number>>): Html {
  const named = Object.entries(metrics).filter(([name]) => !/runtime|per_second|samples|^epoch$/.test(name));
  const rows = named.map(([name, value]) => [name.replace(/^eval_/, ''), shownNumber(value)]);
  return details(`All ${rows.length} metrics`, table(['metric', ...numbers('value')], rows));
}
