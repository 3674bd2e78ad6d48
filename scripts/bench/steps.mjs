// Forward, backward and update alone, on made-up token ids of fixed lengths.
import { ourWorker, runJob } from './jobs.mjs';
import { stepSides } from './reference.mjs';
import { modelConfig } from './shape.mjs';

/**
 * How many steps a process makes. On a GPU one is short, and the first few still load kernels and ask for memory.
 *
 * @type {Readonly<Record<'cpu' | 'cuda', { warmUp: number, steps: number }>>}
 */
const STEPS = { cpu: { warmUp: 1, steps: 3 }, cuda: { warmUp: 10, steps: 50 } };
const LABELS = ['0', '1'];

/** All is trained, nothing computed twice. */
export const PLAIN = { gradientCheckpointing: false, loraRank: 0, freeze: [] };

/**
 * @typedef {import('./runs.mjs').Work} Work
 * @typedef {import('./runs.mjs').Side} Side
 *
 * What a step is measured with.
 *
 * @typedef {object} StepPlan
 * @property {import('./shape.mjs').Shape} shape
 * @property {{ rows: number, length: number }} batch
 * @property {'auto' | 'float32' | 'bfloat16' | 'both'} dtype of both sides; auto: ours chooses, the other takes both
 * @property {import('./options.mjs').Variant} variant
 * @property {boolean} compile also against torch.compile
 */

/**
 * @param {import('./options.mjs').BenchOptions} options
 * @param {import('./runs.mjs').Context} context
 */
export async function planSteps(options, context) {
  const { shape, dtype, variant, compile, batches } = options;
  /** @type {Work[]} */
  const works = [];
  for (const batch of batches)
    works.push(await stepWork(options, context, { shape, batch, dtype, variant, compile }));
  return { works, notes: stepNotes(context.machine.device) };
}

/**
 * What is to be known of the figures.
 *
 * @param {'cpu' | 'cuda'} device
 */
export const stepNotes = (device) => [
  `Steps: processes that each time ${STEPS[device].steps} steps after ${STEPS[device].warmUp} not counted; AdamW, clip 1.0, dropout 0.1; no data`,
  'reading, no tokenization. Split: thread-seconds of one more step. GEMM: the dense layers; attention: with its products;',
  'rest: threads that wait, memory, bookkeeping.',
];

/**
 * @param {Pick<import('./options.mjs').BenchOptions, 'tokenizer' | 'threads'>} options
 * @param {import('./runs.mjs').Context} context
 * @param {StepPlan} plan
 * @returns {Promise<Work>}
 */
export async function stepWork({ tokenizer, threads }, { reference, machine }, plan) {
  const { shape, batch, variant } = plan;
  const { vocabSize } = await runJob(ourWorker, { task: 'vocabulary', tokenizer });
  const config = modelConfig(shape, vocabSize, LABELS);
  const { device } = machine;
  const shared = { task: 'step', config, ...batch, ...STEPS[device], threads, device };
  const { names: frozen } = await runJob(ourWorker, { task: 'frozen', config, patterns: variant.freeze });
  const words = describeVariant(variant);
  const dtypes = plan.dtype === 'both' ? ['float32', 'bfloat16'] : [plan.dtype];
  /** @type {(name: string, role: Side['role'], variant: import('./options.mjs').Variant) => Side[]} */
  const ours = (name, role, how) =>
    dtypes.map((dtype) => ({
      name,
      role,
      worker: ourWorker,
      job: { ...shared, shape, dtype, variant: how },
    }));
  const sides = [
    ...ours(`bertune${words}`, 'ours', variant),
    ...(words === '' ? [] : ours('bertune, plain', 'plain', PLAIN)),
    ...(reference === null ? [] : stepSides(plan, reference, { ...shared, variant: { ...variant, frozen } })),
  ];
  const lengths = Array.from({ length: batch.rows }, () => batch.length);
  return {
    title: `Step of ${batch.rows} x ${batch.length} tokens`,
    about: '',
    shape,
    lengths,
    trains: true,
    sides,
  };
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
