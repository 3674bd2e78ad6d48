// From the rows of an optimizer step to what this process gives its session: packed batches, and the divisor of the losses, which is
// that of the whole step.
import { loadBatch, type BatchReading, type LabelledRows } from '../data/batch.js';
import { sharesOf } from '../distributed/shares.js';
import type { World } from '../distributed/world.js';
import type { PackedBatch } from '../native/index.js';
import type { TokenizerPool } from '../tokenizer/index.js';
import { RunError } from '../util/errors.js';

/** A step as one process has it. */
export interface LoadedStep {
  /** None where a step has fewer rows than there are processes. */
  readonly batches: readonly PackedBatch[];
  /** What the sum of the losses is divided by, over all processes. */
  readonly divisor: number;
  /** Real tokens of all processes. */
  readonly tokens: number;
}

/** What a step is loaded from. */
interface Source {
  readonly rows: LabelledRows;
  readonly pool: TokenizerPool;
  readonly reading: Omit<BatchReading, 'at'>;
  /** Of some batches what their losses are to be divided by. */
  readonly divisorOf: (batches: readonly PackedBatch[]) => number;
}

/** Loads steps, several at a time, for one process of a world. */
export class StepLoader {
  readonly #source: Source;
  readonly #world: World;
  readonly #lengths: ArrayLike<number> | undefined;
  /** The sums of earlier steps: all processes sum in the order of the steps, whichever is loaded first. */
  #earlier: Promise<unknown> = Promise.resolve();

  private constructor(source: Source, world: World, lengths: ArrayLike<number> | undefined) {
    this.#source = source;
    this.#world = world;
    this.#lengths = lengths;
  }

  /** @param lengths tokens of every row, by which several processes share a step */
  static async open(
    source: Source,
    world: World,
    lengths: ArrayLike<number> | undefined,
  ): Promise<StepLoader> {
    return world.size === 1
      ? new StepLoader(source, world, undefined)
      : new StepLoader(source, await world.channel('steps'), lengths);
  }

  /** @param step the rows of all processes, micro-batch by micro-batch */
  async load(step: readonly Uint32Array[], at: { epoch: number; progress: number }): Promise<LoadedStep> {
    const { rows, pool, reading, divisorOf } = this.#source;
    const load = (group: Uint32Array): Promise<PackedBatch> =>
      loadBatch(rows, group, pool, { ...reading, at });
    if (this.#lengths === undefined) {
      const batches = await Promise.all(step.map(load));
      return { batches, divisor: divisorOf(batches), tokens: tokensOf(batches) };
    }
    const shares = sharesOf(step, this.#lengths, this.#world).filter((share) => share.rows.length > 0);
    const loading = Promise.all(
      shares.map(async (share) => {
        const batch = await load(share.rows);
        batch.places = share.places;
        return batch;
      }),
    );
    const summed = this.#earlier.then(async () => {
      const batches = await loading;
      const [divisor = 0, tokens = 0] = await this.#world.sum([divisorOf(batches), tokensOf(batches)]);
      this.#requireMeasured(step, tokens);
      return { batches, divisor, tokens };
    });
    this.#earlier = summed.catch(() => undefined);
    return summed;
  }

  /** Dropout would be another one with other lengths, and differ from process to process. */
  #requireMeasured(step: readonly Uint32Array[], tokens: number): void {
    let measured = 0;
    for (const rows of step) for (const row of rows) measured += this.#lengths?.[row] ?? 0;
    if (measured === tokens) return;
    throw new RunError(
      `A step has ${tokens} tokens and its rows had ${measured} when they were measured: the data have changed meanwhile, or differ ` +
        'from process to process',
    );
  }
}

function tokensOf(batches: readonly PackedBatch[]): number {
  return batches.reduce((sum, { inputIds }) => sum + inputIds.length, 0);
}
