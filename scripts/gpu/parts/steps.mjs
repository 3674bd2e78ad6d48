// Steps alone, of the shapes whose figures docs/measurements.md has: time, tokens, share of the rate of matrix products, memory;
// with steps that are recorded as graphs and without, with TF32 and without.
import { ourBuild } from '../../bench/builds.mjs';
import { modelConfig, shapeOf, trainingFlops } from '../../bench/shape.mjs';
import { PLAIN } from '../../bench/steps.mjs';

const VOCABULARY = 30522;

/**
 * `aims`: at most so many milliseconds with graphs, and at least that share of the rate of products.
 *
 * @typedef {{ shape: string, rows: number, length: number, dtype: 'float32' | 'bfloat16', tf32?: boolean, aims?: readonly [number, number?] }} Step
 */

/** @type {readonly Step[]} */
const STEPS = [
  { shape: '12x768x12', rows: 32, length: 128, dtype: 'bfloat16', aims: [7, 45] },
  { shape: '12x768x12', rows: 8, length: 512, dtype: 'bfloat16', aims: [7.5] },
  { shape: '12x768x12', rows: 64, length: 24, dtype: 'bfloat16', aims: [4.2] },
  { shape: '6x384x12', rows: 16, length: 20, dtype: 'bfloat16', aims: [2] },
  { shape: '12x768x12', rows: 32, length: 128, dtype: 'float32' },
  { shape: '12x768x12', rows: 32, length: 128, dtype: 'float32', tf32: true },
];

/** @type {readonly Step[]} */
const SMALL = [
  { shape: '2x64x2', rows: 4, length: 16, dtype: 'bfloat16' },
  { shape: '2x64x2', rows: 4, length: 16, dtype: 'float32' },
];

/** @param {import('../part.mjs').Context} context */
export async function run({ device, bfloat16, isSmall, figure, check }) {
  for (const { shape: text, rows, length, dtype, tf32, aims } of isSmall ? SMALL : STEPS) {
    if (dtype === 'bfloat16' && !bfloat16) continue;
    const shape = shapeOf(text);
    const lengths = Array.from({ length: rows }, () => length);
    const memory = [];
    for (const cudaGraphs of dtype === 'bfloat16' ? [true, false] : [true]) {
      const title = `${text}, ${rows} x ${length}, ${dtype}${tf32 === true ? ' with TF32' : ''}, ${cudaGraphs ? 'graphs' : 'no graphs'}`;
      /** @type {import('../../bench/runs.mjs').Measured & { tokens: number }} */
      const measured = await ourBuild.worker({
        task: 'step',
        config: modelConfig(shape, isSmall ? 1000 : VOCABULARY, ['0', '1']),
        shape,
        rows,
        length,
        warmUp: isSmall ? 2 : 10,
        steps: isSmall ? 2 : 50,
        threads: 2,
        device,
        dtype,
        ...(tf32 !== undefined && { tf32 }),
        variant: { ...PLAIN, cudaGraphs },
      });
      const [most, least] = cudaGraphs ? (aims ?? []) : [];
      figure(
        `${title}: a step`,
        measured.seconds * 1000,
        'ms',
        most === undefined ? undefined : `at most ${most}`,
      );
      figure(`${title}: tokens`, measured.tokens / measured.seconds, 'a second');
      figure(
        `${title}: of the rate of products`,
        (100 * trainingFlops(shape, lengths)) / measured.seconds / (measured.matmulRate ?? NaN),
        '%',
        least === undefined ? undefined : `at least ${least}`,
      );
      figure(`${title}: most memory`, (measured.peakBytes ?? NaN) / 1e6, 'MB');
      if (measured.dispatches !== undefined)
        figure(`${title}: operators called`, measured.dispatches, 'a step');
      if (measured.launches !== undefined)
        figure(
          `${title}: launches`,
          measured.launches,
          cudaGraphs ? 'a step, in its graphs and of fused kernels' : 'a step, of fused kernels alone',
        );
      memory.push(measured.peakBytes ?? NaN);
    }
    const [recorded = NaN, eager = NaN] = memory;
    // On the CPU the memory is that of the process, and graphs of the fake GPU keep all that they made.
    if (!isSmall && memory.length === 2)
      check(
        `${text}, ${rows} x ${length}, ${dtype}: memory of graphs`,
        recorded <= 1.15 * eager,
        `${((100 * recorded) / eager - 100).toFixed(1)} % more, at most 15`,
      );
  }
}
