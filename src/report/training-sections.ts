// The course of a training, of one run or of two over each other: loss, metrics, learning rate, gradient norm, speed.
import { xyChart, type Axes, type Point, type Rule, type Series } from './charts.js';
import type { LogEntry, RunFacts } from './facts.js';
import { figure, markup, numbers, shownNumber, shortened, table, type Html, type Section } from './html.js';

/** Rows of a table beside a chart. */
const TABLE_ROWS = 60;
/** Log entries that make a curve. */
const USUAL_ENTRIES = 20;
/** From so many points on a smoothed line is drawn over them. */
const SMOOTHED_FROM = 12;

/** What is plotted as shares of one: metrics of which higher is better. */
const SHARES = [
  'accuracy',
  'f1_macro',
  'f1_micro',
  'subset_accuracy',
  'matthews_correlation',
  'pearson',
  'spearmanr',
  'r2',
];
const MOST_METRICS = 4;
/** What has a chart of its own. */
const ELSEWHERE = new Set(['eval_loss', 'eval_perplexity']);

/** The section, or none for runs that were no trainings. */
export function trainingSection(runs: readonly RunFacts[]): Section[] {
  const charts = [lossChart(runs), metricsChart(runs), ownMetricChart(runs)].concat([
    valueChart(runs, 'Perplexity of the evaluations', 'perplexity', ofEntry('eval_perplexity')),
    valueChart(runs, 'Learning rate', 'learning rate', ofEntry('learning_rate')),
    valueChart(runs, 'Gradient norm', 'norm', ofEntry('grad_norm'), { isSmoothed: true }),
    valueChart(runs, 'Speed', 'tokens/s', tokensPerSecond, {
      isSmoothed: true,
      note: 'Real tokens a second between two log entries, without the time of evaluations.',
    }),
  ]);
  const found = charts.filter((chart) => chart !== null);
  const notes = runs.flatMap((run) => noLossNote(run, runs.length === 1 ? 'the run' : run.name));
  if (found.length + notes.length === 0) return [];
  return [{ id: 'training', title: 'Training', body: markup`${notes}<div class="charts">${found}</div>` }];
}

/** Says why a training has no loss to show: it was not logged yet, or fewer steps were planned than lie between two log entries. */
function noLossNote({ steps, history }: RunFacts, name: string): Html[] {
  if (steps?.betweenLogs === undefined || ofEntry('loss')(history).length > 0) return [];
  const { planned, betweenLogs } = steps;
  if (betweenLogs <= planned)
    return [markup`<p class="note">The first loss is logged at step ${shownNumber(betweenLogs)}.</p>`];
  const often = Math.max(1, Math.floor(planned / USUAL_ENTRIES));
  return [
    markup`<p class="note">The loss is logged every ${shownNumber(betweenLogs)} steps, and ${name} has ${shownNumber(planned)}: train with <code>--logging-steps ${often}</code> to see its curve.</p>`,
  ];
}

function lossChart(runs: readonly RunFacts[]): Html | null {
  const isAlone = runs.length === 1;
  const series = runs.flatMap((run, i) => {
    const train = ofEntry('loss')(run.history);
    const evaluated = ofEntry('eval_loss')(run.history);
    const of = (what: string): string => (isAlone ? what : `${run.name}: ${what}`);
    return [
      ...withSmoothed(of('training'), train, 2 * i),
      ...line(of('evaluation'), evaluated, 2 * i + 1, bestOf(run, evaluated)),
    ];
  });
  return chartOf(runs, series, { title: 'Loss', y: 'loss' });
}

/** With one label a row the micro average of F1 is the accuracy. */
function isShown(name: string, history: readonly LogEntry[]): boolean {
  if (name === 'f1_micro' && history.some((entry) => 'eval_accuracy' in entry)) return false;
  return ofEntry(`eval_${name}`)(history).length > 0;
}

/** Metrics that are shares of one, of one run; of two runs the one that both have. */
function metricsChart(runs: readonly RunFacts[]): Html | null {
  const all = SHARES.filter((name) => runs.every(({ history }) => isShown(name, history)));
  const [own] = runs.flatMap(({ bestMetric }) => bestMetric ?? []);
  const first = all.filter((name) => `eval_${name}` === own);
  const names = [...new Set([...first, ...all])].slice(0, runs.length === 1 ? MOST_METRICS : 1);
  const series = runs.flatMap((run, i) =>
    names.flatMap((name, j) => {
      const points = ofEntry(`eval_${name}`)(run.history);
      const isBest = `eval_${name}` === run.bestMetric;
      return line(
        runs.length === 1 ? name : run.name,
        points,
        runs.length === 1 ? j : 2 * i,
        isBest ? bestOf(run, points) : [],
      );
    }),
  );
  const title = runs.length === 1 ? 'Metrics of the evaluations' : `Evaluations: ${names[0] ?? ''}`;
  return chartOf(runs, series, { title, y: names.length === 1 ? (names[0] ?? '') : 'metric', isCut: true });
}

/** The metric that chooses the best model, where it is none of those above. */
function ownMetricChart(runs: readonly RunFacts[]): Html | null {
  const [key] = runs.flatMap(({ bestMetric }) => bestMetric ?? []);
  if (key === undefined || ELSEWHERE.has(key) || SHARES.includes(key.replace('eval_', ''))) return null;
  const series = runs.flatMap((run, i) => {
    const points = ofEntry(key)(run.history);
    return line(runs.length === 1 ? key : run.name, points, i, bestOf(run, points));
  });
  return chartOf(runs, series, {
    title: `Evaluations: ${key.replace('eval_', '')}`,
    y: 'metric',
    isCut: true,
  });
}

function valueChart(
  runs: readonly RunFacts[],
  title: string,
  y: string,
  pointsOf: (history: readonly LogEntry[]) => Point[],
  { isSmoothed = false, note }: { isSmoothed?: boolean; note?: string } = {},
): Html | null {
  const series = runs.flatMap((run, i) => {
    const points = pointsOf(run.history);
    const name = runs.length === 1 ? y : run.name;
    return isSmoothed ? withSmoothed(name, points, 2 * i) : line(name, points, 2 * i);
  });
  return chartOf(runs, series, { title, y, ...(note !== undefined && { note }) });
}

function chartOf(
  runs: readonly RunFacts[],
  series: readonly Series[],
  { title, note, ...axes }: Omit<Axes, 'x'> & { title: string; note?: string },
): Html | null {
  if (series.every(({ points }) => points.length === 0)) return null;
  const rules: Rule[] = runs.flatMap(({ name, resumed }) =>
    resumed.map((at) => ({ at, text: runs.length === 1 ? 'resumed' : `${shortened(name, 16)} resumed` })),
  );
  const plain = series.filter(({ name }) => !name.endsWith(SMOOTHED));
  return figure({
    title,
    ...(note !== undefined && { note }),
    chart: xyChart(`${title} over steps`, { x: 'step', ...axes }, series, rules),
    table: seriesTable(plain),
  });
}

const SMOOTHED = ', smoothed';

function withSmoothed(name: string, points: readonly Point[], colour: number): Series[] {
  if (points.length < SMOOTHED_FROM) return line(name, points, colour);
  return [
    { name, points, colour, style: 'faint' },
    { name: `${name}${SMOOTHED}`, points: smoothed(points), colour },
  ];
}

function line(name: string, points: readonly Point[], colour: number, marks: Series['marks'] = []): Series[] {
  return points.length === 0 ? [] : [{ name, points, colour, marks }];
}

function bestOf({ bestStep }: RunFacts, points: readonly Point[]): NonNullable<Series['marks']> {
  const at = bestStep === null ? undefined : points.find(([step]) => step === bestStep);
  return at === undefined ? [] : [{ at, text: 'best' }];
}

/** The values of a name over steps; of a step that was evaluated twice the last. */
export function ofEntry(name: string): (history: readonly LogEntry[]) => Point[] {
  return (history) => {
    const found = new Map<number, number>();
    for (const entry of history) {
      const value = entry[name];
      if (value !== undefined) found.set(entry['step'] ?? 0, value);
    }
    return [...found];
  };
}

/** Tokens a second from one log entry to the next. */
export function tokensPerSecond(history: readonly LogEntry[]): Point[] {
  const points: Point[] = [];
  let before = { tokens: 0, seconds: 0 };
  let evaluating = 0;
  for (const entry of history) {
    evaluating += entry['eval_runtime'] ?? 0;
    const { num_input_tokens_seen: tokens, train_runtime: seconds, step = 0 } = entry;
    if (tokens === undefined || seconds === undefined) continue;
    const spent = seconds - before.seconds - evaluating;
    if (spent > 0 && tokens > before.tokens) points.push([step, (tokens - before.tokens) / spent]);
    before = { tokens, seconds };
    evaluating = 0;
  }
  return points;
}

/** An exponential mean over about a tenth of the points, without the bias towards a start at zero. */
export function smoothed(points: readonly Point[]): Point[] {
  const weight = 2 / (Math.max(points.length / 10, 4) + 1);
  let [mean, mass] = [0, 0];
  return points.map(([x, y]) => {
    if (Number.isFinite(y)) {
      mean += weight * (y - mean);
      mass += weight * (1 - mass);
    }
    return [x, mass === 0 ? y : mean / mass];
  });
}

/** The values of all series by step, at equal distances where there are many. */
function seriesTable(series: readonly Series[]): Html {
  const byStep = new Map<number, (number | undefined)[]>();
  series.forEach(({ points }, i) => {
    for (const [step, value] of points) {
      const row = byStep.get(step) ?? [];
      row[i] = value;
      byStep.set(step, row);
    }
  });
  const steps = [...byStep].toSorted(([a], [b]) => a - b);
  const every = Math.ceil(steps.length / TABLE_ROWS);
  const shown = steps.filter((_, i) => i % every === 0 || i === steps.length - 1);
  const rows = shown.map(([step, row]) => {
    const values = series.map((_, i) => (row[i] === undefined ? '' : shownNumber(row[i])));
    return [shownNumber(step)].concat(values);
  });
  return markup`${every > 1 ? markup`<p>One row in ${every} of ${steps.length}; all are in trainer_state.json.</p>` : null}${table(numbers('step', ...series.map(({ name }) => name)), rows)}`;
}
