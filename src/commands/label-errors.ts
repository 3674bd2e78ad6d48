// `bertune inspect FILE --label-errors`: trains on parts of the rows, or reads predictions, and lists the rows whose labels
// the predictions contradict.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { DatasetDict } from '../data/dataset.js';
import {
  findLabelErrors,
  labelErrorsFile,
  requireClassLabels,
  type LabelError,
} from '../inspection/label-errors.js';
import { requireDevice } from '../models/encoder-model.js';
import { parseTrainingArguments, type InspectOptions } from '../options/index.js';
import { readProbabilities } from '../predictions/out-of-fold.js';
import { FormulaGuard } from '../predictions/table.js';
import { formatNumber, widthOf, type Progress } from '../terminal/progress.js';
import { writeFileAtomic } from '../util/files.js';
import { counted, oneLine } from '../util/text.js';
import { withoutUndefined } from '../util/without-undefined.js';
import { outOfFold } from './cross-validation.js';
import { openData, type DataOptions } from './data.js';
import { modelAndTokenizer, readOptions } from './model-source.js';
import { aligned } from './notes.js';
import { checkOutputFile, CommandProgress, printResult, requireOtherFile } from './output.js';

const FOLDS = 5;
/** Rows of the table; the file and the JSON have all. */
const SHOWN = 20;
const LABEL = 24;
const LEAST_TEXT = 20;

/**
 * Prints the rows, the worst first, and writes them to `outputFile`.
 *
 * @throws UsageError for data, a model or predictions that cannot be used; StoppedError after a signal
 */
export async function listLabelErrors(options: InspectOptions): Promise<void> {
  const progress = new CommandProgress(options);
  const { outputFile, outOfFold: predictions } = options;
  if (predictions === undefined) requireDevice(options);
  if (outputFile !== undefined) {
    await checkOutputFile(outputFile);
    await requireOtherFile('--output-file', outputFile, [
      ...options.trainFile,
      ...(predictions === undefined ? [] : [predictions]),
    ]);
  }
  const start = predictions === undefined ? await modelAndTokenizer(options, progress) : null;
  // Of each part all rows are predicted.
  const { maxEvalSamples: _, maxTrainSamples: train, ...own } = options;
  const read: DataOptions =
    start === null
      ? { ...own, maxSamples: { train } }
      : readOptions({ ...own, ...withoutUndefined({ maxTrainSamples: train }) }, start.source);
  const data = await openData(read, 'train', progress);
  try {
    requireClassLabels(data.train);
    const probabilities =
      start === null
        ? await readProbabilities(predictions ?? '', data.train)
        : await trained(options, { ...start, data, progress });
    const errors = await findLabelErrors(data.train, probabilities);
    await write(errors, options, progress);
    const result = { rows: data.train.size, labelErrors: errors };
    progress.end();
    await printResult(
      options.json || !process.stdout.isTTY ? `${JSON.stringify(result, null, 2)}\n` : table(result),
    );
  } finally {
    await data.close();
  }
}

/** The probabilities of models that are trained in turn, in a folder that is removed again. */
async function trained(
  options: InspectOptions,
  parts: Awaited<ReturnType<typeof modelAndTokenizer>> & { data: DatasetDict; progress: Progress },
): Promise<Float64Array> {
  const outputDir = await mkdtemp(join(tmpdir(), 'bertune-folds-'));
  try {
    const { options: args, notes } = parseTrainingArguments(
      withoutUndefined({
        outputDir,
        saveStrategy: 'no',
        numTrainEpochs: options.numTrainEpochs,
        perDeviceTrainBatchSize: options.perDeviceTrainBatchSize,
        gradientAccumulationSteps: options.gradientAccumulationSteps,
        perDeviceEvalBatchSize: options.perDeviceEvalBatchSize,
        learningRate: options.learningRate,
        seed: options.seed,
        maxSeqLength: options.maxSeqLength,
        device: options.device,
        dtype: options.dtype,
        tf32: options.tf32,
        threads: options.threads,
        dataloaderNumWorkers: options.dataloaderNumWorkers,
      }),
    );
    for (const note of notes) parts.progress.line(`note: ${note}`);
    return await outOfFold(options.crossValidation ?? FOLDS, args, parts);
  } finally {
    await rm(outputDir, { recursive: true, force: true });
  }
}

async function write(
  errors: readonly LabelError[],
  { outputFile, formulaGuard }: InspectOptions,
  progress: Progress,
): Promise<void> {
  if (outputFile === undefined) return;
  const guard = new FormulaGuard(formulaGuard);
  const format = /\.csv$/i.test(outputFile) ? 'csv' : 'jsonl';
  await writeFileAtomic(outputFile, labelErrorsFile(errors, format, guard));
  progress.line(
    `${counted(errors.length, 'row')} written to ${outputFile}: edit suggested_label, empty it where the label is right, and train with --label-corrections ${outputFile}`,
  );
}

function table({ rows, labelErrors: errors }: { rows: number; labelErrors: readonly LabelError[] }): string {
  const share = ((100 * errors.length) / rows).toFixed(1);
  const head = `${errors.length} of ${counted(rows, 'row')} (${share} %) ${errors.length === 1 ? 'has a label that is' : 'have labels that are'} probably wrong\n`;
  if (errors.length === 0) return head;
  const lines = aligned([
    ['row', 'label', 'suggested', 'score'],
    ...errors
      .slice(0, SHOWN)
      .map(({ place, label, suggested, score }) => [
        place,
        shownLabel(label),
        shownLabel(suggested),
        formatNumber(score),
      ]),
  ]);
  const width = Math.max(widthOf(process.stdout) - (lines[0]?.length ?? 0) - 2, LEAST_TEXT);
  const shown = lines.map(
    (line, i) => `${line}  ${i === 0 ? 'text' : oneLine(errors[i - 1]?.text ?? '', width)}\n`,
  );
  const more = errors.length > SHOWN ? `... and ${errors.length - SHOWN} more\n` : '';
  return `${head}${shown.join('')}${more}`;
}

function shownLabel(label: string | string[]): string {
  return oneLine([label].flat().join(' | '), LABEL);
}
