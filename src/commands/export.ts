// `bertune export`: a trained model as the folder that transformers.js and onnxruntime load.
import { byteLength } from '../formats/safetensors-header.js';
import type { EncoderModel } from '../models/encoder-model.js';
import { parameterShapes } from '../models/parameters.js';
import { requireReplaceable, type OnnxExport } from '../onnx/folder.js';
import type { ExportOptions } from '../options/index.js';
import { commandLine } from '../util/installation.js';
import { counted } from '../util/text.js';
import { loadTrained } from './model-source.js';
import { checkOutputFolder, CommandProgress } from './output.js';

/** @throws UsageError for a model without a head or tokenizer, or a folder with other files; RunError when the disk is too full */
export async function exportModel(options: ExportOptions): Promise<void> {
  const { outputDir } = options;
  const progress = new CommandProgress(options);
  await requireReplaceable(outputDir);
  const { model, tokenizer, notes } = await loadTrained(options);
  try {
    for (const note of [...notes, ...notesOf(model)]) progress.line(note);
    let bytes = 0;
    for (const shape of parameterShapes(model.config).values()) bytes += byteLength({ dtype: 'F32', shape });
    await checkOutputFolder(outputDir, bytes);
    await model.open({ device: 'cpu', dtype: 'float32' });
    const result = await model.exportOnnx(outputDir, { tokenizer });
    for (const line of resultLines(outputDir, result)) progress.line(line);
  } finally {
    await model.close();
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
  if (task.problemType === 'regression')
    notes.push(
      "note: the pipeline of transformers.js makes probabilities of all logits; a regression's values are the logits of AutoModelForSequenceClassification",
    );
  if (calibration.thresholds !== undefined)
    notes.push('note: transformers.js has no thresholds: those that were tuned are not exported');
  return notes;
}

function resultLines(directory: string, { bytes, check }: OnnxExport): string[] {
  const size = `${Math.max(1, Math.round(bytes / 1e6))} MB`;
  return [
    `The ONNX model is in ${directory} (onnx/model.onnx, ${size})`,
    check === null
      ? `note: its logits were not compared with those of the model: for that, npm install --no-save onnxruntime-node and run ${commandLine('export')} again`
      : `In onnxruntime its logits are those of the model up to ${check.difference.toPrecision(1)} (${counted(check.rows, 'row')})`,
    `In JavaScript: pipeline('text-classification', '${directory}') of @huggingface/transformers`,
  ];
}
