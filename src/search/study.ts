// The trials of a search: one training each, pruned where it is hopeless; search.jsonl; and which of them is the best.
import { z } from 'zod';
import { Journal, type JournalHeader } from '../util/journal.js';
import type { DatasetDict } from '../data/dataset.js';
import type { EncoderModel } from '../models/encoder-model.js';
import type { SearchOptions } from '../options/index.js';
import { TitledProgress, type Progress } from '../terminal/progress.js';
import type { BertTokenizer } from '../tokenizer/index.js';
import type { TrainerCallback } from '../training/callbacks.js';
import { bestMetric, isBetter, type TrainerState } from '../training/state.js';
import { Trainer } from '../training/trainer.js';
import { messageOf, SettingsError, UsageError } from '../util/errors.js';

/** The metric at one evaluation. */
const report = z.object({
  /** Optimizer steps before it. */
  step: z.number(),
  /** NaN, in a file null, where the metric is not defined. */
  value: z
    .number()
    .nullable()
    .transform((value) => value ?? Number.NaN),
});
export type Report = z.output<typeof report>;

/** One training of a search and how it ended. */
const trial = z.object({
  /** From 1, as on the screen. */
  number: z.number().int().min(1),
  /** The values that were tried, by option. */
  params: z.record(z.string(), z.unknown()),
  /** Pruned: ended early; failed: it could not be trained with these values, e.g. its loss was no longer finite. */
  state: z.enum(['complete', 'pruned', 'failed']),
  /** The metric of the weights that the training ended with; null of a failed trial. */
  value: z.number().nullable(),
  reports: z.array(report),
  /** Why a trial failed. */
  error: z.string().exactOptional(),
});
export type Trial = z.output<typeof trial>;

/** Starts a search, or continues the one in the file. @throws UsageError when the file is damaged or of another search */
export function openStudy(path: string, header: JournalHeader): Promise<Journal<Trial>> {
  return Journal.open(path, { name: 'search', header, entry: trial });
}

/** The complete trial with the best value, the first of equal ones; undefined while there is none. */
export function bestTrial(trials: readonly Trial[], greaterIsBetter: boolean): Trial | undefined {
  const sign = greaterIsBetter ? -1 : 1;
  const score = ({ value }: Trial): number =>
    value === null || Number.isNaN(value) ? Infinity : sign * value;
  const complete = trials.filter(({ state }) => state === 'complete');
  return complete.toSorted((a, b) => (score(a) === score(b) ? 0 : score(a) - score(b)))[0];
}

const STARTUP_TRIALS = 5;

/**
 * Whether a trial should be pruned after the last of its reports (Optuna's MedianPruner, its defaults): when the best of
 * them is worse than the median of what the complete trials reported at that step.
 */
export function isHopeless(
  reports: readonly Report[],
  past: readonly Trial[],
  greaterIsBetter: boolean,
): boolean {
  const last = reports.at(-1);
  const complete = past.filter(({ state }) => state === 'complete');
  if (last === undefined || complete.length < STARTUP_TRIALS) return false;
  const others = complete.flatMap((other) =>
    other.reports.filter(({ step }) => step === last.step).map(({ value }) => value),
  );
  if (others.length === 0) return false;
  const sign = greaterIsBetter ? -1 : 1;
  const best = Math.min(...reports.map(({ value }) => (Number.isNaN(value) ? Infinity : sign * value)));
  return best > median(others.map((value) => sign * value).filter((value) => !Number.isNaN(value)));
}

function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length / 2;
  if (!Number.isInteger(middle)) return sorted[Math.floor(middle)] ?? Infinity;
  return ((sorted[middle - 1] ?? Infinity) + (sorted[middle] ?? Infinity)) / 2;
}

/** What all trials of a search share. */
export interface TrialParts {
  load: (options: SearchOptions) => Promise<EncoderModel>;
  tokenizer: BertTokenizer;
  data: DatasetDict;
  progress: Progress;
  /** Ends the trial after the step or evaluation at hand: it rejects with the signal's reason. */
  signal: AbortSignal;
  /** Throws where not even the values that the search started with can be trained any more: then no trial is to blame. */
  requireTrainable: () => Promise<void>;
}

/**
 * Trains once. What is the fault of the trial's own values, and of those alone, makes it a failed trial: options that
 * exclude each other, a loss that is no longer finite, batches too large for the memory.
 *
 * @param options completes and checks the options of the trial
 * @throws what the trial cannot help, such as a full disk, changed data, or a model folder that is gone
 */
export async function runTrial(
  start: Pick<Trial, 'number' | 'params'>,
  options: () => SearchOptions,
  parts: TrialParts,
  past: readonly Trial[],
): Promise<Trial> {
  const failed = (error: Error, reports: Report[]): Trial => {
    return { ...start, state: 'failed', value: null, reports, error: messageOf(error) };
  };
  let prepared: PreparedTrial;
  try {
    prepared = await prepareTrial(options(), parts, { past, title: `trial ${start.number}` });
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    await parts.requireTrainable();
    return failed(error, []);
  }
  try {
    return { ...start, ...(await prepared.run()) };
  } catch (error) {
    if (error instanceof SettingsError) return failed(error, prepared.reports);
    throw error;
  } finally {
    await prepared.close();
  }
}

interface PreparedTrial {
  readonly reports: Report[];
  run: () => Promise<Pick<Trial, 'state' | 'value' | 'reports'>>;
  close: () => Promise<void>;
}

/** @throws UsageError for options that do not suit the model or the data */
export async function prepareTrial(
  options: SearchOptions,
  { load, tokenizer, data, progress, signal }: Omit<TrialParts, 'requireTrainable'>,
  { past, title }: { past: readonly Trial[]; title: string },
): Promise<PreparedTrial> {
  const watch = new TrialWatch(options, past, signal);
  const model = await load(options);
  let trainer: Trainer;
  try {
    trainer = new Trainer({
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
      progress: new TitledProgress(progress, title),
      callbacks: [watch],
    });
  } catch (error) {
    await model.close();
    throw error;
  }
  return {
    reports: watch.reports,
    run: async () => {
      await model.open(options);
      await trainer.train();
      if (watch.isOneMissing(trainer.state)) await trainer.evaluate({ signal });
      const value = watch.valueAtEnd(trainer.state);
      const state = watch.isPruned ? 'pruned' : 'complete';
      return { state, value: Number.isNaN(value) ? null : value, reports: watch.reports };
    },
    close: async () => {
      await trainer.close();
      await model.close();
    },
  };
}

/** Keeps the metric of each evaluation and ends a trial that is hopeless. */
class TrialWatch implements TrainerCallback {
  readonly reports: Report[] = [];
  isPruned = false;
  readonly #options: SearchOptions;
  readonly #past: readonly Trial[];
  readonly #signal: AbortSignal;

  constructor(options: SearchOptions, past: readonly Trial[], signal: AbortSignal) {
    this.#options = options;
    this.#past = past;
    this.#signal = signal;
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

  readonly onStepEnd: NonNullable<TrainerCallback['onStepEnd']> = () => this.#signal.throwIfAborted();

  readonly onEvaluate: NonNullable<TrainerCallback['onEvaluate']> = ({ state, metrics, control }) => {
    this.#signal.throwIfAborted();
    const { key, greaterIsBetter } = bestMetric(this.#options);
    this.reports.push({ step: state.global_step, value: metrics[key] ?? Number.NaN });
    const isOver = state.global_step >= state.max_steps;
    if (isOver || this.#options.pruner === 'none' || !isHopeless(this.reports, this.#past, greaterIsBetter))
      return;
    this.isPruned = true;
    control.shouldTrainingStop = true;
  };
}
