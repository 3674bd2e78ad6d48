// Model files against transformers and safetensors: every form of checkpoint bit for bit, config.json both ways,
// hostile files, and writing that leaves no halves. Expected values: scripts/reference/model.py.
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import tap from 'tap';
import type { Test } from 'tap';

import { RunError, UsageError } from '../dist/errors.js';
import * as model from '../dist/model/index.js';

interface Described {
  shape: number[];
  sha256: string;
}

interface Expected {
  checkpoints: Record<
    string,
    { dtype: string; tensors: Record<string, Described>; missing: string[]; unexpected: string[] }
  >;
  parameters: [string, number[]][];
  logits: { ids: number[][]; float32: number[][] };
  allDtypes: Record<string, Described>;
  configs: { file: Record<string, unknown>; written: Record<string, unknown> }[];
}

const fixtures = fileURLToPath(new URL('fixtures/model/', import.meta.url));
const expected: Expected = JSON.parse(readFileSync(join(fixtures, 'expected.json'), 'utf8'));

const sha256 = (data: Uint8Array) => createHash('sha256').update(data).digest('hex');

/** What a rejected promise or a throwing function was rejected with. */
async function failure(action: () => unknown): Promise<Error> {
  try {
    await action();
  } catch (error) {
    if (error instanceof Error) return error;
  }
  throw new Error('nothing failed');
}

/** Asserts a failure of the given kind whose message is one line with all these words in it. */
async function fails(
  t: Test,
  label: string,
  kind: typeof UsageError | typeof RunError,
  words: readonly string[],
  action: () => unknown,
): Promise<void> {
  const { name, message } = await failure(action);
  const absent = words.filter((word) => !message.includes(word));
  const found = { name, lines: message.split('\n').length, absent };
  t.strictSame(found, { name: kind.name, lines: 1, absent: [] }, `${label}: ${message}`);
}

async function readAll(tensors: ReadonlyMap<string, model.TensorSource>): Promise<model.TensorData[]> {
  return Promise.all(
    Array.from(tensors, async ([name, { dtype, shape, read }]) => ({
      name,
      dtype,
      shape,
      data: await read(),
    })),
  );
}

/** A safetensors file with this header, whatever it says. */
function safetensors(header: unknown, dataBytes = 0): Buffer {
  const json = Buffer.from(typeof header === 'string' ? header : JSON.stringify(header));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(json.length));
  return Buffer.concat([length, json, Buffer.alloc(dataBytes)]);
}

/** An entry of a safetensors header, whatever it says. */
const tensor = (begin: unknown, end: unknown, shape: unknown = [2], dtype: unknown = 'F32') => ({
  dtype,
  shape,
  data_offsets: [begin, end],
});

/** The length before a safetensors header, and 8 bytes more. */
const lengthOnly = (length: bigint) => {
  const bytes = Buffer.alloc(16);
  bytes.writeBigUInt64LE(length);
  return bytes;
};

const withFile = (directory: string, name: string, content: string) => {
  writeFileSync(join(directory, name), content);
  return directory;
};

/** Writes to a device that is always full. */
const full = async () => writeFile('/dev/full', 'x'.repeat(100));

/** Fills a folder until the disk is full. */
const halfWay = async (temporary: string) => {
  await mkdir(join(temporary, 'sub'));
  await writeFile(join(temporary, 'sub', 'half'), 'x');
  await full();
};

await tap.test('checkpoints in every form read as transformers reads them', async (t) => {
  const names = { 'torch.float32': 'F32', 'torch.float16': 'F16', 'torch.bfloat16': 'BF16' } as Record<
    string,
    string
  >;
  for (const [form, wanted] of Object.entries(expected.checkpoints)) {
    const { config, tensors, close } = await model.openCheckpoint(join(fixtures, form));
    const { matched, newlyInitialised, unused, notes } = model.matchTensors(config, tensors);
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
  const shapes = model.parameterShapes(await model.readBertConfig(join(fixtures, 'float32')));
  t.strictSame([...shapes], expected.parameters);
});

await tap.test('files are written as Python writes them', async (t) => {
  const folder = t.testdir();
  for (const name of ['all-dtypes.safetensors', 'float32/model.safetensors', 'bfloat16/model.safetensors']) {
    const original = join(fixtures, name);
    const file = await model.openSafetensors(original);
    const tensors = await readAll(file.tensors);
    await file.close();
    const copy = join(folder, 'new', 'copy.safetensors');
    // Reversed: neither the order of the layout nor that of the data decides the order in the file.
    await model.writeSafetensors(copy, tensors, tensors.toReversed(), file.metadata);
    t.ok(readFileSync(copy).equals(readFileSync(original)), name);
  }
  const { tensors, metadata, close } = await model.openSafetensors(join(fixtures, 'all-dtypes.safetensors'));
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
  await fails(t, 'read after close', RunError, ['all-dtypes.safetensors'], () =>
    tensors.get('scalar')?.read(),
  );
});

await tap.test('a saved classifier is the same file, and transformers loads it', async (t) => {
  const { config, tensors, close } = await model.openCheckpoint(join(fixtures, 'float32'));
  const saved = t.testdir();
  await model.saveCheckpoint(saved, config, await readAll(tensors));
  await close();
  for (const name of ['model.safetensors', 'config.json']) {
    t.ok(readFileSync(join(saved, name)).equals(readFileSync(join(fixtures, 'float32', name))), name);
  }
  t.strictSame(readdirSync(saved).toSorted(), ['config.json', 'model.safetensors']);

  const python = process.env['BERTUNE_PYTHON'];
  if (python === undefined) return t.comment('BERTUNE_PYTHON is not set: not loaded with transformers');
  const script = fileURLToPath(new URL('../scripts/reference/check_saved.py', import.meta.url));
  const renamed = model.withLabels(config, ['ä', 'b', '__proto__'], 'multi_label_classification');
  await model.saveCheckpoint(saved, renamed, await readAll((await model.openCheckpoint(saved)).tensors));
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
  t.strictSame(report['config'], model.bertConfigJson(renamed));
});

await tap.test('config.json is read and written as transformers does', async (t) => {
  for (const { file, written } of expected.configs) {
    const config = model.parseBertConfig(file, 'config.json');
    t.strictSame(model.bertConfigJson(config), written, JSON.stringify(file).slice(0, 80));
    const again = model.parseBertConfig(JSON.parse(JSON.stringify(written)), 'config.json');
    t.strictSame(model.bertConfigJson(again), written, 'and once more');
    t.strictSame(config.warnings, []);
  }
  const relabelled = model.withLabels(model.parseBertConfig({}, 'x'), ['a', 'b', 'c'], 'regression');
  const { id2label, label2id, problem_type } = model.bertConfigJson(relabelled);
  t.strictSame(
    { id2label, label2id, problem_type },
    { id2label: { 0: 'a', 1: 'b', 2: 'c' }, label2id: { a: 0, b: 1, c: 2 }, problem_type: 'regression' },
  );
  t.equal(model.areDefaultLabels(['LABEL_0', 'LABEL_1']), true);
  t.equal(model.areDefaultLabels(['LABEL_1', 'LABEL_0']), false);
});

await tap.test('config.json with what cannot be done', async (t) => {
  const act = 'one of gelu, gelu_python, gelu_new';
  const cases: [file: unknown, ...words: string[]][] = [
    [[], 'a JSON object', 'config.json'],
    [null, 'a JSON object'],
    [{ model_type: 'roberta' }, '"roberta"', 'model_type "bert"'],
    [{ architectures: ['GPT2LMHeadModel'] }, '"GPT2LMHeadModel"'],
    [{ hidden_act: 'xielu' }, 'hidden_act', act, '"xielu"'],
    [{ hidden_act: 'toString' }, 'hidden_act', act],
    [{ position_embedding_type: 'relative_key' }, 'position_embedding_type', '"absolute"', '"relative_key"'],
    [{ is_decoder: true }, 'is_decoder', 'false'],
    [{ add_cross_attention: true }, 'add_cross_attention', 'false'],
    [{ quantization_config: { bits: 4 } }, 'quantization_config'],
    [{ hidden_size: 10, num_attention_heads: 3 }, 'hidden_size (10)', 'num_attention_heads (3)'],
    [{ hidden_size: '768' }, 'hidden_size', '"768"'],
    [{ vocab_size: 0 }, 'vocab_size', 'received 0'],
    [{ vocab_size: 30.5 }, 'vocab_size', '30.5'],
    [{ num_hidden_layers: 2_000_000_000 }, 'num_hidden_layers', 'from 1 to 1000'],
    [{ max_position_embeddings: -1 }, 'max_position_embeddings', '-1'],
    [{ type_vocab_size: 0 }, 'type_vocab_size'],
    [{ hidden_dropout_prob: 1 }, 'hidden_dropout_prob', 'below 1'],
    [{ attention_probs_dropout_prob: null }, 'attention_probs_dropout_prob', 'null'],
    [{ classifier_dropout: -0.1 }, 'classifier_dropout', '-0.1'],
    [{ layer_norm_eps: 0 }, 'layer_norm_eps', 'above 0'],
    [{ initializer_range: 'small' }, 'initializer_range', '"small"'],
    [{ pad_token_id: -1 }, 'pad_token_id', '-1'],
    [{ pad_token_id: 30, vocab_size: 30 }, 'pad_token_id (30)', 'vocab_size (30)'],
    [{ problem_type: 'ranking' }, 'problem_type', 'regression', '"ranking"'],
    [{ problem_type: 'single_label_classification', num_labels: 1 }, 'problem_type', 'one label'],
    [{ num_labels: 0 }, 'num_labels'],
    [{ num_labels: 3, id2label: { 0: 'a', 1: 'b' } }, 'num_labels is 3', '2 classes'],
    [{ id2label: {} }, 'id2label', 'at least one class'],
    [{ id2label: ['a', 'b'] }, 'id2label', 'an object of class ids'],
    [{ id2label: { 1: 'a', 2: 'b' } }, 'id2label', 'id 0'],
    [{ id2label: { 0: 'a', 1: 'a' } }, 'id2label', 'two ids'],
    [{ id2label: { 0: 'a', 1: {} } }, 'id2label.1', 'a class name'],
    [{ label2id: 5 }, 'label2id', '5'],
    [{ architectures: 'BertModel' }, 'architectures', '"BertModel"'],
  ];
  for (const [file, ...words] of cases) {
    const label = JSON.stringify(file);
    await fails(t, label, UsageError, ['config.json', ...words], () =>
      model.parseBertConfig(file, 'config.json'),
    );
  }
  const odd = {
    auto_map: { AutoModel: 'x.Y' },
    id2label: { 0: 'a', 1: 'b' },
    label2id: { LABEL_0: 0, LABEL_1: 1 },
  };
  const { warnings, label2id, raw } = model.parseBertConfig(odd, 'config.json');
  t.match(warnings, [/label2id .* config\.json/, /auto_map .* ignored/]);
  t.strictSame(
    [...label2id],
    [
      ['a', 0],
      ['b', 1],
    ],
    'id2label decides',
  );
  t.strictSame(raw, {}, 'auto_map is not written back');
});

await tap.test('safetensors files that lie', async (t) => {
  const folder = t.testdir();
  const path = join(folder, 'hostile.safetensors');
  const whole = readFileSync(join(fixtures, 'float32', 'model.safetensors'));
  const cases: [label: string, bytes: Buffer, ...words: string[]][] = [
    ['empty file', Buffer.alloc(0), '0 bytes'],
    ['seven bytes', Buffer.alloc(7), '7 bytes'],
    ['no header', lengthOnly(0n).subarray(0, 8), 'not JSON'],
    ['10 GB header', lengthOnly(10_000_000_000n), '10000000000', '32 MiB'],
    ['2^64 - 1 header', lengthOnly(2n ** 64n - 1n), '18446744073709551615', '32 MiB'],
    ['header past the end', lengthOnly(9n), 'header of 9 bytes', 'only 8'],
    ['cut in half', whole.subarray(0, whole.length / 2), 'cut short'],
    ['cut by one byte', whole.subarray(0, -1), 'cut short'],
    ['one byte more', Buffer.concat([whole, Buffer.alloc(1)]), 'last 1 bytes'],
    ['not UTF-8', Buffer.concat([safetensors('').fill(2, 0, 1), Buffer.from([0xc3, 0x28])]), 'UTF-8'],
    ['not JSON', safetensors('{"a":\n'), 'not JSON'],
    ['byte order mark', safetensors('\uFEFF{}'), 'not JSON'],
    ['an array', safetensors([]), 'not a JSON object'],
    ['metadata of numbers', safetensors({ __metadata__: { format: 1 } }), '__metadata__'],
    ['metadata a list', safetensors({ __metadata__: [] }), '__metadata__'],
    ['tensor a string', safetensors({ w: 'F32' }), '"w"', 'object'],
    ['unknown dtype', safetensors({ w: tensor(0, 8, [2], 'F33') }, 8), '"w"', 'dtype "F33"'],
    ['inherited dtype', safetensors({ w: tensor(0, 8, [2], 'toString') }, 8), 'dtype "toString"'],
    ['no dtype', safetensors({ w: { shape: [], data_offsets: [0, 4] } }, 4), 'dtype undefined'],
    ['shape not a list', safetensors({ w: tensor(0, 8, 2) }, 8), 'shape of tensor "w"'],
    ['shape not whole', safetensors({ w: tensor(0, 8, [0.5, 4]) }, 8), 'shape of tensor "w"'],
    ['shape negative', safetensors({ w: tensor(0, 8, [-1, -2]) }, 8), 'shape of tensor "w"'],
    ['shape overflows', safetensors({ w: tensor(0, 8, [2 ** 40, 2 ** 40]) }, 8), 'overflows'],
    ['shape overflows to 0', safetensors({ w: tensor(0, 0, [2 ** 52, 2 ** 52, 0]) }), 'overflows'],
    [
      'dtype of another size',
      safetensors({ w: tensor(0, 8, [2], 'F64') }, 8),
      'F64 [2]',
      '16 bytes',
      'span 8',
    ],
    ['offsets swapped', safetensors({ w: tensor(8, 0) }, 8), 'span -8'],
    ['offset negative', safetensors({ w: tensor(-8, 0) }, 8), 'data_offsets of tensor "w"'],
    ['offset not whole', safetensors({ w: tensor(0.5, 8.5) }, 8), 'data_offsets'],
    ['offset a string', safetensors({ w: tensor('0', '8') }, 8), 'data_offsets'],
    ['offset too large', safetensors({ w: tensor(0, 2 ** 60) }, 8), 'data_offsets'],
    ['three offsets', safetensors({ w: { ...tensor(0, 8), data_offsets: [0, 8, 8] } }, 8), 'data_offsets'],
    ['past the end', safetensors({ w: tensor(0, 8) }, 4), '"w" ends at byte 8', 'only 4'],
    ['overlap', safetensors({ a: tensor(0, 8), b: tensor(4, 12) }, 12), '"b" overlaps'],
    ['same bytes twice', safetensors({ a: tensor(0, 8), b: tensor(0, 8) }, 8), 'overlaps'],
    ['hole', safetensors({ a: tensor(0, 8), b: tensor(12, 20) }, 20), '4 bytes before tensor "b"'],
    ['hole at the start', safetensors({ a: tensor(4, 12) }, 12), '4 bytes before tensor "a"'],
    [
      'name twice',
      safetensors(`{"a":${JSON.stringify(tensor(0, 8))},"a":${JSON.stringify(tensor(8, 16))}}`, 16),
      'a key twice',
    ],
    ['endless name', safetensors({ ['line\n'.repeat(9999)]: 1 }), '...'],
  ];
  for (const [label, bytes, ...words] of cases) {
    writeFileSync(path, bytes);
    await fails(t, label, UsageError, [path, ...words], () => model.openSafetensors(path));
  }
  execFileSync('mkfifo', [join(folder, 'pipe')]);
  symlinkSync('circle', join(folder, 'circle'));
  for (const [name, word] of [
    ['pipe', 'not a regular file'],
    ['.', 'it is a folder'],
    ['absent', 'no such file'],
    ['circle', 'circle'],
    ['pipe/below', 'is a file, not a folder'],
  ] as const) {
    await fails(t, name, UsageError, [name, word], () => model.openSafetensors(join(folder, name)));
  }
  writeFileSync(path, safetensors({ w: tensor(0, 8), ['__proto__']: tensor(8, 16) }, 16));
  const { tensors, close } = await model.openSafetensors(path);
  t.strictSame([...tensors.keys()].toSorted(), ['__proto__', 'w'], 'a name is only a name');
  writeFileSync(path, safetensors({}));
  await fails(t, 'shortened while open', RunError, [path, 'shorter'], () => tensors.get('w')?.read());
  await close();
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
    [without('float32', 'config.json'), 'config.json', 'no such file'],
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
    await fails(t, words.join(' '), UsageError, words, () => model.openCheckpoint(directory));
  }
});

await tap.test('tensors that do not fit the config', async (t) => {
  const { config, tensors, close } = await model.openCheckpoint(join(fixtures, 'float32'));
  const query = 'bert.encoder.layer.1.attention.self.query.weight';
  const source = (name: string, changes: Partial<model.TensorSource> = {}): model.TensorSource => {
    const found = tensors.get(name);
    if (!found) throw new Error(`no ${name}`);
    return { ...found, ...changes };
  };
  const changed = (name: string, changes: Partial<model.TensorSource>) =>
    new Map(tensors).set(name, source(name, changes));
  const without = (...names: string[]) => new Map([...tensors].filter(([name]) => !names.includes(name)));
  const prefixed = (prefix: string) =>
    new Map(Array.from(tensors, ([name, found]) => [prefix + name, found]));

  const cases: [found: Map<string, model.TensorSource>, ...words: string[]][] = [
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
    const action = () => model.matchTensors(config, found, 'folder/x');
    await fails(t, words.join(' '), UsageError, ['folder/x', ...words], action);
  }
  const larger = { ...config, vocabSize: 31 };
  const words = ['word_embeddings.weight', '[30, 8]', '[31, 8]'];
  await fails(t, 'config of another model', UsageError, words, () => model.matchTensors(larger, tensors));

  const head = ['classifier.weight', 'classifier.bias'];
  const seven = model.matchTensors(model.withLabels(config, Array.from('abcdefg'), 'regression'), tensors);
  t.strictSame(seven.newlyInitialised, head);
  t.strictSame(seven.notes, ["classifier is newly initialised: the checkpoint's is for 3 labels, not 7"]);
  t.equal(seven.matched.size, tensors.size - 2);
  const half = model.matchTensors(config, without('classifier.bias'));
  t.strictSame(half.newlyInitialised, head, 'half a head is no head');
  const fewer = model.matchTensors({ ...config, numHiddenLayers: 1 }, tensors);
  t.equal(
    fewer.unused.filter((name) => name.startsWith('bert.encoder.layer.1.')).length,
    16,
    'layers cut off',
  );
  await close();
});

await tap.test('what is written is whole or not there', async (t) => {
  const folder = t.testdir({ file: 'old', dir: { old: '1' } });
  const listing = () => readdirSync(folder, { recursive: true }).map(String).toSorted();
  const before = listing();
  const target = (name: string) => join(folder, name);

  await fails(t, 'file, disk full', RunError, ['file', 'disk is full'], () =>
    model.writeFileAtomic(target('file'), full),
  );
  const folders = ['dir', 'new'];
  for (const name of folders) {
    const action = () => model.writeDirectoryAtomic(target(name), halfWay);
    await fails(t, `folder ${name}, disk full`, RunError, [name, 'disk is full'], action);
  }
  const below = target('file/below');
  await fails(t, 'file below a file', RunError, [below, 'in the way'], () =>
    model.writeFileAtomic(below, 'x'),
  );
  await fails(t, 'folder below a file', RunError, [below, 'in the way'], () =>
    model.writeDirectoryAtomic(below, full),
  );
  const overFile = () => model.writeDirectoryAtomic(target('file'), async () => {});
  await fails(t, 'folder over a file', RunError, ['file', 'not a folder'], overFile);
  await fails(t, 'file over a folder', RunError, ['dir', 'folder is in the way'], () => {
    return model.writeFileAtomic(target('dir'), 'x');
  });
  await fails(t, 'long name', RunError, ['too long'], () =>
    model.writeFileAtomic(target('x'.repeat(300)), 'x'),
  );
  const own = await failure(() =>
    model.writeFileAtomic(target('file'), () => Promise.reject(new TypeError('bug'))),
  );
  t.type(own, TypeError, 'other errors pass unchanged');
  t.strictSame(listing(), before, 'nothing half-written, nothing lost');
  t.equal(readFileSync(target('file'), 'utf8'), 'old');

  // A second writer of the same name has a temporary name of its own.
  await Promise.all(['a', 'b'].map((text) => model.writeFileAtomic(target('file'), text)));
  t.match(readFileSync(target('file'), 'utf8'), /^[ab]$/);
  await model.writeDirectoryAtomic(target('dir'), (path) => writeFile(join(path, 'fresh'), '2'));
  await model.writeDirectoryAtomic(target('deep/new'), (path) => writeFile(join(path, 'fresh'), '3'));
  t.strictSame(listing(), ['deep', 'deep/new', 'deep/new/fresh', 'dir', 'dir/fresh', 'file']);
});

await tap.test('a safetensors file gets exactly the tensors of its layout', async (t) => {
  const folder = t.testdir();
  const path = join(folder, 'new.safetensors');
  const layout: model.TensorLayout[] = [
    { name: 'a', dtype: 'F32', shape: [2] },
    { name: 'b', dtype: 'F16', shape: [3] },
  ];
  const a = { name: 'a', dtype: 'F32' as const, shape: [2], data: new Uint8Array(8) };
  const b = { name: 'b', dtype: 'F16' as const, shape: [3], data: new Uint8Array(6) };
  const cases: [label: string, tensors: model.TensorData[], ...words: string[]][] = [
    ['one missing', [a], 'no data came for b'],
    ['one twice', [a, a, b], 'a is not in its layout, or came twice'],
    ['a stranger', [a, { ...b, name: 'c' }], 'c is not in its layout'],
    ['another shape', [{ ...a, shape: [2, 1] }, b], 'F32 [2] of 8 bytes for a', 'F32 [2, 1]'],
    ['another dtype', [{ ...a, dtype: 'I32' }, b], 'I32 [2]'],
    ['too few bytes', [{ ...a, data: new Uint8Array(7) }, b], '7 bytes'],
  ];
  for (const [label, tensors, ...words] of cases) {
    await fails(t, label, RunError, [path, ...words], () => model.writeSafetensors(path, tensors, layout));
  }
  await fails(t, 'layout with a name twice', RunError, ['twice'], () => {
    return model.writeSafetensors(path, [a, b], [...layout, ...layout]);
  });
  t.strictSame(readdirSync(folder), [], 'nothing half-written');
  mkdirSync(path);
  await fails(t, 'folder in the way', RunError, [path, 'in the way'], () =>
    model.writeSafetensors(path, [a, b], layout),
  );
  t.strictSame(readdirSync(folder), ['new.safetensors']);
});
