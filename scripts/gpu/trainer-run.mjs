// A whole run of Trainer on a file of texts, which may be killed on its way and resumed.
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import {
  AutoModelForSequenceClassification,
  BertTokenizer,
  loadDataset,
  parseConfig,
  Progress,
  Trainer,
  trainingArguments,
} from '../../dist/index.js';
import { modelConfig, shapeOf } from '../bench/shape.mjs';

/**
 * @typedef {object} Run
 * @property {string} device
 * @property {'float32' | 'bfloat16'} dtype
 * @property {string} data
 * @property {string} tokenizer
 * @property {string} output
 * @property {number} steps
 * @property {number} [killAt] after this step was handed over the process kills itself
 * @property {boolean} [resumes] from the newest checkpoint
 */

/** @param {Run} job */
export async function run({
  device,
  dtype,
  data,
  tokenizer: folder,
  output,
  steps,
  killAt,
  resumes = false,
}) {
  const tokenizer = await BertTokenizer.fromPretrained(folder);
  const dataset = await loadDataset({ train: data });
  const args = trainingArguments({
    outputDir: output,
    maxSteps: steps,
    perDeviceTrainBatchSize: 4,
    gradientAccumulationSteps: 2,
    maxSeqLength: 64,
    saveStrategy: 'steps',
    saveSteps: 1,
    saveTotalLimit: 2,
    loggingStrategy: 'no',
    seed: 7,
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- machineFacts gave it
    device: /** @type {'cpu'} */ (device),
    dtype,
    threads: 2,
    ...(resumes && existsSync(output) && { resumeFromCheckpoint: true }),
  });
  const config = modelConfig(shapeOf('2x64x2'), tokenizer.vocabSize, dataset.task.labels);
  const model = AutoModelForSequenceClassification.fromConfig(parseConfig(config, 'check:gpu'));
  await model.open(args);
  const trainer = new Trainer({
    model,
    args,
    tokenizer,
    trainDataset: dataset.train,
    progress: new Progress({ write: () => true }),
    callbacks: [
      {
        onStepEnd: ({ state }) => {
          if (state.global_step === killAt) process.kill(process.pid, 'SIGKILL');
        },
      },
    ],
  });
  await trainer.train();
  await trainer.close();
  await model.close();
  await dataset.close();
  /** @param {string} file */
  const digest = async (file) =>
    createHash('sha256')
      .update(await readFile(join(output, `checkpoint-${steps}`, file)))
      .digest('hex')
      .slice(0, 16);
  return { bits: `${await digest('model.safetensors')} ${await digest('optimizer.safetensors')}` };
}
