// A training from its first step to its last. Read this file first: `#train` is the loop, `#trainStep` one step, and
// `#finishStep` what follows it in HF's order: log, evaluate, end the epoch, save. The state of a run is in the private fields
// below; no other file holds a reference to it.
import { join } from 'node:path';

import { maxLengthOf, prefetch } from '../data/batch.js';
import { Dataset } from '../data/dataset.js';
import { MaskedRows } from '../data/masked-rows.js';
import { createTokenAligner, type TokenAligner } from '../data/token-labels.js';
import { ALONE, type World } from '../distributed/world.js';
import type { ReadingSettings } from '../formats/model-folder.js';
import { evaluateRows, TRUNCATED_ENTITIES, type Metrics } from '../evaluation/evaluate.js';
import type { TrainingStats } from '../native/index.js';
import { readingSettings } from '../options/index.js';
import { detailMetrics } from '../tasks/index.js';
import { formatNumber, Progress, progressDetail } from '../terminal/progress.js';
import { createTokenizerPool, type TokenizerPool } from '../tokenizer/index.js';
import { InterruptedError, UsageError } from '../util/errors.js';
import { counted } from '../util/text.js';
import { isFolder } from '../util/file-system.js';
import { whileLocked, type FolderLock } from '../util/folder-lock.js';
import { withoutUndefined } from '../util/without-undefined.js';
import { CallbackList, newControl, type TrainerControl, type TrainerEvent } from './callbacks.js';
import { loadBestWeights, saveCheckpoint } from './checkpoint.js';
import { mutableSettings, weightsAtSave, type Fingerprint } from './fingerprint.js';
import { markRun, removeOldCheckpoints } from './output-folder.js';
import {
  dueAfterEpoch,
  dueAfterStep,
  earlyEndNote,
  epochAfter,
  plannedState,
  planRun,
  request,
  type RunPlan,
} from './plan.js';
import { newCounters, resumeStateOf, type RunCounters, type StatefulParts } from './resume.js';
import { sampleSteps } from './sampler.js';
import { createLearningRate, type LearningRate } from './schedules.js';
import { ownCallbacks, requirePartsFit, startOrResume, type TrainerParts } from './start.js';
import {
  bestMetric,
  newBest,
  tieNote,
  totalFlos,
  trainResults,
  wasEvaluated,
  type LogEntry,
  type TrainerState,
} from './state.js';
import { StepExecutor } from './step-executor.js';
import { StepLoader, type LoadedStep } from './step-loader.js';

/** Optimizer steps whose batches are tokenized and packed before their turn. */
const STEPS_AHEAD = 4;

/**
 * Fine-tunes a model; the counterpart of transformers' Trainer.
 *
 * @example
 * ```ts
 * import { AutoModelForSequenceClassification, AutoTokenizer } from 'bertune';
 * import { loadDataset, Trainer, trainingArguments } from 'bertune';
 *
 * const data = await loadDataset({ train: 'train.csv', validation: 'dev.csv' });
 * const tokenizer = await AutoTokenizer.fromPretrained('bert-base-uncased');
 * const model = await AutoModelForSequenceClassification.fromPretrained('bert-base-uncased', data.task);
 * const trainer = new Trainer({
 *   model,
 *   tokenizer,
 *   args: trainingArguments({ outputDir: 'out', evalStrategy: 'epoch' }),
 *   trainDataset: data.train,
 *   evalDataset: data.validation,
 * });
 * await trainer.train();
 * for (const each of [trainer, model, data]) await each.close();
 * ```
 */
export class Trainer {
  readonly #parts: TrainerParts;
  readonly #world: World;
  readonly #plan: RunPlan;
  readonly #callbacks: CallbackList;
  readonly #learningRate: LearningRate;
  readonly #executor: StepExecutor;
  readonly #pool: TokenizerPool;
  readonly #align: TokenAligner | null;
  readonly #maxLength: number;
  readonly #progress: Progress;
  #state: TrainerState;
  /** What is due, and what callbacks have requested. */
  readonly #control: TrainerControl = newControl();
  #counters: RunCounters = newCounters();
  #fingerprint: Fingerprint = {};
  #lastCheckpoint: string | null = null;
  #startedAt = 0;
  #phase: 'new' | 'training' | 'done' = 'new';
  #interruption = new AbortController();
  #isAgreed = false;
  #lock: FolderLock | null = null;
  #hasNotedTruncated = false;

  /** @throws UsageError for parts that do not fit together */
  constructor(parts: TrainerParts) {
    const { args, model, tokenizer, trainDataset, callbacks = [], progress } = parts;
    requirePartsFit(parts);
    this.#parts = parts;
    this.#world = parts.world ?? ALONE;
    this.#plan = planRun(args, trainDataset.size, this.#world.size);
    this.#state = plannedState(args, this.#plan);
    this.#progress = progress ?? new Progress();
    this.#learningRate = createLearningRate(args, this.#plan.totalSteps);
    this.#callbacks = new CallbackList([...ownCallbacks(args, this.#world), ...callbacks]);
    this.#executor = new StepExecutor(parts, this.#plan.stepsPerEpoch, this.#progress, this.#world);
    this.#maxLength = maxLengthOf(model, tokenizer, args.maxSeqLength);
    this.#pool = createTokenizerPool(tokenizer, {
      maxLength: this.#maxLength,
      tokenTypes: model.tokenTypes,
      workers: args.dataloaderNumWorkers,
      withOffsets: model.task.kind.unit === 'token',
    });
    this.#align = createTokenAligner(model.task, args.labelAllTokens ? 'all' : 'first');
  }

  /** HF's trainer_state.json as it stands. */
  get state(): TrainerState {
    return this.#state;
  }

  /** The newest checkpoint from which this run can be resumed. */
  get lastCheckpoint(): string | null {
    return this.#lastCheckpoint;
  }

  /**
   * Trains from the first step, or from a checkpoint with `args.resumeFromCheckpoint`. Until the end no other process can
   * train into the same output folder.
   *
   * @returns train_loss, train_runtime (seconds), train_samples, train_samples_per_second, train_steps_per_second,
   *   train_tokens_per_second (real tokens), train_data_wait (share of the time without a step to run), total_flos
   * @throws UsageError when another run uses the output folder, for a checkpoint that cannot be resumed, and when it is
   *   called again; RunError when the loss stops being finite, the disk is full, or a native step fails;
   *   InterruptedError after `interrupt()`
   */
  async train(): Promise<Metrics> {
    if (this.#phase !== 'new')
      throw new UsageError(
        'A Trainer trains once, and this one already has. Create another one: with resumeFromCheckpoint to resume ' +
          'this run, without it to train the model further from the first step.',
      );
    this.#phase = 'training';
    try {
      if (!this.#world.isMain) return await this.#train();
      return await whileLocked(this.#parts.args.outputDir, this.#log, (lock) => {
        this.#lock = lock;
        return this.#train();
      });
    } finally {
      this.#phase = 'done';
      this.#interruption = new AbortController();
    }
  }

  async #train(): Promise<Metrics> {
    const { model, args, trainDataset } = this.#parts;
    await model.open(args);
    const start = await startOrResume(this.#parts, this.#executor, {
      ...this.#statefulParts,
      plan: this.#plan,
      maxLength: this.#maxLength,
      state: this.#state,
      counters: this.#counters,
      log: this.#log,
    });
    ({ state: this.#state, counters: this.#counters } = start);
    ({ fingerprint: this.#fingerprint, checkpoint: this.#lastCheckpoint } = start);
    model.weightsChanged();
    model.reading = readingOfTraining(this.#parts);
    this.#startedAt = performance.now();
    await this.#callbacks.call('onTrainBegin', this.#event);
    await this.#beforeFirstStep();
    const { steps, lengths } = await sampleSteps(this.#state.global_step, this.#plan, args, {
      rows: trainDataset,
      pool: this.#pool,
      world: this.#world,
      onMeasured: (count) => this.#progress.bar('measuring lengths', count, trainDataset.size, ''),
    });
    const { divisorOf } = this.#executor;
    const withHardLabels = (args.distillationAlpha ?? 1) !== 1;
    const source = {
      rows: trainDataset,
      pool: this.#pool,
      reading: { align: this.#align, withHardLabels },
      divisorOf,
    };
    const loader = await StepLoader.open(source, this.#world, lengths);
    const { stepsPerEpoch, totalSteps } = this.#plan;
    let step = this.#state.global_step;
    const load = (rows: readonly Uint32Array[]): Promise<LoadedStep> => {
      const at = { epoch: Math.floor(step / stepsPerEpoch), progress: step / totalSteps };
      step += 1;
      return loader.load(rows, at);
    };
    for await (const loaded of prefetch(steps, load, STEPS_AHEAD)) {
      if (this.#control.shouldTrainingStop) break;
      await this.#trainStep(loaded);
      await this.#finishStep();
    }
    if (this.#state.global_step < totalSteps) this.#log(earlyEndNote(this.#state, args, this.#plan));
    const metrics = await this.#results();
    await this.#record(metrics);
    const { best_model_checkpoint: best } = this.#state;
    if (args.loadBestModelAtEnd) {
      await this.#requireSeen(best);
      await loadBestWeights(model, best, this.#log);
      const note = tieNote(this.#state, args);
      if (note !== null) this.#log(note);
    }
    await this.#callbacks.call('onTrainEnd', this.#event);
    return metrics;
  }

  /** @throws UsageError where rank 0 has a checkpoint that another process does not see, and would go on without */
  async #requireSeen(folder: string | null): Promise<void> {
    const [isThere = 0] = await this.#world.sum([Number(folder !== null && (await isFolder(folder)))]);
    if (isThere > 0 && isThere < this.#world.size)
      throw new UsageError(
        `${folder} is not where each process can read it: give all the same outputDir, on a disk that they share`,
      );
  }

  /** What is to be done before the first step, or what an interrupted run had still to do for its last one. */
  async #beforeFirstStep(): Promise<void> {
    await this.#agree();
    const { args } = this.#parts;
    // A checkpoint of step 0 is of a run that was interrupted in this evaluation, or after it.
    const isDone =
      this.#state.global_step > 0 || (this.#lastCheckpoint !== null && wasEvaluated(this.#state));
    if (args.evalOnStart && !isDone) {
      await this.#evaluateUnlessInterrupted();
      await this.#agree();
    }
    const { shouldEvaluate, shouldSave } = this.#control;
    if (shouldEvaluate || shouldSave || this.#isInterrupted) await this.#doWhatIsDue();
  }

  async #trainStep(loaded: LoadedStep): Promise<void> {
    const state = this.#state;
    const learningRate = this.#learningRate.at(state.global_step);
    if (state.global_step % this.#plan.stepsPerEpoch === 0)
      await this.#callbacks.call('onEpochBegin', this.#event);
    await this.#callbacks.call('onStepBegin', this.#event);
    await this.#executor.push(loaded, { step: state.global_step, learningRate });
    state.global_step += 1;
    state.epoch = epochAfter(state.global_step, this.#plan, this.#parts.args.gradientAccumulationSteps);
    state.num_input_tokens_seen += loaded.tokens;
    this.#counters.lastRate = learningRate;
    this.#counters.hasEpochEnded = false;
    const { totalSteps } = this.#plan;
    const shown = { state, learningRate, seconds: this.#seconds, totalSteps };
    this.#progress.bar('training', state.global_step, totalSteps, progressDetail(shown));
  }

  async #finishStep(): Promise<void> {
    request(this.#control, dueAfterStep(this.#state.global_step, this.#parts.args, this.#plan));
    await this.#callbacks.call('onStepEnd', this.#event);
    if (this.#executor.checksEachStep) await this.#synchronize();
    await this.#agree();
    await this.#doWhatIsDue();
  }

  /** Unlike HF it saves once and last, so that nothing is missing when a run resumes from the checkpoint. */
  async #doWhatIsDue(): Promise<void> {
    do {
      await this.#logAndEvaluate();
      if (this.#endsEpoch()) {
        this.#counters.hasEpochEnded = true;
        request(this.#control, dueAfterEpoch(this.#state.epoch, this.#parts.args));
        await this.#callbacks.call('onEpochEnd', this.#event);
        await this.#agree();
        await this.#logAndEvaluate();
      }
      await this.#saveIfDue();
    } while (this.#endsEpoch()); // a callback ended the training in onSave
  }

  /** As in HF, the epoch ends where the training does: at the last step, or where a callback stops it. */
  #endsEpoch(): boolean {
    if (this.#counters.hasEpochEnded) return false;
    const { global_step: step } = this.#state;
    const { stepsPerEpoch, totalSteps } = this.#plan;
    return step % stepsPerEpoch === 0 || step === totalSteps || this.#control.shouldTrainingStop;
  }

  async #logAndEvaluate(): Promise<void> {
    if (this.#control.shouldLog) {
      await this.#logStep();
      await this.#agree();
    }
    if (this.#control.shouldEvaluate && !this.#isInterrupted) {
      await this.#evaluateAndCompare();
      await this.#agree();
    }
  }

  /** The mean loss since it was logged last; tokens and seconds so far, as HF logs them with include_num_input_tokens_seen. */
  async #logStep(): Promise<void> {
    this.#control.shouldLog = false;
    const { totalLoss, gradNorm } = await this.#synchronize();
    const { global_step: step } = this.#state;
    const { lossLogged, stepLogged, lastRate } = this.#counters;
    if (step === stepLogged) return; // a callback asked again
    const loss = (totalLoss - lossLogged) / (step - stepLogged);
    Object.assign(this.#counters, { lossLogged: totalLoss, stepLogged: step });
    await this.#record({
      loss,
      grad_norm: gradNorm,
      learning_rate: lastRate,
      num_input_tokens_seen: this.#state.num_input_tokens_seen,
      train_runtime: this.#seconds,
    });
  }

  async #evaluateAndCompare(): Promise<void> {
    const { args } = this.#parts;
    const control = this.#control;
    const state = this.#state;
    await this.#synchronize();
    const metrics = await this.#evaluateUnlessInterrupted();
    if (metrics === null) return;
    control.shouldEvaluate = false;
    const best = newBest(state, metrics, args);
    this.#learningRate.evaluated(metrics);
    if (args.saveStrategy === 'best') control.shouldSave ||= best !== null;
    const isSaved = control.shouldSave;
    if (best === null || (args.loadBestModelAtEnd && !isSaved)) return; // only what is saved can be loaded at the end
    state.best_metric = best;
    state.best_global_step = state.global_step;
    if (args.metricForBestModel !== undefined)
      this.#progress.mark(`${bestMetric(args).key} ${formatNumber(best)} is the best so far`);
    if (isSaved) state.best_model_checkpoint = this.#checkpointFolder;
  }

  /** @returns null when it was broken off by `interrupt()` */
  async #evaluateUnlessInterrupted(): Promise<Metrics | null> {
    try {
      return await this.evaluate();
    } catch (error) {
      if (error === this.#interruption.signal.reason) return null;
      throw error;
    }
  }

  /**
   * A signal may come to some processes only, and callbacks may request what only one of them knows of: all do the same. To be called
   * whenever callbacks were, before what they requested is looked at.
   */
  async #agree(): Promise<void> {
    if (this.#world.size === 1) return;
    const names = ['shouldTrainingStop', 'shouldEvaluate', 'shouldSave', 'shouldLog'] as const;
    const own = [this.#interruption.signal.aborted, ...names.map((name) => this.#control[name])];
    const [interrupted = 0, ...requests] = await this.#world.sum(own.map(Number));
    this.#isAgreed = interrupted > 0;
    for (const [i, name] of names.entries()) this.#control[name] = (requests[i] ?? 0) > 0;
  }

  /**
   * Evaluates on `evalDataset` and adds the metrics to the log history.
   *
   * @param options how the evaluation can be stopped
   * @param options.signal breaks the evaluation off: it rejects with the signal's reason, and adds nothing. Default:
   *   `interrupt()` while `train()` runs
   * @param options.metrics as of `evaluateRows`
   * @param options.onPredicted as of `evaluateRows`
   */
  async evaluate({
    signal = this.#interruption.signal,
    ...hooks
  }: Pick<Parameters<typeof evaluateRows>[2], 'signal' | 'metrics' | 'onPredicted'> = {}): Promise<Metrics> {
    const { model, args, evalDataset, computeMetrics } = this.#parts;
    if (evalDataset === undefined) throw new UsageError('evaluate() needs an evalDataset');
    await model.open(args);
    const metrics = await evaluateRows(model, evalDataset, {
      world: this.#world,
      pool: this.#pool,
      batchSize: args.perDeviceEvalBatchSize,
      labelAllTokens: args.labelAllTokens,
      // A signal may come to one process only, and each evaluates a part: with others it is heeded between steps.
      ...(this.#world.size === 1 && { signal }),
      ...hooks,
      ...(computeMetrics === undefined ? {} : { computeMetrics }),
      onBatch: (rows) => this.#progress.bar('evaluating', rows, evalDataset.size, ''),
    });
    await this.#record({ ...metrics });
    this.#noteTruncated(metrics);
    await this.#callbacks.call('onEvaluate', { ...this.#event, metrics });
    return metrics;
  }

  /** Once: each evaluation cuts the same texts. */
  #noteTruncated({ [TRUNCATED_ENTITIES]: truncated }: Metrics): void {
    if (truncated === undefined || this.#hasNotedTruncated) return;
    this.#hasNotedTruncated = true;
    this.#log(
      `note: ${counted(truncated, 'entity is', 'entities are')} behind the cut of long evaluation texts and count for nothing; a larger maxSeqLength includes them, as does stride in evaluate and predict`,
    );
  }

  /** @throws InterruptedError with a checkpoint to resume, after `interrupt()` */
  async #saveIfDue(): Promise<void> {
    let isResumable = false;
    if (this.#control.shouldSave || this.#isInterrupted) isResumable = await this.#save();
    if (!this.#isInterrupted) return;
    if (!isResumable) await this.#save(); // the signal came while only the model was saved
    throw new InterruptedError(this.#checkpointFolder);
  }

  /** @returns whether a run can be resumed from it */
  async #save(): Promise<boolean> {
    const { model, tokenizer, args } = this.#parts;
    const { outputDir, saveTotalLimit } = args;
    const state = this.#state;
    const folder = this.#checkpointFolder;
    const stats = await this.#synchronize();
    if (!this.#world.isMain) return await this.#savedByMain();
    await this.#lock?.confirm();
    this.#fingerprint = { ...this.#fingerprint, ...(await weightsAtSave(model, this.#fingerprint)) };
    const isInterrupted = this.#isInterrupted;
    const isResumable = !args.saveOnlyModel || isInterrupted;
    state.stateful_callbacks = this.#callbacks.states();
    const resume = resumeStateOf(this.#statefulParts, {
      step: state.global_step,
      counters: { ...this.#counters, trainSeconds: this.#seconds },
      idleSeconds: this.#executor.idleSeconds,
      stats,
      isInterrupted,
      fingerprint: this.#fingerprint,
      settings: mutableSettings(args, this.#plan, model, this.#world.size),
    });
    this.#control.shouldSave = false;
    // Before it, so that the checkpoint is never taken for one of the training that the folder was at.
    if (isInterrupted) await markRun(outputDir, this.#counters.run);
    await saveCheckpoint(folder, { model, tokenizer, state, resume: isResumable ? resume : null });
    if (isResumable) this.#lastCheckpoint = folder;
    this.#log(`Saved ${folder}`);
    await this.#callbacks.call('onSave', { ...this.#event, folder });
    const { best_model_checkpoint: best } = state;
    const keep = { newest: folder, best, resumable: this.#lastCheckpoint };
    if (saveTotalLimit !== undefined) await removeOldCheckpoints(outputDir, saveTotalLimit, keep);
    await this.#agree();
    return isResumable;
  }

  /** What there is of a checkpoint for a process that writes none. */
  async #savedByMain(): Promise<boolean> {
    const isResumable = !this.#parts.args.saveOnlyModel || this.#isInterrupted;
    this.#control.shouldSave = false;
    if (isResumable) this.#lastCheckpoint = this.#checkpointFolder;
    await this.#agree(); // when it is written
    return isResumable;
  }

  /**
   * Ends a running `train()` after the step at hand: a checkpoint is written, and `train()` rejects with
   * InterruptedError. An evaluation is broken off, and done when the run is resumed.
   */
  interrupt(): void {
    if (this.#phase === 'training') this.#interruption.abort();
  }

  /** Stops the tokenizer threads. The model stays open. */
  async close(): Promise<void> {
    this.#progress.end();
    await this.#pool.close();
  }

  /** The same as `close`, for `await using`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  get #isInterrupted(): boolean {
    return this.#world.size === 1 ? this.#interruption.signal.aborted : this.#isAgreed;
  }

  /** Where a checkpoint of this step lies. */
  get #checkpointFolder(): string {
    return join(this.#parts.args.outputDir, `checkpoint-${this.#state.global_step}`);
  }

  get #event(): TrainerEvent {
    const { args, model, tokenizer } = this.#parts;
    return { args, state: this.#state, control: this.#control, model, tokenizer };
  }

  /** Of training, over all runs that were resumed. */
  get #seconds(): number {
    return this.#counters.trainSeconds + (performance.now() - this.#startedAt) / 1000;
  }

  get #statefulParts(): StatefulParts {
    return { ...this.#event, learningRate: this.#learningRate, callbacks: this.#callbacks };
  }

  /** Waits until the session has done all steps that it was given. */
  #synchronize(): Promise<TrainingStats> {
    const { global_step: step } = this.#state;
    return this.#executor.synchronize({ step, lastCheckpoint: this.#lastCheckpoint });
  }

  /** Adds an entry to the log history. */
  async #record(values: LogEntry): Promise<void> {
    const entry = { ...values, epoch: this.#state.epoch, step: this.#state.global_step };
    this.#state.log_history.push(entry);
    this.#progress.entry(entry, this.#plan.totalSteps, detailMetrics);
    await this.#callbacks.call('onLog', { ...this.#event, logs: entry });
  }

  readonly #log = (line: string): void => this.#progress.line(line);

  async #results(): Promise<Metrics> {
    const { model, args, trainDataset } = this.#parts;
    const { totalLoss, updates } = await this.#synchronize();
    const state = this.#state;
    state.stateful_callbacks = this.#callbacks.states();
    state.total_flos = totalFlos(state.num_input_tokens_seen, model.session.tensors());
    return trainResults(state, {
      totalLoss,
      seconds: this.#seconds,
      idleSeconds: this.#executor.idleSeconds,
      rows: trainDataset.size,
      ...(args.nonfiniteGradient === 'stop' ? {} : { updates }),
    });
  }
}

/** What is saved with the model for those who evaluate and predict; nothing is known of rows that are not of files. */
function readingOfTraining({ args, trainDataset }: TrainerParts): ReadingSettings {
  const [data, ofMasks] =
    trainDataset instanceof MaskedRows ? [trainDataset.texts, trainDataset.reading] : [trainDataset, {}];
  if (!(data instanceof Dataset)) return {};
  return readingSettings({ ...data.reading, ...ofMasks, ...withoutUndefined(args) }, data.split.columns);
}
