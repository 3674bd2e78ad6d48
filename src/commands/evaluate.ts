// `bertune evaluate`: the metrics of a saved model on labelled rows.
import { join } from 'node:path';

import { requireDevice } from '../models/runtime.js';
import type { EvaluateOptions } from '../options/index.js';
import {
  evaluateRows,
  type ComputeMetrics,
  type EvalPrediction,
  type Metrics,
} from '../evaluation/evaluate.js';
import { createMetrics, type Calibration, type MetricDetails } from '../tasks/index.js';
import { writeJson } from '../util/files.js';
import { longTextsOf, requireSingle, textReading } from '../evaluation/long-texts.js';
import { chanceNote } from './chance.js';
import { classReport } from './class-report.js';
import { openData } from './data.js';
import { CommandProgress, checkOutputFolder, printResult, writeBadRows } from './output.js';
import { loadTrained, trainedMaxLength } from './trained.js';
import { requireTunable, tune } from './tune.js';

/**
 * Prints the metrics to stdout as one JSON object, with eval_per_class and for one label a row eval_confusion_matrix, and
 * writes them to eval_results.json where there is an output folder. Where something was tuned for the model, eval_tuned_*
 * stand beside the metrics that it changes.
 *
 * @throws UsageError for a model or data that cannot be used; RunError when the run fails
 */
export async function evaluate(options: EvaluateOptions): Promise<void> {
  const progress = new CommandProgress();
  requireDevice(options);
  const { outputDir, maxSeqLength } = options;
  if (outputDir !== undefined) await checkOutputFolder(outputDir);
  const trained = await loadTrained(options);
  const { model, tokenizer } = trained;
  try {
    const maxLength = trainedMaxLength(trained, maxSeqLength, progress);
    const longTexts = longTextsOf(tokenizer, { ...options, maxLength });
    const { task } = model;
    const { kind, problemType, labels } = task;
    await requireTunable(options, task);
    const data = await openData(
      {
        ...options,
        problemType,
        modelLabels: kind.hasClasses ? labels : undefined,
        maxSamples: { validation: options.maxEvalSamples },
      },
      'evaluate',
      progress,
    );
    const workers = options.dataloaderNumWorkers;
    const reading = textReading(tokenizer, { maxLength, workers, longTexts });
    try {
      if (longTexts !== undefined) requireSingle(data.validation.split.columns.textPair !== null);
      await model.open(options);
      progress.line(`Evaluating on ${model.placement}`);
      const wantsTuning = options.tuneThresholds !== undefined || options.tuneTemperature;
      // What is about to be replaced is not reported.
      const calibration = wantsTuning ? {} : model.calibration;
      const accumulator = createMetrics(task, calibration);
      const toTune: EvalPrediction[] = [];
      const keep: ComputeMetrics = (prediction) => {
        toTune.push(prediction);
        return {};
      };
      const metrics = await evaluateRows(model, data.validation, {
        ...reading,
        ...(wantsTuning && { computeMetrics: keep }),
        batchSize: options.perDeviceEvalBatchSize,
        onBatch: (rows) => progress.bar('evaluating', rows, data.validation.size, ''),
        metrics: accumulator,
      });
      progress.end();
      const details = accumulator.details();
      const lines = [
        ...classReport(details, labels),
        ...tunedReport(calibration, details, labels),
        ...undefinedNote(metrics),
        ...chanceNote(kind, metrics),
      ];
      for (const line of lines) progress.line(line);
      const results = { ...metrics, ...prefixed(details) };
      if (outputDir !== undefined) {
        await writeBadRows(outputDir, data.validation.split, progress);
        await writeJson(join(outputDir, 'eval_results.json'), results);
      }
      await printResult(`${JSON.stringify(results, null, 2)}\n`);
      for (const prediction of toTune) await tune(options, model, prediction, progress);
    } finally {
      await reading.pool.close();
      await data.close();
    }
  } finally {
    await model.close();
  }
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
