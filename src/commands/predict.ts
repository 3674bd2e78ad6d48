// `bertune predict`: label, score and probabilities of every row, one JSON object a line, in the order of the rows.
import type { FileHandle } from 'node:fs/promises';

import type { BertForSequenceClassification } from '../bert.js';
import type { PredictOptions } from '../config/index.js';
import { openSplit, type Split } from '../data/index.js';
import { withoutUndefined } from '../dataset.js';
import { UsageError } from '../errors.js';
import { predictRows } from '../evaluation/predict.js';
import { predictionOf } from '../evaluation/probabilities.js';
import { datasetFiles } from '../hub/index.js';
import { writeFileAtomic } from '../model/index.js';
import { createTokenizerPool } from '../tokenizer/index.js';
import { Progress } from '../training/progress.js';
import { maxLengthOf } from '../training/lengths.js';
import { describeSplit } from './data.js';
import { loadTrained } from './trained.js';

/**
 * Writes the predictions to `outputFile`, whole or not at all, or to stdout.
 *
 * @throws UsageError for a model or data that cannot be used; RunError when the run fails
 */
export async function predict(options: PredictOptions): Promise<void> {
  const progress = new Progress();
  const { model, tokenizer } = await loadTrained(options);
  try {
    const split = await openRows(options);
    const pool = createTokenizerPool(tokenizer, {
      maxLength: maxLengthOf(model, tokenizer, options.maxSeqLength),
      workers: options.dataloaderNumWorkers,
    });
    try {
      await describeSplit(split, progress);
      await model.open(options);
      progress.line(`Predicting on ${model.placement}`);
      const lines = predictionLines(
        model,
        split,
        { pool, batchSize: options.perDeviceEvalBatchSize },
        progress,
      );
      await writeLines(lines, options.outputFile);
      progress.line(`${split.size} predictions written to ${options.outputFile ?? 'standard output'}`);
    } finally {
      progress.end();
      await pool.close();
      await split.close();
    }
  } finally {
    await model.close();
  }
}

async function openRows(options: PredictOptions): Promise<Split> {
  const { textColumn, textPairColumn, badRows, maxPredictSamples: maxSamples } = options;
  const optional = withoutUndefined({ textColumn, textPairColumn, badRows, maxSamples });
  return openSplit({ name: 'test', files: await filesOf(options), needsLabels: false, ...optional });
}

async function filesOf({
  dataset,
  datasetConfig,
  testFile,
  testSplit,
}: PredictOptions): Promise<readonly string[]> {
  if (dataset === undefined) return testFile;
  const { splits } = await datasetFiles(dataset, withoutUndefined({ config: datasetConfig }));
  const files = splits[testSplit];
  if (files === undefined)
    throw new UsageError(`${dataset} has no split '${testSplit}'; it has ${Object.keys(splits).join(', ')}`);
  return files;
}

/** The lines of a batch together, since a write for each would cost more than the model. */
async function* predictionLines(
  model: BertForSequenceClassification,
  split: Split,
  options: Parameters<typeof predictRows>[2],
  progress: Progress,
): AsyncGenerator<string> {
  const { task } = model;
  for await (const { first, rows, logits } of predictRows(model, split, options)) {
    let lines = '';
    for (let i = 0; i < rows; i++) {
      const prediction = predictionOf(logits.subarray(i * task.numLabels, (i + 1) * task.numLabels), task);
      lines += `${JSON.stringify({ row: first + i, ...prediction })}\n`;
    }
    yield lines;
    progress.bar('predicting', first + rows, split.size, '');
  }
}

async function writeLines(lines: AsyncIterable<string>, outputFile: string | undefined): Promise<void> {
  if (outputFile !== undefined) {
    await writeFileAtomic(outputFile, async (file: FileHandle) => {
      for await (const text of lines) await file.appendFile(text);
    });
    return;
  }
  for await (const text of lines) {
    if (!process.stdout.write(text)) await new Promise((resolve) => process.stdout.once('drain', resolve));
  }
}
