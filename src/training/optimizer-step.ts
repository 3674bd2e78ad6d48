// What one optimizer step asks of the native session, as a function of the run's options and the step's number.
import type { TrainingArguments } from '../options/index.js';
import type { LossOptions, OptimizerName, Session } from '../native/index.js';
import type { Task } from '../tasks/index.js';
import { lossDivisor, lossOptions } from './loss-options.js';
import { parameterGroups, type ParameterGroups } from './parameter-groups.js';
import type { TrainerParts } from './parts.js';
import type { PreparedStep } from './step.js';

/** torch.optim.Adagrad's, which HF leaves as it is. */
const ADAGRAD_EPSILON = 1e-10;

/** The optimizer that HF's name stands for. */
export function optimizerOf({ optim }: Pick<TrainingArguments, 'optim'>): OptimizerName {
  return optim === 'adamw_torch_fused' || optim === 'adamw_torch' ? 'adamw' : optim;
}

/** The calls of the steps of one run. */
export class OptimizerSteps {
  readonly #args: TrainingArguments;
  readonly #task: Task;
  readonly #loss: LossOptions;
  readonly #groups: ParameterGroups;
  #isConfigured = false;
  #depth: number | undefined;

  /** @throws UsageError for options that cannot be met with the model or the training data */
  constructor({ args, model, trainDataset }: TrainerParts, stepsPerEpoch: number) {
    this.#args = args;
    this.#task = model.task;
    this.#loss = lossOptions(args, model.task, trainDataset);
    this.#groups = parameterGroups(args, model.tensorNames(), stepsPerEpoch, model.lora);
  }

  /** Makes the session ready for the first step, or for the state of a checkpoint. */
  async begin(session: Session): Promise<void> {
    this.#isConfigured = false;
    const { neftuneNoiseAlpha = 0, gradientCheckpointing, autoFindBatchSize, momentum } = this.#args;
    const optimizer = optimizerOf(this.#args);
    await session.restart({
      optimizer,
      momentum,
      neftuneNoiseAlpha,
      gradientCheckpointing,
      autoFindBatchSize,
    });
  }

  /** Hands the batches and the update of a step to the session, in order. */
  run(
    session: Session,
    { batches }: PreparedStep,
    at: { step: number; learningRate: number },
  ): Promise<void>[] {
    const { adamBeta1: beta1, adamBeta2: beta2, adamEpsilon, weightDecay, maxGradNorm } = this.#args;
    const epsilon = optimizerOf(this.#args) === 'adagrad' ? ADAGRAD_EPSILON : adamEpsilon;
    const divisor = lossDivisor(this.#task, batches, this.#loss);
    const { learningRate } = at;
    return [
      ...this.#configure(session, at.step),
      ...batches.map((batch) => session.accumulate(batch, { divisor, ...this.#loss })),
      session.update({ learningRate, beta1, beta2, epsilon, weightDecay, maxGradNorm }),
    ];
  }

  #configure(session: Session, step: number): Promise<void>[] {
    const depth = this.#groups.depthAt(step);
    if (this.#isConfigured && depth === this.#depth) return [];
    this.#isConfigured = true;
    this.#depth = depth;
    return [session.configure(this.#groups.settings(depth))];
  }
}
