// What the project wants to reach, by class of processor.

/**
 * At least that much, and for some the most that was computed to be possible. What must not get worse has 1.
 *
 * @typedef {number | readonly [least: number, aim: number]} Level
 *
 * One for all processors, or by processor; one that is left out has none.
 *
 * @typedef {Level | Partial<Record<import('./machine.mjs').InstructionSet, Level>>} Levels
 *
 * @typedef {object} Target
 * @property {'speed' | 'memory' | 'time' | 'matmulShare' | 'overWeights' | 'outside'} figure ratios to the fastest side of
 *   the role `against` and to the build before, or figures of our own
 * @property {'eager' | 'best' | 'tutorial'} [against]
 * @property {Levels} [least]
 * @property {Levels} [before] of the ratio to the build before
 *
 * @typedef {object} Entry
 * @property {string} work `step` or `forward`, shape, rows x tokens and perhaps a type; or another work and its shape
 * @property {readonly import('./machine.mjs').InstructionSet[]} [only] the processors that it is measured on
 * @property {readonly Target[]} targets
 */

const MINILM = '6x384x12';

/** @type {readonly Entry[]} */
export const TARGETS = [
  {
    work: `step ${MINILM} 8x256`,
    targets: [
      {
        figure: 'speed',
        against: 'eager',
        least: { avx2: [1.75, 1.9], avx512: 2.2, avx512_bf16: 3.6 },
        before: { avx2: 1.6, avx512: 1, avx512_bf16: 1.08 },
      },
      { figure: 'matmulShare', least: { avx2: 0.85, avx512: 0.65, avx512_bf16: 0.78 } },
    ],
  },
  {
    work: `step ${MINILM} 32x64`,
    targets: [
      {
        figure: 'speed',
        against: 'eager',
        least: { avx2: [1.45, 1.55], avx512: 1.45, avx512_bf16: 1.8 },
        before: { avx2: 1.4, avx512: 1, avx512_bf16: 1 },
      },
    ],
  },
  {
    work: `step ${MINILM} 8x512`,
    targets: [
      {
        figure: 'speed',
        against: 'eager',
        least: { avx2: [2.8, 3], avx512: 2.8, avx512_bf16: 5 },
        before: { avx2: 1.65, avx512: 1, avx512_bf16: 1 },
      },
      { figure: 'memory', against: 'eager', least: 0.25, before: 0.9 },
    ],
  },
  {
    work: 'step 12x768x12 8x128',
    targets: [
      {
        figure: 'speed',
        against: 'eager',
        least: { avx2: 1.3, avx512: 1.3, avx512_bf16: 1.6 },
        before: { avx2: 1.4, avx512: 1, avx512_bf16: 1 },
      },
    ],
  },
  {
    work: 'step 2x128x2 32x64',
    targets: [
      {
        figure: 'speed',
        against: 'eager',
        least: 2.5,
        before: { avx2: 1.3, avx512: 1, avx512_bf16: 1 },
      },
    ],
  },
  {
    work: `step ${MINILM} 8x256 float32`,
    only: ['avx512_bf16'],
    targets: [{ figure: 'speed', against: 'eager', least: 2.2, before: 1 }],
  },
  ...[
    { batch: '8x256', least: 1.5, before: 1.75 },
    { batch: '32x64', least: 1.35, before: 1.4 },
    { batch: '8x512', least: 1.5, before: 1.8 },
  ].map(({ batch, least, before }) => ({
    work: `forward ${MINILM} ${batch}`,
    targets: [
      /** @type {const} */ ({
        figure: 'speed',
        against: 'eager',
        least,
        before: { avx2: before, avx512: 1, avx512_bf16: 1 },
      }),
    ],
  })),
  {
    work: `evaluate ${MINILM}`,
    targets: [
      {
        figure: 'speed',
        against: 'best',
        least: { avx2: 1.5, avx512: 1.5, avx512_bf16: 2.6 },
        before: { avx2: 1.75, avx512: 1, avx512_bf16: 1.25 },
      },
      { figure: 'memory', against: 'best', least: 0.5, before: 0.9 },
    ],
  },
  {
    work: `train ${MINILM}`,
    targets: [
      {
        figure: 'speed',
        against: 'best',
        least: { avx2: 2.5, avx512: 2.5, avx512_bf16: 5.5 },
        before: 1,
      },
      { figure: 'speed', against: 'tutorial', least: { avx2: 5, avx512: 5, avx512_bf16: 10 } },
      { figure: 'outside', least: 0.03 },
    ],
  },
  {
    work: 'open 12x768x12',
    targets: [
      { figure: 'overWeights', least: 1.3 },
      { figure: 'memory', against: 'eager', before: 0.9 },
    ],
  },
  {
    work: `firstStep ${MINILM}`,
    targets: [{ figure: 'time', against: 'best', least: 0.5, before: 0.8 }],
  },
];
