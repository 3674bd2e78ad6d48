// The steps of a run in its native session: handed over, waited for, and taken back where they went wrong.
import type { TrainingStats } from '../native/index.js';
import { resumeFrom, type ResumePoint } from './checkpoint.js';
import { NonfiniteSteps } from './nonfinite.js';
import { OptimizerSteps } from './optimizer-step.js';
import type { Run } from './run.js';
import type { PreparedStep } from './step.js';
import { StepQueue } from './step-queue.js';

export class NativeSteps {
  readonly #run: Run;
  readonly #steps: OptimizerSteps;
  readonly #nonfinite: NonfiniteSteps;
  readonly #queue = new StepQueue();
  #maxTokens = 0;
  /** The step that the run goes on from; the session does not know its norm. */
  #resumedFrom: ResumePoint | undefined;

  /** @throws UsageError for options that cannot be met with the model or the training data */
  constructor(run: Run) {
    this.#run = run;
    this.#steps = new OptimizerSteps(run.parts, run.plan.stepsPerEpoch);
    this.#nonfinite = new NonfiniteSteps(run.parts.args.nonfiniteGradient, run.say);
  }

  /** Seconds in which a step could have run but none was there yet. */
  get idleSeconds(): number {
    return this.#queue.idleSeconds;
  }

  /** Makes the session ready for the first step. */
  async begin(): Promise<void> {
    await this.#steps.begin(this.#run.parts.model.session);
    this.#nonfinite.begin(0, 0);
  }

  /** To be called when the session has the state of a checkpoint. */
  goOnFrom(resume: ResumePoint): void {
    this.#nonfinite.begin(resume.step, resume.updates);
    this.#resumedFrom = resume;
    this.#queue.idleSeconds = resume.idleSeconds;
  }

  /** Hands one step to the session and waits for the one before, so that the next is always there. */
  async push(step: PreparedStep, at: { step: number; learningRate: number }): Promise<void> {
    const { session } = this.#run.parts.model;
    await this.#queue.push(() => this.#steps.run(session, step, at));
  }

  /** Waits for the step just handed over, where the next must not begin before it is known to be good. */
  async settleIfWatched(): Promise<void> {
    if (this.#nonfinite.looksAtEachStep) await this.settle();
  }

  /** Waits until the session has done all steps given to it. @throws RunError when one was not finite, by the option */
  async settle(): Promise<TrainingStats> {
    const { parts, state, say } = this.#run;
    await this.#queue.drain();
    const stats = await parts.model.session.stats();
    if (stats.maxTokens > 0 && stats.maxTokens !== this.#maxTokens)
      say(`Memory ran out; batches go in parts of at most ${stats.maxTokens} tokens`);
    this.#maxTokens = stats.maxTokens;
    const isBad = this.#nonfinite.look(stats, state.global_step);
    const settled = isBad ? await this.#rollBack(stats) : stats;
    const { step, gradNorm = settled.gradNorm } = this.#resumedFrom ?? {};
    return step === state.global_step ? { ...settled, gradNorm } : settled;
  }

  /** Takes back weights and moments to the last checkpoint; the run goes on with the next rows. */
  async #rollBack(stats: TrainingStats): Promise<TrainingStats> {
    const { parts, state, lastCheckpoint, identity } = this.#run;
    const { global_step: step } = state;
    const folder = this.#nonfinite.fallBackTo(lastCheckpoint, step);
    await this.#steps.begin(parts.model.session);
    const goOnAt = { step, totalLoss: stats.totalLoss };
    const { resume } = await resumeFrom(folder, parts.model, identity, { goOnAt });
    this.#nonfinite.countFrom(step, resume.updates);
    return { ...stats, updates: resume.updates };
  }
}
