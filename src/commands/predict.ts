// `bertune predict`: label, score and probabilities of every row, in the order of the rows.
import { requireDevice, type EncoderModel } from '../models/encoder-model.js';
import { predictCommand, presumedOf, readingOf, type PredictOptions } from '../options/index.js';
import { counted } from '../util/text.js';
import { JsonLinesText, openSplit, type Example, type Split, type SplitOptions } from '../data/index.js';
import { withoutUndefined } from '../util/without-undefined.js';
import { longTextsOf, requireSingle, textReading } from '../evaluation/long-texts.js';
import { predictRows } from '../evaluation/predict.js';
import { datasetFiles } from '../hub/dataset.js';
import { formatOfEnding, predictionFormats } from '../predictions/formats.js';
import {
  FormulaGuard,
  passthroughColumns,
  type PredictedRow,
  type PredictionFormat,
} from '../predictions/table.js';
import { widthOf, type Progress } from '../terminal/progress.js';
import { describeSplit, splitOf } from './data.js';
import {
  CommandProgress,
  checkOutputFile,
  printResult,
  requireOtherFile,
  writeBadRows,
  writePieces,
} from './output.js';
import { openTrained, pairNote } from './model-source.js';
import { asRows, readStandardInput, requireTexts } from './standard-input.js';

/**
 * Writes the predictions to `outputFile`, whole or not at all, or to stdout.
 *
 * @throws UsageError for a model or data that cannot be used; RunError when the run fails
 */
export async function predict(asked: PredictOptions): Promise<void> {
  const progress = new CommandProgress(asked);
  requireDevice(asked);
  const { outputFile, text } = asked;
  if (text !== undefined) requireTexts(text, asked);
  const folder = outputFile === undefined ? undefined : await checkOutputFile(outputFile);
  const { model, tokenizer, options, maxLength } = await openTrained(predictCommand, asked, progress);
  try {
    const longTexts = longTextsOf(tokenizer, { ...options, maxLength });
    const split = await openRows(options, asked, progress);
    const workers = options.dataloaderNumWorkers;
    const reading = textReading(tokenizer, { maxLength, workers, longTexts, tokenTypes: model.tokenTypes });
    try {
      if (options.text === undefined) await describeSplit(split, progress);
      for (const note of pairNote(model, split.columns.textPair !== null)) progress.line(note);
      if (longTexts !== undefined) requireSingle(split.columns.textPair !== null);
      await model.open(options);
      progress.line(`Predicting on ${model.placement}`);
      if (model.calibration.thresholds !== undefined)
        progress.line('Labels are given by the thresholds that bertune evaluate tuned');
      const batches = predictedRows(
        model,
        split,
        { ...reading, batchSize: options.perDeviceEvalBatchSize },
        progress,
      );
      const guard = new FormulaGuard(options.formulaGuard);
      const pieces = formatOf(options)(batches, {
        task: model.task,
        hasPlaces: split.badRows.count > 0,
        passthrough: passthroughColumns(split.passthrough, model.task),
        guard,
        width: widthOf(process.stdout),
      });
      if (outputFile === undefined) for await (const piece of pieces) await printResult(piece);
      else await writePieces(outputFile, pieces);
      progress.line(`${counted(split.size, 'prediction')} written to ${outputFile ?? 'standard output'}`);
      for (const note of guard.notes()) progress.line(note);
      if (folder !== undefined) await writeBadRows(folder, split, progress);
    } finally {
      progress.end();
      await reading.pool.close();
      await split.close();
    }
  } finally {
    await model.close();
  }
}

/**
 * The rows of files, of the hub, of standard input, or the texts that were given.
 *
 * @param options what was asked for, completed by what the training had
 * @param asked that of the files of the training says nothing of texts that are in no file
 */
async function openRows(options: PredictOptions, asked: PredictOptions, progress: Progress): Promise<Split> {
  const { text, testFile, outputFile } = options;
  const { jsonField: _, ...rows } = options;
  const { textPairColumn: _p, idColumn: _i, ...single } = rows;
  if (text !== undefined)
    return openTest(single, { rows: new JsonLinesText('--text', asRows(text, options)) });
  if (testFile[0] === '-') {
    if (process.stdin.isTTY) progress.line('Reading standard input, a text a line; Ctrl-D ends it');
    const { textColumn, maxRowBytes } = options;
    // The encoding of the training's files says nothing of what is piped here.
    const { encoding } = asked;
    const input = await readStandardInput(
      process.stdin,
      withoutUndefined({ textColumn, maxRowBytes, encoding }),
    );
    for (const note of input.notes) progress.line(`note: ${note}`);
    const own = input.hasColumns ? { ...rows, ...withoutUndefined({ jsonField: asked.jsonField }) } : single;
    return openTest(own, { rows: new JsonLinesText('standard input', input.rows) });
  }
  const files = await filesOf(options);
  await requireOtherFile('--output-file', outputFile, files);
  return openTest(options, { files, presumed: presumedOf(asked) });
}

function openTest(
  options: PredictOptions,
  input: Partial<Pick<SplitOptions, 'files' | 'rows' | 'presumed'>>,
): Promise<Split> {
  const { idColumn, badRows, maxCompressionRatio, maxPredictSamples: maxSamples } = options;
  const optional = withoutUndefined({
    ...readingOf(options),
    passthroughColumns: idColumn && [...new Set(idColumn)],
    badRows,
    maxCompressionRatio,
    maxSamples,
  });
  return openSplit({ name: 'test', files: [], needsLabels: false, ...optional, ...input });
}

async function filesOf({
  dataset,
  datasetConfig,
  testFile,
  testSplit,
}: PredictOptions): Promise<readonly string[]> {
  if (dataset === undefined) return testFile;
  const { splits } = await datasetFiles(dataset, withoutUndefined({ config: datasetConfig }));
  return splitOf(dataset, splits, testSplit);
}

function formatOf({ outputFile, outputFormat, json }: PredictOptions): PredictionFormat {
  const shown = process.stdout.isTTY && !json ? 'table' : 'jsonl';
  const usual = outputFile === undefined ? shown : (formatOfEnding(outputFile) ?? 'jsonl');
  return predictionFormats[outputFormat ?? usual].write;
}

function passthroughOf(example: Example | undefined): Pick<PredictedRow, 'passthrough'> {
  return example?.passthrough === undefined ? {} : { passthrough: example.passthrough };
}

/** The predictions of a batch together, since a write for each would cost more than the model. */
async function* predictedRows(
  model: EncoderModel,
  split: Split,
  options: Parameters<typeof predictRows>[2],
  progress: Progress,
): AsyncGenerator<PredictedRow[]> {
  const { task, calibration } = model;
  // With rows left out, a row's number is no longer its place in the file.
  const placeOf = (row: number): object => (split.badRows.count > 0 ? { place: split.place(row) } : {});
  for await (const { first, rows, logits, examples } of predictRows(model, split, options)) {
    yield Array.from({ length: rows }, (_, i) => ({
      row: first + i,
      ...placeOf(first + i),
      ...passthroughOf(examples[i]),
      text: examples[i]?.text ?? '',
      ...task.decode(logits.subarray(i * task.numLabels, (i + 1) * task.numLabels), calibration),
    }));
    progress.bar('predicting', first + rows, split.size, '');
  }
}
