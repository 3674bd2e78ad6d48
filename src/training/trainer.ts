// THE loop: batches in, optimizer steps, logs, evaluations and checkpoints in between. Read this file first.
import { basename, dirname, join } from 'node:path';

import { maxLengthOf, measureLengths } from '../batching/lengths.js';
import { prefetch } from '../batching/prefetch.js';
import { RunError, UsageError } from '../errors.js';
import { evaluateRows, type Metrics } from '../evaluation/evaluate.js';
import type { TrainingStats } from '../native.js';
import { createTokenizerPool, type TokenizerPool } from '../tokenizer/index.js';
import {
  findCheckpoint,
  removeOldCheckpoints,
  resumeFrom,
  saveTrainingCheckpoint,
  type ResumePoint,
  type RunIdentity,
} from './checkpoint.js';
import { removeLeftovers } from './leftovers.js';
import { OptimizerSteps } from './optimizer-step.js';
import { stepRows } from './order.js';
import { requirePartsFit, type TrainerParts } from './parts.js';
import { Progress, progressDetail } from './progress.js';
import { encoderWeights, trainMetrics } from './results.js';
import { learningRateAt } from './schedule.js';
import { isDue, planRun, runIdentity, stateOf, type RunPlan } from './settings.js';
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
  readonly #identity: RunIdentity;
  readonly #steps: OptimizerSteps;
  readonly #queue = new StepQueue();
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
    const maxLength = maxLengthOf(model, tokenizer, args.maxSeqLength);
    this.#identity = runIdentity(args, this.#plan, {
      rows: parts.trainDataset.size,
      labels: model.task.labels,
      maxLength,
    });
    this.#pool = createTokenizerPool(tokenizer, {
      maxLength,
      workers: args.dataloaderNumWorkers,
    });
    this.state = stateOf(args, this.#plan);
  }

  /**
   * Trains from the first step, or from a checkpoint with `args.resumeFromCheckpoint`.
   *
   * @returns train_loss, train_runtime (seconds), train_samples, train_samples_per_second, train_steps_per_second,
   *   train_tokens_per_second (real tokens), train_data_wait (share of the time without a step to run), epoch,
   *   total_flos
   * @throws RunError when the loss stops being finite, the disk is full, or a native step fails
   */
  async train(): Promise<Metrics> {
    const { model, args } = this.#parts;
    await model.open(args);
    await this.#resume();
    this.#started = performance.now();
    const prepare = (rows: Uint32Array[]): Promise<PreparedStep> =>
      prepareStep(this.#parts.trainDataset, rows, this.#pool);
    for await (const step of prefetch(await this.#stepsToDo(), prepare, STEPS_AHEAD)) {
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
    });
    this.#record(metrics);
    if (args.loadBestModelAtEnd && this.state.best_model_checkpoint !== null) {
      this.#progress.line(`Loading the best model, ${this.state.best_model_checkpoint}`);
      await model.loadWeights(this.state.best_model_checkpoint);
    }
    return metrics;
  }

  /** Evaluates on `evalDataset` and adds the metrics to the log history. */
  async evaluate(): Promise<Metrics> {
    const { model, args, evalDataset } = this.#parts;
    if (evalDataset === undefined) throw new UsageError('evaluate() needs an evalDataset');
    await model.open(args);
    const metrics = await evaluateRows(model, evalDataset, {
      pool: this.#pool,
      batchSize: args.perDeviceEvalBatchSize,
      onBatch: (rows) => this.#progress.bar('evaluating', rows, evalDataset.size, ''),
    });
    this.#record({ ...metrics });
    return metrics;
  }

  /** Stops the tokenizer threads. The model stays open. */
  async close(): Promise<void> {
    this.#progress.end();
    await this.#pool.close();
  }

  /** Hands one step to the session and waits for the one before, so that the next is always there. */
  async #trainStep(step: PreparedStep): Promise<void> {
    const { session } = this.#parts.model;
    const at = {
      step: this.state.global_step,
      learningRate: this.#learningRate(this.state.global_step),
    };
    await this.#queue.push(() => this.#steps.run(session, step, at));
    this.state.global_step += 1;
    this.state.epoch = this.state.global_step / this.#plan.stepsPerEpoch;
    this.state.num_input_tokens_seen += step.tokens;
    this.#showProgress();
  }

  /** HF's order: log, evaluate, save. */
  async #afterStep(): Promise<void> {
    const { args } = this.#parts;
    const plan = this.#plan;
    const step = this.state.global_step;
    const isFirst = args.loggingFirstStep && step === 1;
    if (isFirst || isDue(args.loggingStrategy, plan.loggingSteps, step, plan)) await this.#log();
    const savesNow =
      isDue(args.saveStrategy, plan.saveSteps, step, plan) ||
      (args.saveStrategy === 'steps' && step === plan.totalSteps);
    if (isDue(args.evalStrategy, plan.evalSteps, step, plan)) await this.#evaluateAndCompare(savesNow);
    if (savesNow) await this.#save();
  }

  async #log(): Promise<void> {
    const { totalLoss, gradNorm } = await this.#settle();
    const { global_step: step } = this.state;
    this.#record({
      loss: (totalLoss - this.#lossLogged) / (step - this.#stepLogged),
      grad_norm: gradNorm,
      learning_rate: this.#learningRate(step - 1),
    });
    this.#lossLogged = totalLoss;
    this.#stepLogged = step;
  }

  async #evaluateAndCompare(savesNow: boolean): Promise<void> {
    await this.#settle();
    const metrics = await this.evaluate();
    if (this.#parts.args.loadBestModelAtEnd && !savesNow) return; // only what is saved can be loaded at the end
    const { key, greaterIsBetter } = bestMetric(this.#parts.args);
    const value = metrics[key];
    if (value === undefined)
      throw new UsageError(
        `metricForBestModel '${key}' is not among the metrics: ${Object.keys(metrics).join(', ')}`,
      );
    if (!isBetter(value, this.state.best_metric, greaterIsBetter)) return;
    this.state.best_metric = value;
    this.state.best_global_step = this.state.global_step;
    if (savesNow) this.state.best_model_checkpoint = this.#checkpointFolder();
  }

  async #save(): Promise<void> {
    const { model, tokenizer, args } = this.#parts;
    const { totalLoss, updates } = await this.#settle();
    const resume: ResumePoint = {
      step: this.state.global_step,
      updates,
      totalLoss,
      lossLogged: this.#lossLogged,
      stepLogged: this.#stepLogged,
      trainSeconds: this.#seconds(),
      idleSeconds: this.#queue.idleSeconds,
      identity: this.#identity,
    };
    const folder = this.#checkpointFolder();
    await saveTrainingCheckpoint(folder, { model, tokenizer, state: this.state, resume });
    this.#progress.line(`Saved ${folder}`);
    if (args.saveTotalLimit !== undefined)
      await removeOldCheckpoints(args.outputDir, args.saveTotalLimit, {
        newest: folder,
        best: this.state.best_model_checkpoint,
      });
  }

  async #resume(): Promise<void> {
    const { args, model } = this.#parts;
    await removeLeftovers(args.outputDir);
    await this.#steps.begin(model.session);
    const request = args.resumeFromCheckpoint;
    if (request === undefined || request === false) return;
    const folder = await findCheckpoint(args.outputDir, request);
    const { state, resume } = await resumeFrom(folder, model, this.#identity);
    // The output folder may have been moved since: the best checkpoint lies beside the one that is resumed.
    const best = state.best_model_checkpoint;
    this.state = {
      ...state,
      max_steps: this.#plan.totalSteps,
      best_model_checkpoint: best === null ? null : join(dirname(folder), basename(best)),
    };
    this.#lossLogged = resume.lossLogged;
    this.#stepLogged = resume.stepLogged;
    this.#secondsBefore = resume.trainSeconds;
    this.#queue.idleSeconds = resume.idleSeconds;
    this.#progress.line(`Resuming from ${folder} at step ${resume.step} of ${this.#plan.totalSteps}`);
  }

  /** Waits until the session has done all steps given to it. @throws RunError when one was not finite */
  async #settle(): Promise<TrainingStats> {
    await this.#queue.drain();
    const stats = await this.#parts.model.session.stats();
    if (stats.skipped > 0)
      throw new RunError(
        `The gradient was not finite in ${stats.skipped} step(s) up to step ${this.state.global_step}; those steps ` +
          'changed no weight. Use a lower --learning-rate, more --warmup-steps, or --dtype float32.',
      );
    return stats;
  }

  /** The rows of each step that is still to be done, micro-batch by micro-batch. */
  async #stepsToDo(): Promise<Iterable<Uint32Array[]>> {
    const { args, trainDataset } = this.#parts;
    const byLength = args.trainSamplingStrategy === 'group_by_length';
    const lengths = byLength
      ? await measureLengths(trainDataset, this.#pool, this.#showMeasuring)
      : undefined;
    return stepRows(this.state.global_step, this.#plan, {
      size: trainDataset.size,
      strategy: args.trainSamplingStrategy,
      batchSize: args.perDeviceTrainBatchSize,
      accumulation: args.gradientAccumulationSteps,
      seed: args.dataSeed ?? args.seed,
      lengths,
    });
  }

  readonly #showMeasuring = (rows: number): void =>
    this.#progress.bar('measuring lengths', rows, this.#parts.trainDataset.size, '');

  #record(values: LogEntry): void {
    const entry = { ...values, epoch: this.state.epoch, step: this.state.global_step };
    this.state.log_history.push(entry);
    this.#progress.entry(entry, this.#plan.totalSteps);
  }

  #showProgress(): void {
    const { global_step: step } = this.state;
    const { totalSteps } = this.#plan;
    const rate = this.#learningRate(step - 1);
    this.#progress.bar(
      'training',
      step,
      totalSteps,
      progressDetail(this.state, rate, totalSteps, this.#seconds()),
    );
  }

  #learningRate(step: number): number {
    return learningRateAt(step, this.#plan.schedule);
  }

  #checkpointFolder(): string {
    return join(this.#parts.args.outputDir, `checkpoint-${this.state.global_step}`);
  }

  #seconds(): number {
    return this.#secondsBefore + (performance.now() - this.#started) / 1000;
  }
}
