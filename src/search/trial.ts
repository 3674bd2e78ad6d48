// One trial: a training with values of its own, watched, and ended early where it is hopeless.
import type { DatasetDict } from '../data/dataset.js';
import type { EncoderModel } from '../models/encoder-model.js';
import type { SearchOptions } from '../options/index.js';
import { TitledProgress, type Progress } from '../terminal/progress.js';
import type { BertTokenizer } from '../tokenizer/index.js';
import type { TrainerCallback } from '../training/callbacks.js';
import { bestMetric, isBetter, type TrainerState } from '../training/state.js';
import { Trainer } from '../training/trainer.js';
import { messageOf, SettingsError, UsageError } from '../util/errors.js';
import { isHopeless, type Report, type Trial } from './study.js';

/** What all trials of a search share. */
export interface TrialParts {
  load: (options: SearchOptions) => Promise<EncoderModel>;
  tokenizer: BertTokenizer;
  data: DatasetDict;
  progress: Progress;
  /** Ends the trial after the step or evaluation at hand: it rejects with the signal's reason. */
  signal: AbortSignal;
}

/**
 * Trains once. What is the fault of the trial's own values, and of those alone, makes it a failed trial: options that
 * exclude each other, a loss that is no longer finite, batches too large for the memory.
 *
 * @param options completes and checks the options of the trial
 * @throws what the trial cannot help, such as a full disk or changed data
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
  let trial: PreparedTrial;
  try {
    trial = await prepareTrial(options(), parts, { past, title: `trial ${start.number + 1}` });
  } catch (error) {
    if (error instanceof UsageError) return failed(error, []);
    throw error;
  }
  try {
    return { ...start, ...(await trial.run()) };
  } catch (error) {
    if (error instanceof SettingsError) return failed(error, trial.reports);
    throw error;
  } finally {
    await trial.close();
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
  { load, tokenizer, data, progress, signal }: TrialParts,
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
