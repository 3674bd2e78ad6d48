// THE loop: batches in, optimizer steps, logs, evaluations and checkpoints in between. Read this file first.
import { maxLengthOf } from '../data/batch.js';
import { prefetch } from '../data/batch.js';
import { UsageError } from '../util/errors.js';
import { evaluateRows, type Metrics } from '../evaluation/evaluate.js';
import { createTokenizerPool, type TokenizerPool } from '../tokenizer/index.js';
import { BetweenSteps } from './between-steps.js';
import { loadBestWeights } from './checkpoint.js';
import { whileLocked } from '../util/folder-lock.js';
import { NativeSteps } from './native-steps.js';
import { openRun } from './opening.js';
import { epochAfter } from './order.js';
import { requirePartsFit, type TrainerParts } from './parts.js';
import { progressDetail } from '../terminal/progress.js';
import { encoderWeights, trainMetrics } from './results.js';
import { rowsToDo } from './rows-to-do.js';
import { Run } from './run.js';
import type { TrainerState } from './state.js';
import { prepareStep, type PreparedStep } from './step.js';

/** Optimizer steps whose batches are tokenized and packed before their turn. */
const STEPS_AHEAD = 4;

/** Fine-tunes a model; the counterpart of transformers' Trainer. */
export class Trainer {
  readonly #parts: TrainerParts;
  readonly #run: Run;
  readonly #native: NativeSteps;
  readonly #between: BetweenSteps;
  readonly #pool: TokenizerPool;
  readonly #maxLength: number;
  #isTraining = false;
  #hasBegun = false;

  /** @throws UsageError for parts that do not fit together */
  constructor(parts: TrainerParts) {
    const { args, model, tokenizer } = parts;
    requirePartsFit(parts);
    this.#parts = parts;
    this.#run = new Run(parts);
    this.#native = new NativeSteps(this.#run);
    this.#between = new BetweenSteps(this.#run, this.#native, () => this.evaluate());
    const maxLength = (this.#maxLength = maxLengthOf(model, tokenizer, args.maxSeqLength));
    this.#pool = createTokenizerPool(tokenizer, { maxLength, workers: args.dataloaderNumWorkers });
  }

  /** HF's trainer_state.json as it stands. */
  get state(): TrainerState {
    return this.#run.state;
  }

  /** The newest checkpoint of this run from which it can go on. */
  get lastCheckpoint(): string | null {
    return this.#run.lastCheckpoint;
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
    if (this.#hasBegun)
      throw new UsageError(
        'This Trainer has trained already, and its state and callbacks are those of that run. Make another one: with ' +
          'resumeFromCheckpoint to go on, without to train the model further from the first step.',
      );
    this.#hasBegun = true;
    this.#isTraining = true;
    try {
      return await whileLocked(this.#parts.args.outputDir, this.#run.say, (lock) => {
        this.#run.lock = lock;
        return this.#train();
      });
    } finally {
      this.#isTraining = false;
      this.#run.interruption = new AbortController();
    }
  }

  async #train(): Promise<Metrics> {
    const { model, args } = this.#parts;
    await model.open(args);
    await openRun(this.#run, this.#native, this.#maxLength);
    model.dropCalibration();
    this.#run.startClock();
    await this.#run.callbacks.call('onTrainBegin', {});
    await this.#between.begin();
    for await (const step of prefetch(await this.#rowsToDo(), this.#prepare, STEPS_AHEAD)) {
      if (this.#run.control.shouldTrainingStop) break;
      await this.#trainStep(step);
      await this.#between.after();
    }
    this.#tellOfEarlyEnd();
    const metrics = await this.#results();
    await this.#run.record(metrics);
    const { best_model_checkpoint: best } = this.state;
    if (args.loadBestModelAtEnd && best !== null) await loadBestWeights(model, best, this.#run.say);
    else if (args.loadBestModelAtEnd)
      this.#run.say('note: no evaluation found a best model to load: the weights are those of the last step');
    await this.#run.callbacks.call('onTrainEnd', {});
    return metrics;
  }

  /**
   * Evaluates on `evalDataset` and adds the metrics to the log history.
   *
   * @param options.signal breaks the evaluation off: it rejects with the signal's reason, and adds nothing. Default:
   *   `interrupt()` while `train()` runs
   */
  async evaluate({
    signal = this.#run.interruption.signal,
  }: { signal?: AbortSignal } = {}): Promise<Metrics> {
    const { model, args, evalDataset, computeMetrics } = this.#parts;
    if (evalDataset === undefined) throw new UsageError('evaluate() needs an evalDataset');
    await model.open(args);
    const metrics = await evaluateRows(model, evalDataset, {
      pool: this.#pool,
      batchSize: args.perDeviceEvalBatchSize,
      signal,
      ...(computeMetrics === undefined ? {} : { computeMetrics }),
      onBatch: (rows) => this.#run.progress.bar('evaluating', rows, evalDataset.size, ''),
    });
    await this.#run.record({ ...metrics });
    await this.#run.callbacks.call('onEvaluate', { metrics });
    return metrics;
  }

  /**
   * Ends a running `train()` after the step at hand: a checkpoint is written, and `train()` rejects with
   * InterruptedError. An evaluation is broken off, and made up for when the run is resumed.
   */
  interrupt(): void {
    if (this.#isTraining) this.#run.interruption.abort();
  }

  /** Stops the tokenizer threads. The model stays open. */
  async close(): Promise<void> {
    this.#run.progress.end();
    await this.#pool.close();
  }

  async #trainStep(step: PreparedStep): Promise<void> {
    const { state, plan, callbacks, learningRate, parts } = this.#run;
    const at = { step: state.global_step, learningRate: learningRate.at(state.global_step) };
    this.#run.lastRate = at.learningRate;
    if (at.step % plan.stepsPerEpoch === 0) await callbacks.call('onEpochBegin', {});
    await callbacks.call('onStepBegin', {});
    await this.#native.push(step, at);
    state.global_step += 1;
    state.epoch = epochAfter(state.global_step, plan, parts.args.gradientAccumulationSteps);
    state.num_input_tokens_seen += step.tokens;
    this.#showProgress();
  }

  readonly #prepare = (rows: Uint32Array[]): Promise<PreparedStep> =>
    prepareStep(this.#parts.trainDataset, rows, this.#pool);

  #tellOfEarlyEnd(): void {
    const { state, plan, say, parts } = this.#run;
    if (state.global_step >= plan.totalSteps) return;
    const { args } = parts;
    const { earlyStoppingPatience: patience, earlyStoppingThreshold: threshold } = args;
    const { metricForBestModel: metric } = args;
    const why =
      patience === undefined
        ? 'a callback asked for it'
        : `${metric ?? 'loss'} had not improved${threshold > 0 ? ` by more than ${threshold}` : ''} for as long as --early-stopping-patience ${patience} allows, or a callback asked for it`;
    say(`Stopped at step ${state.global_step} of ${plan.totalSteps}: ${why}`);
  }

  #rowsToDo(): Promise<Iterable<Uint32Array[]>> {
    const { progress, plan } = this.#run;
    const onMeasured = (rows: number): void =>
      progress.bar('measuring lengths', rows, this.#parts.trainDataset.size, '');
    return rowsToDo(this.state.global_step, plan, this.#parts, { pool: this.#pool, onMeasured });
  }

  async #results(): Promise<Metrics> {
    const { model, args, trainDataset } = this.#parts;
    const { totalLoss, updates } = await this.#native.settle();
    this.state.total_flos = 6 * this.state.num_input_tokens_seen * encoderWeights(model);
    return trainMetrics(this.state, {
      totalLoss,
      seconds: this.#run.seconds,
      idleSeconds: this.#native.idleSeconds,
      rows: trainDataset.size,
      ...(args.nonfiniteGradient === 'stop' ? {} : { updates }),
    });
  }

  #showProgress(): void {
    const { progress, plan, learningRate, state, seconds } = this.#run;
    const { global_step: step } = state;
    const detail = progressDetail(state, learningRate.at(step - 1), plan.totalSteps, seconds);
    progress.bar('training', step, plan.totalSteps, detail);
  }
}
