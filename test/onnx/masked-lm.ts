// Masked language models of all families as they are exported, in onnxruntime: logits of masked tokens against those of transformers
// (scripts/reference/masked_lm.py), one copy of the table in the file, and the check on texts against `evaluate`.
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t from 'tap';

import { AutoModelForMaskedLM } from '../../dist/index.js';
import { wordScores } from '../../dist/onnx/comparison.js';
import { bertune, flags, type Options, type Outcome } from '../fixtures/cli.js';
import { maxRelative, readJson } from '../fixtures/families.js';
import { RUNTIME } from '../fixtures/family-sessions.js';
import { runOnnx } from '../fixtures/onnxruntime.js';
import { toyRow } from '../fixtures/toy.js';
import { cheap, json, succeeded, toyTraining, workspace } from '../fixtures/workspace.js';

interface Expected {
  batch: { ids: number[][]; labels: number[][] };
  logits: number[];
}

const fixtures = fileURLToPath(new URL('../fixtures/masked-lm/', import.meta.url));
const wantedOf = readJson(join(fixtures, 'expected.json')) as Record<string, Expected>;
const folder = t.testdir();
const NONE = -100;
/** Of random weights, whose words are all about as probable. */
const LEAST_SAME = { fp32: 1, fp16: 0.9, q8: 0.8, q4: 0.5 };

for (const [family, { batch, logits: wanted }] of Object.entries(wantedOf))
  t.test(family, async (t) => {
    const model = await AutoModelForMaskedLM.fromPretrained(join(fixtures, family));
    await model.open(RUNTIME);
    const directory = join(folder, family);
    const { variants } = await model.exportOnnx(directory, { dtypes: ['fp32', 'fp16', 'q8', 'q4'] });
    await model.close();
    for (const { dtype, refusal, figures } of variants) {
      t.equal(refusal, null, `${dtype} is fit`);
      t.ok((figures?.sameLabels ?? 0) >= LEAST_SAME[dtype], `${dtype}: ${figures?.sameLabels} of the words`);
    }
    const rows = await runOnnx(join(directory, 'onnx/model.onnx'), batch);
    const vocabulary = (rows[0]?.length ?? 0) / (batch.ids[0]?.length ?? NaN);
    const masked = rows.flatMap((row, i) =>
      (batch.labels[i] ?? []).flatMap((label, place) =>
        label === NONE ? [] : row.slice(place * vocabulary, (place + 1) * vocabulary),
      ),
    );
    const error = maxRelative(masked, wanted);
    t.ok(error < 1e-5, `logits of transformers (${error})`);
    const { row, column } = await tableOf(join(fixtures, family));
    const copies = (file: string, part: Buffer): number =>
      readFileSync(join(directory, file)).toString('latin1').split(part.toString('latin1')).length - 1;
    t.same(
      [copies('onnx/model.onnx', row), copies('onnx/model.onnx', column)],
      [1, 0],
      'the table is there once',
    );
    t.same([copies('onnx/model_quantized.onnx', row), copies('onnx/model_quantized.onnx', column)], [0, 0]);
  });

/** The first row and the first column of the word embeddings, as they are in a file. */
async function tableOf(folder: string): Promise<{ row: Buffer; column: Buffer }> {
  const model = await AutoModelForMaskedLM.fromPretrained(folder);
  const session = await model.open(RUNTIME);
  const words = session.tensors().find(({ name }) => /word_embeddings|tok_embeddings/.test(name));
  const values = await session.read(words?.name ?? '');
  await model.close();
  const [rows = 0, width = 0] = words?.shape ?? [];
  const bytesOf = (numbers: Float32Array): Buffer => Buffer.from(numbers.slice().buffer);
  const column = Float32Array.from({ length: rows }, (_, i) => values[i * width] ?? NaN);
  return { row: bytesOf(values.subarray(width, 2 * width)), column: bytesOf(column) };
}

t.test('the scores of words are those of the session', async (t) => {
  const { batch } = wantedOf['bert'] ?? { batch: { ids: [], labels: [] } };
  const model = await AutoModelForMaskedLM.fromPretrained(join(fixtures, 'bert'));
  const session = await model.open(RUNTIME);
  const cuSeqlens = new Int32Array(batch.ids.length + 1);
  for (const [i, { length }] of batch.ids.entries()) cuSeqlens[i + 1] = (cuSeqlens[i] ?? 0) + length;
  const packed = { inputIds: Int32Array.from(batch.ids.flat()), cuSeqlens };
  const labels = Int32Array.from(batch.labels.flat());
  const all = await session.predict(packed);
  const width = all.length / labels.length;
  const places = [...labels.keys()].filter((place) => labels[place] !== NONE);
  const masked = places.flatMap((place) => [...all.subarray(place * width, (place + 1) * width)]);
  const scores = wordScores(
    Float32Array.from(masked),
    labels.filter((label) => label !== NONE),
    width,
  );
  const theirs = await session.predict({ ...packed, labels });
  await model.close();
  t.equal(scores.length, theirs.length);
  t.ok(maxRelative([...scores], [...theirs]) < 1e-5);
});

t.test('the command line', async (t) => {
  const { here, read } = workspace(folder);
  const run = (command: string, options: Options): Promise<Outcome> =>
    bertune([command, ...flags(options)], here);
  const lines = (from: number, rows: number): string =>
    Array.from({ length: rows }, (_, row) => `${toyRow(from + row).text}\n`).join('');
  writeFileSync(join(folder, 'train.txt'), lines(0, 60));
  writeFileSync(join(folder, 'held.txt'), lines(500, 20));
  const texts: Options = { 'line-by-line': true, 'validation-file': 'held.txt' };
  const training: Options = {
    ...toyTraining,
    task: 'masked-lm',
    'train-file': 'train.txt',
    'line-by-line': true,
  };
  succeeded(t, 'train', await run('train', { ...training, 'output-dir': 'adapted' }));
  const plain = await run('export', { model: 'adapted', 'output-dir': 'plain' });
  succeeded(t, 'export', plain);
  t.match(
    plain.stderr,
    /^The ONNX model is in plain; compared with bertune's on \d+ random tokens:\n.* same word\n/m,
  );
  t.match(plain.stderr, "In JavaScript: pipeline('fill-mask', 'plain') of @huggingface/transformers");
  t.match(json(read('plain/config.json')), { architectures: ['BertForMaskedLM'] });
  const evaluation: Options = {
    ...cheap,
    ...texts,
    model: 'adapted',
    dtype: 'float32',
    json: true,
    quiet: true,
  };
  const { eval_accuracy: accuracy = NaN } = json((await run('evaluate', evaluation)).stdout);
  const checked = await run('export', { ...texts, model: 'adapted', 'output-dir': 'checked' });
  succeeded(t, 'export with texts', checked);
  t.match(checked.stderr, /compared with bertune's on \d+ masked tokens:\nfile +size +difference of losses/);
  const shown = accuracy.toFixed(4);
  t.match(checked.stderr, new RegExp(`^the model +${shown}$`, 'm'), 'the accuracy of evaluate');
  t.match(checked.stderr, new RegExp(`^onnx/model\\.onnx .* 100\\.0 % +${shown}$`, 'm'));
  const classifier = { ...toyTraining, 'num-train-epochs': '1', 'output-dir': 'classifier' };
  succeeded(t, 'train a classifier', await run('train', classifier));
  const stray = await run('export', {
    model: 'classifier',
    'output-dir': 'new',
    'validation-file': 'test.csv',
    'whole-word-mask': true,
  });
  t.equal(stray.code, 2);
  t.match(stray.stderr, '--whole-word-mask is for masked language models');
});
