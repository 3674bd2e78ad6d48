// Runs optimizer steps in the native session: hands their batches over, keeps one step waiting behind the one that runs, and
// deals with those whose gradient was not finite.
import type { LossOptions, PackedBatch, Session, TrainingStats } from '../native/index.js';
import type { TrainingArguments } from '../options/index.js';
import type { EncoderModel } from '../models/encoder-model.js';
import type { LabelledRows } from '../data/batch.js';
import { ALONE, type World } from '../distributed/world.js';
import type { Progress } from '../terminal/progress.js';
import { counted } from '../util/text.js';
import { RunError, SettingsError } from '../util/errors.js';
import { loadCheckpoint } from './checkpoint.js';
import { lossDivisor, lossOptions } from './loss.js';
import { optimizerOf, parameterGroups, type ParameterGroups } from './parameter-groups.js';
import type { LoadedStep } from './step-loader.js';
import { readSavedRun, type ResumeState } from './resume.js';

/** torch.optim.Adagrad's, which HF leaves as it is. */
const ADAGRAD_EPSILON = 1e-10;

export class StepExecutor {
  readonly #args: TrainingArguments;
  readonly #model: EncoderModel;
  readonly #progress: Progress;
  readonly #loss: LossOptions;
  readonly #groups: ParameterGroups;
  readonly #nonfinite: NonfiniteSteps;
  readonly #world: World;
  readonly #queue = new StepQueue();
  /** How many layers are unfrozen in the session's settings; null before it has any. */
  #depth: { layers: number | undefined } | null = null;
  #maxTokens = 0;
  #graphProblem = '';
  /** The step of the checkpoint and its norm, which the session does not know. */
  #resumed: Pick<ResumeState, 'step' | 'gradNorm'> | null = null;

  /** @throws UsageError for options that the model or the training data cannot meet */
  constructor(
    parts: { args: TrainingArguments; model: EncoderModel; trainDataset: LabelledRows },
    stepsPerEpoch: number,
    progress: Progress,
    world: World = ALONE,
  ) {
    this.#world = world;
    const { args, model, trainDataset } = parts;
    this.#args = args;
    this.#model = model;
    this.#progress = progress;
    this.#loss = lossOptions(args, model.task, trainDataset);
    this.#groups = parameterGroups(args, model.tensorNames(), stepsPerEpoch, model.lora);
    this.#nonfinite = new NonfiniteSteps(args.nonfiniteGradient);
  }

  /** Seconds in which a step could have run but none was there yet. */
  get idleSeconds(): number {
    return this.#queue.idleSeconds;
  }

  /** Whether the next step has to wait until this one is known to be good: a rollback would lose it. */
  get checksEachStep(): boolean {
    return this.#args.nonfiniteGradient === 'rollback';
  }

  /** Makes the session ready for the first step. */
  async start(): Promise<void> {
    await this.#restart(this.#model.session);
    const { gradientReduceDtype: reduceDtype, ddpBackend } = this.#args;
    const problem = await this.#world.join(this.#model.session, { reduceDtype, nccl: ddpBackend !== 'gloo' });
    if (problem !== '' && ddpBackend === 'nccl')
      throw new RunError(
        `The backend nccl cannot be used (${problem}): choose gloo, or leave the choice out`,
      );
    if (problem !== '' && ddpBackend === undefined)
      this.#progress.line(`Gradients go from GPU to GPU by way of the host: ${problem}`);
    this.#nonfinite.start(0, 0);
  }

  /** Takes weights, moments and counters of a checkpoint into the session. */
  async resume(folder: string, resume: ResumeState): Promise<void> {
    await loadCheckpoint(folder, this.#model, resume, this.#ofThisProcess(resume));
    this.#nonfinite.start(resume.step, resume.updates);
    this.#resumed = resume;
    this.#queue.idleSeconds = resume.idleSeconds;
  }

  /** Hands one step to the session and waits for the one before, so that the next is always there. */
  async push(step: LoadedStep, at: { step: number; learningRate: number }): Promise<void> {
    await this.#queue.push(() => this.#calls(this.#model.session, step, at));
  }

  /** What the losses of these batches are divided by. */
  readonly divisorOf = (batches: readonly PackedBatch[]): number =>
    lossDivisor(this.#model.task, batches, this.#loss);

  /**
   * Waits until the session has done all steps. Where one was not finite, weights and moments may be taken back to the last
   * checkpoint; the run continues with the next rows.
   *
   * @throws SettingsError when a step was not finite and the run is to stop
   */
  async synchronize(run: { step: number; lastCheckpoint: string | null }): Promise<TrainingStats> {
    await this.#queue.drain();
    const stats = await this.#statsOfAll();
    if (stats.maxTokens > 0 && stats.maxTokens !== this.#maxTokens)
      this.#progress.line(`Memory ran out; batches go in parts of at most ${stats.maxTokens} tokens`);
    this.#maxTokens = stats.maxTokens;
    if (this.#graphProblem === '' && stats.graphProblem !== '')
      this.#progress.line(`Steps that are no CUDA graphs are launched one by one: ${stats.graphProblem}`);
    this.#graphProblem = stats.graphProblem;
    const fault = this.#nonfinite.check(stats, run.step);
    if (fault !== null) this.#progress.line(fault);
    const isRolledBack = fault !== null && this.#args.nonfiniteGradient === 'rollback';
    const current = isRolledBack ? await this.#rollBack(stats, run) : stats;
    const { step, gradNorm = current.gradNorm } = this.#resumed ?? {};
    return step === run.step ? { ...current, gradNorm } : current;
  }

  /** The counters are the same everywhere; the losses are of the rows that each process had. */
  async #statsOfAll(): Promise<TrainingStats> {
    const stats = await this.#model.session.stats();
    const [loss = 0, totalLoss = 0] = await this.#world.sum([stats.loss, stats.totalLoss]);
    return { ...stats, loss, totalLoss };
  }

  /** The loss of a whole run so far is that of rank 0, to which the others add theirs. */
  #ofThisProcess<T extends { totalLoss: number }>(at: T): T {
    return this.#world.isMain ? at : { ...at, totalLoss: 0 };
  }

  async #rollBack(
    stats: TrainingStats,
    { step, lastCheckpoint }: { step: number; lastCheckpoint: string | null },
  ): Promise<TrainingStats> {
    const folder = this.#nonfinite.checkpointFor(lastCheckpoint, step);
    this.#progress.line(`Falling back to ${folder}; the training continues with the rows after step ${step}`);
    await this.#restart(this.#model.session);
    const { resume } = await readSavedRun(folder);
    await loadCheckpoint(
      folder,
      this.#model,
      resume,
      this.#ofThisProcess({ step, totalLoss: stats.totalLoss }),
    );
    this.#nonfinite.countFrom(step, resume.updates);
    return { ...stats, updates: resume.updates };
  }

  async #restart(session: Session): Promise<void> {
    const {
      neftuneNoiseAlpha = 0,
      gradientCheckpointing,
      autoFindBatchSize,
      cudaGraphs,
      momentum,
    } = this.#args;
    const optimizer = optimizerOf(this.#args);
    this.#depth = null;
    await session.restart({
      optimizer,
      momentum,
      neftuneNoiseAlpha,
      gradientCheckpointing,
      autoFindBatchSize,
      cudaGraphs,
    });
  }

  /** The batches and the update of a step, in order. */
  #calls(
    session: Session,
    { batches, divisor: labels }: LoadedStep,
    { step, learningRate }: { step: number; learningRate: number },
  ): Promise<void>[] {
    const { adamBeta1: beta1, adamBeta2: beta2, adamEpsilon, weightDecay, maxGradNorm } = this.#args;
    const epsilon = optimizerOf(this.#args) === 'adagrad' ? ADAGRAD_EPSILON : adamEpsilon;
    const divisor = labels > 0 ? labels : 1;
    return [
      ...this.#configure(session, step),
      ...batches.map((batch, i) =>
        session.accumulate(batch, { divisor, ...this.#loss, endsStep: i === batches.length - 1 }),
      ),
      session.update({ learningRate, beta1, beta2, epsilon, weightDecay, maxGradNorm }),
    ];
  }

  #configure(session: Session, step: number): Promise<void>[] {
    const layers = this.#groups.depthAt(step);
    if (this.#depth !== null && this.#depth.layers === layers) return [];
    this.#depth = { layers };
    return [session.configure(this.#groups.settings(layers))];
  }
}

/** Keeps one native step running and one waiting behind it, and counts the time in which there was none. */
class StepQueue {
  idleSeconds = 0;
  #running = 0;
  #idleSince: number | null = null;
  #previous: Promise<unknown> = Promise.resolve();

  /** Starts a step's native calls and waits until the step before is done. @throws what that step threw */
  async push(start: () => Promise<unknown>[]): Promise<void> {
    if (this.#idleSince !== null) this.idleSeconds += (performance.now() - this.#idleSince) / 1000;
    this.#idleSince = null;
    this.#running += 1;
    const calls = start();
    const done = Promise.all(calls).finally(() => {
      if (--this.#running === 0) this.#idleSince = performance.now();
    });
    done.catch(() => undefined); // reported by the next push or drain
    const previous = this.#previous;
    this.#previous = done;
    await previous;
  }

  /** Waits for all steps. What happens until the next push does not count as waiting for data. */
  async drain(): Promise<void> {
    await this.#previous;
    this.#idleSince = null;
  }
}

/** Steps in a row without an update, or returns to the same checkpoint, after which a run is given up. */
const MOST_IN_A_ROW = 10;

const REMEDY = 'Use a lower learningRate, more warmupSteps, or the dtype float32.';

/** Counts the steps whose gradient was not finite: the session has left their updates out. */
class NonfiniteSteps {
  readonly #policy: TrainingArguments['nonfiniteGradient'];
  /** Of the session's `skipped`, what has been dealt with. */
  #skipped = 0;
  #last = { step: 0, updates: 0 };
  #fruitless = 0;
  #checkpoint: string | null = null;
  #returns = 0;

  constructor(policy: TrainingArguments['nonfiniteGradient']) {
    this.#policy = policy;
  }

  /** To be called when a training starts or is resumed, after `step` optimizer steps. */
  start(step: number, updates: number): void {
    this.#fruitless = 0;
    this.#checkpoint = null;
    this.countFrom(step, updates);
  }

  /** To be called when the session has forgotten its counts. */
  countFrom(step: number, updates: number): void {
    this.#skipped = 0;
    this.#last = { step, updates };
  }

  /**
   * Looks at what the session has skipped since the last check.
   *
   * @returns what happened, null for nothing
   * @throws SettingsError where the run is to stop, or does nothing but skip
   */
  check({ skipped, updates }: TrainingStats, step: number): string | null {
    const found = skipped - this.#skipped;
    const since = step - this.#last.step;
    this.#fruitless = updates > this.#last.updates ? 0 : this.#fruitless + since;
    this.#skipped = skipped;
    this.#last = { step, updates };
    if (found === 0) return null;
    const what = `The gradient was not finite in ${counted(found, 'step')} up to step ${step}; ${found === 1 ? 'it' : 'they'} changed no weight`;
    if (this.#policy === 'stop')
      throw new SettingsError(`${what}. ${REMEDY} To continue without such steps: nonfiniteGradient skip.`);
    if (this.#fruitless >= MOST_IN_A_ROW)
      throw new SettingsError(`${what}, the same for ${this.#fruitless} steps in a row. ${REMEDY}`);
    return what;
  }

  /**
   * @returns the checkpoint to fall back to
   * @throws SettingsError where there is none, or the same one did not help time and again
   */
  checkpointFor(checkpoint: string | null, step: number): string {
    if (checkpoint === null)
      throw new SettingsError(
        `The gradient was not finite at step ${step}, before the first checkpoint to fall back to. ${REMEDY} Or save earlier, with saveSteps.`,
      );
    this.#returns = checkpoint === this.#checkpoint ? this.#returns + 1 : 1;
    this.#checkpoint = checkpoint;
    if (this.#returns > MOST_IN_A_ROW)
      throw new SettingsError(
        `The gradient was not finite at step ${step}, and ${checkpoint} did not help ${MOST_IN_A_ROW} times. ${REMEDY}`,
      );
    return checkpoint;
  }
}
