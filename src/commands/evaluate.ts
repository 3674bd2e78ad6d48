// `bertune evaluate`: the metrics of a saved model on labelled rows; and what is tuned on them, temperature and thresholds.
import { lstat } from 'node:fs/promises';
import { join } from 'node:path';
import {
  evaluateRows,
  TRUNCATED_ENTITIES,
  type ComputeMetrics,
  type EvalPrediction,
  type Metrics,
} from '../evaluation/evaluate.js';
import { createEntityReader } from '../evaluation/entities.js';
import type { World } from '../distributed/world.js';
import { longTextsOf, requireSingle, textReading } from '../evaluation/long-texts.js';
import { bestTemperature, meanLoss, tuneThresholds } from '../evaluation/tuning.js';
import {
  createMetrics,
  readCalibration,
  writeCalibration,
  type Calibration,
  type MetricDetails,
  type Task,
} from '../tasks/index.js';
import type { EncoderModel } from '../models/encoder-model.js';
import { writeReading } from '../formats/model-folder.js';
import { schemeOf } from '../tasks/label-schemes.js';
import { TokenMetrics } from '../tasks/metrics/token-classification.js';
import { exists } from '../util/file-system.js';
import { withoutUndefined } from '../util/without-undefined.js';
import { evaluateCommand, type EvaluateOptions } from '../options/index.js';
import { rowsInto, textsInto, WorstFirst } from '../predictions/errors.js';
import { FormulaGuard } from '../predictions/table.js';
import { textSettings, type PredictedBatch } from '../evaluation/predict.js';
import { counted } from '../util/text.js';
import type { Progress } from '../terminal/progress.js';
import { SUMS } from '../training/checkpoint.js';
import { UsageError } from '../util/errors.js';
import { writeJson } from '../util/files.js';
import { chanceNote, classReport } from './notes.js';
import { openRowsOf } from './data.js';
import { EvaluationReport } from './report.js';
import {
  checkOutputFile,
  checkOutputFolder,
  CommandProgress,
  printMetrics,
  requireOtherFile,
  writeBadRows,
  writePieces,
} from './output.js';
import { requireMasking, rowsOf, type ClosableRows } from './masked-lm.js';
import { openTrained, pairNote } from './model-source.js';
import { placementOf, requireSameAnswers, silent, together } from './together.js';

/**
 * Prints the metrics to stdout as one JSON object, with eval_per_class and for one label a row eval_confusion_matrix, and
 * writes them to eval_results.json where there is an output folder. Where something was tuned for the model, eval_tuned_*
 * stand beside the metrics that it changes.
 *
 * @throws UsageError for a model or data that cannot be used; RunError when the run fails
 */
export async function evaluate(asked: EvaluateOptions): Promise<void> {
  const progress = new CommandProgress(asked);
  await together(
    asked,
    (line) => progress.line(line),
    (own, world) =>
      world.isMain ? evaluatePart(own, world, progress) : evaluatePart(withoutOutput(own), world, silent()),
  );
}

/** What a process is asked that is not the first: it only computes. */
function withoutOutput(options: EvaluateOptions): EvaluateOptions {
  const { outputDir: _, predictionsFile: _p, tuneThresholds: _t, ...own } = options;
  return { ...own, tuneTemperature: false };
}

async function evaluatePart(asked: EvaluateOptions, world: World, progress: Progress): Promise<void> {
  const { outputDir, predictionsFile } = asked;
  if (outputDir !== undefined) await checkOutputFolder(outputDir);
  if (predictionsFile !== undefined) await checkOutputFile(predictionsFile);
  await requireOtherFile('--predictions-file', predictionsFile, asked.validationFile);
  const { model, tokenizer, options, maxLength } = await openTrained(
    evaluateCommand,
    asked,
    progress,
    'as saved',
  );
  try {
    const longTexts = longTextsOf(tokenizer, { ...options, maxLength });
    const { task } = model;
    const { kind, labels } = task;
    await requireTunable(options, task);
    const ofTokens = kind.unit === 'token';
    requireOfTask(options, task);
    const data = await openRowsOf(task, options, asked, progress);
    const workers = options.dataloaderNumWorkers;
    let errors: WorstFirst | undefined;
    let rows: ClosableRows | undefined;
    const { tokenTypes } = model;
    const reading = textReading(tokenizer, {
      maxLength,
      workers,
      longTexts,
      tokenTypes,
      withOffsets: ofTokens,
    });
    try {
      const readsPairs = data.validation.split.columns.textPair !== null;
      for (const note of pairNote(model, readsPairs)) progress.line(note);
      if (longTexts !== undefined) requireSingle(readsPairs);
      await model.open(options);
      progress.line(`Evaluating on ${placementOf(model, world)}`);
      const wantsTuning = options.tuneThresholds !== undefined || options.tuneTemperature;
      // What is about to be replaced is not reported.
      const calibration = wantsTuning ? {} : model.calibration;
      const accumulator = options.strictEntities
        ? new TokenMetrics(labels, schemeOf(labels))
        : createMetrics(task, calibration);
      const guard = new FormulaGuard(options.formulaGuard);
      errors =
        predictionsFile === undefined
          ? undefined
          : await WorstFirst.create({
              format: /\.csv$/i.test(predictionsFile) ? 'csv' : 'jsonl',
              guard,
              hasPairs: readsPairs,
            });
      const report =
        outputDir === undefined || !options.report
          ? undefined
          : new EvaluationReport(
              { ...options, outputDir },
              { model, tokenizer, maxLength, progress, calibration, metrics: accumulator },
            );
      const toTune: EvalPrediction[] = [];
      const keep: ComputeMetrics = (prediction) => {
        toTune.push(prediction);
        return {};
      };
      rows = await rowsOf('validation', data.validation, options, { tokenizer, maxLength, progress });
      const { size } = rows;
      await requireSameAnswers(world, options, { model, rows });
      const listeners = report === undefined ? [] : [report.hooks.onPredicted];
      if (errors !== undefined && ofTokens) {
        const { aggregationStrategy } = textSettings(model);
        listeners.push(textsInto(errors, model, createEntityReader(task, tokenizer, aggregationStrategy)));
      } else if (errors !== undefined) listeners.push(rowsInto(errors, model));
      const metrics = await evaluateRows(model, rows, {
        ...reading,
        world,
        ...(wantsTuning && { computeMetrics: keep }),
        batchSize: options.perDeviceEvalBatchSize,
        labelAllTokens: options.labelAllTokens === true,
        onBatch: (done) => progress.bar('evaluating', done, size, ''),
        metrics: accumulator,
        // Without one, other processes' rows need not be tokenized here.
        ...(listeners.length > 0 && { onPredicted: inTurn(...listeners) }),
      });
      progress.end();
      if (!world.isMain) return;
      const details = accumulator.details();
      const lines = [
        ...(ofTokens
          ? classReport(details, Object.keys(details?.per_class ?? {}), 'entities')
          : classReport(details, labels)),
        ...tunedReport(calibration, details, labels),
        ...undefinedNote(metrics),
        ...truncatedNote(metrics, maxLength),
        ...chanceNote(kind, metrics),
      ];
      for (const line of lines) progress.line(line);
      const results = { ...metrics, ...prefixed(details) };
      if (outputDir !== undefined) {
        await writeBadRows(outputDir, data.validation.split, progress);
        await writeJson(join(outputDir, 'eval_results.json'), results);
      }
      if (errors !== undefined && predictionsFile !== undefined) {
        await writePieces(predictionsFile, errors.pieces());
        progress.line(
          `${counted(errors.size, ofTokens ? 'text' : 'row')} written to ${predictionsFile}, the largest loss first`,
        );
        for (const note of guard.notes()) progress.line(note);
      }
      await printMetrics(results, options);
      for (const prediction of toTune) await tune(options, model, prediction, progress);
      if (toTune.length > 0) await saveReading(options, model, progress);
      const tuned = toTune.length > 0 ? await readCalibration(options.model, task) : calibration;
      await report?.write(metrics, data.validation, tuned);
    } finally {
      await errors?.close();
      await rows?.close?.();
      await reading.pool.close();
      await data.close();
    }
  } finally {
    await model.close();
  }
}

/** @throws UsageError for options that mean nothing for the model's task */
function requireOfTask(options: EvaluateOptions, { kind, labels }: Task): void {
  const { strictEntities, predictionsFile, pooling, labelAllTokens } = options;
  const ofTokens = kind.unit === 'token';
  const isMasked = kind.unit === 'masked token';
  requireMasking(options, kind);
  if (isMasked && predictionsFile !== undefined)
    throw new UsageError(
      '--predictions-file is for models that give labels; a masked language model gives none',
    );
  const ofWindows =
    typeof options.stride === 'number' ? 'stride' : pooling === undefined ? undefined : 'pooling';
  if (isMasked && ofWindows !== undefined)
    throw new UsageError(
      `--${ofWindows} is for models that read a long text whole; a masked language model has rows of --max-seq-length tokens`,
    );
  if (ofTokens && predictionsFile !== undefined && !/\.jsonl$/i.test(predictionsFile))
    throw new UsageError(
      `--predictions-file ${predictionsFile}: the entities of a text are lists, which CSV does not have; end it in .jsonl`,
    );
  if (ofTokens && pooling !== undefined)
    throw new UsageError(
      '--pooling is for models that classify texts: of a token the window with the most context decides',
    );
  if (ofTokens && strictEntities && schemeOf(labels) === null)
    throw new UsageError(
      '--strict-entities needs labels of a scheme, such as B-PER and I-PER, and the model has others',
    );
  const stray = strictEntities ? 'strict-entities' : labelAllTokens === true ? 'label-all-tokens' : undefined;
  if (!ofTokens && stray !== undefined)
    throw new UsageError(
      `--${stray} is for models that classify tokens, and this one is for ${kind.problemType}`,
    );
}

type OnPredicted = (batch: PredictedBatch) => void;

function inTurn(...all: readonly OnPredicted[]): OnPredicted {
  return (batch) => {
    for (const each of all) each(batch);
  };
}

/** What was tuned holds for texts that are read alike. A checkpoint, whose files have checksums, is left as it is. */
async function saveReading(
  { model: folder, stride, pooling, maxSeqLength }: EvaluateOptions,
  { reading }: EncoderModel,
  progress: Progress,
): Promise<void> {
  // The options have what was saved, where nothing else was asked for.
  const { stride: _, pooling: _p, maxSeqLength: _m, ...rows } = reading;
  const now = { ...rows, ...withoutUndefined({ stride, pooling, maxSeqLength }) };
  if (JSON.stringify(now) === JSON.stringify(reading)) return;
  if (await exists(join(folder, SUMS)))
    progress.line('note: predict on this checkpoint needs the same --stride, --pooling and --max-seq-length');
  else await writeReading(folder, now);
}

function tunedReport(
  { temperature, thresholds }: Calibration,
  details: MetricDetails | null,
  labels: readonly string[],
): string[] {
  const tuned = [
    ...(thresholds === undefined ? [] : ['thresholds']),
    ...(temperature === undefined ? [] : [`temperature ${temperature.toFixed(4)}`]),
  ];
  if (tuned.length === 0) return [];
  const { tuned_per_class: scores } = details ?? {};
  return [
    '',
    `With the tuned ${tuned.join(' and ')} that predict uses (eval_tuned_* in the results):`,
    ...(scores === undefined ? [] : classReport({ per_class: scores }, labels)),
  ];
}

function prefixed(details: MetricDetails | null): Record<string, unknown> {
  return Object.fromEntries(Object.entries(details ?? {}).map(([name, value]) => [`eval_${name}`, value]));
}

function undefinedNote(metrics: Metrics): string[] {
  const names = Object.keys(metrics).filter((name) => Number.isNaN(metrics[name]));
  return names.length === 0 ? [] : [`Not defined for these rows, null in the results: ${names.join(', ')}`];
}

function truncatedNote({ [TRUNCATED_ENTITIES]: truncated }: Metrics, maxLength: number): string[] {
  if (truncated === undefined) return [];
  return [
    `note: ${counted(truncated, 'entity is', 'entities are')} behind the ${maxLength} tokens of --max-seq-length and count for nothing; --stride ${Math.floor(maxLength / 4)} reads long texts whole`,
  ];
}

type TuneOptions = Pick<EvaluateOptions, 'model' | 'problemType' | 'tuneThresholds' | 'tuneTemperature'>;

/**
 * Makes sure, before the evaluation, that the requested calibration can be tuned and saved.
 *
 * @throws UsageError when it cannot
 */
async function requireTunable(options: TuneOptions, { problemType, kind }: Task): Promise<void> {
  const { model, problemType: asked, tuneThresholds: mode, tuneTemperature } = options;
  if (mode === undefined && !tuneTemperature) return;
  if (asked !== undefined)
    throw new UsageError(
      `What is tuned is saved for the problem type that the model has; set problem_type in its config.json in place of --problem-type`,
    );
  if (mode !== undefined && !kind.tunable.includes('thresholds'))
    throw new UsageError(
      `--tune-thresholds is for models that give several labels a row, and ${model} is for ${problemType}`,
    );
  if (tuneTemperature && !kind.tunable.includes('temperature'))
    throw new UsageError(`--tune-temperature is for probabilities, and ${model} is for ${problemType}`);
  const folder = await lstat(model).catch(() => null);
  if (folder === null)
    throw new UsageError(
      `What is tuned is saved beside the weights, so that --model must be a folder, and ${model} is a hub id`,
    );
  await checkOutputFolder(model);
}

/**
 * Tunes what was requested and saves it in the model's folder; the rest stays as it was.
 *
 * @throws UsageError when these rows have no best temperature, after what else could be tuned was saved
 */
export async function tune(
  { model, tuneThresholds: mode, tuneTemperature }: TuneOptions,
  { task, calibration }: { task: Task; calibration: Calibration },
  evaluated: EvalPrediction,
  progress: Progress,
): Promise<void> {
  const { logits, labels, numLabels: width } = evaluated;
  const data = { logits, labels, width, loss: task.kind.loss };
  let tuned = calibration;
  const temperature = tuneTemperature ? bestTemperature(data) : undefined;
  if (temperature !== undefined) {
    tuned = { ...tuned, temperature };
    const [before, after] = [meanLoss(data, 1), meanLoss(data, temperature)];
    progress.line(
      `Temperature ${temperature.toFixed(4)}: the loss goes from ${before.toFixed(4)} to ${after.toFixed(4)}`,
    );
  }
  if (mode !== undefined) {
    const { thresholds, before, after } = tuneThresholds(data, mode);
    tuned = { ...tuned, thresholds };
    progress.line(`Thresholds (${mode}): micro F1 goes from ${before.toFixed(4)} to ${after.toFixed(4)}`);
  }
  if (tuned !== calibration)
    progress.line(`Saved for predict and classify: ${await writeCalibration(model, tuned, task)}`);
  if (tuneTemperature && temperature === undefined)
    throw new UsageError(
      'There is no best temperature: either all of these rows are predicted right, or the predictions have nothing ' +
        'to do with their labels. Use more rows, such as the model was not trained on.',
    );
}
