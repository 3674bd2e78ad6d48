// Out-of-fold predictions: what models that were trained without a row say of it, in files as `predict` writes them.
import { readPlaced, numberOf, type RawRecord } from '../data/index.js';
import type { Dataset } from '../data/dataset.js';
import { isDistribution, sigmoid, softmax, type Task } from '../tasks/index.js';
import { UsageError } from '../util/errors.js';
import { isObject } from '../util/json.js';
import { listed } from '../util/text.js';
import { probabilityColumns } from './table.js';

/** The probabilities of a row of logits, [numLabels]. */
export function probabilitiesOf({ kind }: Task, logits: ArrayLike<number>): number[] {
  return kind.columns.probabilities === 'distribution' ? softmax(logits) : Array.from(logits, sigmoid);
}

/**
 * Reads the probabilities of all rows: from `probabilities` or the columns `probability_LABEL` of a file that `predict` or
 * a cross-validation wrote, or columns called like the labels. Rows are in their order, or in any order by `row`.
 *
 * @returns [rows * numLabels]
 * @throws UsageError naming the line of what is no probability, and the first row that has none
 */
export async function readProbabilities(
  path: string,
  data: Pick<Dataset, 'size' | 'task' | 'place'>,
): Promise<Float64Array> {
  const { task } = data;
  const { numLabels } = task;
  const all = new Float64Array(data.size * numLabels).fill(Number.NaN);
  let number = 0;
  for await (const { record, place } of readPlaced(path)) {
    const row = record.columns().includes('row') ? numberOf(record.value('row')) : number;
    number += 1;
    if (row === null || !Number.isInteger(row) || row < 0 || row >= data.size)
      throw new UsageError(
        `${place}: there is no row ${JSON.stringify(record.value('row') ?? row)}; the data have ${data.size}, with numbers from 0`,
      );
    if (!Number.isNaN(all[row * numLabels])) throw new UsageError(`${place}: row ${row} is there twice`);
    all.set(checked(valuesOf(record, task, place), task, place), row * numLabels);
  }
  const missing = all.findIndex(Number.isNaN);
  if (missing === -1) return all;
  const row = Math.floor(missing / numLabels);
  throw new UsageError(
    `${path} has no probabilities of row ${row} (${data.place(row)}); it must have those of all rows`,
  );
}

function valuesOf(record: RawRecord, task: Task, place: string): unknown[] {
  const columns = record.columns();
  const { labels } = task;
  if (columns.includes('probabilities')) {
    const given = record.value('probabilities');
    if (isObject(given)) return labels.map((label) => given[label]);
    if (Array.isArray(given) && given.length === labels.length) return given;
    throw new UsageError(`${place}, column "probabilities": expected one for each of ${listed(labels)}`);
  }
  const predicted = probabilityColumns(task).map(({ column }) => column);
  const names = [predicted, labels].find((some) => some.every((name) => columns.includes(name)));
  if (names === undefined)
    throw new UsageError(
      `${place}: there are no probabilities of ${listed(labels)}: give them as ${listed(predicted)}, or as probabilities, as predict writes them`,
    );
  return names.map((name) => record.value(name));
}

function checked(values: readonly unknown[], { kind, labels }: Task, place: string): number[] {
  const probabilities = values.map((value, id) => {
    const number = numberOf(value);
    if (number !== null && number >= 0 && number <= 1) return number;
    throw new UsageError(
      `${place}: expected a probability from 0 to 1 of ${JSON.stringify(labels[id])} but found ${JSON.stringify(value) ?? 'none'}`,
    );
  });
  if (kind.columns.probabilities !== 'distribution' || isDistribution(probabilities)) return probabilities;
  const sum = probabilities.reduce((total, one) => total + one, 0);
  throw new UsageError(
    `${place}: the probabilities add up to ${Number(sum.toPrecision(3))}, which should be 1`,
  );
}
