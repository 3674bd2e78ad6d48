// `bertune export`: a trained model as the folder that transformers.js and onnxruntime load, and how its files compare with the model.
import { encodedRows } from '../evaluation/predict.js';
import { byteLength } from '../formats/safetensors-header.js';
import type { EncoderModel } from '../models/encoder-model.js';
import { maxLengthOf } from '../data/batch.js';
import { parameterShapes } from '../models/parameters.js';
import { requireReplaceable, type OnnxExport } from '../onnx/folder.js';
import type { OnnxDtype } from '../onnx/settings.js';
import type { OnnxVariant } from '../onnx/write-variant.js';
import { exportCommand, withReading, type ExportOptions } from '../options/index.js';
import { createTokenizerPool, type BertTokenizer } from '../tokenizer/index.js';
import { requireTaskFits, type Task, regression } from '../tasks/index.js';
import type { Progress } from '../terminal/progress.js';
import { commandLine } from '../util/installation.js';
import { counted } from '../util/text.js';
import { withoutUndefined } from '../util/without-undefined.js';
import { openRowsOf } from './data.js';
import { requireMasking, rowsOf } from './masked-lm.js';
import { loadTrained, pairNote } from './model-source.js';
import { aligned } from './notes.js';
import { checkOutputFolder, CommandProgress, shownMetric } from './output.js';

/** Bytes of a file in that form as a share of float32's, at least. */
const SHARES: Readonly<Record<OnnxDtype, number>> = { fp32: 1, fp16: 0.5, q8: 0.25, q4: 0.125 };

/** Those of transformers.js, by what the model has logits for. */
const PIPELINES = {
  sequence: 'text-classification',
  token: 'token-classification',
  'masked token': 'fill-mask',
} as const;

/**
 * @throws UsageError for a model without a head or tokenizer, a folder with other files, or rows that cannot be read; RunError when
 *   the disk is too full, or no file is fit for use
 */
export async function exportModel(asked: ExportOptions): Promise<void> {
  const { outputDir, dtypes, opset, maxMetricDrop, keepFloat } = asked;
  const progress = new CommandProgress(asked);
  await requireReplaceable(outputDir);
  const { model, tokenizer, notes } = await loadTrained(asked, 'as saved');
  try {
    for (const note of [...notes, ...notesOf(model)]) progress.line(note);
    let bytes = 0;
    for (const shape of parameterShapes(model.config).values()) bytes += byteLength({ dtype: 'F32', shape });
    await checkOutputFolder(
      outputDir,
      dtypes.reduce((sum, dtype) => sum + SHARES[dtype] * bytes, 0),
    );
    const rows = await openRows(asked, { model, tokenizer }, progress);
    try {
      await model.open({ device: 'cpu', dtype: 'float32' });
      const result = await model.exportOnnx(outputDir, {
        tokenizer,
        dtypes,
        opset,
        ...withoutUndefined({ maxMetricDrop, maxSeqLength: asked.maxSeqLength, validation: rows?.batches }),
        keepFloat: keepFloat?.[0] === 'auto' && keepFloat.length === 1 ? 'auto' : (keepFloat ?? []),
      });
      for (const line of resultLines(outputDir, result, model.task)) progress.line(line);
    } finally {
      await rows?.close();
    }
  } finally {
    await model.close();
  }
}

/** The rows to compare on, as tokens, where some are given. @throws UsageError as `bertune evaluate` */
async function openRows(
  asked: ExportOptions,
  { model, tokenizer }: { model: EncoderModel; tokenizer: BertTokenizer },
  progress: Progress,
): Promise<{ batches: () => ReturnType<typeof encodedRows>; close: () => Promise<void> } | undefined> {
  const maxLength = maxLengthOf(model, tokenizer, asked.maxSeqLength);
  if (asked.validationFile.length === 0 && asked.dataset === undefined) return undefined;
  const { options, notes } = withReading(exportCommand, asked, model.reading, asked.model);
  for (const note of notes) progress.line(note);
  requireMasking(options, model.task.kind);
  const data = await openRowsOf(model.task, options, asked, progress);
  try {
    const { validation } = data;
    requireTaskFits(
      model.task,
      validation,
      'validation rows',
      'Give rows with labels as the model was trained on.',
    );
    for (const note of pairNote(model, validation.split.columns.textPair !== null)) progress.line(note);
    const length = maxLengthOf(model, tokenizer, options.maxSeqLength ?? maxLength);
    const rows = await rowsOf('validation', validation, options, { tokenizer, maxLength: length, progress });
    const pool = createTokenizerPool(tokenizer, {
      maxLength: length,
      workers: 0,
      tokenTypes: model.tokenTypes,
      withOffsets: model.task.kind.unit === 'token',
    });
    const batchSize = options.perDeviceEvalBatchSize;
    return {
      batches: () => encodedRows(rows, { pool, batchSize, labelAllTokens: options.labelAllTokens === true }),
      close: async () => {
        await pool.close();
        await rows.close?.();
        await data.close();
      },
    };
  } catch (error) {
    await data.close();
    throw error;
  }
}

/** What of the model transformers.js does in another way, or not at all. */
function notesOf({ task, calibration, reading }: EncoderModel): string[] {
  const notes: string[] = [];
  if (reading['textPairColumn'] !== undefined)
    notes.push(
      'note: the pipeline of transformers.js takes no pairs of texts; give tokenizer(a, { text_pair: b, padding: true, truncation: true }) to the model',
    );
  if (typeof reading['stride'] === 'number')
    notes.push('note: transformers.js cuts long texts, and does not read them as windows (--stride)');
  if (task.problemType === regression.problemType)
    notes.push(
      "note: the pipeline of transformers.js makes probabilities of all logits; a regression's values are the logits of AutoModelForSequenceClassification",
    );
  if (calibration.thresholds !== undefined)
    notes.push('note: transformers.js has no thresholds: those that were tuned are not exported');
  return notes;
}

function resultLines(directory: string, { variants, metrics }: OnnxExport, task: Task): string[] {
  const written = variants.filter(({ refusal }) => refusal === null);
  const rows = variants[0]?.figures?.rows;
  return [
    `The ONNX model is in ${directory}${rows === undefined ? '' : `; compared with bertune's on ${comparedRows(rows, metrics === null, task)}`}:`,
    ...table(variants, metrics, task),
    ...variants.flatMap(({ dtype, keptFloat }) =>
      keptFloat.length === 0 ? [] : [`In float32 in ${dtype}: ${keptFloat.join(', ')}`],
    ),
    ...variants.flatMap(({ dtype, refusal }) =>
      refusal === null ? [] : [`note: ${dtype} was not written: ${refusal}`],
    ),
    ...(written.every(({ figures }) => figures !== null)
      ? []
      : [
          `note: its logits were not compared with those of the model: for that, npm install --no-save onnxruntime-node and run ${commandLine('export')} again`,
        ]),
    `In JavaScript: pipeline('${PIPELINES[task.kind.unit]}', '${directory}') of @huggingface/transformers`,
  ];
}

/** What logits were compared of. */
function comparedRows(count: number, areRandom: boolean, { kind }: Task): string {
  if (kind.unit === 'sequence')
    return areRandom
      ? counted(count, 'row of random tokens', 'rows of random tokens')
      : counted(count, 'row');
  return counted(count, areRandom ? 'random token' : kind.unit);
}

/** A line for each file; with validation rows the first is the model itself. */
function table(variants: readonly OnnxVariant[], metrics: OnnxExport['metrics'], task: Task): string[] {
  const name = task.kind.mainMetric;
  const metricOf = (own: OnnxExport['metrics']): string[] =>
    metrics === null ? [] : [shownMetric(own?.[name] ?? NaN)];
  const { hasClasses, unit } = task.kind;
  const ofWords = unit === 'masked token';
  const labels = (cell: string): string[] => (hasClasses || ofWords ? [cell] : []);
  return aligned([
    [
      'file',
      'size',
      `difference of ${ofWords && metrics !== null ? 'losses' : 'logits'}`,
      'at most',
      ...labels(ofWords ? 'same word' : 'same label'),
      ...metricOf(metrics).map(() => name),
    ],
    ...(metrics === null ? [] : [['the model', '', '', '', ...labels(''), ...metricOf(metrics)]]),
    ...variants.map(({ dtype, file, bytes, figures, refusal }) => [
      refusal === null ? file : `${dtype}, not written`,
      `${Math.max(1, Math.round(bytes / 1e6))} MB`,
      figures === null ? '' : figures.meanDifference.toPrecision(1),
      figures === null ? '' : figures.difference.toPrecision(1),
      ...labels(figures?.sameLabels == null ? '' : `${(100 * figures.sameLabels).toFixed(1)} %`),
      ...metricOf(figures?.metrics ?? null),
    ]),
  ]);
}
