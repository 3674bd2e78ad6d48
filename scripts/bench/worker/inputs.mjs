// The rows, the tokenizer and the config that the jobs are about.
import { writeFile } from 'node:fs/promises';
import { BertTokenizer, loadDataset, UsageError } from '../../../dist/index.js';
import { MAX_TOKENS, modelConfig } from '../shape.mjs';

/**
 * @typedef {{ dtype: 'float32' | 'bfloat16', device: 'cpu' | `cuda:${number}`, threads: number }} Runtime
 * @typedef {{ data: string, rows: number, tokenizer: string, shape: import('../shape.mjs').Shape }} Input
 */

/**
 * Writes config, token ids and labels of the rows for the other side, so that both do the same work, and the texts from
 * the shortest to the longest for ours.
 *
 * @param {{ output: string, sorted: string } & Input} job
 */
export async function encode({ output, sorted, ...input }) {
  const { rows, tokenizer, task, config, close } = await openInput(input);
  const numbers = Uint32Array.from({ length: rows.size }, (_, row) => row);
  const { examples, labels } = await rows.read(numbers);
  const encodings = examples.map(({ text, textPair }) =>
    tokenizer.encode(text, textPair, { maxLength: MAX_TOKENS }),
  );
  if (encodings.some(({ typeIds }) => typeIds !== null))
    throw new UsageError('The bench takes one text a row, not pairs');
  const ids = encodings.map((encoding) => Array.from(encoding.ids));
  await writeFile(output, JSON.stringify({ config, ids, labels: Array.from(labels) }));
  const order = [...ids.keys()];
  order.sort((a, b) => (ids[a]?.length ?? 0) - (ids[b]?.length ?? 0));
  const texts = order.map((i) => ({ text: examples[i]?.text, label: String(labels[i]) }));
  // Rows behind those that are measured, so that each label is one here too.
  const more = task.labels.map((_, label) => ({ text: '-', label: String(label) }));
  await writeFile(sorted, [...texts, ...more].map((row) => `${JSON.stringify(row)}\n`).join(''));
  await close();
  return { lengths: ids.map(({ length }) => length) };
}

/** @param {{ tokenizer: string }} job */
export async function vocabulary({ tokenizer }) {
  const { vocabSize } = await BertTokenizer.fromPretrained(tokenizer);
  return { vocabSize };
}

/**
 * Opens the data, the tokenizer and a config. Labels are those of the whole file: its first rows may have one only.
 *
 * @param {Input} input
 */
export async function openInput({ data, rows: limit, tokenizer: folder, shape }) {
  const tokenizer = await BertTokenizer.fromPretrained(folder);
  const dataset = await loadDataset({ train: data });
  const { train: whole, task } = dataset;
  if (task.problemType !== 'single_label_classification')
    throw new UsageError(`The bench takes one class a row; ${data} is ${task.problemType}`);
  if (whole.size < limit) throw new UsageError(`--rows is ${limit} but ${data} has ${whole.size} rows`);
  return {
    tokenizer,
    task,
    config: modelConfig(shape, tokenizer.vocabSize, task.labels),
    rows: firstRows(whole, limit),
    close: () => dataset.close(),
  };
}

/**
 * @param {Pick<import('../../../dist/index.js').Dataset, 'size' | 'labels' | 'read'>} rows
 * @param {number} size
 * @returns {Pick<import('../../../dist/index.js').Dataset, 'size' | 'labels' | 'read'>}
 */
export function firstRows(rows, size) {
  return { size, labels: rows.labels, read: (numbers) => rows.read(numbers) };
}
