// Checkpoints against transformers: every form bit for bit, what is saved, and folders and tensors that do not fit.
// Expected values: scripts/reference/model.py.
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import tap from 'tap';

import { RunError, UsageError } from '../../dist/util/errors.js';
import { openModelFolder, saveModelFolder } from '../../dist/formats/model-folder.js';
import {
  openSafetensors,
  writeSafetensors,
  type TensorData,
  type TensorSource,
} from '../../dist/formats/safetensors.js';
import { configJson, parseConfig, withLabels, withTask, type ModelConfig } from '../../dist/models/config.js';
import { parameterShapes } from '../../dist/models/parameters.js';
import { readConfig, matchCheckpoint } from '../../dist/models/pretrained.js';
import { bytesOf, expected, fails, fixtures, readAll } from '../fixtures/model-files.js';

const sha256 = (data: Uint8Array) => createHash('sha256').update(data).digest('hex');

const open = (directory: string) =>
  openModelFolder(directory, (...args: Parameters<typeof parseConfig>) =>
    withTask(parseConfig(...args), 'sequence-classification', {}),
  );
const match = (config: ModelConfig, tensors: Map<string, TensorSource>, where?: string) =>
  matchCheckpoint(config, { config, tensors }, where);
const save = (folder: string, config: ModelConfig, tensors: Iterable<TensorData>) =>
  saveModelFolder(folder, configJson(config), parameterShapes(config), tensors);

const withFile = (directory: string, name: string, content: string) => {
  writeFileSync(join(directory, name), content);
  return directory;
};

await tap.test('checkpoints in every form read as transformers reads them', async (t) => {
  const names = { 'torch.float32': 'F32', 'torch.float16': 'F16', 'torch.bfloat16': 'BF16' } as Record<
    string,
    string
  >;
  for (const [form, wanted] of Object.entries(expected.checkpoints)) {
    const { config, tensors, close } = await open(join(fixtures, form));
    const { matched, newlyInitialised, unused, notes } = match(config, tensors);
    const read = await readAll(matched);
    const described = read.map(({ name, shape, data }) => [name, { shape, sha256: sha256(data) }]);
    t.strictSame(Object.fromEntries(described), wanted.tensors, `${form}: names, shapes and bytes`);
    t.ok(
      read.every(({ dtype }) => dtype === names[wanted.dtype]),
      `${form}: ${wanted.dtype}`,
    );
    t.strictSame(newlyInitialised.toSorted(), wanted.missing, `${form}: newly initialised`);
    t.equal(notes.length, wanted.missing.length / 2, `${form}: a reason for each part`);
    // transformers lists the new names of unused tensors; we list them as the file has them.
    const renamed = unused.map((name) =>
      name.replace('LayerNorm.gamma', 'LayerNorm.weight').replace('beta', 'bias'),
    );
    t.strictSame(renamed.toSorted(), wanted.unexpected, `${form}: unused`);
    await close();
  }
});

await tap.test('parameterShapes is named_parameters()', async (t) => {
  const shapes = parameterShapes(await readConfig(join(fixtures, 'float32')));
  t.strictSame([...shapes], expected.parameters);
});

await tap.test('files are written as Python writes them', async (t) => {
  const folder = t.testdir();
  for (const name of ['all-dtypes.safetensors', 'float32/model.safetensors', 'bfloat16/model.safetensors']) {
    const original = join(fixtures, name);
    const file = await openSafetensors(original);
    const tensors = await readAll(file.tensors);
    await file.close();
    const copy = join(folder, 'new', 'copy.safetensors');
    // Reversed: neither the order of the layout nor that of the data decides the order in the file.
    await writeSafetensors(copy, tensors, tensors.toReversed(), file.metadata);
    t.ok(readFileSync(copy).equals(readFileSync(original)), name);
  }
  const { tensors, metadata, close } = await openSafetensors(join(fixtures, 'all-dtypes.safetensors'));
  const described = (await readAll(tensors)).map(({ name, shape, data }) => [
    name,
    { shape, sha256: sha256(data) },
  ]);
  await close();
  t.strictSame(
    Object.fromEntries(described),
    expected.allDtypes,
    'every dtype, odd names, scalar, empty tensor',
  );
  t.strictSame(metadata, { format: 'pt' });
  const scalar = async () => sha256(await bytesOf(tensors.get('scalar')));
  t.equal(await scalar(), expected.allDtypes['scalar']?.sha256, 'a read after close opens the file again');
  await close();
  const replaced = await openSafetensors(join(folder, 'new', 'copy.safetensors'));
  await replaced.close();
  const [tensor] = await readAll(tensors);
  await close();
  if (tensor !== undefined)
    await writeSafetensors(join(folder, 'new', 'copy.safetensors'), [tensor], [tensor]);
  const [first] = replaced.tensors.values();
  await fails(t, 'read of another file', RunError, ['copy.safetensors', 'replaced'], async () =>
    bytesOf(first),
  );
});

await tap.test('a saved classifier is the same file, and transformers loads it', async (t) => {
  const { config, tensors, close } = await open(join(fixtures, 'float32'));
  const saved = t.testdir();
  await save(saved, config, await readAll(tensors));
  await close();
  for (const name of ['model.safetensors', 'config.json']) {
    t.ok(readFileSync(join(saved, name)).equals(readFileSync(join(fixtures, 'float32', name))), name);
  }
  t.strictSame(readdirSync(saved).toSorted(), ['config.json', 'model.safetensors']);

  const python = process.env['BERTUNE_PYTHON'];
  if (python === undefined) return t.comment('BERTUNE_PYTHON is not set: not loaded with transformers');
  const script = fileURLToPath(new URL('../../scripts/reference/check_saved.py', import.meta.url));
  const renamed = withLabels(config, ['ä', 'b', '__proto__'], 'multi_label_classification');
  await save(saved, renamed, await readAll((await open(saved)).tensors));
  const output = execFileSync(python, [script, saved, '--ids', JSON.stringify(expected.logits.ids)], {
    encoding: 'utf8',
  });
  const report: Record<string, unknown> = JSON.parse(output);
  const { missing_keys, unexpected_keys, mismatched_keys, warnings, logits } = report;
  t.strictSame(
    { missing_keys, unexpected_keys, mismatched_keys, warnings },
    {
      missing_keys: [],
      unexpected_keys: [],
      mismatched_keys: [],
      warnings: [],
    },
  );
  const values = [logits].flat(2).map(Number);
  const differences = expected.logits.float32
    .flat()
    .map((value, i) => Math.abs(value - (values[i] ?? Number.NaN)));
  t.ok(Math.max(...differences) < 1e-6, `logits differ by ${Math.max(...differences)}`);
  t.strictSame(report['config'], configJson(renamed));
});

await tap.test('folders that are not a usable checkpoint', async (t) => {
  const folder = t.testdir();
  const fresh = (form: string) => {
    const copy = mkdtempSync(join(folder, 'model-'));
    cpSync(join(fixtures, form), copy, { recursive: true });
    return copy;
  };
  const without = (form: string, ...files: string[]) => {
    const copy = fresh(form);
    for (const file of files) rmSync(join(copy, file));
    return copy;
  };
  const index = (content: unknown) => {
    return withFile(fresh('sharded'), 'model.safetensors.index.json', JSON.stringify(content));
  };
  const bare = () => without('float32', 'model.safetensors');
  const first = 'model-00001-of-00002.safetensors';
  const cases: [directory: string, ...words: string[]][] = [
    [join(folder, 'absent'), 'absent', 'no such file or folder'],
    [join(fixtures, 'all-dtypes.safetensors'), 'is a file', 'config.json'],
    [without('float32', 'config.json'), 'is not a model: it has no config.json; give the folder'],
    [withFile(fresh('float32'), 'config.json', '{"a":\n\n'), 'config.json', 'not valid JSON'],
    [withFile(fresh('float32'), 'config.json', ''), 'config.json', 'not valid JSON'],
    [bare(), 'no model.safetensors', 'give a model folder'],
    [withFile(bare(), 'pytorch_model.bin', ''), 'pytorch_model.bin', 'torch.load', 'save_file'],
    [withFile(bare(), 'tf_model.h5', ''), 'tf_model.h5', 'model.safetensors'],
    [without('sharded', first), first, 'no such file'],
    [
      index({ weight_map: { w: '../float32/model.safetensors' } }),
      '"../float32/model.safetensors"',
      'plain name',
    ],
    [index({ weight_map: { w: '/etc/passwd' } }), '"/etc/passwd"', 'plain name'],
    [index({ weight_map: { w: 7 } }), 'names 7'],
    [index({ weight_map: { 'odd\nname': first } }), 'odd\\nname', first, 'does not have it'],
    [index({ weight_map: {} }), 'weight_map'],
    [index({ weight_map: ['a'] }), 'weight_map'],
    [index([]), 'weight_map'],
  ];
  for (const [directory, ...words] of cases) {
    await fails(t, words.join(' '), UsageError, words, () => open(directory));
  }
});

await tap.test('tensors that do not fit the config', async (t) => {
  const { config, tensors, close } = await open(join(fixtures, 'float32'));
  const query = 'bert.encoder.layer.1.attention.self.query.weight';
  const source = (name: string, changes: Partial<TensorSource> = {}): TensorSource => {
    const found = tensors.get(name);
    if (!found) throw new Error(`no ${name}`);
    return { ...found, ...changes };
  };
  const changed = (name: string, changes: Partial<TensorSource>) =>
    new Map(tensors).set(name, source(name, changes));
  const without = (...names: string[]) => new Map([...tensors].filter(([name]) => !names.includes(name)));
  const prefixed = (prefix: string) =>
    new Map(Array.from(tensors, ([name, found]) => [prefix + name, found]));

  const cases: [found: Map<string, TensorSource>, ...words: string[]][] = [
    [without(query), query, '[8, 8]'],
    [new Map(), 'bert.embeddings.word_embeddings.weight', '0 tensors'],
    [prefixed('module.'), 'bert.embeddings.word_embeddings.weight', '"module.bert.'],
    [changed(query, { shape: [8, 4] }), query, '[8, 4]', '[8, 8]'],
    [changed('bert.pooler.dense.bias', { shape: [4] }), 'bert.pooler.dense.bias', '[4]', '[8]'],
    [changed('classifier.weight', { shape: [3, 4] }), 'classifier.weight', '[3, 4]', '[3, 8]'],
    [changed('classifier.bias', { shape: [2] }), 'classifier.bias', '[2]', '[3]'],
    [changed(query, { dtype: 'I64' }), query, 'I64', 'F32, F16 and BF16'],
    [new Map(tensors).set(query.slice(5), source(query)), query, 'two tensors'],
  ];
  for (const [found, ...words] of cases) {
    const action = () => match(config, found, 'folder/x');
    await fails(t, words.join(' '), UsageError, ['folder/x', ...words], action);
  }
  const larger = { ...config, vocabSize: 31 };
  const words = ['word_embeddings.weight', '[30, 8]', '[31, 8]'];
  await fails(t, 'config of another model', UsageError, words, () => match(larger, tensors));

  const head = ['classifier.weight', 'classifier.bias'];
  const seven = match(withLabels(config, Array.from('abcdefg'), 'regression'), tensors);
  t.strictSame(seven.newlyInitialised, head);
  t.strictSame(seven.notes, ["classifier is newly initialised: the checkpoint's is for 3 labels, not 7"]);
  t.equal(seven.matched.size, tensors.size - 2);
  const half = match(config, without('classifier.bias'));
  t.strictSame(half.newlyInitialised, head, 'half a head is no head');
  const surplus = ['"bert.encoder.layer.1.', 'has no place'];
  await fails(t, 'layers cut off', UsageError, surplus, () =>
    match({ ...config, numHiddenLayers: 1 }, tensors),
  );
  await close();
});
