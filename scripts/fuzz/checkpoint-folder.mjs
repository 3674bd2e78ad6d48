// A checkpoint after one training step, and how it is loaded into a session again.
import { createHash } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { loadCheckpoint, saveCheckpoint } from '../../dist/training/checkpoint.js';
import { requireSameRun } from '../../dist/training/fingerprint.js';
import { intactCheckpoint } from '../../dist/training/output-folder.js';
import { readSavedRun } from '../../dist/training/resume.js';
import { initialState } from '../../dist/training/state.js';
import { BertTokenizer } from '../../dist/tokenizer/index.js';
import { utf8 } from './format.mjs';
import { filesOf, RUNTIME, tinyModel } from './tiny-model.mjs';

/** @typedef {import('./format.mjs').Files} Files */

const SUMS = 'SHA256SUMS';
const IDENTITY = { seed: 42, labels: ['a', 'b'], batchSize: 2 };
const UPDATE = {
  learningRate: 1e-3,
  beta1: 0.9,
  beta2: 0.999,
  epsilon: 1e-8,
  weightDecay: 0,
  maxGradNorm: 1,
};

/** One model for all inputs: checkpoints are loaded into it. @type {import('../../dist/models/sequence-classification.js').BertForSequenceClassification | null} */
let model = null;

/** @returns {Promise<Files>} */
export async function checkpointFiles() {
  model ??= tinyModel();
  const session = await model.open(RUNTIME);
  const batch = {
    inputIds: Int32Array.of(2, 5, 3, 2, 6, 3),
    cuSeqlens: Int32Array.of(0, 3, 6),
    labels: Int32Array.of(0, 1),
  };
  await session.accumulate(batch, { divisor: 2 });
  await session.update(UPDATE);
  const tokenizer = await tinyTokenizer();
  const settings = {
    eval_steps: 1,
    logging_steps: 1,
    max_steps: 10,
    num_train_epochs: 1,
    save_steps: 1,
    train_batch_size: 2,
  };
  const state = {
    ...initialState(settings),
    global_step: 1,
    log_history: [{ loss: 0.5, epoch: 0.1, step: 1 }],
  };
  const resume = {
    step: 1,
    updates: 1,
    totalLoss: 0.5,
    lossLogged: 0.5,
    stepLogged: 1,
    trainSeconds: 1.5,
    idleSeconds: 0.5,
    lrSchedulerType: 'linear',
    learningRate: null,
    pending: { shouldEvaluate: false, shouldSave: false, shouldTrainingStop: false },
    identity: IDENTITY,
  };
  const parts = { model, tokenizer, state, resume };
  return filesOf((folder) => saveCheckpoint(join(folder, '.'), parts));
}

/** The state that a resumed run starts from. @param {string} folder */
export async function resumed(folder) {
  if (model === null) throw new Error('no checkpoint was made');
  const found = await intactCheckpoint(folder, folder, { needsBest: false, log: () => undefined });
  if (found === null) throw new Error('nothing was found');
  const { state, resume } = await readSavedRun(found);
  requireSameRun(found, resume.identity, IDENTITY);
  await loadCheckpoint(found, model, resume, resume);
  const { session } = model;
  const weights = new Map();
  for (const name of model.tensorNames()) weights.set(name, await session.read(name));
  return { state, resume, weights };
}

/** The same files with matching checksums: an attacker who changes a file can change its checksum. @param {Files} files @returns {Files} */
export function withSums(files) {
  const { [SUMS]: _, ...others } = files;
  const lines = Object.entries(others).map(
    ([name, bytes]) => `${createHash('sha256').update(bytes).digest('hex')}  ${name}\n`,
  );
  return { ...others, [SUMS]: utf8(lines.join('')) };
}

async function tinyTokenizer() {
  const files = await filesOf(async (folder) => {
    writeFileSync(join(folder, 'vocab.txt'), '[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\nb\n##a\n');
    const { spec } = await BertTokenizer.fromPretrained(folder);
    writeFileSync(join(folder, 'spec'), JSON.stringify(spec));
  });
  return BertTokenizer.fromSpec(JSON.parse(Buffer.from(files['spec'] ?? []).toString()));
}
