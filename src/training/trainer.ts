// THE loop: batches in, optimizer steps, logs, evaluations and checkpoints in between. Read this file first.
import { join } from 'node:path';

import { maxLengthOf } from '../batching/lengths.js';
import { prefetch } from '../batching/prefetch.js';
import { UsageError } from '../errors.js';
import { evaluateRows, type Metrics } from '../evaluation/evaluate.js';
import type { TrainingStats } from '../native.js';
import { createTokenizerPool, type TokenizerPool } from '../tokenizer/index.js';
import { CallbackList, type TrainerControl } from './callbacks.js';
import {
  intactCheckpoint,
  loadBestWeights,
  removeOldCheckpoints,
  resumeFrom,
  saveTrainingCheckpoint,
  TRAINER_STATE,
  type ResumePoint,
} from './checkpoint.js';
import { dueAfterEpoch, dueAfterStep, type Due } from './flow.js';
import { whileLocked, type FolderLock } from './folder-lock.js';
import { runIdentity, type RunIdentity } from './identity.js';
import { InterruptedError } from './interruption.js';
import { createLearningRate, type LearningRate } from './learning-rate.js';
import { removeLeftovers } from './leftovers.js';
import { NonfiniteSteps } from './nonfinite.js';
import { OptimizerSteps } from './optimizer-step.js';
import { ownCallbacks, requirePartsFit, type TrainerParts } from './parts.js';
import { Progress, progressDetail } from './progress.js';
import { encoderWeights, trainMetrics } from './results.js';
import { rowsToDo } from './rows-to-do.js';
import { planRun, stateOf, type RunPlan } from './settings.js';
import { bestMetric, isBetter, type LogEntry, type TrainerState } from './state.js';
import { prepareStep, type PreparedStep } from './step.js';
import { StepQueue } from './step-queue.js';

/** Optimizer steps whose batches are tokenized and packed before their turn. */
const STEPS_AHEAD = 4;

/** Fine-tunes a model; the counterpart of transformers' Trainer. */
export class Trainer {
  /** HF's trainer_state.json as it stands. */
  state: TrainerState;
  readonly #parts: TrainerParts;
  readonly #plan: RunPlan;
  readonly #progress: Progress;
  readonly #pool: TokenizerPool;
  readonly #maxLength: number;
  #identity: RunIdentity = {};
  #lock: FolderLock | null = null;
  #lastCheckpoint: string | null = null;
  readonly #steps: OptimizerSteps;
  readonly #nonfinite: NonfiniteSteps;
  readonly #queue = new StepQueue();
  readonly #learningRate: LearningRate;
  readonly #callbacks: CallbackList;
  readonly #control: TrainerControl = {
    shouldLog: false,
    shouldEvaluate: false,
    shouldSave: false,
    shouldTrainingStop: false,
  };
  #interruption = new AbortController();
  #isTraining = false;
  #hasBegun = false;
  /** Of the step that was done last; true before the first. */
  #hasEpochEnded = true;
  #maxTokens = 0;
  /** The learning rate of the step that was done last. */
  #lastRate = 0;
  /** The step that the run goes on from; the session does not know its norm. */
  #resumedFrom: ResumePoint | undefined;
  #lossLogged = 0;
  #stepLogged = 0;
  #secondsBefore = 0;
  #started = 0;

  /** @throws UsageError for parts that do not fit together */
  constructor(parts: TrainerParts) {
    const { args, model, tokenizer } = parts;
    requirePartsFit(parts);
    this.#parts = parts;
    this.#plan = planRun(args, parts.trainDataset.size);
    this.#steps = new OptimizerSteps(parts, this.#plan.stepsPerEpoch);
    this.#progress = parts.progress ?? new Progress();
    this.#nonfinite = new NonfiniteSteps(args.nonfiniteGradient, this.#say);
    const maxLength = (this.#maxLength = maxLengthOf(model, tokenizer, args.maxSeqLength));
    this.#pool = createTokenizerPool(tokenizer, {
      maxLength,
      workers: args.dataloaderNumWorkers,
    });
    this.state = stateOf(args, this.#plan);
    this.#learningRate = createLearningRate(args, this.#plan.totalSteps);
    this.#callbacks = new CallbackList([...ownCallbacks(args), ...(parts.callbacks ?? [])], () => ({
      args,
      state: this.state,
      control: this.#control,
      model,
      tokenizer,
    }));
  }

  /**
   * Trains from the first step, or from a checkpoint with `args.resumeFromCheckpoint`. Until the end no other process can
   * train into the same output folder.
   *
   * @returns train_loss, train_runtime (seconds), train_samples, train_samples_per_second, train_steps_per_second,
   *   train_tokens_per_second (real tokens), train_data_wait (share of the time without a step to run), epoch,
   *   total_flos
   * @throws UsageError when another run uses the output folder, for a checkpoint that cannot be resumed, and when it is
   *   called again; RunError when the loss stops being finite, the disk is full, or a native step fails;
   *   InterruptedError after `interrupt()`
   */
  async train(): Promise<Metrics> {
    if (this.#hasBegun)
      throw new UsageError(
        'This Trainer has trained already, and its state and callbacks are those of that run. Make another one: with ' +
          'resumeFromCheckpoint to go on, without to train the model further from the first step.',
      );
    this.#hasBegun = true;
    this.#isTraining = true;
    try {
      return await whileLocked(this.#parts.args.outputDir, this.#say, (lock) => {
        this.#lock = lock;
        return this.#train();
      });
    } finally {
      this.#isTraining = false;
      this.#interruption = new AbortController();
    }
  }

  async #train(): Promise<Metrics> {
    const { model, args } = this.#parts;
    await model.open(args);
    await this.#resume();
    this.#started = performance.now();
    await this.#callbacks.call('onTrainBegin', {});
    if (args.evalOnStart && this.state.global_step === 0)
      await this.#unlessInterrupted(() => this.evaluate());
    if (this.#control.shouldEvaluate || this.#control.shouldSave || this.#interruption.signal.aborted)
      await this.#finishStep(); // what an interrupted run had still to do for its last step
    const prepare = (rows: Uint32Array[]): Promise<PreparedStep> =>
      prepareStep(this.#parts.trainDataset, rows, this.#pool);
    for await (const step of prefetch(await this.#rowsToDo(), prepare, STEPS_AHEAD)) {
      if (this.#control.shouldTrainingStop) break;
      await this.#trainStep(step);
      await this.#afterStep();
    }
    const stats = await this.#settle();
    this.state.total_flos = 6 * this.state.num_input_tokens_seen * encoderWeights(model);
    const metrics = trainMetrics(this.state, {
      totalLoss: stats.totalLoss,
      seconds: this.#seconds(),
      idleSeconds: this.#queue.idleSeconds,
      stepsPerEpoch: this.#plan.stepsPerEpoch,
      rows: this.#parts.trainDataset.size,
      ...(args.nonfiniteGradient === 'stop' ? {} : { updates: stats.updates }),
    });
    await this.#record(metrics);
    await this.#callbacks.call('onTrainEnd', {});
    const { best_model_checkpoint: best } = this.state;
    if (args.loadBestModelAtEnd && best !== null) await loadBestWeights(model, best, this.#say);
    return metrics;
  }

  /** The newest checkpoint of this run from which it can go on. */
  get lastCheckpoint(): string | null {
    return this.#lastCheckpoint;
  }

  /** Evaluates on `evalDataset` and adds the metrics to the log history. */
  async evaluate(): Promise<Metrics> {
    const { model, args, evalDataset } = this.#parts;
    if (evalDataset === undefined) throw new UsageError('evaluate() needs an evalDataset');
    await model.open(args);
    const { computeMetrics } = this.#parts;
    const metrics = await evaluateRows(model, evalDataset, {
      pool: this.#pool,
      batchSize: args.perDeviceEvalBatchSize,
      signal: this.#interruption.signal,
      ...(computeMetrics === undefined ? {} : { computeMetrics }),
      onBatch: (rows) => this.#progress.bar('evaluating', rows, evalDataset.size, ''),
    });
    await this.#record({ ...metrics });
    await this.#callbacks.call('onEvaluate', { metrics });
    return metrics;
  }

  /**
   * Ends a running `train()` after the step at hand: a checkpoint is written, and `train()` rejects with
   * InterruptedError. An evaluation is broken off, and made up for when the run is resumed.
   */
  interrupt(): void {
    if (this.#isTraining) this.#interruption.abort();
  }

  /** Stops the tokenizer threads. The model stays open. */
  async close(): Promise<void> {
    this.#progress.end();
    await this.#pool.close();
  }

  /** Hands one step to the session and waits for the one before, so that the next is always there. */
  async #trainStep(step: PreparedStep): Promise<void> {
    const { session } = this.#parts.model;
    const { global_step: number } = this.state;
    this.#lastRate = this.#learningRate.at(number);
    const at = { step: number, learningRate: this.#lastRate };
    if (number % this.#plan.stepsPerEpoch === 0) await this.#callbacks.call('onEpochBegin', {});
    await this.#callbacks.call('onStepBegin', {});
    await this.#queue.push(() => this.#steps.run(session, step, at));
    this.state.global_step += 1;
    this.state.epoch = this.state.global_step / this.#plan.stepsPerEpoch;
    this.state.num_input_tokens_seen += step.tokens;
    this.#showProgress();
  }

  async #afterStep(): Promise<void> {
    this.#hasEpochEnded = false;
    this.#ask(dueAfterStep(this.state.global_step, this.#parts.args, this.#plan));
    await this.#callbacks.call('onStepEnd', {});
    if (this.#nonfinite.looksAtEachStep) await this.#settle();
    await this.#finishStep();
  }

  /** Adds what is due to what callbacks have asked for. */
  #ask(due: Due): void {
    this.#control.shouldLog ||= due.shouldLog;
    this.#control.shouldEvaluate ||= due.shouldEvaluate;
    this.#control.shouldSave ||= due.shouldSave;
  }

  /**
   * Does what is to be done after a step, in HF's order: log, evaluate, end the epoch, log, evaluate, save. Unlike HF
   * it saves once and last, so that whoever resumes from the checkpoint has nothing to make up for.
   */
  async #finishStep(): Promise<void> {
    do {
      await this.#logAndEvaluate();
      if (this.#endsEpoch()) {
        this.#hasEpochEnded = true;
        this.#ask(dueAfterEpoch(this.state.epoch, this.#parts.args));
        await this.#callbacks.call('onEpochEnd', {});
        await this.#logAndEvaluate();
      }
      await this.#saveIfDue();
    } while (this.#endsEpoch()); // a callback ended the training when it was told of the checkpoint
  }

  /** As in HF, the epoch ends where the training does: at the last step, or where a callback stops it. */
  #endsEpoch(): boolean {
    if (this.#hasEpochEnded) return false;
    const { stepsPerEpoch, totalSteps } = this.#plan;
    const { global_step: step } = this.state;
    return step % stepsPerEpoch === 0 || step === totalSteps || this.#control.shouldTrainingStop;
  }

  async #logAndEvaluate(): Promise<void> {
    if (this.#control.shouldLog) await this.#log();
    if (this.#control.shouldEvaluate && !this.#interruption.signal.aborted) await this.#evaluateAndCompare();
  }

  /** @throws InterruptedError with a checkpoint to go on from, after `interrupt()` */
  async #saveIfDue(): Promise<void> {
    const { signal } = this.#interruption;
    let isResumable = false;
    if (this.#control.shouldSave || signal.aborted) isResumable = await this.#save();
    if (!signal.aborted) return;
    if (!isResumable) await this.#save(); // the signal came while only the model was saved
    throw new InterruptedError(this.#checkpointFolder());
  }

  async #log(): Promise<void> {
    this.#control.shouldLog = false;
    const { totalLoss, gradNorm } = await this.#settle();
    const { global_step: step } = this.state;
    if (step === this.#stepLogged) return; // a callback asked again
    const loss = (totalLoss - this.#lossLogged) / (step - this.#stepLogged);
    this.#lossLogged = totalLoss;
    this.#stepLogged = step;
    await this.#record({ loss, grad_norm: gradNorm, learning_rate: this.#lastRate });
  }

  async #evaluateAndCompare(): Promise<void> {
    await this.#settle();
    const metrics = await this.#unlessInterrupted(() => this.evaluate());
    if (metrics === null) return;
    this.#control.shouldEvaluate = false;
    const { args } = this.#parts;
    const { key, greaterIsBetter } = bestMetric(args);
    const value = metrics[key];
    if (value === undefined)
      throw new UsageError(
        `metricForBestModel '${key}' is not among the metrics: ${Object.keys(metrics).join(', ')}`,
      );
    this.#learningRate.evaluated(metrics);
    const isBest = isBetter(value, this.state.best_metric, greaterIsBetter);
    if (args.saveStrategy === 'best') this.#control.shouldSave ||= isBest;
    const isSaved = this.#control.shouldSave;
    if (!isBest || (args.loadBestModelAtEnd && !isSaved)) return; // only what is saved can be loaded at the end
    this.state.best_metric = value;
    this.state.best_global_step = this.state.global_step;
    if (isSaved) this.state.best_model_checkpoint = this.#checkpointFolder();
  }

  /** @returns null when the work was broken off by `interrupt()` */
  async #unlessInterrupted<T>(work: () => Promise<T>): Promise<T | null> {
    try {
      return await work();
    } catch (error) {
      if (error === this.#interruption.signal.reason) return null;
      throw error;
    }
  }

  /** @returns whether a run can be resumed from it */
  async #save(): Promise<boolean> {
    const { model, tokenizer, args } = this.#parts;
    const { totalLoss, updates, gradNorm } = await this.#settle();
    await this.#lock?.confirm();
    this.state.stateful_callbacks = this.#callbacks.states();
    const { shouldEvaluate, shouldSave, shouldTrainingStop } = this.#control;
    const isInterrupted = this.#interruption.signal.aborted;
    const resume: ResumePoint = {
      step: this.state.global_step,
      updates,
      totalLoss,
      lossLogged: this.#lossLogged,
      stepLogged: this.#stepLogged,
      trainSeconds: this.#seconds(),
      idleSeconds: this.#queue.idleSeconds,
      lrSchedulerType: args.lrSchedulerType,
      learningRate: this.#learningRate.state,
      pending: {
        shouldEvaluate,
        shouldSave: shouldEvaluate && shouldSave,
        shouldTrainingStop: isInterrupted && shouldTrainingStop,
      },
      hasEpochEnded: this.#hasEpochEnded,
      gradNorm,
      lastRate: this.#lastRate,
      identity: this.#identity,
    };
    this.#control.shouldSave = false;
    const folder = this.#checkpointFolder();
    const isResumable = !args.saveOnlyModel || isInterrupted;
    await saveTrainingCheckpoint(folder, { model, tokenizer, state: this.state, resume }, { isResumable });
    if (isResumable) this.#lastCheckpoint = folder;
    this.#progress.line(`Saved ${folder}`);
    await this.#callbacks.call('onSave', { folder });
    if (args.saveTotalLimit !== undefined)
      await removeOldCheckpoints(args.outputDir, args.saveTotalLimit, {
        newest: folder,
        best: this.state.best_model_checkpoint,
      });
    return isResumable;
  }

  async #resume(): Promise<void> {
    const { args, model } = this.#parts;
    await removeLeftovers(args.outputDir);
    const identified = { ...this.#parts, maxLength: this.#maxLength };
    this.#identity = await runIdentity(args, this.#plan, identified);
    await this.#steps.begin(model.session);
    this.#nonfinite.begin(0, 0);
    const request = args.resumeFromCheckpoint;
    if (request === undefined || request === false) return;
    const folder = await intactCheckpoint(args.outputDir, request, {
      needsBest: args.loadBestModelAtEnd,
      say: this.#say,
    });
    if (folder === null) return;
    const { state, resume } = await resumeFrom(folder, model, this.#identity);
    this.#lastCheckpoint = folder;
    this.#nonfinite.begin(resume.step, resume.updates);
    this.state = { ...state, max_steps: this.#plan.totalSteps };
    this.#resumedFrom = resume;
    this.#lastRate = resume.lastRate ?? this.#learningRate.at(resume.step - 1);
    this.#lossLogged = resume.lossLogged;
    this.#stepLogged = resume.stepLogged;
    this.#secondsBefore = resume.trainSeconds;
    this.#queue.idleSeconds = resume.idleSeconds;
    if (resume.lrSchedulerType === args.lrSchedulerType) this.#learningRate.restore(resume.learningRate);
    this.#callbacks.restore(state.stateful_callbacks, join(folder, TRAINER_STATE));
    Object.assign(this.#control, resume.pending);
    this.#hasEpochEnded = resume.hasEpochEnded ?? true; // as every checkpoint of an earlier version
    this.#progress.line(`Resuming from ${folder} at step ${resume.step} of ${this.#plan.totalSteps}`);
  }

  /** Waits until the session has done all steps given to it. @throws RunError when one was not finite, by the option */
  async #settle(): Promise<TrainingStats> {
    await this.#queue.drain();
    const stats = await this.#parts.model.session.stats();
    if (stats.maxTokens > 0 && stats.maxTokens !== this.#maxTokens)
      this.#progress.line(`Memory ran out; batches go in parts of at most ${stats.maxTokens} tokens`);
    this.#maxTokens = stats.maxTokens;
    const isBad = this.#nonfinite.look(stats, this.state.global_step);
    const settled = isBad ? await this.#rollBack(stats) : stats;
    const { step, gradNorm = settled.gradNorm } = this.#resumedFrom ?? {};
    return step === this.state.global_step ? { ...settled, gradNorm } : settled;
  }

  /** Takes back weights and moments to the last checkpoint; the run goes on with the next rows. */
  async #rollBack(stats: TrainingStats): Promise<TrainingStats> {
    const { model } = this.#parts;
    const { global_step: step } = this.state;
    const folder = this.#nonfinite.fallBackTo(this.#lastCheckpoint, step);
    await this.#steps.begin(model.session);
    const goOnAt = { step, totalLoss: stats.totalLoss };
    const { resume } = await resumeFrom(folder, model, this.#identity, { goOnAt });
    this.#nonfinite.countFrom(step, resume.updates);
    return { ...stats, updates: resume.updates };
  }

  #rowsToDo(): Promise<Iterable<Uint32Array[]>> {
    const onMeasured = (rows: number): void =>
      this.#progress.bar('measuring lengths', rows, this.#parts.trainDataset.size, '');
    const measuring = { pool: this.#pool, onMeasured };
    return rowsToDo(this.state.global_step, this.#plan, this.#parts, measuring);
  }

  readonly #say = (line: string): void => this.#progress.line(line);

  async #record(values: LogEntry): Promise<void> {
    const entry = { ...values, epoch: this.state.epoch, step: this.state.global_step };
    this.state.log_history.push(entry);
    this.#progress.entry(entry, this.#plan.totalSteps);
    await this.#callbacks.call('onLog', { logs: entry });
  }

  #showProgress(): void {
    const { global_step: step } = this.state;
    const { totalSteps } = this.#plan;
    const rate = this.#learningRate.at(step - 1);
    this.#progress.bar(
      'training',
      step,
      totalSteps,
      progressDetail(this.state, rate, totalSteps, this.#seconds()),
    );
  }

  #checkpointFolder(): string {
    return join(this.#parts.args.outputDir, `checkpoint-${this.state.global_step}`);
  }

  #seconds(): number {
    return this.#secondsBefore + (performance.now() - this.#started) / 1000;
  }
}
