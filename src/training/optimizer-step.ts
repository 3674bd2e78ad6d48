// What one optimizer step asks of the native session, as a function of the run's options and the step's number.
import type { TrainingArguments } from '../config/index.js';
import type { LossOptions, PackedBatch, Session } from '../native.js';
import { lossDivisor, lossOptions } from './loss-options.js';
import type { TrainerParts } from './parts.js';
import type { PreparedStep } from './step.js';

/** The calls of the steps of one run. */
export class OptimizerSteps {
  readonly #args: TrainingArguments;
  readonly #loss: LossOptions;

  /** @throws UsageError for options that cannot be met with the training data */
  constructor({ args, model, trainDataset }: TrainerParts) {
    this.#args = args;
    this.#loss = lossOptions(args, model.task, trainDataset);
  }

  /** Hands the batches and the update of a step to the session, in order. */
  run(session: Session, { batches }: PreparedStep, learningRate: number): Promise<void>[] {
    const divisor = lossDivisor(batches, this.#loss);
    return [
      ...batches.map((batch: PackedBatch) => session.accumulate(batch, { divisor, ...this.#loss })),
      session.update({
        learningRate,
        beta1: this.#args.adamBeta1,
        beta2: this.#args.adamBeta2,
        epsilon: this.#args.adamEpsilon,
        weightDecay: this.#args.weightDecay,
        maxGradNorm: this.#args.maxGradNorm,
      }),
    ];
  }
}
