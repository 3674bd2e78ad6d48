// What the end-to-end bench prints: what was measured and how, every run, the medians.
import { basename } from 'node:path';
import { mediansOf } from './comparison.mjs';
import { describeShape } from './shape.mjs';
import { decimals, gigaflops, megabytes, percent, table, whole, withSpread } from './statistics.mjs';

/**
 * What is measured, with what is and is not included.
 *
 * @param {import('./options.mjs').BenchOptions} options
 * @param {{ data: string, lengths: readonly number[], vocabSize: number, versions: string }} facts
 */
export function headLines({ shape, batchSize, threads }, { data, lengths, vocabSize, versions }) {
  const tokens = lengths.reduce((sum, length) => sum + length, 0);
  const mean = whole(tokens / lengths.length);
  const lines = [
    ...(versions === '' ? [] : [versions]),
    '',
    `End to end: one epoch over the first ${lengths.length} rows of ${basename(data)}, ${tokens} real tokens (mean ${mean}, longest ${Math.max(...lengths)})`,
    `${describeShape(shape)}, vocabulary ${vocabSize}; batch ${batchSize}, AdamW, clip 1.0, dropout 0.1, ${threads} threads`,
    'Each run is a process of its own: one step of a model of the same shape first, not counted, then the whole epoch',
    'of a new model. Loading the program and making the model are not counted. bertune: from the texts on disk, with',
    'tokenizer threads and tokenization counted, batches as they come; data wait is the share of that time in which no',
    'step was ready after the first.',
  ];
  if (versions === '') return lines;
  return [...lines, 'HF Trainer: trainer.train() alone; it gets the same token ids ready-made.'];
}

/**
 * Every run and the medians of each side.
 *
 * @param {readonly import('./end-to-end.mjs').Run[]} runs
 */
export function runLines(runs) {
  const columns = ['real tok/s', 'samples/s', 'GFLOP/s', 'seconds', 'data wait', 'peak RSS'];
  const each = runs.map((run) => [
    `${run.repetition}  ${run.name}`,
    whole(run.tokensPerSecond),
    decimals(run.samplesPerSecond),
    gigaflops(run.flopsPerSecond),
    decimals(run.seconds),
    run.dataWait === null ? '-' : percent(run.dataWait),
    megabytes(run.peakBytes),
  ]);
  const medians = mediansOf(runs).map((side) => [
    side.name,
    withSpread(side.tokensPerSecond, whole),
    withSpread(side.samplesPerSecond, decimals),
    withSpread(side.flopsPerSecond, gigaflops),
    withSpread(side.seconds, decimals),
    side.dataWait === null ? '-' : withSpread(side.dataWait, percent),
    withSpread(side.peakBytes, megabytes),
  ]);
  return [
    ...table([['run', ...columns], ...each]),
    '',
    ...table([['median (least to most)', ...columns], ...medians]),
    '',
  ];
}
