// `bertune search`: many trainings, each with values of its own for some options, towards the best metric.
import { join } from 'node:path';

import { requireDevice } from '../models/runtime.js';
import {
  fileEntries,
  parseSearchOptions,
  type ConfigFile,
  type OptionSources,
  type SearchOptions,
} from '../options/index.js';
import type { DatasetDict } from '../data/dataset.js';
import { messageOf, RunError, UsageError } from '../util/errors.js';
import { isHopeless } from '../search/pruner.js';
import { nextParams } from '../search/sampler.js';
import { extremes, isDimension, parseDimension, type Params, type Space } from '../search/space.js';
import { Study, type StudyHeader } from '../search/study.js';
import type { Report, Trial } from '../search/trial.js';
import type { BertTokenizer } from '../tokenizer/index.js';
import type { TrainerCallback } from '../training/callbacks.js';
import { writeJson } from '../util/files.js';
import { whileLocked } from '../util/folder-lock.js';
import { BarOnly, formatNumber, Progress } from '../terminal/progress.js';
import { bestMetric, isBetter, type TrainerState } from '../training/state.js';
import { Trainer } from '../training/trainer.js';
import { openData } from './data.js';
import { modelAndTokenizer, readOptions, type ModelSource } from './model-source.js';
import { checkOutputFolder, printResult, writeBadRowsOf } from './output.js';

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
 * Runs trials until there are as many as asked for. Progress goes to stderr, the best trial to stdout as JSON, and its
 * options to best.json, a configuration for `bertune train`.
 *
 * @throws UsageError for options, data or a model that cannot be used; RunError when no trial got to its end
 */
export async function search(asked: Search): Promise<void> {
  const progress = new Progress();
  const options = asked.optionsOf(startingPoint(asked.space));
  requireDevice(options);
  await checkOutputFolder(options.outputDir, 0);
  const say = (line: string): void => progress.line(line);
  await whileLocked(options.outputDir, say, () => runTrials(asked, options, progress));
}

async function runTrials(
  { space, optionsOf }: Search,
  options: SearchOptions,
  progress: Progress,
): Promise<void> {
  const { source, tokenizer } = await modelAndTokenizer(options, progress);
  const data = await openData(readOptions(options, source), 'train', progress);
  try {
    if (data.splits.validation === undefined)
      throw new UsageError('A search needs validation rows: --validation-file');
    await writeBadRowsOf(data, options.outputDir, progress);
    const header = { ...headerOf(space, options), ...(await digestsOf(data)) };
    const study = await Study.open(join(options.outputDir, 'search.jsonl'), header);
    const { greaterIsBetter } = bestMetric(options);
    const { sampler, seed } = options;
    for (let number = study.trials.length; number < options.nTrials; number++) {
      const params = nextParams(sampler, space, study.trials, { number, seed, greaterIsBetter });
      const parts = { options: optionsOf(params), source, tokenizer, data };
      await study.add(await runTrial({ number, params }, parts, study.trials));
      progress.line(describe(study, options));
    }
    await finish(study, optionsOf, options);
  } finally {
    await data.close();
  }
}

interface TrialParts {
  options: SearchOptions;
  source: ModelSource;
  tokenizer: BertTokenizer;
  data: DatasetDict;
}

/** A loss that is no longer finite, or too little memory, is a failed trial; the search goes on. */
async function runTrial(
  start: Pick<Trial, 'number' | 'params'>,
  { options, source, tokenizer, data }: TrialParts,
  past: readonly Trial[],
): Promise<Trial> {
  const watch = new TrialWatch(options, past);
  const model = await source.load(data, options);
  const trainer = new Trainer({
    model,
    args: {
      ...options,
      saveStrategy: 'no',
      loadBestModelAtEnd: false,
      resumeFromCheckpoint: false,
      reportTo: [],
    },
    tokenizer,
    trainDataset: data.train,
    evalDataset: data.validation,
    progress: new BarOnly(`trial ${start.number + 1}`),
    callbacks: [watch],
  });
  try {
    await model.open(options);
    await trainer.train();
    if (watch.isOneMissing(trainer.state)) await trainer.evaluate();
    const value = watch.valueAtEnd(trainer.state);
    return {
      ...start,
      state: watch.isPruned ? 'pruned' : 'complete',
      value: Number.isNaN(value) ? null : value,
      reports: watch.reports,
    };
  } catch (error) {
    if (!(error instanceof RunError)) throw error;
    return { ...start, state: 'failed', value: null, reports: watch.reports, error: messageOf(error) };
  } finally {
    await trainer.close();
    await model.close();
  }
}

/** Notes the metric of each evaluation and ends a trial that is hopeless. */
class TrialWatch implements TrainerCallback {
  readonly reports: Report[] = [];
  isPruned = false;
  readonly #options: SearchOptions;
  readonly #past: readonly Trial[];

  constructor(options: SearchOptions, past: readonly Trial[]) {
    this.#options = options;
    this.#past = past;
  }

  /** Whether the weights that a training with these options ends with have not been evaluated. */
  isOneMissing(state: TrainerState): boolean {
    if (this.#options.loadBestModelAtEnd) return this.#loadable(state).length === 0;
    return this.reports.at(-1)?.step !== state.global_step;
  }

  /** Of the weights that a training with these options ends with. */
  valueAtEnd(state: TrainerState): number {
    const { loadBestModelAtEnd } = this.#options;
    if (!loadBestModelAtEnd) return this.reports.at(-1)?.value ?? Number.NaN;
    const { greaterIsBetter } = bestMetric(this.#options);
    let best: number | null = null;
    for (const { value } of this.#loadable(state)) if (isBetter(value, best, greaterIsBetter)) best = value;
    return best ?? Number.NaN;
  }

  /** Of the steps that a training would have saved; what is before the first is compared with nothing. */
  #loadable({ global_step: last, save_steps: every }: TrainerState): Report[] {
    const isSaved = (step: number): boolean =>
      this.#options.saveStrategy !== 'steps' || step % every === 0 || step === last;
    return this.reports.filter(({ step }) => step > 0 && isSaved(step));
  }

  readonly onEvaluate: NonNullable<TrainerCallback['onEvaluate']> = ({ state, metrics, control }) => {
    const { key, greaterIsBetter } = bestMetric(this.#options);
    this.reports.push({ step: state.global_step, value: metrics[key] ?? Number.NaN });
    const isOver = state.global_step >= state.max_steps;
    if (isOver || this.#options.pruner === 'none' || !isHopeless(this.reports, this.#past, greaterIsBetter))
      return;
    this.isPruned = true;
    control.shouldTrainingStop = true;
  };
}

async function finish(study: Study, optionsOf: Search['optionsOf'], options: SearchOptions): Promise<void> {
  const best = study.best(bestMetric(options).greaterIsBetter);
  if (best === undefined) {
    const [failed] = study.trials.flatMap(({ error }) => error ?? []);
    throw new RunError(
      `No trial got to its end${failed === undefined ? '' : `; the first failed with: ${failed}`}`,
    );
  }
  const { nTrials: _, sampler: _s, pruner: _p, ...run } = optionsOf(best.params);
  const path = join(options.outputDir, 'best.json');
  await writeJson(path, { ...run, outputDir: join(options.outputDir, 'best') });
  process.stderr.write(`Train with the best values:\n  npm run train -- ${path}\n`);
  const { number, params, value } = best;
  await printResult(
    `${JSON.stringify({ best: { number, params, value }, trials: study.trials.length }, null, 2)}\n`,
  );
}

function startingPoint(space: Space): Params {
  return Object.fromEntries(Object.entries(space).map(([name, dimension]) => [name, extremes(dimension)[0]]));
}

/** By the names under which a difference is told; metrics of other rows cannot be compared. */
async function digestsOf({ train, validation }: DatasetDict): Promise<StudyHeader> {
  const [ofTrain, ofValidation] = await Promise.all([train.identity(), validation.identity()]);
  return { 'the training data': ofTrain.files, 'the validation data': ofValidation.files };
}

/** Everything that decides a trial but its values and rows; the number of trials may grow. */
function headerOf(space: Space, options: SearchOptions): StudyHeader {
  const { nTrials: _, outputDir: _o, verbose: _v, ...same } = options;
  const fixed = Object.entries(same).filter(
    ([name]) => !Object.keys(space).some((written) => isSameName(written, name)),
  );
  return { space, ...Object.fromEntries(fixed) };
}

function isSameName(written: string, name: string): boolean {
  return written.replaceAll(/[-_]/g, '').toLowerCase() === name.toLowerCase();
}

function describe(study: Study, options: SearchOptions): string {
  const { key, greaterIsBetter } = bestMetric(options);
  const trial = study.trials.at(-1);
  const best = study.best(greaterIsBetter);
  const values = Object.entries(trial?.params ?? {}).map(([name, value]) => `${name} ${shown(value)}`);
  const outcome = trial?.state === 'complete' ? '' : `  ${trial?.state ?? ''}`;
  const bestSoFar = best === undefined ? '' : `  (best ${shown(best.value)}, trial ${best.number + 1})`;
  return `trial ${study.trials.length}/${options.nTrials}  ${values.join('  ')}  ${key} ${shown(trial?.value)}${outcome}${bestSoFar}`;
}

function shown(value: unknown): string {
  return typeof value === 'number' ? formatNumber(value) : JSON.stringify(value ?? null);
}
