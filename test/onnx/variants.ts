// Files in fewer bits: what a person gets of them, what is refused, which layers stay float32, and that the answer to a text does
// not depend on the texts beside it. That they are near the model for every family is in models.ts.
import { execFileSync, spawnSync } from 'node:child_process';
import { cpSync, existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t, { type Test } from 'tap';

import {
  AutoModelForSequenceClassification,
  parseConfig,
  type OnnxExport,
  type OnnxValidationBatch,
} from '../../dist/index.js';
import { onnxDtypes } from '../../dist/onnx/settings.js';
import { fewestKept } from '../../dist/onnx/write-variant.js';
import { bertune, flags, type Options, type Outcome } from '../fixtures/cli.js';
import { maxRelative } from '../fixtures/families.js';
import { RUNTIME } from '../fixtures/family-sessions.js';
import { runOnnx } from '../fixtures/onnxruntime.js';
import { TOY_CONFIG } from '../fixtures/toy.js';
import { succeeded, toyTraining, workspace } from '../fixtures/workspace.js';

const folder = t.testdir();
const { here } = workspace(folder);
const exported = (options: Options): Promise<Outcome> => bertune(['export', ...flags(options)], here);
const filesOf = (name: string): string[] => readdirSync(join(folder, name, 'onnx')).toSorted();
const fileOf = (name: string, file: string): string => join(folder, name, 'onnx', file);
const configOf = (name: string): Record<string, unknown> =>
  JSON.parse(readFileSync(join(folder, name, 'config.json'), 'utf8')) as Record<string, unknown>;

function refused(t: Test, { code, stderr, stdout }: Outcome, message: string | RegExp, expected = 2): void {
  t.equal(code, expected);
  t.equal(stdout, '');
  t.match(stderr.trimEnd().split('\n').at(-1), message);
}

t.before(async () => {
  const trained = { ...toyTraining, 'output-dir': 'out' };
  succeeded(t, 'train', await bertune(['train', ...flags(trained)], here));
  writeOutliers(join(folder, 'out'), join(folder, 'outliers'));
});

/**
 * A model of the same function that 8 bits for a token cannot carry: one number of each value vector is 1,000, and what multiplies
 * it is 0.
 */
function writeOutliers(from: string, to: string): void {
  cpSync(from, to, { recursive: true });
  const path = join(to, 'model.safetensors');
  const bytes = readFileSync(path);
  const begin = 8 + Number(bytes.readBigUInt64LE());
  const header = JSON.parse(bytes.toString('utf8', 8, begin)) as Record<
    string,
    { data_offsets: [number, number]; shape: number[] }
  >;
  for (const layer of [0, 1]) {
    const attention = `bert.encoder.layer.${layer}.attention`;
    const bias = header[`${attention}.self.value.bias`];
    const matrix = header[`${attention}.output.dense.weight`];
    if (bias === undefined || matrix === undefined) throw new Error('no such layer');
    bytes.writeFloatLE(1000, begin + bias.data_offsets[0]);
    const [rows = 0, columns = 0] = matrix.shape;
    for (let row = 0; row < rows; row++)
      bytes.writeFloatLE(0, begin + matrix.data_offsets[0] + 4 * row * columns);
  }
  writeFileSync(path, bytes);
}

t.test('all that there are', async (t) => {
  const outcome = await exported({
    model: 'out',
    'output-dir': 'all',
    dtype: 'fp32,fp16,q8,q4',
    'validation-file': 'test.csv',
    'max-metric-drop': '10',
  });
  succeeded(t, 'export', outcome);
  t.same(filesOf('all'), ['model.onnx', 'model_fp16.onnx', 'model_q4.onnx', 'model_quantized.onnx']);
  t.match(outcome.stderr, /compared with bertune's on 20 rows:\nfile .* accuracy\nthe model +[\d.]+\n/);
  for (const name of filesOf('all'))
    t.match(outcome.stderr, new RegExp(`^onnx/${name} +1 MB .* [\\d.]+ % +\\d`, 'm'));
  t.notOk('transformers.js_config' in configOf('all'));
  succeeded(t, 'export', await exported({ model: 'out', 'output-dir': 'all', dtypes: ['q4', 'fp16'] }));
  t.same(filesOf('all'), ['model_fp16.onnx', 'model_q4.onnx'], 'in place of the earlier ones');
  t.same(configOf('all')['transformers.js_config'], { dtype: 'q4' }, 'the first, where the usual ones lack');
});

const ids = [
  [2, 5, 16, 17, 9, 3],
  [2, 11, 3],
  [2, 6, 18, 19, 20, 21, 22, 23, 3],
];

t.test('the answer to a text does not depend on those beside it, or on padding', async (t) => {
  succeeded(t, 'export', await exported({ model: 'outliers', 'output-dir': 'alone', 'keep-float': 'auto' }));
  succeeded(t, 'export', await exported({ model: 'out', 'output-dir': 'usual', dtype: onnxDtypes }));
  for (const path of [
    ...filesOf('usual').map((name) => fileOf('usual', name)),
    fileOf('alone', 'model_quantized.onnx'),
  ]) {
    const together = await runOnnx(path, { ids });
    const padded = await runOnnx(path, { ids }, 30);
    const alone = await Promise.all(ids.map((row) => runOnnx(path, { ids: [row] })));
    // In float16 results are rounded to 2^-11, here after sums in another order.
    const tolerance = path.includes('fp16') ? 2e-3 : 2e-6;
    t.ok(maxRelative(alone.flat(2), together.flat()) < tolerance, `${path}: alone`);
    t.ok(maxRelative(padded.flat(), together.flat()) < tolerance, 'with more padding');
  }
});

t.test('versions of the operators', async (t) => {
  const of = (opset: number): Promise<number[][]>[] =>
    ['model.onnx', 'model_fp16.onnx', 'model_quantized.onnx', 'model_q4.onnx'].map((name) =>
      runOnnx(fileOf(`opset-${opset}`, name), { ids }),
    );
  const model = await AutoModelForSequenceClassification.fromPretrained(join(folder, 'out'));
  await model.open(RUNTIME);
  const all = [];
  for (const opset of [17, 18, 19, 20, 21]) {
    await model.exportOnnx(join(folder, `opset-${opset}`), { opset, dtypes: onnxDtypes });
    all.push(await Promise.all(of(opset)));
  }
  await model.close();
  const [first = []] = all;
  for (const each of all.slice(1)) t.ok(maxRelative(each.flat(3), first.flat(2)) < 1e-3); // float16 is rounded elsewhere
});

t.test('a file that lost its meaning is left out', async (t) => {
  const outcome = await exported({
    model: 'outliers',
    'output-dir': 'partly',
    dtype: ['fp32', 'q8', 'fp16'],
  });
  succeeded(t, 'export', outcome);
  t.match(
    outcome.stderr,
    /^note: q8 was not written: its logits are near chance: they differ from those of the model by \d+ % of their size$/m,
  );
  t.match(outcome.stderr, /^q8, not written +1 MB/m, 'its figures are shown');
  t.same(filesOf('partly'), ['model.onnx', 'model_fp16.onnx']);
  t.same(configOf('partly')['transformers.js_config'], { dtype: 'fp32' }, 'there is no q8 to ask for');
  const alone = await exported({ model: 'outliers', 'output-dir': 'none', dtype: 'q8' });
  refused(t, alone, /^bertune: No file was fit for use, and nothing was written: q8: its logits are near/, 1);
  t.notOk(existsSync(join(folder, 'none')));
});

t.test('one that loses too much of the metric too', async (t) => {
  const config = parseConfig({ ...TOY_CONFIG, initializer_range: 0.2 }, 'toy');
  const model = AutoModelForSequenceClassification.fromConfig(config, { numLabels: 8 });
  await model.open(RUNTIME);
  const rows = Array.from({ length: 400 }, (_, row) => [2, ...[3, 7, 9].map((n) => 5 + ((row * n) % 20)), 3]);
  await model.exportOnnx(join(folder, 'script'), { dtypes: ['fp32', 'q4'] });
  const [exact, rounded] = await Promise.all(
    ['model.onnx', 'model_q4.onnx'].map(async (name) =>
      (await runOnnx(fileOf('script', name), { ids: rows })).map((own) => own.indexOf(Math.max(...own))),
    ),
  );
  const labels = Int32Array.from(exact ?? []);
  const other = labels.filter((label, row) => rounded?.[row] !== label).length;
  t.ok(other > 4, `${other} of 400 rows have another label`);
  const encodings = rows.map((ids) => ({ ids, typeIds: null }));
  const exportedTo = async (maxMetricDrop: number): Promise<OnnxExport> => {
    // oxlint-disable-next-line typescript/require-await
    async function* validation(): AsyncGenerator<OnnxValidationBatch> {
      yield { encodings, labels };
    }
    return model.exportOnnx(join(folder, 'script'), { dtypes: ['q4', 'fp32'], validation, maxMetricDrop });
  };
  const { metrics, variants } = await exportedTo(0);
  const [lost, kept] = variants;
  t.equal(metrics?.['accuracy'], 1, 'the labels are those of the model');
  t.same([kept?.figures?.metrics?.['accuracy'], kept?.refusal], [1, null]);
  const after = 1 - other / 400;
  t.equal(lost?.figures?.metrics?.['accuracy'], after);
  t.equal(lost?.figures?.sameLabels, after);
  t.equal(lost?.figures?.rows, 400);
  const drop = Number((other / 4).toFixed(2));
  t.equal(
    lost?.refusal,
    `accuracy falls from 1.0000 to ${after.toFixed(4)}, by ${drop} points, more than 0 points`,
  );
  t.same(filesOf('script'), ['model.onnx']);
  t.equal((await exportedTo(drop + 0.01)).variants[0]?.refusal, null, 'unless that may be');
  await model.close();
});

t.test('layers that stay float32', async (t) => {
  const outcome = await exported({
    model: 'outliers',
    'output-dir': 'kept',
    dtype: 'q8',
    'keep-float': 'auto',
    'validation-file': 'test.csv',
  });
  succeeded(t, 'export', outcome);
  const [, kept = ''] = /^In float32 in q8: (.*)$/m.exec(outcome.stderr) ?? [];
  t.match(kept, /attention\.output\.dense/, 'what the outliers are multiplied with');
  t.ok(kept.split(', ').length <= 2, kept);
  const named = await exported({
    model: 'outliers',
    'output-dir': 'named',
    dtype: 'q8',
    'keep-float': ['bert.encoder.layer.*.attention.output.dense'],
  });
  succeeded(t, 'export', named);
  t.match(
    named.stderr,
    'bert.encoder.layer.0.attention.output.dense, bert.encoder.layer.1.attention.output.dense',
  );
  const asked: (readonly string[])[] = [];
  const enough = (least: number) => async (own: readonly string[]) => {
    asked.push(own);
    return own.length >= least;
  };
  t.same(await fewestKept(['a', 'b', 'c', 'd', 'e'], enough(3)), ['a', 'b', 'c']);
  t.ok(asked.length <= 3);
  t.equal(await fewestKept(['a', 'b', 'c'], enough(4)), undefined);
});

t.test('what is wrong', async (t) => {
  const model = { model: 'out', 'output-dir': 'new' };
  const cases: [Options, string | RegExp][] = [
    [{ ...model, dtype: 'q8,int8' }, 'Expected some of fp32, fp16, q8, q4 for --dtypes but received "int8"'],
    [{ ...model, opset: '16' }, 'Expected a whole number from 17 to 21 for --opset but received 16'],
    [{ ...model, opset: '26' }, 'Expected a whole number from 17 to 21 for --opset but received 26'],
    [
      { ...model, 'keep-float': 'bert.encodr' },
      '--keep-float "bert.encodr" matches no tensor of the model (did you mean bert.encoder?)',
    ],
    [
      { ...model, 'max-metric-drop': '2' },
      '--max-metric-drop needs --validation-file: there are no rows to compute a metric on',
    ],
    [
      { ...model, 'test-file': 'test.csv' },
      '--test-file has no meaning for `bertune export`; did you mean --validation-file?',
    ],
    [{ ...model, 'validation-file': 'nothing.csv' }, /nothing\.csv/],
    [
      { ...model, 'max-seq-length': '33' },
      '--max-seq-length is 33 but the model has 32 positions; use at most 32',
    ],
  ];
  for (const [options, message] of cases) refused(t, await exported(options), message);
  t.notOk(existsSync(join(folder, 'new')));
});

interface Report {
  ir: number;
  opsets: Record<string, number>;
  operators: Record<string, number>;
  weights: Record<string, string>;
  logits: number[][];
}

/** What Python's onnx and onnxruntime make of files; null where they are not installed. */
function inPython(paths: readonly string[]): Report[] | null {
  const python = process.env['BERTUNE_PYTHON'];
  if (python === undefined || spawnSync(python, ['-c', 'import onnx, onnxruntime']).status !== 0) return null;
  const script = fileURLToPath(new URL('../../scripts/reference/check_onnx.py', import.meta.url));
  const rows = [ids[0], ids[0]?.toReversed()];
  const stdout = execFileSync(python, [script, JSON.stringify(paths), JSON.stringify(rows)], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  return JSON.parse(stdout) as Report[];
}

t.test('in Python', (t) => {
  const names = ['model.onnx', 'model_fp16.onnx', 'model_quantized.onnx', 'model_q4.onnx'];
  const reports = inPython(names.map((name) => fileOf('usual', name)));
  if (reports === null) {
    t.comment('skipped: BERTUNE_PYTHON has no onnx and onnxruntime');
    t.end();
    return;
  }
  const standard = { '': 17 };
  t.same(
    reports.map(({ ir, opsets }) => [ir, opsets]),
    [standard, standard, standard, { '': 17, 'com.microsoft': 1 }].map((opsets) => [8, opsets]),
  );
  t.same(
    reports.map(({ weights }) => [...new Set(Object.values(weights))].toSorted()),
    [
      ['FLOAT', 'INT64'],
      ['FLOAT16', 'INT64'],
      ['FLOAT', 'INT64', 'UINT8'],
      ['FLOAT', 'INT64', 'UINT8'],
    ],
  );
  t.same(
    reports.map(({ operators: { MatMulInteger = 0, MatMulNBits = 0 } }) => [MatMulInteger, MatMulNBits]),
    [
      [0, 0],
      [0, 0],
      [12, 0],
      [0, 12],
    ],
    'two layers of six matrices',
  );
  for (const { weights } of reports.slice(2))
    for (const name of ['bert.pooler.dense.weight_T', 'classifier.weight_T']) t.equal(weights[name], 'FLOAT');
  const logits = reports.map((report) => report.logits.flat());
  for (const own of logits) t.ok(maxRelative(own, logits[0] ?? []) < 0.3);
  t.end();
});
