// What a run was made of: its data, the options that differ from the defaults, the machine; and the trials of a search.
import { barChart, parallelChart, xyChart, type ParallelAxis, type Point } from './charts.js';
import type { ReportFacts, RunFacts, SplitFacts, TrialFacts } from './facts.js';
import {
  figure,
  markup,
  numbers,
  percent,
  shortened,
  shownNumber,
  table,
  type Html,
  type Section,
} from './html.js';

const LABELS_SHOWN = 30;
const VALUE = 160;

export function dataSection({ train, validation }: ReportFacts): Section[] {
  const splits = [
    ...(train === undefined ? [] : [{ name: 'training', facts: train }]),
    ...(validation === undefined ? [] : [{ name: 'validation', facts: validation }]),
  ];
  if (splits.length === 0) return [];
  const rows = splits.map(({ name, facts }) => [
    name,
    shownNumber(facts.rows),
    shownNumber(facts.badRows),
    facts.digest === null ? '' : markup`<code>${facts.digest}</code>`,
  ]);
  const body = markup`${table(['rows', ...numbers('read', 'skipped'), 'fingerprint'], rows)}
    ${splits.flatMap(problemsOf)}
    <div class="charts">
      ${splits.flatMap(({ name, facts }) => lengthsChart(name, facts).concat(labelsChart(name, facts)))}
    </div>`;
  return [{ id: 'data', title: 'Data', body }];
}

/** What `bertune inspect` finds in labels. */
function problemsOf({ name, facts }: { name: string; facts: SplitFacts }): Html[] {
  const { duplicates } = facts;
  if (duplicates === undefined || duplicates.rows === 0) return [];
  const { contradictions, example, rows } = duplicates;
  const where = example === undefined ? '' : `, e.g. ${example.first} and ${example.second}`;
  const text =
    contradictions.texts === 0
      ? `${shownNumber(rows)} ${name} rows repeat an earlier text with the same label${where}.`
      : `${shownNumber(contradictions.texts)} texts have different labels in ${shownNumber(contradictions.rows)} ${name} rows${where}; ${shownNumber(rows)} rows repeat an earlier text.`;
  return [markup`<p class="${contradictions.texts === 0 ? 'note' : 'note warn'}">${text}</p>`];
}

function lengthsChart(name: string, { lengths, rows }: SplitFacts): Html[] {
  if (lengths === undefined || lengths.rows === 0) return [];
  const bars = lengths.bins.map(({ from, to, rows: value }) => ({
    name: from === to ? String(from) : `${from}\u2013${to}`,
    value,
    isMarked: from > lengths.limit,
  }));
  const sample = lengths.rows < rows ? ` Of ${shownNumber(lengths.rows)} rows at equal distances.` : '';
  return [
    figure({
      title: `Lengths of ${name} rows`,
      note: `${percent(lengths.cut / lengths.rows)} have more than ${lengths.limit} tokens and are cut; the longest has ${shownNumber(lengths.longest)}.${sample}`,
      chart: barChart(`Rows by tokens, ${name}`, { x: 'tokens', y: 'rows' }, bars, {
        plain: 'whole',
        marked: 'cut',
      }),
      table: table(
        numbers('tokens', 'rows'),
        bars.map((bar) => [bar.name, bar.value]),
      ),
    }),
  ];
}

function labelsChart(name: string, { labels, labelled = 'rows' }: SplitFacts): Html[] {
  if (labels === null || labels.length === 0) return [];
  const sorted = labels.toSorted((a, b) => b.rows - a.rows);
  const bars = sorted
    .slice(0, LABELS_SHOWN)
    .map(({ label, rows }) => ({ name: shortened(label, 16), value: rows }));
  return [
    figure({
      title: `Labels of ${name} ${labelled}`,
      ...(sorted.length > LABELS_SHOWN && {
        note: `The ${LABELS_SHOWN} of ${sorted.length} labels with most ${labelled}.`,
      }),
      chart: barChart(
        `${labelled === 'words' ? 'Words' : 'Rows'} by label, ${name}`,
        { x: '', y: labelled },
        bars,
      ),
      table: table(
        ['label', ...numbers(labelled)],
        sorted.slice(0, 200).map(({ label, rows }) => [shortened(label, 60), shownNumber(rows)]),
      ),
    }),
  ];
}

export function runSection(run: RunFacts): Section[] {
  const options = Object.entries(run.options).map(([name, value]) => [
    markup`<code>${name}</code>`,
    optionText(value),
  ]);
  const machine = Object.entries({ ...run.run?.machine, ...run.run?.versions });
  if (options.length === 0 && machine.length === 0) return [];
  const body = markup`<div class="columns">
    ${
      options.length === 0
        ? null
        : markup`<div>
            <h3>Options that differ from the defaults</h3>
            ${table(['option', 'value'], options)}
          </div>`
    }
    ${
      machine.length === 0
        ? null
        : markup`<div>
            <h3>Machine and versions</h3>
            ${table(['what', 'value'], machine)}
          </div>`
    }
  </div>`;
  return [{ id: 'run', title: 'Run', body }];
}

export function optionText(value: unknown): string {
  if (value === undefined) return '';
  if (typeof value === 'string') return shortened(value, VALUE);
  const isList = Array.isArray(value) && value.every((one) => ['string', 'number'].includes(typeof one));
  return shortened(isList ? value.join(', ') : JSON.stringify(value), VALUE);
}

/** A value that was drawn at random has more digits than anybody reads. */
function paramText(value: unknown): string {
  return typeof value === 'number' ? shownNumber(value) : optionText(value);
}

const MOST_AXES = 9;
/** Trials with a row, a line or a dot of their own. */
const TRIALS_SHOWN = 500;

export function searchSection({ search }: RunFacts): Section[] {
  if (search === null || search.trials.length === 0) return [];
  const { metric, greaterIsBetter, trials } = search;
  const ranked = rankedOf(trials, greaterIsBetter);
  const [best] = ranked;
  const good = new Set(ranked.slice(0, TRIALS_SHOWN));
  const shown = trials.length <= TRIALS_SHOWN ? trials : trials.filter((trial) => good.has(trial));
  const body = markup`<div class="charts">
      ${trialsChart(shown, metric, best)}${bestSoFarChart(trials, metric, greaterIsBetter)}
    </div>
    ${shown === trials ? null : markup`<p>The ${shown.length} best of ${trials.length} trials; all are in search.jsonl.</p>`}
    ${table(
      [...numbers('trial'), ...namesOf(trials), ...numbers(metric), 'state'],
      shown.map((trial) => {
        const number = trial === best ? markup`<b>${trial.number} best</b>` : trial.number;
        const params = namesOf(trials).map((name) => paramText(trial.params[name]));
        return [[number], params, [shownNumber(trial.value), trial.state]].flat();
      }),
    )}`;
  return [{ id: 'search', title: 'Search', body }];
}

function namesOf(trials: readonly TrialFacts[]): string[] {
  return [...new Set(trials.flatMap(({ params }) => Object.keys(params)))].slice(0, MOST_AXES - 1);
}

function trialsChart(
  trials: readonly TrialFacts[],
  metric: string,
  best: TrialFacts | undefined,
): Html | null {
  const complete = trials.flatMap((trial) =>
    trial.value === null ? [] : [{ ...trial, value: trial.value }],
  );
  if (complete.length === 0) return null;
  const names = namesOf(complete);
  const axes = names.map((name): ParallelAxis => {
    const values = complete.map(({ params }) => params[name]);
    const found = values.filter((value) => typeof value === 'number');
    if (found.length < values.length) return { name, values: [...new Set(values.map(optionText))] };
    const [low, high] = [Math.min(...found), Math.max(...found)];
    return { name, values: null, isLog: low > 0 && high / low >= 30 };
  });
  const rows = complete.map(({ number, params, value }) => ({
    values: [
      ...names.map((name, i) => (axes[i]?.values === null ? Number(params[name]) : optionText(params[name]))),
      value,
    ],
    isStrong: number === best?.number,
  }));
  return figure({
    title: 'Trials',
    note: 'A line for each trial; the strong one is the best.',
    isWide: true,
    chart: parallelChart(
      `Values of each trial and its ${metric}`,
      [...axes, { name: metric, values: null }],
      rows,
    ),
    table: markup`<p>The table below has their values.</p>`,
  });
}

function bestSoFarChart(trials: readonly TrialFacts[], metric: string, greaterIsBetter: boolean): Html {
  const every = Math.ceil(trials.length / TRIALS_SHOWN);
  const each = trials.flatMap(({ number, value }, i): Point[] =>
    value === null || i % every !== 0 ? [] : [[number, value]],
  );
  const soFar: Point[] = [];
  const records: Point[] = [];
  let best: number | undefined;
  for (const { number, value, state } of trials) {
    if (state !== 'complete' || value === null) continue;
    if (best === undefined || (greaterIsBetter ? value > best : value < best)) {
      best = value;
      records.push([number, value]);
    }
    soFar.push([number, best]);
  }
  return figure({
    title: 'Best so far',
    chart: xyChart(`${metric} of each trial, and the best so far`, { x: 'trial', y: metric, isCut: true }, [
      { name: 'best so far', points: soFar, colour: 1, style: 'steps' },
      { name: 'trial', points: each, colour: 0, style: 'dots' },
    ]),
    table: table(
      numbers('trial', 'best so far'),
      records.map(([number, value]) => [number, shownNumber(value)]),
    ),
  });
}

/** Complete trials, the best first. */
function rankedOf(trials: readonly TrialFacts[], greaterIsBetter: boolean): TrialFacts[] {
  const score = ({ value }: TrialFacts): number => (value ?? Number.NaN) * (greaterIsBetter ? -1 : 1);
  const complete = trials.filter(({ state, value }) => state === 'complete' && value !== null);
  return complete.toSorted((a, b) => score(a) - score(b));
}
