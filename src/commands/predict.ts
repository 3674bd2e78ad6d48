// `bertune predict`: label, score and probabilities of every row, in the order of the rows.
import type { EncoderModel } from '../models/encoder-model.js';
import { requireAlone } from '../distributed/alone.js';
import type { World } from '../distributed/world.js';
import { predictCommand, presumedOf, readingOf, type PredictOptions } from '../options/index.js';
import { counted } from '../util/text.js';
import { JsonLinesText, openSplit, type Example, type Split, type SplitOptions } from '../data/index.js';
import { withoutUndefined } from '../util/without-undefined.js';
import { holdsWords } from '../data/token-form.js';
import { openTokenSplit } from '../data/token-split.js';
import { createEntityReader, predictEntities, type EntityReader } from '../evaluation/entities.js';
import { longTextsOf, requireSingle, textReading } from '../evaluation/long-texts.js';
import { predictRows } from '../evaluation/predict.js';
import { datasetFiles } from '../hub/dataset.js';
import { entityFormats, type EntityFormat, type EntityRow } from '../predictions/entities.js';
import { formatOfEnding, predictionFormats, type FormatName } from '../predictions/formats.js';
import type { Task } from '../tasks/index.js';
import { UsageError } from '../util/errors.js';
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
import { placementOf, requireSameAnswers, silent, together } from './together.js';
import { asRows, readStandardInput, requireTexts } from './standard-input.js';

/**
 * Writes the predictions to `outputFile`, whole or not at all, or to stdout.
 *
 * @throws UsageError for a model or data that cannot be used; RunError when the run fails
 */
export async function predict(asked: PredictOptions): Promise<void> {
  const { text, testFile, nproc } = asked;
  if (text !== undefined) requireTexts(text, asked);
  if (testFile[0] === '-') await requireAlone('Standard input is read', nproc);
  const progress = new CommandProgress(asked);
  await together(
    asked,
    (line) => progress.line(line),
    ({ outputFile, ...own }, world) =>
      world.isMain
        ? predictPart({ ...own, ...withoutUndefined({ outputFile }) }, world, progress)
        : predictPart(own, world, silent()),
  );
}

/** What a process does by itself, or of several; the first of them reads all rows and writes. */
async function predictPart(asked: PredictOptions, world: World, progress: Progress): Promise<void> {
  const { outputFile } = asked;
  const folder = outputFile === undefined ? undefined : await checkOutputFile(outputFile);
  const { model, tokenizer, options, maxLength } = await openTrained(predictCommand, asked, progress);
  try {
    const longTexts = longTextsOf(tokenizer, { ...options, maxLength });
    const withOffsets = model.task.kind.unit === 'token';
    requireFormat(options, model.task);
    // A training on words says nothing of the column of whole texts.
    const { textColumn: _column, ...others } = options;
    const { textColumn } = asked;
    const own = withOffsets ? { ...others, ...withoutUndefined({ textColumn }) } : options;
    const split = await openRows(own, asked, progress, withOffsets);
    const workers = options.dataloaderNumWorkers;
    const { tokenTypes } = model;
    const reading = textReading(tokenizer, { maxLength, workers, longTexts, tokenTypes, withOffsets });
    try {
      if (options.text === undefined) await describeSplit(split, progress);
      for (const note of pairNote(model, split.columns.textPair !== null)) progress.line(note);
      if (longTexts !== undefined) requireSingle(split.columns.textPair !== null);
      await model.open(options);
      progress.line(`Predicting on ${placementOf(model, world)}`);
      if (model.calibration.thresholds !== undefined)
        progress.line('Labels are given by the thresholds that bertune evaluate tuned');
      const rows = {
        size: split.size,
        identity: async () => ({ files: await split.digest(), columns: split.columns }),
      };
      await requireSameAnswers(world, options, { model, rows });
      const how = {
        ...reading,
        batchSize: options.perDeviceEvalBatchSize,
        world,
        ofOthers: world.isMain ? (withOffsets ? 'all' : 'labels') : 'nothing',
      } as const;
      if (!world.isMain) {
        for await (const _ of predictRows(model, split, how));
        return;
      }
      const guard = new FormulaGuard(options.formulaGuard);
      const table = {
        task: model.task,
        hasPlaces: split.badRows.count > 0,
        passthrough: passthroughColumns(split.passthrough, model.task),
        guard,
        width: widthOf(process.stdout),
      };
      const read = createEntityReader(model.task, tokenizer, options.aggregationStrategy);
      const pieces = withOffsets
        ? entityFormatOf(options)(entityRows(model, split, how, { read, progress }), table)
        : formatOf(options)(predictedRows(model, split, how, progress), table);
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
 * @param ofTokens whether texts may be split into words
 * @param asked that of the files of the training says nothing of texts that are in no file
 */
async function openRows(
  options: PredictOptions,
  asked: PredictOptions,
  progress: Progress,
  ofTokens: boolean,
): Promise<Split> {
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
  const input = { files, presumed: presumedOf(asked) };
  const isSplit = ofTokens && (await holdsWords({ name: 'test', ...readingOf(options), ...input }));
  return openTest(options, input, isSplit ? openTokenSplit : openSplit);
}

function openTest(
  options: PredictOptions,
  input: Partial<Pick<SplitOptions, 'files' | 'rows' | 'presumed'>>,
  open = openSplit,
): Promise<Split> {
  const { idColumn, badRows, maxCompressionRatio, maxPredictSamples: maxSamples } = options;
  const optional = withoutUndefined({
    ...readingOf(options),
    passthroughColumns: idColumn && [...new Set(idColumn)],
    badRows,
    maxCompressionRatio,
    maxSamples,
  });
  return open({ name: 'test', files: [], needsLabels: false, ...optional, ...input });
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

function formatName({ outputFile, outputFormat, json }: PredictOptions): FormatName {
  const shown = process.stdout.isTTY && !json ? 'table' : 'jsonl';
  const usual = outputFile === undefined ? shown : (formatOfEnding(outputFile) ?? 'jsonl');
  return outputFormat ?? usual;
}

function formatOf(options: PredictOptions): PredictionFormat {
  return predictionFormats[formatName(options)].write;
}

function entityFormatOf(options: PredictOptions): EntityFormat {
  const name = formatName(options);
  return entityFormats[name === 'parquet' ? 'jsonl' : name];
}

/** @throws UsageError for a format or an option that entities do not have */
function requireFormat(options: PredictOptions, { kind }: Task): void {
  if (kind.unit !== 'token') {
    if (options.aggregationStrategy === undefined) return;
    throw new UsageError(
      '--aggregation-strategy is for models that classify tokens, and this one classifies texts',
    );
  }
  if (formatName(options) === 'parquet')
    throw new UsageError(
      'Entities are written as jsonl or csv, and not as parquet; end --output-file in .jsonl or .csv',
    );
  if (options.pooling !== undefined)
    throw new UsageError(
      '--pooling is for models that classify texts: of a token the window with the most context decides',
    );
}

/** As `predictedRows`, of a model that classifies tokens. */
async function* entityRows(
  model: EncoderModel,
  split: Split,
  options: Parameters<typeof predictRows>[2],
  { read, progress }: { read: EntityReader; progress: Progress },
): AsyncGenerator<EntityRow[]> {
  for await (const { first, examples, entities } of predictEntities(model, split, options, read)) {
    yield examples.map((example, i) => ({
      row: first + i,
      ...(split.badRows.count > 0 && { place: split.place(first + i) }),
      ...passthroughOf(example),
      text: example.text,
      entities: entities[i] ?? [],
    }));
    progress.bar('predicting', first + examples.length, split.size, '');
  }
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
