// The page: one file without scripts and without anything to load, for a screen of any width, light or dark, and for paper.
import { evaluationSections, metricsTable } from './evaluation-sections.js';
import type { RunFacts } from './facts.js';
import { markup, shortened, shownNumber, table, numbers, type Html, type Section } from './html.js';
import { dataSection, optionText, runSection, searchSection } from './run-sections.js';
import { STYLE } from './style.js';
import { trainingSection } from './training-sections.js';
import { formatSeconds } from '../terminal/progress.js';

/** The report of a run. */
export function reportPage(run: RunFacts): string {
  const sections = [
    ...searchSection(run),
    ...trainingSection([run]),
    ...(run.evaluation === undefined ? [] : evaluationSections(run.evaluation)),
    ...dataSection(run),
    ...runSection(run),
  ];
  const lead = markup`<p class="lead">${describe(run)}</p>
    ${tiles(run)}${Object.keys(run.results).length > 0 ? metricsTable(run.results) : null}`;
  return pageOf(run.name, lead, sections);
}

/** Two runs side by side. */
export function comparisonPage(a: RunFacts, b: RunFacts): string {
  const [one, other] = named(a, b);
  const metrics = [...new Set([...Object.keys(one.results), ...Object.keys(other.results)])].filter(
    (name) => !/^epoch$|samples$|_flos$|steps_per_second$/.test(name),
  );
  const results = metrics.map((name) => {
    const [before, after] = [one.results[name], other.results[name]];
    const change = before === undefined || after === undefined ? '' : signed(after - before);
    return [name, shown(before), shown(after), change];
  });
  const sections: Section[] = [
    {
      id: 'results',
      title: 'Results',
      body: table(['metric', ...numbers(one.name, other.name, 'difference')], results),
    },
    ...trainingSection([one, other]),
    ...differences('options', 'Options that differ', one, other, optionsOf(one), optionsOf(other)),
    ...differences(
      'data',
      'Data and machine that differ',
      one,
      other,
      surroundings(one),
      surroundings(other),
    ),
  ];
  const lead = markup`${[one, other].map((run) => markup`<p class="lead"><b>${run.name}</b> ${describe(run)}</p>`)}`;
  return pageOf(`${one.name} and ${other.name}`, lead, sections);
}

function shown(value: number | undefined): string {
  return value === undefined ? '' : shownNumber(value);
}

function signed(value: number): string {
  return `${value > 0 ? '+' : ''}${shownNumber(value)}`.replace('-', '\u2212');
}

/** Two folders may have one name. */
function named(a: RunFacts, b: RunFacts): [RunFacts, RunFacts] {
  return a.name === b.name
    ? [
        { ...a, name: `${a.name} (1)` },
        { ...b, name: `${b.name} (2)` },
      ]
    : [a, b];
}

type Values = Readonly<Record<string, string>>;

function optionsOf({ options }: RunFacts): Values {
  return Object.fromEntries(Object.entries(options).map(([name, value]) => [name, optionText(value)]));
}

function surroundings({ run, train, validation }: RunFacts): Values {
  return {
    ...(train !== undefined && {
      'training rows': shownNumber(train.rows),
      'training fingerprint': train.digest ?? '',
    }),
    ...(validation !== undefined && {
      'validation rows': shownNumber(validation.rows),
      'validation fingerprint': validation.digest ?? '',
    }),
    ...run?.machine,
    ...run?.versions,
  };
}

function differences(
  id: string,
  title: string,
  a: RunFacts,
  b: RunFacts,
  one: Values,
  other: Values,
): Section[] {
  const names = [...new Set([...Object.keys(one), ...Object.keys(other)])].filter(
    (name) => one[name] !== other[name],
  );
  if (names.length === 0) return [];
  const absent = id === 'options' ? 'default' : '';
  const rows = names.map((name) => [
    markup`<code>${name}</code>`,
    one[name] ?? absent,
    other[name] ?? absent,
  ]);
  return [{ id, title, body: table(['', a.name, b.name], rows) }];
}

/** A sentence on what the run was. */
function describe({ evaluation, options, steps, bestStep, resumed, run }: RunFacts): string {
  const task = evaluation?.problemType.replaceAll('_', ' ');
  const model = options['model'] ?? options['config'];
  return [
    ...(task === undefined ? [] : [task]),
    ...(typeof model === 'string' ? [`from ${shortened(model, 60)}`] : []),
    ...(steps === null
      ? []
      : [
          `${shownNumber(steps.done)}${steps.done === steps.planned ? '' : ` of ${shownNumber(steps.planned)}`} steps`,
        ]),
    ...(bestStep === null ? [] : [`best at step ${shownNumber(bestStep)}`]),
    ...(resumed.length === 0 ? [] : [`resumed at step ${resumed.map(shownNumber).join(', ')}`]),
    ...(run === undefined ? [] : [`${run.written.slice(0, 16).replace('T', ' ')} UTC`]),
  ].join(' \u00B7 ');
}

/** The figures that a person looks for first. */
const FIRST = [
  'f1',
  'accuracy',
  'subset_accuracy',
  'f1_macro',
  'f1_micro',
  'pearson',
  'spearmanr',
  'mae',
  'perplexity',
  'loss',
];

function tiles({ results, history, evaluation }: RunFacts): Html | null {
  const last = history.findLast((entry) => 'eval_loss' in entry) ?? {};
  const metrics: Readonly<Record<string, number>> = { ...last, ...results };
  const tokens = history.findLast((entry) => 'num_input_tokens_seen' in entry)?.['num_input_tokens_seen'];
  const found = [
    ...FIRST.filter((name) => name !== 'f1_micro' || metrics['eval_accuracy'] === undefined).flatMap(
      (name) =>
        metrics[`eval_${name}`] === undefined
          ? []
          : [[name.replaceAll('_', ' '), shownNumber(metrics[`eval_${name}`])] as const],
    ),
    ...(evaluation === undefined ? [] : [['rows evaluated', shownNumber(evaluation.rows)] as const]),
    ...(results['train_runtime'] === undefined
      ? []
      : [['training time', formatSeconds(results['train_runtime'])] as const]),
    ...(tokens === undefined ? [] : [['tokens', shownNumber(tokens)] as const]),
    ...(results['train_tokens_per_second'] === undefined
      ? []
      : [['tokens/s', shownNumber(results['train_tokens_per_second'])] as const]),
  ];
  if (found.length === 0) return null;
  return markup`<dl class="tiles">
    ${found.map(
      ([name, value]) =>
        markup`<div>
          <dt>${name}</dt>
          <dd>${value}</dd>
        </div>`,
    )}
  </dl>`;
}

/** What a page may do: nothing but have a style, and an empty icon, without which a browser asks for one. */
const POLICY =
  "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'";
const policyTag = (policy: string): Html =>
  markup`<meta http-equiv="Content-Security-Policy" content="${policy}">`;

/** The page with a script of its server, which keeps it up to date. @param script its path */
export function asLive(page: string, script: string): string {
  const policy = policyTag(`${POLICY}; script-src 'self'; connect-src 'self'`);
  // The first of its kind is the page's own, since what came from data is escaped and stands behind it.
  return page.replace(
    policyTag(POLICY).text,
    `${policy.text}\n${markup`<script src="${script}" defer></script>`.text}`,
  );
}

function pageOf(title: string, lead: Html, sections: readonly Section[]): string {
  const contents = sections.map(({ id, title: name }) => markup`<li><a href="#${id}">${name}</a></li>`);
  const parts = sections.map(
    ({ id, title: name, body }) =>
      markup`<section id="${id}" aria-labelledby="${id}-title"><h2 id="${id}-title">${name}</h2>\n${body}</section>\n`,
  );
  const page = markup`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
${policyTag(POLICY)}
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="no-referrer">
<meta name="color-scheme" content="light dark">
<link rel="icon" href="data:,">
<title>${title} · bertune</title>
<style>${STYLE}</style>
</head>
<body>
<header><p class="brand">bertune report</p><h1>${title}</h1>${lead}
<nav aria-label="Contents"><ul>${contents}</ul></nav></header>
<main>
${parts}</main>
</body>
</html>
`;
  return page.text;
}
