// `bertune export` and exportOnnx as a person uses them: the folder, what transformers.js reads in it, the answers, and what is
// refused. The graphs are in specs.ts, the families in models.ts.
import { spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';

import { AutoModelForSequenceClassification, AutoTokenizer, parseConfig } from '../../dist/index.js';
import { softmax } from '../../dist/tasks/probabilities.js';
import { bertune, flags, type Options, type Outcome } from '../fixtures/cli.js';
import { RUNTIME } from '../fixtures/family-sessions.js';
import { runOnnx } from '../fixtures/onnxruntime.js';
import { TOY_CONFIG } from '../fixtures/toy.js';
import { cheap, succeeded, toyTraining, workspace } from '../fixtures/workspace.js';

const folder = t.testdir();
const { here, read } = workspace(folder);
const jsonOf = (path: string) => JSON.parse(String(read(path))) as Record<string, unknown>;
const exported = (options: Options, around = {}): Promise<Outcome> =>
  bertune(['export', ...flags(options)], { ...here, ...around });

function refused(t: Test, { code, stderr, stdout }: Outcome, message: string | RegExp, expected = 2): void {
  t.equal(code, expected);
  t.equal(stdout, '');
  t.match(stderr, message);
  t.equal(stderr.trimEnd().split('\n').length, 1, 'one line');
}

t.before(async () => {
  const trained = { ...toyTraining, 'max-seq-length': '8', 'num-train-epochs': '8', 'output-dir': 'out' };
  succeeded(t, 'train', await bertune(['train', ...flags(trained)], here));
});

t.test('a trained model', async (t) => {
  const outcome = await exported({ model: 'out', 'output-dir': 'onnx' });
  succeeded(t, 'export', outcome);
  t.equal(outcome.stdout, '');
  t.match(
    outcome.stderr,
    /^The ONNX model is in onnx; compared with bertune's on 8 rows of random tokens:\nfile +size +difference of logits +at most +same label\n/m,
  );
  t.match(outcome.stderr, /^onnx\/model\.onnx +1 MB +\de-\d+ +\de-\d+ +100\.0 %$/m);
  t.match(outcome.stderr, /^onnx\/model_quantized\.onnx +1 MB +0\.00\d+ +0\.0\d+ +\d+\.0 %$/m);
  t.same(readdirSync(join(folder, 'onnx'), { recursive: true, encoding: 'utf8' }).toSorted(), [
    'config.json',
    'onnx',
    'onnx/model.onnx',
    'onnx/model_quantized.onnx',
    'tokenizer.json',
    'tokenizer_config.json',
    'vocab.txt',
  ]);
  t.same(jsonOf('onnx/config.json'), jsonOf('out/config.json'), 'transformers.js finds what it asks for');
  const { model_max_length: longest, padding_side: side } = jsonOf('onnx/tokenizer_config.json');
  t.same([longest, side], [8, 'right'], 'as it was trained');
});

/** What transformers.js makes of a text: it cuts behind the last token. */
async function idsAs(texts: readonly string[], maxLength: number): Promise<number[][]> {
  const tokenizer = await AutoTokenizer.fromPretrained(join(folder, 'onnx'));
  return texts.map((text) => Array.from(tokenizer.encode(text).ids).slice(0, maxLength));
}

t.test('its answers are those of predict, long texts among them', async (t) => {
  const options = {
    ...cheap,
    dtype: 'float32',
    model: 'out',
    'test-file': 'test.csv',
    'output-file': 'predicted.jsonl',
  };
  succeeded(t, 'predict', await bertune(['predict', ...flags(options)], here));
  const predicted = String(read('predicted.jsonl'))
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as { label: string; probabilities: Record<string, number> });
  const texts = String(read('test.csv'))
    .trim()
    .split('\n')
    .slice(1)
    .map((line) => line.slice(0, line.lastIndexOf(',')));
  const ids = await idsAs(texts, 8);
  const tokenizer = await AutoTokenizer.fromPretrained(join(folder, 'onnx'));
  const isCut = (row: number[]): boolean => row.at(-1) !== tokenizer.tokenToId('[SEP]');
  t.ok(ids.some(isCut), 'some have lost their last token');
  const logits = await runOnnx(join(folder, 'onnx/onnx/model.onnx'), { ids });
  const worst = Math.max(
    ...predicted.flatMap(({ probabilities }, i) => {
      const ours = Object.values(probabilities);
      return softmax(logits[i] ?? []).map((p, label) => Math.abs(p - (ours[label] ?? NaN)));
    }),
  );
  t.equal(logits.length, predicted.length);
  t.ok(worst < 1e-5, `probabilities differ by ${worst}`);
});

t.test('an earlier export is replaced, and nothing else', async (t) => {
  writeFileSync(join(folder, 'onnx/onnx/model.onnx'), 'old');
  succeeded(t, 'export', await exported({ model: 'out', 'output-dir': 'onnx', quiet: true }));
  t.ok(read('onnx/onnx/model.onnx').length > 1000);
  const before = readdirSync(join(folder, 'out')).toSorted();
  const message =
    /^bertune: out holds \S+, which is not of an earlier export and would be removed; name a new folder\n$/;
  refused(t, await exported({ model: 'out', 'output-dir': 'out' }), message);
  t.same(readdirSync(join(folder, 'out')).toSorted(), before);
  for (const name of ['notes.txt', 'onnx/model_bnb4.onnx', 'onnx/empty/config.json']) {
    const own = `own-${name.replaceAll(/\W/g, '-')}`;
    mkdirSync(join(folder, own, 'onnx'), { recursive: true });
    const isAlone = name.endsWith('config.json');
    if (!isAlone) cpSync(join(folder, 'onnx'), join(folder, own), { recursive: true });
    writeFileSync(join(folder, own, isAlone ? 'config.json' : name), '{}');
    refused(t, await exported({ model: 'out', 'output-dir': own }), /holds .* name a new folder/);
  }
  writeFileSync(join(folder, 'file'), '');
  refused(t, await exported({ model: 'out', 'output-dir': 'file' }), /^bertune: .*file/);
});

t.test('models that cannot be exported', async (t) => {
  cpSync(join(folder, 'out'), join(folder, 'mute'), { recursive: true });
  for (const name of ['tokenizer.json', 'tokenizer_config.json', 'vocab.txt'])
    rmSync(join(folder, 'mute', name), { force: true });
  refused(
    t,
    await exported({ model: 'mute', 'output-dir': 'new' }),
    /^bertune: No tokenizer\.json, .* in mute that a BertTokenizer reads: name a folder or model that has one$/m,
  );
  refused(t, await exported({ model: './nowhere', 'output-dir': 'new' }), './nowhere');
  refused(t, await exported({ 'output-dir': 'new' }), '--model is needed');
  refused(t, await exported({ model: 'out' }), '--output-dir is needed: folder for the model in ONNX');
  t.notOk(existsSync(join(folder, 'new')), 'nothing is left');
});

t.test('a full disk', async (t) => {
  const script =
    'mount -t tmpfs -o size=$0 none small && "$@"; code=$?; ls -A small/* 2>/dev/null; exit $code';
  mkdirSync(join(folder, 'small'));
  const mounted = (size: string) => ['unshare', '--mount', '--map-root-user', 'sh', '-c', script, size];
  const [program = '', ...rest] = mounted('8k');
  if (spawnSync(program, [...rest, 'true'], { cwd: folder }).status !== 0)
    return t.comment('skipped: no file system can be mounted here');
  const options = { model: 'out', 'output-dir': 'small/onnx' };
  const bytes = readFileSync(join(folder, 'out/model.safetensors')).length;
  const [atOnce, midway] = [
    await exported(options, { wrapper: mounted('8k') }),
    await exported(options, { wrapper: mounted(`${Math.ceil((1.25 * bytes) / 1024) + 8}k`) }),
  ];
  refused(t, atOnce, 'The disk of small/onnx has 0 MB free but this run writes at least 1 MB', 1);
  refused(
    t,
    midway,
    /^bertune: Could not write small\/onnx\/\S+: the disk is full; free some space or choose another folder$/m,
    1,
  );
});

t.test('without onnxruntime-node', async (t) => {
  const hook = `export async function resolve(name, context, next) {
    if (name === 'onnxruntime-node') throw Object.assign(new Error(name), { code: 'ERR_MODULE_NOT_FOUND' });
    return next(name, context);
  }`;
  const asUrl = (code: string): string =>
    `data:text/javascript,${encodeURIComponent(code).replaceAll("'", '%27')}`;
  const register = `import { register } from 'node:module'; register(${JSON.stringify(asUrl(hook))});`;
  const outcome = await exported(
    { model: 'out', 'output-dir': 'unchecked' },
    { wrapper: ['env'], env: { NODE_OPTIONS: `--import=${asUrl(register)}` } },
  );
  succeeded(t, 'export', outcome);
  t.match(
    outcome.stderr,
    'note: its logits were not compared with those of the model: for that, npm install --no-save onnxruntime-node and run npx bertune export again\n',
  );
  t.ok(existsSync(join(folder, 'unchecked/onnx/model.onnx')));
});

t.test('of a script', async (t) => {
  const config = parseConfig(TOY_CONFIG, 'toy');
  const model = AutoModelForSequenceClassification.fromConfig(config, { numLabels: 2 });
  const tokenizer = await AutoTokenizer.fromPretrained(join(folder, 'model'));
  await model.open(RUNTIME);
  await model.exportOnnx(join(folder, 'script'), { tokenizer, maxSeqLength: 100 });
  t.equal(jsonOf('script/tokenizer_config.json')['model_max_length'], 32, 'no more than positions');
  const fast = join(folder, 'fast');
  await tokenizer.savePretrained(fast);
  const { tokenizer_class: _, ...others } = jsonOf('fast/tokenizer_config.json');
  writeFileSync(
    join(fast, 'tokenizer_config.json'),
    JSON.stringify({ ...others, tokenizer_class: 'PreTrainedTokenizerFast', padding_side: 'left' }),
  );
  const plain = await AutoTokenizer.fromPretrained(fast);
  for (const [readsPairs, name] of [
    [true, 'BertTokenizer'],
    [false, 'TokenizersBackend'],
  ] as const) {
    model.reading = { textColumn: 'text', ...(readsPairs && { textPairColumn: 'other' }) };
    await model.exportOnnx(join(folder, 'script'), { tokenizer: plain });
    const { tokenizer_class: found, padding_side: side } = jsonOf('script/tokenizer_config.json');
    t.equal(found, name, readsPairs ? 'token types are read' : 'they are not');
    t.equal(side, 'right');
  }
  await model.exportOnnx(join(folder, 'bare'));
  t.same(readdirSync(join(folder, 'bare')).toSorted(), ['config.json', 'onnx']);
  await model.close();
});
