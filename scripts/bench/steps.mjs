// The step table: forward, backward and update alone, on made-up token ids of fixed lengths; with --compare in turns
// with transformers.
import { say } from '../setup/terminal.mjs';
import { ourWorker, runJob } from './jobs.mjs';
import { referenceStepSides } from './reference.mjs';
import { describeShape, modelConfig, trainingFlops } from './shape.mjs';
import { decimals, gigaflops, megabytes, percent, summary, table, whole, withSpread } from './statistics.mjs';

const STEPS_PER_ROUND = 3;
const LABELS = ['0', '1'];

/**
 * @typedef {import('./statistics.mjs').Summary} Summary
 * @typedef {import('./shape.mjs').Shape} Shape
 * @typedef {{ name: string, worker: import('./jobs.mjs').Worker, job: Record<string, unknown> }} StepSide
 * @typedef {{ seconds: number, peakBytes: number, dtype: string, matmulRate?: number }} Round
 * @typedef {{ name: string, rows: number, length: number, seconds: Summary, tokensPerSecond: Summary, samplesPerSecond: Summary, flopsPerSecond: Summary, matmulShare: Summary | null, peakBytes: number, ratio: Summary | null }} Step
 *   `matmulShare`: FLOP/s over those of the largest matrix product in the same process; `ratio`: our speed over this one
 */

/**
 * Times the steps. Each measurement is a process of its own, and all sides take turns.
 *
 * @param {import('./options.mjs').BenchOptions} options
 * @throws {import('../setup/errors.mjs').SetupError}
 */
export async function benchSteps(options) {
  const { tokenizer, shape, dtype, threads, repeat, batches } = options;
  const { vocabSize } = await runJob(ourWorker, { task: 'vocabulary', tokenizer });
  const shared = { shape, threads, config: modelConfig(shape, vocabSize, LABELS) };
  /** @type {StepSide[]} */
  const sides = [
    { name: 'bertune', worker: ourWorker, job: { dtype } },
    ...(await referenceStepSides(options)),
  ];
  const steps = [];
  for (const batch of batches) {
    /** @type {Round[][]} */
    const rounds = sides.map(() => []);
    for (let repetition = 1; repetition <= repeat; repetition++)
      for (const [i, side] of sides.entries()) {
        say(`${batch.rows} x ${batch.length}, repetition ${repetition} of ${repeat}: ${side.name} ...`);
        rounds[i]?.push(await measure(side, { ...shared, ...batch }));
      }
    steps.push(...rounds.map((own, i) => stepOf(sides[i]?.name ?? '', shape, batch, own, rounds[0] ?? [])));
  }
  return { lines: stepLines(shape, threads, steps), results: { steps } };
}

/**
 * @param {StepSide} side
 * @param {Record<string, unknown>} shared
 * @returns {Promise<Round>}
 */
async function measure({ worker, job }, shared) {
  const asked = { task: 'step', rounds: 1, stepsPerRound: STEPS_PER_ROUND, ...shared, ...job };
  const { seconds, ...rest } = await runJob(worker, asked);
  return { ...rest, seconds: seconds[0] };
}

/**
 * @param {string} name
 * @param {Shape} shape
 * @param {{ rows: number, length: number }} batch
 * @param {readonly Round[]} rounds
 * @param {readonly Round[]} ours
 * @returns {Step}
 */
function stepOf(name, shape, { rows, length }, rounds, ours) {
  const flops = trainingFlops(
    shape,
    Array.from({ length: rows }, () => length),
  );
  /** @param {number} amount of something in one step */
  const perSecond = (amount) => summary(rounds.map(({ seconds }) => amount / seconds));
  const shares = rounds.flatMap(({ seconds, matmulRate }) =>
    matmulRate === undefined ? [] : [flops / seconds / matmulRate],
  );
  const ratios = rounds.map(({ seconds }, i) => seconds / (ours[i]?.seconds ?? NaN));
  return {
    name: `${name}, ${rounds[0]?.dtype ?? ''}`,
    rows,
    length,
    seconds: summary(rounds.map(({ seconds }) => seconds)),
    tokensPerSecond: perSecond(rows * length),
    samplesPerSecond: perSecond(rows),
    flopsPerSecond: perSecond(flops),
    matmulShare: shares.length === 0 ? null : summary(shares),
    peakBytes: Math.max(...rounds.map(({ peakBytes }) => peakBytes)),
    ratio: rounds === ours ? null : summary(ratios),
  };
}

/**
 * @param {Shape} shape
 * @param {number} threads
 * @param {readonly Step[]} steps
 */
function stepLines(shape, threads, steps) {
  const rows = steps.map((step) => [
    `${step.rows} x ${step.length}  ${step.name}`,
    withSpread(step.tokensPerSecond, whole),
    withSpread(step.samplesPerSecond, decimals),
    withSpread(step.flopsPerSecond, gigaflops),
    step.matmulShare === null ? '-' : withSpread(step.matmulShare, percent),
    withSpread(step.seconds, decimals),
    megabytes(step.peakBytes),
    step.ratio === null ? '-' : `${withSpread(step.ratio, decimals)}x`,
  ]);
  return [
    '',
    `Training steps: ${describeShape(shape)}; AdamW, clip 1.0, dropout 0.1, ${threads} threads`,
    `Median (least to most) of processes that each time ${STEPS_PER_ROUND} steps after one that is not counted; no data reading,`,
    'no tokenization. FLOPs are those of the matrix products of the encoder layers, forward once and backward twice,',
    'whether or not a program computes them all; of GEMM: over those of the largest product alone, in the same process.',
    '',
    ...table([
      [
        'rows x tokens',
        'tok/s',
        'samples/s',
        'GFLOP/s',
        'of GEMM',
        'seconds a step',
        'peak RSS',
        'bertune faster by',
      ],
      ...rows,
    ]),
  ];
}
