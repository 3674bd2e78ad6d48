// Which rows the steps of a run read, from the step on at which it stands.
import { measureLengths } from '../data/batch.js';
import type { TokenizerPool } from '../tokenizer/index.js';
import { stepRows } from './order.js';
import type { TrainerParts } from './parts.js';
import type { RunPlan } from './settings.js';

/**
 * The rows of each step that is still to be done, micro-batch by micro-batch.
 *
 * @param options.onMeasured called with the number of rows whose length is known, where rows are grouped by length
 */
export async function rowsToDo(
  firstStep: number,
  plan: RunPlan,
  { args, trainDataset }: TrainerParts,
  { pool, onMeasured }: { pool: TokenizerPool; onMeasured: (rows: number) => void },
): Promise<Iterable<Uint32Array[]>> {
  const byLength = args.trainSamplingStrategy === 'group_by_length';
  return stepRows(firstStep, plan, {
    size: trainDataset.size,
    strategy: args.trainSamplingStrategy,
    batchSize: args.perDeviceTrainBatchSize,
    accumulation: args.gradientAccumulationSteps,
    seed: args.dataSeed ?? args.seed,
    lengths: byLength ? await measureLengths(trainDataset, pool, onMeasured) : undefined,
  });
}
