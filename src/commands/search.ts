// `bertune search`: many trainings, each with values of its own for some options, towards the best metric.
import { join } from 'node:path';
import { requireDevice } from '../models/encoder-model.js';
import {
  configOf,
  fileEntries,
  parseSearchOptions,
  type ConfigFile,
  type OptionSources,
  type SearchOptions,
} from '../options/index.js';
import type { DatasetDict } from '../data/dataset.js';
import { RunError, UsageError } from '../util/errors.js';
import { nextParams } from '../search/sampler.js';
import { extremes, isDimension, parseDimension, type Params, type Space } from '../search/space.js';
import {
  bestTrial,
  openStudy,
  type Trial,
  prepareTrial,
  runTrial,
  type TrialParts,
} from '../search/study.js';
import type { JournalHeader } from '../util/journal.js';
import { writeJson } from '../util/files.js';
import { commandLine, shellWord } from '../util/installation.js';
import { whileLocked } from '../util/folder-lock.js';
import { formatNumber } from '../terminal/progress.js';
import { bestMetric } from '../training/state.js';
import { openData } from './data.js';
import { modelAndTokenizer, readOptions } from './model-source.js';
import { CommandProgress, checkOutputFolder, printTableOr, tableOf, writeBadRowsOf } from './output.js';
import { writeSearchReport } from './report.js';
import { StopSignals } from './stop.js';
import { requireLabels } from './masked-lm.js';

/** What a search file and flags ask for. */
export interface Search {
  space: Space;
  /** The options of one trial. */
  optionsOf: (params: Params) => SearchOptions;
}

/**
 * Reads a search: a run configuration in which some values are ranges or choices.
 *
 * @throws UsageError for a file without any, and for each value at the ends of the ranges that its option does not take
 */
export function readSearch(file: ConfigFile, flags: NonNullable<OptionSources['flags']>): Search {
  const space: Space = Object.fromEntries(
    fileEntries(file).flatMap(({ written, valueAt, name, value }) =>
      isDimension(value) ? [[written, parseDimension(value, valueAt + name)] as const] : [],
    ),
  );
  if (Object.keys(space).length === 0)
    throw new UsageError(
      `${file.path} has nothing to search; put a range in place of a value, such as learning_rate: {log_uniform: [1e-5, 1e-4]}`,
    );
  const optionsOf = (trial: Params): SearchOptions => parseSearchOptions({ file, flags, trial }).options;
  const first = startingPoint(space);
  const { metricForBestModel } = optionsOf(first);
  if (metricForBestModel === undefined)
    throw new UsageError(
      'A search needs --metric-for-best-model, the metric to search for, e.g. loss or accuracy',
    );
  for (const [name, dimension] of Object.entries(space))
    for (const value of extremes(dimension)) optionsOf({ ...first, [name]: value });
  return { space, optionsOf };
}

/**
 * Runs trials until there are as many as requested. Progress goes to stderr, the best trial to stdout, and its
 * options to best.json, a configuration for `bertune train`.
 *
 * @throws UsageError for options, data or a model that cannot be used; RunError when no trial finished
 */
export async function search(asked: Search): Promise<void> {
  const options = asked.optionsOf(startingPoint(asked.space));
  requireLabels(options.task, 'search');
  const progress = new CommandProgress(options);
  requireDevice(options);
  if (options.live)
    throw new UsageError('--live shows one training; a search writes report.html after each trial');
  await checkOutputFolder(options.outputDir, 0);
  const log = (line: string): void => progress.line(line);
  await whileLocked(options.outputDir, log, () => runTrials(asked, options, progress));
}

async function runTrials(
  { space, optionsOf }: Search,
  options: SearchOptions,
  progress: CommandProgress,
): Promise<void> {
  const { source, tokenizer } = await modelAndTokenizer(options, progress);
  const data = await openData(readOptions(options, source), 'train', progress);
  const signals = new StopSignals(progress, 'stopping after this step');
  const { signal } = signals;
  const prepared = {
    load: (own: SearchOptions) => source.load(data, own),
    tokenizer,
    data,
    progress,
    signal,
  };
  const requireTrainable = async (): Promise<void> => {
    const trial = await prepareTrial(options, prepared, { past: [], title: '' });
    await trial.close();
  };
  const parts: TrialParts = { ...prepared, requireTrainable };
  try {
    if (data.splits.validation === undefined)
      throw new UsageError('A search needs validation rows: --validation-file');
    await requireTrainable();
    await writeBadRowsOf(data, options.outputDir, progress);
    const header = { ...headerOf(space, options), ...(await digestsOf(data)) };
    const study = await openStudy(join(options.outputDir, 'search.jsonl'), header);
    const { greaterIsBetter } = bestMetric(options);
    const { sampler, seed } = options;
    const { entries: trials } = study;
    await signals.resumable(
      () => ({ noun: 'trial', done: trials.length, of: options.nTrials, path: study.path }),
      async () => {
        while (trials.length < options.nTrials) {
          signal.throwIfAborted();
          const number = trials.length + 1;
          const params = nextParams(sampler, space, trials, { number, seed, greaterIsBetter });
          await study.add(await runTrial({ number, params }, () => optionsOf(params), parts, trials));
          progress.asWritten(describe(trials, options));
          await writeSearchReport(options, progress);
        }
      },
    );
    await finish(trials, optionsOf, options);
  } finally {
    signals.release();
    await data.close();
  }
}

async function finish(
  trials: readonly Trial[],
  optionsOf: Search['optionsOf'],
  options: SearchOptions,
): Promise<void> {
  const best = bestTrial(trials, bestMetric(options).greaterIsBetter);
  if (best === undefined) {
    const [failed] = trials.flatMap(({ error }) => error ?? []);
    throw new RunError(
      `No trial finished${failed === undefined ? '' : `; the first failed with: ${failed}`}`,
    );
  }
  const { nTrials: _, sampler: _s, pruner: _p, ...run } = optionsOf(best.params);
  const path = join(options.outputDir, 'best.json');
  await writeJson(path, configOf({ ...run, outputDir: join(options.outputDir, 'best') }));
  process.stderr.write(`Train with the best values:
  ${commandLine('train', shellWord(path))}
`);
  const { number, params, value } = best;
  const table = tableOf([
    [bestMetric(options).key, shown(value)],
    ['trial', `${number} of ${trials.length}`],
    ...Object.entries(params).map(([name, chosen]) => [name, shown(chosen)]),
  ]);
  await printTableOr({ best: { number, params, value }, trials: trials.length }, table, options);
}

function startingPoint(space: Space): Params {
  return Object.fromEntries(Object.entries(space).map(([name, dimension]) => [name, extremes(dimension)[0]]));
}

/** By the names under which a difference is shown; metrics of other rows cannot be compared. */
async function digestsOf({ train, validation }: DatasetDict): Promise<JournalHeader> {
  const [ofTrain, ofValidation] = await Promise.all([train.identity(), validation.identity()]);
  return { 'the training data': ofTrain.files, 'the validation data': ofValidation.files };
}

/** Everything that decides a trial but its values and rows; the number of trials may grow. */
function headerOf(space: Space, options: SearchOptions): JournalHeader {
  const { nTrials: _, outputDir: _o, verbose: _v, quiet: _q, json: _j, ...run } = options;
  const { report: _r, reportTexts: _t, live: _l, livePort: _p, ...same } = run;
  const fixed = Object.entries(same).filter(
    ([name]) => !Object.keys(space).some((written) => isSameName(written, name)),
  );
  return { space, ...Object.fromEntries(fixed) };
}

function isSameName(written: string, name: string): boolean {
  return written.replaceAll(/[-_]/g, '').toLowerCase() === name.toLowerCase();
}

function describe(trials: readonly Trial[], options: SearchOptions): string {
  const { key, greaterIsBetter } = bestMetric(options);
  const trial = trials.at(-1);
  const best = bestTrial(trials, greaterIsBetter);
  const values = Object.entries(trial?.params ?? {}).map(([name, value]) => `${name} ${shown(value)}`);
  const outcome = trial?.state === 'complete' ? '' : `  ${trial?.state ?? ''}`;
  const bestSoFar = best === undefined ? '' : `  (best ${shown(best.value)}, trial ${best.number})`;
  return `trial ${trials.length}/${options.nTrials}  ${values.join('  ')}  ${key} ${shown(trial?.value)}${outcome}${bestSoFar}`;
}

function shown(value: unknown): string {
  return typeof value === 'number' ? formatNumber(value) : JSON.stringify(value ?? null);
}
