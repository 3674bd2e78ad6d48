// What happens between two steps, in HF's order: log, evaluate, end the epoch, log, evaluate, save.
import { UsageError } from '../util/errors.js';
import type { Metrics } from '../evaluation/evaluate.js';
import { removeOldCheckpoints, saveTrainingCheckpoint } from './checkpoint.js';
import { dueAfterEpoch, dueAfterStep } from './flow.js';
import { weightsAtSave } from './identity.js';
import { InterruptedError } from './interruption.js';
import type { NativeSteps } from './native-steps.js';
import { markRun } from './run-mark.js';
import type { Run } from './run.js';
import { bestMetric, isBetter, wasEvaluated } from './state.js';

export class BetweenSteps {
  readonly #run: Run;
  readonly #native: NativeSteps;
  readonly #evaluate: () => Promise<Metrics>;

  /** @param evaluate evaluates, and adds the metrics to the log history */
  constructor(run: Run, native: NativeSteps, evaluate: () => Promise<Metrics>) {
    this.#run = run;
    this.#native = native;
    this.#evaluate = evaluate;
  }

  /** Does what is to be done before the first step, or what an interrupted run had still to do for its last one. */
  async begin(): Promise<void> {
    const { control, state, parts } = this.#run;
    if (parts.args.evalOnStart && state.global_step === 0 && !this.#wasEvaluated())
      await this.#evaluateUnlessInterrupted();
    if (control.shouldEvaluate || control.shouldSave || this.#run.isInterrupted) await this.#finish();
  }

  /** Whether the run that this one goes on from was interrupted after an evaluation, and not in it. */
  #wasEvaluated(): boolean {
    const { lastCheckpoint, state } = this.#run;
    return lastCheckpoint !== null && wasEvaluated(state);
  }

  /** To be called when a step has been handed over. @throws InterruptedError after `interrupt()` */
  async after(): Promise<void> {
    const { state, parts, plan, callbacks } = this.#run;
    this.#run.hasEpochEnded = false;
    this.#run.ask(dueAfterStep(state.global_step, parts.args, plan));
    await callbacks.call('onStepEnd', {});
    await this.#native.settleIfWatched();
    await this.#finish();
  }

  /** Unlike HF it saves once and last, so that whoever resumes from the checkpoint has nothing to make up for. */
  async #finish(): Promise<void> {
    const { state, parts, callbacks } = this.#run;
    do {
      await this.#logAndEvaluate();
      if (this.#endsEpoch()) {
        this.#run.hasEpochEnded = true;
        this.#run.ask(dueAfterEpoch(state.epoch, parts.args));
        await callbacks.call('onEpochEnd', {});
        await this.#logAndEvaluate();
      }
      await this.#saveIfDue();
    } while (this.#endsEpoch()); // a callback ended the training when it was told of the checkpoint
  }

  /** As in HF, the epoch ends where the training does: at the last step, or where a callback stops it. */
  #endsEpoch(): boolean {
    const { plan, state, control, hasEpochEnded } = this.#run;
    if (hasEpochEnded) return false;
    const { global_step: step } = state;
    return step % plan.stepsPerEpoch === 0 || step === plan.totalSteps || control.shouldTrainingStop;
  }

  async #logAndEvaluate(): Promise<void> {
    if (this.#run.control.shouldLog) await this.#log();
    if (this.#run.control.shouldEvaluate && !this.#run.isInterrupted) await this.#evaluateAndCompare();
  }

  async #log(): Promise<void> {
    this.#run.control.shouldLog = false;
    const { totalLoss, gradNorm } = await this.#native.settle();
    const loss = this.#run.lossSince(totalLoss);
    if (loss === null) return; // a callback asked again
    await this.#run.record({ loss, grad_norm: gradNorm, learning_rate: this.#run.lastRate });
  }

  async #evaluateAndCompare(): Promise<void> {
    const { control, parts, state, learningRate, checkpointFolder } = this.#run;
    await this.#native.settle();
    const metrics = await this.#evaluateUnlessInterrupted();
    if (metrics === null) return;
    control.shouldEvaluate = false;
    const { args } = parts;
    const { key, greaterIsBetter } = bestMetric(args);
    const value = metrics[key];
    if (value === undefined)
      throw new UsageError(
        `metricForBestModel '${key}' is not among the metrics: ${Object.keys(metrics).join(', ')}`,
      );
    learningRate.evaluated(metrics);
    const isBest = isBetter(value, state.best_metric, greaterIsBetter);
    if (args.saveStrategy === 'best') control.shouldSave ||= isBest;
    const isSaved = control.shouldSave;
    if (!isBest || (args.loadBestModelAtEnd && !isSaved)) return; // only what is saved can be loaded at the end
    state.best_metric = value;
    state.best_global_step = state.global_step;
    if (isSaved) state.best_model_checkpoint = checkpointFolder;
  }

  /** @returns null when it was broken off by `interrupt()` */
  async #evaluateUnlessInterrupted(): Promise<Metrics | null> {
    try {
      return await this.#evaluate();
    } catch (error) {
      if (error === this.#run.interruption.signal.reason) return null;
      throw error;
    }
  }

  /** @throws InterruptedError with a checkpoint to go on from, after `interrupt()` */
  async #saveIfDue(): Promise<void> {
    const { control, checkpointFolder } = this.#run;
    let isResumable = false;
    if (control.shouldSave || this.#run.isInterrupted) isResumable = await this.#save();
    if (!this.#run.isInterrupted) return;
    if (!isResumable) await this.#save(); // the signal came while only the model was saved
    throw new InterruptedError(checkpointFolder);
  }

  /** @returns whether a run can be resumed from it */
  async #save(): Promise<boolean> {
    const { parts, state, control, callbacks, lock, checkpointFolder: folder } = this.#run;
    const { model, tokenizer, args } = parts;
    const stats = await this.#native.settle();
    await lock?.confirm();
    state.stateful_callbacks = callbacks.states();
    const isResumable = !parts.args.saveOnlyModel || this.#run.isInterrupted;
    this.#run.identity = { ...this.#run.identity, ...(await weightsAtSave(model, this.#run.identity)) };
    const resume = this.#run.resumePoint(stats, this.#native.idleSeconds);
    control.shouldSave = false;
    // Before it, so that the checkpoint is never taken for one of the training that the folder was at.
    if (this.#run.isInterrupted) await markRun(args.outputDir, this.#run.id);
    await saveTrainingCheckpoint(folder, { model, tokenizer, state, resume }, { isResumable });
    if (isResumable) this.#run.lastCheckpoint = folder;
    this.#run.say(`Saved ${folder}`);
    await callbacks.call('onSave', { folder });
    if (args.saveTotalLimit !== undefined)
      await removeOldCheckpoints(args.outputDir, args.saveTotalLimit, {
        newest: folder,
        best: state.best_model_checkpoint,
        resumable: this.#run.lastCheckpoint,
      });
    return isResumable;
  }
}
