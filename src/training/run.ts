// A training as it stands: what the loop and all that happens between its steps read and write.
import { randomUUID } from 'node:crypto';
import { join } from 'node:path';

import type { TrainingStats } from '../native/index.js';
import { CallbackList, type TrainerControl } from './callbacks.js';
import { changeableSettings, type ChangeableSettings } from './changes.js';
import { TRAINER_STATE, type ResumePoint } from './checkpoint.js';
import type { Due } from './flow.js';
import type { FolderLock } from '../util/folder-lock.js';
import type { RunIdentity } from './identity.js';
import { createLearningRate, type LearningRate } from './learning-rate.js';
import { ownCallbacks, type TrainerParts } from './parts.js';
import { Progress } from '../terminal/progress.js';
import { planRun, stateOf, type RunPlan } from './settings.js';
import { bestMetric, withSavedBest, type LogEntry, type TrainerState } from './state.js';

export class Run {
  readonly parts: TrainerParts;
  readonly plan: RunPlan;
  /** HF's trainer_state.json as it stands. */
  state: TrainerState;
  readonly control: TrainerControl = {
    shouldLog: false,
    shouldEvaluate: false,
    shouldSave: false,
    shouldTrainingStop: false,
  };
  readonly callbacks: CallbackList;
  readonly learningRate: LearningRate;
  readonly progress: Progress;
  interruption = new AbortController();
  lock: FolderLock | null = null;
  identity: RunIdentity = {};
  /** Tells this training from others in the same output folder; kept where it is resumed. */
  id: string = randomUUID();
  /** The newest checkpoint from which the run can go on. */
  lastCheckpoint: string | null = null;
  /** Of the step that was done last; true before the first. */
  hasEpochEnded = true;
  /** The learning rate of the step that was done last. */
  lastRate = 0;
  #lossLogged = 0;
  #stepLogged = 0;
  #secondsBefore = 0;
  #started = 0;

  /** @throws UsageError when there is nothing to train on, and for callbacks whose states would be mixed up */
  constructor(parts: TrainerParts) {
    const { args, model, tokenizer, trainDataset, callbacks = [], progress } = parts;
    this.parts = parts;
    this.plan = planRun(args, trainDataset.size);
    this.state = stateOf(args, this.plan);
    this.progress = progress ?? new Progress();
    this.learningRate = createLearningRate(args, this.plan.totalSteps);
    this.callbacks = new CallbackList([...ownCallbacks(args), ...callbacks], () => ({
      args,
      state: this.state,
      control: this.control,
      model,
      tokenizer,
    }));
  }

  readonly say = (line: string): void => this.progress.line(line);

  get isInterrupted(): boolean {
    return this.interruption.signal.aborted;
  }

  /** Where a checkpoint of this step lies. */
  get checkpointFolder(): string {
    return join(this.parts.args.outputDir, `checkpoint-${this.state.global_step}`);
  }

  startClock(): void {
    this.#started = performance.now();
  }

  /** Of training, over all runs that were resumed. */
  get seconds(): number {
    return this.#secondsBefore + (performance.now() - this.#started) / 1000;
  }

  /** Adds what is due to what callbacks have asked for. */
  ask(due: Due): void {
    this.control.shouldLog ||= due.shouldLog;
    this.control.shouldEvaluate ||= due.shouldEvaluate;
    this.control.shouldSave ||= due.shouldSave;
  }

  /** Adds an entry to the log history. */
  async record(values: LogEntry): Promise<void> {
    const entry = { ...values, epoch: this.state.epoch, step: this.state.global_step };
    this.state.log_history.push(entry);
    this.progress.entry(entry, this.plan.totalSteps);
    await this.callbacks.call('onLog', { logs: entry });
  }

  /** The mean loss of the steps since it was asked for last; null where there were none. */
  lossSince(totalLoss: number): number | null {
    const { global_step: step } = this.state;
    if (step === this.#stepLogged) return null;
    const loss = (totalLoss - this.#lossLogged) / (step - this.#stepLogged);
    this.#lossLogged = totalLoss;
    this.#stepLogged = step;
    return loss;
  }

  /** What a resumed run may change. */
  get settings(): ChangeableSettings {
    return changeableSettings(this.parts.args, this.plan, this.parts.model);
  }

  /** What a run needs to go on after this step. */
  resumePoint(stats: TrainingStats, idleSeconds: number): ResumePoint {
    const { totalLoss, updates, gradNorm, maxTokens } = stats;
    const { shouldEvaluate, shouldSave, shouldTrainingStop } = this.control;
    return {
      run: this.id,
      step: this.state.global_step,
      updates,
      totalLoss,
      lossLogged: this.#lossLogged,
      stepLogged: this.#stepLogged,
      trainSeconds: this.seconds,
      idleSeconds,
      lrSchedulerType: this.parts.args.lrSchedulerType,
      learningRate: this.learningRate.state,
      pending: {
        shouldEvaluate,
        shouldSave: shouldEvaluate && shouldSave,
        shouldTrainingStop: this.isInterrupted && shouldTrainingStop,
      },
      hasEpochEnded: this.hasEpochEnded,
      maxTokens,
      gradNorm,
      lastRate: this.lastRate,
      identity: this.identity,
      settings: this.settings,
    };
  }

  /** Goes on where another run stood. */
  goOnFrom(folder: string, { state, resume }: { state: TrainerState; resume: ResumePoint }): void {
    this.lastCheckpoint = folder;
    this.id = resume.run ?? this.id;
    const { max_steps, num_train_epochs } = this.state; // of this run, which may be a longer one
    const { args } = this.parts;
    const best = args.loadBestModelAtEnd ? withSavedBest(state, folder, bestMetric(args)) : state;
    this.state = { ...best, max_steps, num_train_epochs };
    this.lastRate = resume.lastRate ?? this.learningRate.at(resume.step - 1);
    this.#lossLogged = resume.lossLogged;
    this.#stepLogged = resume.stepLogged;
    this.#secondsBefore = resume.trainSeconds;
    if (resume.lrSchedulerType === this.parts.args.lrSchedulerType)
      this.learningRate.restore(resume.learningRate);
    this.callbacks.restore(state.stateful_callbacks, join(folder, TRAINER_STATE));
    Object.assign(this.control, resume.pending);
    this.hasEpochEnded = resume.hasEpochEnded ?? true; // as every checkpoint of an earlier version
  }
}
