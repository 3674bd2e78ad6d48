// Steps, or forward passes, alone: made-up token ids of fixed lengths.
import { buildSides, ourBuild } from './builds.mjs';
import { stepSides } from './reference.mjs';
import { modelConfig, trainingFlops } from './shape.mjs';

/** How long a process runs, by what it computes in: long enough for a clock, short enough for three repetitions. */
const FLOPS = { float32: 3e11, bfloat16: 6e11 };
const MOST_STEPS = 100;
/** On a GPU one is short, and the first few still load kernels and ask for memory. */
const ON_GPU = { warmUp: 10, steps: 50 };
const LABELS = ['0', '1'];

/** All is trained, nothing computed twice. */
export const PLAIN = { gradientCheckpointing: false, loraRank: 0, freeze: [], cudaGraphs: true };

/** What is to be known of the figures. */
export const STEP_NOTES = [
  `Steps: a process times as many as take about ${FLOPS.float32 / 1e9} GFLOP, in bfloat16 ${FLOPS.bfloat16 / 1e9}, from 1 to ${MOST_STEPS} (on a GPU`,
  `${ON_GPU.steps}), after 1 that is not counted (${ON_GPU.warmUp}); AdamW, clip 1.0, dropout 0.1; no data reading, no tokenization. Split:`,
  'thread-seconds of one more step. GEMM: the dense layers; attention: with its products; rest: threads that wait, memory,',
  'bookkeeping. Forward passes: the same without gradients and dropout; of HF the faster of autocast and bfloat16 weights.',
];

/**
 * What is measured, of the options or in their place.
 *
 * @typedef {object} StepPlan
 * @property {'steps' | 'forward'} mode
 * @property {import('./shape.mjs').Shape} shape
 * @property {{ rows: number, length: number }} batch
 * @property {'float32' | 'bfloat16'} dtype of ours
 * @property {readonly ('float32' | 'bfloat16')[]} theirs of the other side
 * @property {import('./options.mjs').Variant} variant
 * @property {boolean} compile also against torch.compile
 *
 * @typedef {Pick<import('./options.mjs').BenchOptions, 'tokenizer' | 'threads' | 'task'>} StepOptions
 *
 * @param {StepOptions} options
 * @param {import('./runs.mjs').Context} context
 * @param {Omit<StepPlan, 'mode'> & { mode: string }} plan
 * @returns {import('./runs.mjs').Benchmark}
 */
export function stepBenchmark(options, context, plan) {
  const { reference, builds } = context;
  const { shape, batch, variant, dtype, mode } = plan;
  const trains = mode !== 'forward';
  const lengths = Array.from({ length: batch.rows }, () => batch.length);
  const prepare = async () => {
    const { shared, frozen } = await stepJob(options, context, plan);
    const words = describeVariant(variant);
    const job = { ...shared, shape, dtype };
    const sides = buildSides(builds, dtype, ({ worker }) => worker({ ...job, variant }), words);
    if (words !== '') {
      const measure = () => ourBuild.worker({ ...job, variant: PLAIN });
      sides.push({ name: 'bertune, plain', role: 'plain', dtype, measure });
    }
    if (reference !== null)
      sides.push(...stepSides(plan, reference, { ...shared, variant: { ...variant, frozen } }));
    return { about: '', shape, lengths, trains, sides };
  };
  return { title: `${trains ? 'Step' : 'Forward pass'} of ${batch.rows} x ${batch.length} tokens`, prepare };
}

/**
 * What all sides have in common, and the tensors that are frozen.
 *
 * @param {StepOptions} options
 * @param {import('./runs.mjs').Context} context
 * @param {Omit<StepPlan, 'mode' | 'theirs' | 'compile'> & { mode: string }} plan
 * @param {{ least: number, longer: number }} [how] steps at least, and how many times as many as usual
 */
export async function stepJob(
  { tokenizer, threads, task },
  { machine: { device } },
  plan,
  { least, longer } = { least: 1, longer: 1 },
) {
  const { shape, batch, variant, dtype, mode } = plan;
  const trains = mode !== 'forward';
  const { vocabSize } = await ourBuild.worker({ task: 'vocabulary', tokenizer });
  const config = {
    ...modelConfig(shape, vocabSize, LABELS),
    ...(task === 'masked-lm' && { architectures: ['ForMaskedLM'] }),
  };
  const lengths = Array.from({ length: batch.rows }, () => batch.length);
  const flops = trainingFlops(shape, lengths) / (trains ? 1 : 3);
  const steps = Math.min(Math.max(Math.round((longer * FLOPS[dtype]) / flops), least), MOST_STEPS);
  const count = device !== 'cpu' ? ON_GPU : { warmUp: 1, steps };
  const shared = { task: trains ? 'step' : 'forward', config, ...batch, ...count, threads, device };
  /** @type {{ names: string[] }} */
  const { names: frozen } = await ourBuild.worker({ task: 'frozen', config, patterns: variant.freeze });
  return { shared, frozen };
}

/** ` with ...`, or nothing. @param {import('./options.mjs').Variant} variant */
export function describeVariant({ gradientCheckpointing, loraRank, freeze, cudaGraphs }) {
  const parts = [
    gradientCheckpointing && 'gradient checkpointing',
    loraRank > 0 && `LoRA of rank ${loraRank}`,
    freeze.length > 0 && `${freeze.join(' ')} frozen`,
    !cudaGraphs && 'no graphs',
  ].filter(Boolean);
  return parts.length === 0 ? '' : ` with ${parts.join(', ')}`;
}
