// Benchmarks and their medians as tables for people.
import { basename } from 'node:path';
import { describeShape } from './shape.mjs';
import {
  decimals,
  gigaflops,
  megabytes,
  percent,
  seconds,
  table,
  times,
  whole,
  withSpread,
} from './statistics.mjs';

/** @typedef {import('./comparison.mjs').Side} Side */
/** @typedef {import('./statistics.mjs').Summary} Summary */

/** What the parts of a step are called. */
const PHASES = {
  gemm: 'GEMM',
  attention: 'attention',
  elementWise: 'element-wise',
  optimizer: 'optimizer',
  reduction: 'reductions',
  rest: 'rest',
};

/** Headings of the figures, and their form. */
const COLUMNS = /** @type {const} */ ([
  ['tokensPerSecond', 'real tok/s', whole],
  ['samplesPerSecond', 'samples/s', decimals],
  ['flopsPerSecond', 'GFLOP/s', gigaflops],
  ['matmulShare', 'of GEMM', percent],
  ['seconds', 'seconds', seconds],
  ['outside', 'outside', percent],
  ['dataWait', 'data wait', percent],
  ['peakBytes', 'peak memory', megabytes],
  ['overWeights', 'over weights', times],
  ['stateBytes', 'optimizer state', megabytes],
  ['dispatches', 'operators', whole],
  ['launches', 'launches', whole],
  ['sentBytes', 'sent', megabytes],
  ['reduction', 'reductions', seconds],
  ['exposed', 'waited', seconds],
  ['overlapped', 'overlapped', percent],
]);

/** What the columns mean. */
export const LEGEND = [
  'Medians (least to most). FLOPs are those of the matrix products of the encoder layers, forward once and backward',
  'twice, whether or not a program computes them all. of GEMM: over the FLOP/s of the largest product alone, in the same',
  'process. outside: the share of the time in which the native thread had nothing to do (JavaScript, the boundary, data).',
  'data wait: the share in which no step was ready after the first. peak memory: of the process, on a GPU of its memory.',
  'operators: of LibTorch that a step calls. launches: nodes of the graphs that a step repeats, and fused kernels beside them;',
  'what LibTorch launches outside of graphs is not counted, since that takes CUPTI.',
];

/** @param {string} title @param {import('./runs.mjs').Prepared} work @param {readonly Side[]} sides */
export function benchmarkLines(title, { about, shape }, sides) {
  const rows = sides.map(({ name, figures, ratios }) => [
    name,
    ...COLUMNS.map(([figure, , format]) => shown(figures[figure], format)),
    shown(ratios?.['speed'], times),
  ]);
  const heading = ['', ...COLUMNS.map(([, words]) => words), 'bertune faster by'];
  return [
    '',
    `${title}: ${about}${describeShape(shape)}`,
    ...table(withoutEmpty([heading, ...rows])),
    ...sides.flatMap(splitLine),
  ];
}

/** @param {Side} side */
function splitLine({ name, split }) {
  if (split === null) return [];
  const parts = Object.entries(PHASES).flatMap(([phase, word]) => {
    const share = split[phase];
    return share === undefined ? [] : [`${word} ${withSpread(share, percent)}`];
  });
  return [`split of the step of ${name}: ${parts.join(', ')}`];
}

/** @param {Summary | undefined} figure @param {(value: number) => string} format */
function shown(figure, format) {
  return figure === undefined ? '-' : withSpread(figure, format);
}

/** Leaves out columns in which no row has anything. @param {readonly string[][]} rows with their heading */
function withoutEmpty([heading = [], ...rows]) {
  const used = heading.map((_, column) => column === 0 || rows.some((row) => row[column] !== '-'));
  return [heading, ...rows].map((row) => row.filter((_, column) => used[column]));
}

/** Which rows of which file, and how long they are. @param {string} data @param {readonly number[]} lengths */
export function describeRows(data, lengths) {
  const tokens = lengths.reduce((sum, length) => sum + length, 0);
  const mean = whole(tokens / lengths.length);
  return `the first ${lengths.length} rows of ${basename(data)}, ${tokens} real tokens (mean ${mean}, longest ${Math.max(...lengths)})`;
}

/** @param {readonly import('./runs.mjs').Results[]} results */
export function failureLines(results) {
  return results.flatMap(({ title, failures }) =>
    failures.map(({ name, reason }) => `Failed: ${title}, ${name}: ${reason.trim().split('\n').at(-1)}`),
  );
}
