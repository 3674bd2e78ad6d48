// The step table: forward, backward and update alone, on made-up token ids of fixed lengths.
import { say } from '../setup/terminal.mjs';
import { ourWorker, runJob } from './jobs.mjs';
import { describeShape, trainingFlops } from './shape.mjs';
import { decimals, gigaflops, megabytes, summary, table, whole, withSpread } from './statistics.mjs';

/** Rows x tokens of a batch. */
const BATCHES = [
  { rows: 8, length: 256 },
  { rows: 32, length: 64 },
  { rows: 8, length: 512 },
];
const STEPS_PER_ROUND = 3;

/**
 * Times the steps, each batch shape in a process of its own.
 *
 * @param {import('./options.mjs').BenchOptions} options
 * @throws {import('../setup/errors.mjs').SetupError}
 */
export async function benchSteps({ tokenizer, shape, dtype: asked, threads, repeat }) {
  const steps = [];
  for (const { rows, length } of BATCHES) {
    say(`${rows} x ${length} ...`);
    const job = { task: 'step', rows, length, tokenizer, shape, dtype: asked, threads };
    /** @type {{ seconds: number[], peakBytes: number, dtype: string }} */
    const { seconds, peakBytes, dtype } = await runJob(ourWorker, {
      ...job,
      rounds: repeat,
      stepsPerRound: STEPS_PER_ROUND,
    });
    const flops = trainingFlops(
      shape,
      Array.from({ length: rows }, () => length),
    );
    /** @param {number} amount of something in one step */
    const perSecond = (amount) => summary(seconds.map((one) => amount / one));
    steps.push({
      rows,
      length,
      dtype,
      seconds: summary(seconds),
      tokensPerSecond: perSecond(rows * length),
      samplesPerSecond: perSecond(rows),
      flopsPerSecond: perSecond(flops),
      peakBytes,
    });
  }
  return { lines: stepLines(shape, threads, steps), results: { steps } };
}

/**
 * @typedef {import('./statistics.mjs').Summary} Summary
 * @typedef {{ rows: number, length: number, dtype: string, seconds: Summary, tokensPerSecond: Summary, samplesPerSecond: Summary, flopsPerSecond: Summary, peakBytes: number }} Step
 */

/**
 * @param {import('./shape.mjs').Shape} shape
 * @param {number} threads
 * @param {readonly Step[]} steps
 */
function stepLines(shape, threads, steps) {
  const rows = steps.map((step) => [
    `${step.rows} x ${step.length}`,
    withSpread(step.tokensPerSecond, whole),
    withSpread(step.samplesPerSecond, decimals),
    withSpread(step.flopsPerSecond, gigaflops),
    withSpread(step.seconds, decimals),
    megabytes(step.peakBytes),
  ]);
  return [
    '',
    `Training steps: ${describeShape(shape)}; AdamW, clip 1.0, dropout 0.1; ${steps[0]?.dtype ?? ''}, ${threads} threads`,
    `Median (least to most) of rounds of ${STEPS_PER_ROUND} steps after one that is not counted; no data reading, no tokenization.`,
    'FLOPs are those of the matrix products of the encoder layers, forward once and backward twice.',
    '',
    ...table([['rows x tokens', 'tok/s', 'samples/s', 'GFLOP/s', 'seconds a step', 'peak RSS'], ...rows]),
  ];
}
