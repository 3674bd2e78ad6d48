// Steps, or forward passes, alone: made-up token ids of fixed lengths.
import { buildSides, ourBuild } from './builds.mjs';
import { stepSides } from './reference.mjs';
import { modelConfig, trainingFlops } from './shape.mjs';

/** How long a process runs, by what it computes in: long enough for a clock, short enough for three repetitions. */
const FLOPS = { float32: 3e11, bfloat16: 8e11 };
const MOST_STEPS = 20;
/** On a GPU one is short, and the first few still load kernels and ask for memory. */
const ON_GPU = { warmUp: 10, steps: 50 };
const LABELS = ['0', '1'];

/** All is trained, nothing computed twice. */
export const PLAIN = { gradientCheckpointing: false, loraRank: 0, freeze: [] };

/**
 * @typedef {import('./runs.mjs').Work} Work
 * @typedef {import('./runs.mjs').Side} Side
 * @typedef {'float32' | 'bfloat16'} Dtype
 *
 * What a step is measured with.
 *
 * @typedef {object} StepPlan
 * @property {import('./shape.mjs').Shape} shape
 * @property {{ rows: number, length: number }} batch
 * @property {Dtype} dtype of ours
 * @property {readonly Dtype[]} [theirs] of the other side; as ours
 * @property {import('./options.mjs').Variant} variant
 * @property {boolean} compile also against torch.compile
 * @property {boolean} forward a forward pass without gradients or dropout, in place of a step
 */

/**
 * @param {import('./options.mjs').BenchOptions} options
 * @param {import('./runs.mjs').Context} context
 */
export async function planSteps(options, context) {
  const { shape, variant, compile, batches, mode } = options;
  const { bfloat16, dtype } = dtypeOf(options, context);
  /** @type {readonly Dtype[]} */
  const theirs = options.dtype === 'auto' && bfloat16 ? ['float32', 'bfloat16'] : [dtype];
  const plan = { shape, dtype, theirs, variant, compile, forward: mode === 'forward' };
  return { works: batches.map((batch) => stepWork(options, context, { ...plan, batch })), notes: STEP_NOTES };
}

/**
 * What is computed in.
 *
 * @param {import('./options.mjs').BenchOptions} options
 * @param {import('./runs.mjs').Context} context
 * @returns {{ bfloat16: boolean, dtype: Dtype }}
 */
export function dtypeOf({ dtype }, { machine: { bfloat16 } }) {
  return { bfloat16, dtype: dtype === 'auto' ? (bfloat16 ? 'bfloat16' : 'float32') : dtype };
}

/** What is to be known of the figures. */
export const STEP_NOTES = [
  `Steps: a process times as many as take about ${FLOPS.float32 / 1e9} GFLOP, in bfloat16 ${FLOPS.bfloat16 / 1e9}, from 1 to ${MOST_STEPS} (on a GPU`,
  `${ON_GPU.steps}), after 1 that is not counted (${ON_GPU.warmUp}); AdamW, clip 1.0, dropout 0.1; no data reading, no tokenization. Split:`,
  'thread-seconds of one more step. GEMM: the dense layers; attention: with its products; rest: threads that wait, memory,',
  'bookkeeping. Forward passes: the same without gradients and dropout; of HF the faster of autocast and bfloat16 weights.',
];

/**
 * @param {Pick<import('./options.mjs').BenchOptions, 'tokenizer' | 'threads'>} options
 * @param {import('./runs.mjs').Context} context
 * @param {StepPlan} plan
 * @returns {Work}
 */
export function stepWork({ tokenizer, threads }, { reference, machine: { device }, builds }, plan) {
  const { shape, batch, variant, dtype, forward } = plan;
  const lengths = Array.from({ length: batch.rows }, () => batch.length);
  const prepare = async () => {
    const { vocabSize } = await ourBuild.worker({ task: 'vocabulary', tokenizer });
    const config = modelConfig(shape, vocabSize, LABELS);
    const flops = trainingFlops(shape, lengths) / (forward ? 3 : 1);
    const task = forward ? 'forward' : 'step';
    const shared = { task, config, ...batch, ...howMany(device, dtype, flops), threads, device };
    const { names: frozen } = await ourBuild.worker({ task: 'frozen', config, patterns: variant.freeze });
    const words = describeVariant(variant);
    /** @param {import('./options.mjs').Variant} how */
    const job = (how) => ({ ...shared, shape, dtype, variant: how });
    /** @type {Side} */
    const plain = {
      name: 'bertune, plain',
      role: 'plain',
      dtype,
      measure: () => ourBuild.worker(job(PLAIN)),
    };
    const sides = [
      ...buildSides(builds, dtype, ({ worker }) => worker(job(variant)), words),
      ...(words === '' ? [] : [plain]),
      ...(reference === null
        ? []
        : stepSides(plan, reference, { ...shared, variant: { ...variant, frozen } })),
    ];
    return { about: '', shape, lengths, trains: !forward, sides };
  };
  const what = forward ? 'Forward pass' : 'Step';
  return { title: `${what} of ${batch.rows} x ${batch.length} tokens`, prepare };
}

/**
 * @param {'cpu' | 'cuda'} device
 * @param {Dtype} dtype
 * @param {number} flops of one
 */
function howMany(device, dtype, flops) {
  if (device === 'cuda') return ON_GPU;
  return { warmUp: 1, steps: Math.min(Math.max(Math.round(FLOPS[dtype] / flops), 1), MOST_STEPS) };
}

/** ` with ...`, or nothing. @param {import('./options.mjs').Variant} variant */
function describeVariant({ gradientCheckpointing, loraRank, freeze }) {
  const parts = [
    gradientCheckpointing && 'gradient checkpointing',
    loraRank > 0 && `LoRA of rank ${loraRank}`,
    freeze.length > 0 && `${freeze.join(' ')} frozen`,
  ].filter(Boolean);
  return parts.length === 0 ? '' : ` with ${parts.join(', ')}`;
}
