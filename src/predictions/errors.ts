// The rows of an evaluation, the worst predicted first: what a person reads to find wrong labels and hard texts.
import { stringify } from 'csv-stringify/sync';
import { entitiesIn } from '../data/token-labels.js';
import type { Entity, EntityReader } from '../evaluation/entities.js';
import type { PredictedBatch } from '../evaluation/predict.js';
import type { EncoderModel } from '../models/encoder-model.js';
import type { Prediction, Task, Targets } from '../tasks/index.js';
import { createMetrics } from '../tasks/index.js';
import { GrowingArray } from '../util/growing-array.js';
import { TempFile } from '../util/temp-file.js';
import { labelCell } from './formats.js';
import type { FormulaGuard } from './table.js';

/** Rows that are read together. */
const AT_ONCE = 256;

/** One row that was evaluated. */
export interface EvaluatedRow {
  text: string;
  textPair?: string;
  gold: Prediction['label'];
  predicted: Prediction['label'];
  /** Probability of what was predicted; see Prediction. */
  score: number;
  /** Of this row alone, as eval_loss has it on average. */
  loss: number;
  /** Its number in the data, from 0. */
  row: number;
}

/** One text whose tokens were evaluated. */
export interface EvaluatedText extends Pick<EvaluatedRow, 'text' | 'loss' | 'row'> {
  gold: readonly Omit<Entity, 'score'>[];
  predicted: readonly Entity[];
}

/**
 * The mean loss of a row, or of the tokens of a text.
 *
 * @param targets the class id of each (-100: no label, and NaN where none has one), or [numLabels] values or probabilities
 * @param count of rows of logits
 */
export function meanLoss(task: Task, logits: Float32Array, targets: Targets, count = 1): number {
  const metrics = createMetrics(task);
  metrics.add(logits, targets, count);
  return metrics.result()['loss'] ?? Number.NaN;
}

/** The label of one row as the model would give it, had it been right. */
export function goldOfRow(task: Task, targets: Targets): Prediction['label'] {
  const { of, isList } = task.labelType;
  if (of === 'number') return isList ? Array.from(targets) : (targets[0] ?? Number.NaN);
  const names = (task.classesOf(targets)[0] ?? []).map((id) => task.labels[id] ?? '');
  return isList ? names : (names[0] ?? '');
}

/**
 * Puts rows into the order of their losses. The rows themselves wait in a temporary file: memory holds 20 bytes of each.
 */
export class WorstFirst {
  readonly #losses = new GrowingArray(Float32Array);
  readonly #lengths = new GrowingArray(Uint32Array);

  private constructor(
    private readonly file: TempFile,
    private readonly format: 'csv' | 'jsonl',
    private readonly guard: FormulaGuard,
    private readonly hasPairs: boolean,
  ) {}

  /** @param options.format how the rows are to be written */
  static async create(options: {
    format: 'csv' | 'jsonl';
    guard: FormulaGuard;
    hasPairs: boolean;
  }): Promise<WorstFirst> {
    return new WorstFirst(await TempFile.create(), options.format, options.guard, options.hasPairs);
  }

  get size(): number {
    return this.#losses.length;
  }

  add(row: EvaluatedRow): void {
    this.#append(this.format === 'csv' ? this.csvLine(row) : jsonLine(row), row.loss);
  }

  /** Only for JSON Lines: a text with its entities. */
  addText(row: EvaluatedText): void {
    const { text, gold, predicted, loss, row: number } = row;
    this.#append(`${JSON.stringify({ text, gold, predicted, loss, row: number })}\n`, loss);
  }

  #append(line: string, loss: number): void {
    const before = this.file.size;
    this.file.append(line);
    this.#losses.push(loss);
    this.#lengths.push(this.file.size - before);
  }

  /** The content of the file: the row with the largest loss first, of equal ones the first; rows without a label last. */
  async *pieces(): AsyncGenerator<string | Uint8Array> {
    this.file.flush();
    if (this.format === 'csv')
      yield stringify([
        ['text', ...(this.hasPairs ? ['text_pair'] : []), 'gold', 'predicted', 'score', 'loss', 'row'],
      ]);
    const offsets = new Float64Array(this.size);
    for (let row = 1; row < this.size; row++)
      offsets[row] = (offsets[row - 1] ?? 0) + this.#lengths.at(row - 1);
    const lossOf = (row: number): number => {
      const loss = this.#losses.at(row);
      return Number.isNaN(loss) ? -Infinity : loss;
    };
    const order = Uint32Array.from({ length: this.size }, (_, row) => row).toSorted((a, b) =>
      lossOf(a) === lossOf(b) ? a - b : lossOf(a) < lossOf(b) ? 1 : -1,
    );
    const read = async (row: number): Promise<Buffer> => {
      const line = Buffer.alloc(this.#lengths.at(row));
      await this.file.handle.read(line, 0, line.length, offsets[row]);
      return line;
    };
    for (let first = 0; first < this.size; first += AT_ONCE)
      yield Buffer.concat(await Promise.all(Array.from(order.subarray(first, first + AT_ONCE), read)));
  }

  async close(): Promise<void> {
    await this.file.close();
  }

  private csvLine({ text, textPair = '', gold, predicted, score, loss, row }: EvaluatedRow): string {
    const { guard } = this;
    return stringify([
      [
        guard.carried(text),
        ...(this.hasPairs ? [guard.carried(textPair)] : []),
        labelCell(gold, guard),
        labelCell(predicted, guard),
        score,
        Number.isNaN(loss) ? '' : loss,
        row,
      ],
    ]);
  }
}

function jsonLine({ text, textPair, gold, predicted, score, loss, row }: EvaluatedRow): string {
  return `${JSON.stringify({ text, text_pair: textPair, gold, predicted, score, loss, row })}\n`;
}

/** Hands the rows of each batch over, with what the model made of them. */
export function rowsInto(
  errors: WorstFirst,
  { task, calibration }: EncoderModel,
): (batch: PredictedBatch) => void {
  return ({ first, rows, logits, labels = new Int32Array(), examples }) => {
    const targets = labels.length / rows;
    for (let i = 0; i < rows; i++) {
      const { text = '', textPair } = examples[i] ?? {};
      const own = logits.subarray(i * task.numLabels, (i + 1) * task.numLabels);
      const gold = labels.subarray(i * targets, (i + 1) * targets);
      const { label: predicted, score } = task.decode(own, calibration);
      errors.add({
        text,
        ...(textPair !== undefined && { textPair }),
        gold: goldOfRow(task, gold),
        predicted,
        score,
        loss: meanLoss(task, own, gold),
        row: first + i,
      });
    }
  };
}

/** Hands the texts of each batch over, with the entities that they have and those that the model finds, as predict does. */
export function textsInto(
  errors: WorstFirst,
  { task }: EncoderModel,
  read: EntityReader,
): (batch: PredictedBatch) => void {
  return ({ first, logits, labels = new Int32Array(), bounds, examples, encodings }) => {
    for (const [i, example] of examples.entries()) {
      const [begin = 0, end = 0] = bounds.subarray(i, i + 2);
      const own = logits.subarray(begin * task.numLabels, end * task.numLabels);
      const { text } = example;
      errors.addText({
        text,
        gold: entitiesIn(example).map(({ label, start, end: behind }) => ({
          label,
          start,
          end: behind,
          text: text.slice(start, behind),
        })),
        predicted: read(example, encodings[i] ?? { ids: new Int32Array(), typeIds: null }, own),
        loss: meanLoss(task, own, labels.subarray(begin, end), end - begin),
        row: first + i,
      });
    }
  };
}
