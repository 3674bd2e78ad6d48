// Which rows form which batch: pure functions of the sizes and the seed, so that a resumed run needs no state.
import { measureLengths, type LabelledRows } from '../data/batch.js';
import type { World } from '../distributed/world.js';
import type { TrainingArguments } from '../options/index.js';
import type { TokenizerPool } from '../tokenizer/index.js';
import { randomNumbers, shuffle } from '../util/random.js';
import type { TrainingLength } from './plan.js';

export type SamplingStrategy = 'random' | 'sequential' | 'group_by_length';

/** Where steps are sampled from. */
interface Sampled {
  rows: Pick<LabelledRows, 'size' | 'read' | 'tokensEach'>;
  pool: TokenizerPool;
  /** The processes that have a part of each micro-batch. */
  world: World;
  /** Called with the number of rows that were looked at, where lengths are measured. */
  onMeasured: (rows: number) => void;
}

/**
 * The rows of each optimizer step from `firstStep` on, micro-batch by micro-batch, and the lengths of all rows where they are grouped
 * by length, or several processes share a step.
 */
export async function sampleSteps(
  firstStep: number,
  plan: TrainingLength,
  args: TrainingArguments,
  from: Sampled,
): Promise<{ steps: Iterable<Uint32Array[]>; lengths: ArrayLike<number> | undefined }> {
  const byLength = args.trainSamplingStrategy === 'group_by_length';
  const lengths = byLength
    ? await lengthsOf(from)
    : from.world.size > 1
      ? await lengthsToShare(from)
      : undefined;
  const steps = stepRows(firstStep, plan, {
    size: from.rows.size,
    strategy: args.trainSamplingStrategy,
    batchSize: args.perDeviceTrainBatchSize * from.world.size,
    accumulation: args.gradientAccumulationSteps,
    seed: args.dataSeed ?? args.seed,
    lengths,
  });
  return { steps, lengths };
}

async function lengthsToShare(from: Sampled): Promise<ArrayLike<number>> {
  const { tokensEach, size } = from.rows;
  return tokensEach === undefined ? lengthsOf(from) : new Uint16Array(size).fill(tokensEach);
}

/** Each process measures a part of the rows. */
async function lengthsOf({ rows, pool, world, onMeasured }: Sampled): Promise<ArrayLike<number>> {
  const own = await measureLengths(rows, pool, onMeasured, world);
  return world.size === 1 ? own : Uint16Array.from(await world.sum(Array.from(own)));
}

/** The rows of each optimizer step from `firstStep` on: one list of micro-batches a step, epoch after epoch. */
export function* stepRows(
  firstStep: number,
  { stepsPerEpoch, totalSteps }: TrainingLength,
  options: Omit<Parameters<typeof epochOrder>[0], 'epoch'> & { accumulation: number },
): Generator<Uint32Array[]> {
  let order: Uint32Array | undefined;
  for (let step = firstStep; step < totalSteps; step++) {
    const inEpoch = step % stepsPerEpoch;
    if (order === undefined || inEpoch === 0)
      // HF groups lengths over whole optimizer steps, so the order does not depend on how a step is cut.
      order = epochOrder({
        ...options,
        batchSize: options.batchSize * options.accumulation,
        epoch: Math.floor(step / stepsPerEpoch),
      });
    yield microBatches(order, inEpoch, options.batchSize, options.accumulation);
  }
}

/** Cuts the micro-batches of one optimizer step of the epoch (0-based) out of its order. */
export function microBatches(
  order: Uint32Array,
  step: number,
  batchSize: number,
  accumulation: number,
): Uint32Array[] {
  const start = step * batchSize * accumulation;
  const end = Math.min(start + batchSize * accumulation, order.length);
  const batches: Uint32Array[] = [];
  for (let at = start; at < end; at += batchSize)
    batches.push(order.subarray(at, Math.min(at + batchSize, end)));
  return batches;
}

/** The numbers 0 to size - 1 in a random order, the same for the same seed and epoch. */
export function permutation(size: number, seed: number, epoch: number): Uint32Array {
  const rows = Uint32Array.from({ length: size }, (_, i) => i);
  const random = randomNumbers(Math.imul(seed, 0x9e3779b1) ^ Math.imul(epoch + 1, 0x85ebca6b));
  return shuffle(rows, random);
}

/**
 * The order in which an epoch visits the rows.
 *
 * `group_by_length` is HF's (trainer_pt_utils.get_length_grouped_indices): a random order is cut into mega-batches
 * of up to 50 batches, each sorted by length, longest first, and the longest row of all comes first, so that
 * running out of memory shows at once.
 *
 * @param lengths tokens of every row; needed for group_by_length only
 */
export function epochOrder(options: {
  size: number;
  strategy: SamplingStrategy;
  batchSize: number;
  seed: number;
  epoch: number;
  lengths?: ArrayLike<number> | undefined;
}): Uint32Array {
  const { size, strategy, batchSize, seed, epoch, lengths } = options;
  if (strategy === 'sequential') return Uint32Array.from({ length: size }, (_, i) => i);
  const rows = permutation(size, seed, epoch);
  return strategy === 'group_by_length' && lengths !== undefined
    ? groupByLength(rows, lengths, batchSize)
    : rows;
}

function groupByLength(rows: Uint32Array, lengths: ArrayLike<number>, batchSize: number): Uint32Array {
  const lengthOf = (row: number): number => lengths[row] ?? 0;
  const megaBatches = Math.max(Math.min(Math.floor(rows.length / (batchSize * 4)), 50), 1) * batchSize;
  for (let start = 0; start < rows.length; start += megaBatches) {
    rows.subarray(start, start + megaBatches).sort((a, b) => lengthOf(b) - lengthOf(a));
  }
  let longest = 0; // the first row of a mega-batch is its longest
  for (let start = 0; start < rows.length; start += megaBatches) {
    if (lengthOf(rows[start] ?? 0) > lengthOf(rows[longest] ?? 0)) longest = start;
  }
  const first = rows[0] ?? 0;
  rows[0] = rows[longest] ?? 0;
  rows[longest] = first;
  return rows;
}
