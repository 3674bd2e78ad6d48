// `bertune merge`: an adapter and its base become one plain model folder.
import { join } from 'node:path';
import type { MergeOptions } from '../options/index.js';
import { UsageError } from '../util/errors.js';
import { isSameFolder } from '../util/file-system.js';
import { byteLength } from '../formats/safetensors-header.js';
import { isAdapterFolder } from '../formats/peft.js';
import { OF_TRAINING, replaceFiles } from '../formats/replace-files.js';
import { parameterShapes } from '../models/parameters.js';
import { MODEL_CARD } from '../publishing/card-file.js';
import { writeCalibration } from '../tasks/index.js';
import { writeFileAtomic } from '../util/files.js';
import { cardOfMerge } from './model-card.js';
import { CommandProgress, checkOutputFolder } from './output.js';
import { loadTrained, modelFolder } from './model-source.js';

/** @throws UsageError for a folder without an adapter, or without its base; RunError when the disk is too full */
export async function merge(options: MergeOptions): Promise<void> {
  const { model: name, outputDir } = options;
  const directory = await modelFolder(options);
  if (!(await isAdapterFolder(directory)))
    throw new UsageError(
      `${name} is not an adapter to merge: it has no adapter_config.json, or has the weights of a whole model`,
    );
  if (await isSameFolder(outputDir, directory))
    throw new UsageError(`--output-dir is the adapter's own folder; name another for the merged model`);
  const progress = new CommandProgress(options);
  const { model, tokenizer, notes } = await loadTrained(options);
  for (const note of notes) progress.line(note);
  try {
    let bytes = 0;
    for (const shape of parameterShapes(model.config).values()) bytes += byteLength({ dtype: 'F32', shape });
    await checkOutputFolder(outputDir, bytes);
    if (model.lora !== undefined && (await isSameFolder(outputDir, model.lora.base)))
      throw new UsageError(`--output-dir is the folder of the base; name another for the merged model`);
    const card = await cardOfMerge(options, { model, tokenizer, adapter: directory });
    await model.open({ device: 'cpu', dtype: 'float32' });
    await replaceFiles(outputDir, OF_TRAINING, async (folder) => {
      await model.saveMerged(folder);
      await tokenizer.savePretrained(folder);
      if (Object.keys(model.calibration).length > 0)
        await writeCalibration(folder, model.calibration, model.task);
      if (card.text !== null) await writeFileAtomic(join(folder, MODEL_CARD), card.text);
    });
    if (card.note !== null) progress.line(card.note);
    progress.line(`The merged model is in ${outputDir}`);
  } finally {
    await model.close();
  }
}
