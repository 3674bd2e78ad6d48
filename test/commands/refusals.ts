// What every kind of bad input gets on the command line: one message for a person, the right exit code, nothing left behind.
import { spawnSync } from 'node:child_process';
import { chmodSync, cpSync, existsSync, mkdirSync, readFileSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t, { type Test } from 'tap';

import { deviceInfo } from '../../dist/index.js';
import { writeChecksums } from '../../dist/training/checkpoint.js';
import {
  bertune,
  flags,
  inPairs,
  misdescribed,
  renamed,
  tree,
  withHeader,
  type Options,
  type Outcome,
} from '../fixtures/cli.js';
import { TOY_CONFIG } from '../fixtures/toy.js';
import { cheap, json, succeeded, toyTraining, workspace } from '../fixtures/workspace.js';

const folder = t.testdir();
const { here, write, read } = workspace(folder);
const modelFixtures = fileURLToPath(new URL('../fixtures/model/', import.meta.url));

const train = (options: Options): string[] => ['train', ...flags({ ...toyTraining, ...options })];
const evaluate = (options: Options): string[] => [
  'evaluate',
  ...flags({ ...cheap, model: 'single', 'validation-file': 'test.csv', ...options }),
];
function predict(options: Options): string[] {
  const files = { 'test-file': 'test.csv', 'output-file': 'new/out.jsonl' };
  return ['predict', ...flags({ ...cheap, model: 'single', ...files, ...options })];
}

/** The message that a failed command ends with, without its `bertune: `. */
function complaint({ stderr }: Outcome): string {
  return /(?:^|\n)bertune: (?!note: )(.*)\n$/s.exec(stderr)?.[1] ?? `no message at the end of: ${stderr}`;
}

/** A bad input, the message that it must get, and the exit code where it is not 2, the caller's mistake. */
type Bad = [args: string[], message: string | RegExp, code?: number];

function refused(test: Test, outcome: Outcome, message: string | RegExp, code = 2): void {
  const shown = complaint(outcome);
  if (typeof message === 'string') test.equal(shown, message);
  else test.match(shown, message);
  const trace = /^ +at .*/m.exec(outcome.stderr)?.[0] ?? 'no trace';
  test.same([outcome.code, trace], [code, 'no trace'], `ends with exit code ${code} and no stack trace`);
}

/** Runs the cases two at a time; none may print a result or leave anything behind. */
async function refuseAll(test: Test, cases: readonly Bad[]): Promise<void> {
  const before = tree(folder);
  await inPairs(cases, async ([args, message, code], lane) => {
    // Each lane has its own output folder: two runs that try out one folder could leave it to each other to remove.
    const own = args.map((argument) => argument.replace(/^new\//, `new${lane}/`));
    const outcome = await bertune(own, here);
    const stderr = outcome.stderr.replaceAll(`new${lane}/`, 'new/');
    refused(test, { ...outcome, stderr }, message, code);
    test.equal(outcome.stdout, '', 'nothing on stdout');
  });
  test.same(tree(folder), before, 'nothing is left behind');
}

await t.test('a model with checkpoints, for what follows', async (t) => {
  const outcome = await bertune(train({ 'output-dir': 'single', 'save-steps': '50' }), here);
  succeeded(t, 'train', outcome);
});

await t.test('bad data', async (t) => {
  mkdirSync(join(folder, 'data/folder.csv'), { recursive: true });
  write('data/empty.csv', '');
  write('data/unlabelled.csv', 'text,when\na film,monday\nthe plot,tuesday\n');
  write('data/one-class.csv', 'text,label\na film,pos\nthe plot,pos\n');
  write('data/neutral.csv', 'text,label\na film,pos\nthe plot,neutral\na scene,neg\n');
  write('data/numbers.csv', 'text,label\n1,pos\n2,neg\n3.5,pos\n');
  write('data/untitled.csv', 'caption,wording\na,b\nc,d\n');
  const trainFile = (name: string, message: string): Bad => [train({ 'train-file': name }), message];
  const trained = { config: undefined, tokenizer: undefined, model: 'single' };
  const neutral = `data have 1 bad row:
  data/neutral.csv line 3, column "label": the label "neutral" is unknown; expected "neg", "pos"
Correct it, or leave it out with --bad-rows skip`;
  const usual = 'has no column with a usual name for the';
  await refuseAll(t, [
    trainFile('trian.csv', 'trian.csv does not exist; did you mean train.csv?'),
    trainFile('data/empty.csv', 'data/empty.csv is empty; give a file that holds rows'),
    trainFile(
      'data/folder.csv',
      'data/folder.csv is a folder without data files (.csv, .tsv, .jsonl, .ndjson, .json, .txt (each also with .gz or .zst) and .parquet)',
    ),
    trainFile(
      'data/unlabelled.csv',
      `data/unlabelled.csv ${usual} label; it has the columns "text", "when"; name it with --label-column, or, if that is a row already, write a line of names above it`,
    ),
    trainFile(
      'data/one-class.csv',
      'The train data hold only one class, "pos" (column "label"); training needs at least two: ' +
        'add rows of another class, or name another column with --label-column',
    ),
    trainFile(
      'data/numbers.csv',
      'The column "text" of data/numbers.csv holds only numbers; is it the text? --text-column names another',
    ),
    [
      train({ ...trained, 'train-file': 'data/neutral.csv' }),
      `The train ${neutral}\nIf these are labels too, name all labels with --label-list`,
    ],
    [evaluate({ 'validation-file': 'data/neutral.csv' }), `The validation ${neutral}`],
    [
      predict({ 'text-column': 'review' }),
      'test.csv has no column "review"; it has the columns "text", "label"; --text-column names another',
    ],
    [
      predict({ 'test-file': 'data/untitled.csv' }),
      'data/untitled.csv has no column "text"; it has the columns "caption", "wording"; --text-column names another',
    ],
  ]);
});

await t.test('bad options and output folders', async (t) => {
  const positions = '--max-seq-length is 33 but the model has 32 positions; use at most 32';
  const below = 'a file is in the way; choose another path or move it';
  await refuseAll(t, [
    [train({ 'learning-rate': 'NaN' }), 'Expected a number above 0 for --learning-rate but received "NaN"'],
    [
      train({ 'per-device-train-batch-size': '0' }),
      'Expected a whole number of at least 1 for --per-device-train-batch-size but received 0',
    ],
    [train({ 'max-seq-length': '33' }), positions],
    [predict({ 'max-seq-length': '33' }), positions],
    [
      train({ 'num-labels': '3' }),
      '--num-labels is 3 but the data have 2 labels (neg, pos); ' +
        'leave --num-labels out, or name all labels with --label-list',
    ],
    [train({ 'output-dir': 'train.csv' }), `Could not write train.csv: ${below}`],
    [train({ 'output-dir': 'train.csv/out' }), `Could not write train.csv/out: ${below}`],
    [predict({ 'output-file': 'data' }), 'data is a folder; name the file to write'],
  ]);
});

await t.test('where nothing can be written', { skip: !existsSync('/proc/self') && 'no /proc' }, async (t) => {
  await refuseAll(t, [
    [
      train({ 'output-dir': '/proc/bertune/out' }), // mkdir -p of Node never comes back from there
      'Could not write /proc/bertune/out: no folder can be made there; choose another path',
    ],
    [
      predict({ 'output-file': '/dev/full' }),
      'Could not write /dev/full: the disk is full; free some space or choose another folder',
      1,
    ],
  ]);
  const toFull = { ...here, wrapper: ['sh', '-c', '"$@" > /dev/full', 'sh'] };
  const printed = await bertune(predict({ 'output-file': undefined }), toFull);
  refused(t, printed, /^Could not write standard output: the disk is full; free some space .*$/, 1);
});

await t.test('a full disk', async (t) => {
  mkdirSync(join(folder, 'small'));
  // A mount of this process alone, which goes with it.
  const mounted = (size: string): string[] => {
    const script = `mount -t tmpfs -o size=${size} none small && "$@"; code=$?; ls -A small/* 2>/dev/null; exit $code`;
    return ['unshare', '--mount', '--map-root-user', 'sh', '-c', script, 'sh'];
  };
  const [program = '', ...rest] = mounted('64k');
  if (spawnSync(program, [...rest, 'true'], { cwd: folder }).status !== 0)
    return t.comment('skipped: no file system can be mounted here');
  const options = { 'output-dir': 'small/out', 'save-steps': '1', 'max-steps': '5' };
  const [atOnce, midway] = await Promise.all([
    bertune(train(options), { ...here, wrapper: mounted('64k') }),
    bertune(train(options), { ...here, wrapper: mounted('700k') }),
  ]);
  const space = 'free some space or choose another folder';
  refused(t, atOnce, `The disk of small/out has 0 MB free but this run writes at least 1 MB; ${space}`, 1);
  t.notMatch(atOnce.stderr, 'Training on', 'seen before the training');
  t.equal(atOnce.stdout, '');
  refused(t, midway, /^Could not write \S*small\/out\/checkpoint-3\S*: the disk is full; free some space/, 1);
  t.equal(midway.stdout, 'checkpoint-1\ncheckpoint-2\n', 'what was saved before stays, and nothing else');
});

await t.test('what may not be read or written', async (t) => {
  if (process.getuid?.() === 0) return t.comment('skipped: root may read and write everything');
  write('data/secret.csv', 'text,label\na,b\n');
  chmodSync(join(folder, 'data/secret.csv'), 0o000);
  mkdirSync(join(folder, 'locked'), { mode: 0o555 });
  const [unreadable, unwritable] = await Promise.all([
    bertune(evaluate({ 'validation-file': 'data/secret.csv' }), here),
    bertune(train({ 'output-dir': 'locked/out' }), here),
  ]);
  refused(t, unreadable, 'data/secret.csv cannot be read: permission denied');
  refused(t, unwritable, 'Could not write locked/out: no permission; choose a folder that you may write to');
  chmodSync(join(folder, 'locked'), 0o755);
});

await t.test('--device cuda without a device', { skip: deviceInfo().cuda && 'there is one' }, async (t) => {
  // Said before the data are read: with these, which would be a fault too, nothing else is said.
  const message = /^--device cuda cannot be used: .+\. Use --device cpu, or auto\.$/;
  const file = 'absent.csv';
  await refuseAll(t, [
    [train({ device: 'cuda', 'train-file': file }), message],
    [evaluate({ device: 'cuda', 'validation-file': file }), message],
    [predict({ device: 'cuda', 'test-file': file }), message],
  ]);
});

await t.test('links in a circle, folders for files, and data of another task', async (t) => {
  for (const name of ['circle', 'circle.csv', 'circle.json']) symlinkSync(name, join(folder, name));
  write('circular/config.json', read('single/config.json'));
  write('circular/model.safetensors', read('single/model.safetensors'));
  symlinkSync('tokenizer.json', join(folder, 'circular/tokenizer.json'));
  write('data/numbers-for-text.csv', 'text,label\nthe film,0.5\nthe plot,1.5\n');
  const config = { ...(json(read('single/config.json')) as object), problem_type: 'regression' };
  write('two-values/config.json', JSON.stringify(config));
  for (const file of ['model.safetensors', 'tokenizer.json', 'tokenizer_config.json'])
    write(`two-values/${file}`, read(`single/${file}`));
  mkdirSync(join(folder, 'run.json'));
  const circle = (name: string): string =>
    `Could not read ${name}: its symbolic links lead in a circle; name the file or folder that is meant`;
  await refuseAll(t, [
    [train({ 'train-file': 'circle.csv' }), circle('circle.csv')],
    [train({ config: 'circle.json' }), circle('circle.json')],
    [train({ config: undefined, model: 'circle' }), circle('circle')],
    [train({ tokenizer: 'circle' }), circle('circle')],
    [evaluate({ model: 'circular' }), circle('circular/tokenizer.json')],
    [
      ['train', 'circle.json'],
      circle('circle.json').replace('Could not read', 'Cannot read the configuration file'),
    ],
    [
      train({ config: 'model' }),
      '--config model is a folder; name the file in it: --config model/config.json',
    ],
    [
      ['train', 'run.json'],
      'Cannot read the configuration file run.json: it is a folder, not a file; name a file in it',
    ],
    [
      evaluate({ model: 'two-values', 'validation-file': 'data/numbers-for-text.csv' }),
      "The model's task is regression with 2 values a row, which does not fit the evaluation data: regression " +
        'with 1 value a row. Evaluate a model that was trained on such labels; in a script, loadDataset takes the ' +
        '`problemType` of the model, and its labels as modelLabels.',
    ],
  ]);
});

await t.test('the stack is shown with --verbose', async (t) => {
  const { code, stderr } = await bertune(train({ 'train-file': 'trian.csv', verbose: true }), here);
  t.equal(code, 2);
  t.match(stderr, /^bertune: trian\.csv does not exist.*\nUsageError: trian\.csv.*\n +at /m);
});

await t.test('bad models', async (t) => {
  const weights = join(folder, 'single/model.safetensors');
  const bytes = readFileSync(weights);
  const data = bytes.subarray(8 + Number(bytes.readBigUInt64LE()));
  const header = bytes.subarray(8, bytes.length - data.length);
  const [bias, last] = ['classifier.bias', 'classifier.weight']; // [2] and [2, 32], at the end of the file
  const folderOf = (name: string, content: Uint8Array): string => {
    for (const file of ['config.json', 'tokenizer.json', 'tokenizer_config.json'])
      write(`${name}/${file}`, read(`single/${file}`));
    write(`${name}/model.safetensors`, content);
    return name;
  };
  const broken = (name: string, content: Uint8Array, fault: string): Bad => [
    predict({ model: folderOf(name, content) }),
    `${name}/model.safetensors is not a usable safetensors file: ${fault}; download or save it again`,
  ];
  const isMissing = 'bert.encoder.layer.1.output.dense.bias';
  write('bare/config.json', JSON.stringify(TOY_CONFIG));
  write('larger/vocab.txt', `${String(read('model/vocab.txt'))}another\n`);
  write('gpt2/config.json', JSON.stringify({ ...TOY_CONFIG, model_type: 'gpt2' }));
  const named = (name: string): string[] => train({ config: undefined, model: name });
  const supported =
    'bertune supports the model types albert, bert, camembert, deberta-v2, distilbert, electra, modernbert, mpnet, roberta, xlm-roberta';
  const untrained = join(modelFixtures, 'base');
  await refuseAll(t, [
    broken(
      'lying-header',
      withHeader(header, data, 1e6),
      `it claims a header of 1000000 bytes but has only ${bytes.length - 8} after the length (cut short?)`,
    ),
    broken(
      'huge-header',
      withHeader(header, data, 1e10),
      'it claims a header of 10000000000 bytes, over the limit of 32 MiB',
    ),
    broken('latin', withHeader(Buffer.from('{"\xff\xfe":1}', 'latin1'), data), 'its header is not UTF-8'),
    broken(
      'overlap',
      misdescribed(weights, bias, ({ data_offsets: [a, b] }) => ({ data_offsets: [a - 4, b - 4] })),
      `tensor "${bias}" overlaps the one before it`,
    ),
    broken(
      'negative',
      misdescribed(weights, bias, () => ({ data_offsets: [-8, 0] })),
      `data_offsets of tensor "${bias}" is not a pair of whole numbers from 0`,
    ),
    broken(
      'past-the-end',
      misdescribed(weights, last, ({ data_offsets: [a, b] }) => ({
        shape: [3, 32],
        data_offsets: [a, b + 128],
      })),
      `tensor "${last}" ends at byte ${data.length + 128} of the data, which has only ${data.length} (cut short?)`,
    ),
    broken(
      'wrong-dtype',
      misdescribed(weights, bias, () => ({ dtype: 'F64' })),
      `tensor "${bias}": F64 [2] takes 16 bytes but its offsets span 8`,
    ),
    [
      predict({ model: folderOf('missing', renamed(weights, isMissing, 'other')) }),
      `missing lacks the tensor ${isMissing} of shape [32] (it has 41 tensors, the first is ` +
        '"bert.embeddings.LayerNorm.bias"); check that its config.json belongs to it',
    ],
    [train({ config: 'gpt2/config.json' }), `gpt2/config.json describes a "gpt2" model; ${supported}`],
    [named('gpt2'), `gpt2/config.json describes a "gpt2" model; ${supported}`],
    [
      named('model'),
      'model has no model.safetensors and no model.safetensors.index.json; ' +
        'give a model folder that holds its weights',
    ],
    [
      named('nowhere'),
      /^HF_HUB_OFFLINE is set, and model "nowhere" is not in the cache .*\n {2}- If nowhere was meant to be a folder here: there is none of that name\.\n {2}- Unset/,
      1,
    ],
    [
      train({ tokenizer: 'bare' }),
      /^No tokenizer\.json, and no vocab\.txt, .* in bare that a BertTokenizer reads: name a folder or model that has one$/,
    ],
    [
      train({ tokenizer: 'larger' }),
      "The tokenizer has 26 tokens but the model's vocabulary only 25: they do not belong together; give the tokenizer that the model was trained with",
    ],
    [
      evaluate({ model: untrained }),
      `${untrained} is not a trained classifier: it lacks classifier.weight, classifier.bias. Train it first.`,
    ],
  ]);
});

await t.test('resuming what a killed run had complete but not yet renamed', async (t) => {
  const { pid } = spawnSync(process.execPath, ['-e', '']);
  cpSync(join(folder, 'single/checkpoint-50'), join(folder, `killed/checkpoint-50.tmp-${pid}-0`), {
    recursive: true,
  });
  mkdirSync(join(folder, `killed/checkpoint-50.tmp-${pid}-0.old`));
  const data = { 'train-file': 'train.csv', 'output-dir': 'killed', 'save-strategy': 'no' };
  const outcome = await bertune(train({ ...data, 'resume-from-checkpoint': true }), here);
  succeeded(t, 'train', outcome);
  t.match(outcome.stderr, 'Resuming from killed/checkpoint-50 at step 50 of 96');
  t.notMatch(tree(join(folder, 'killed')).join('\n'), '.tmp-');
});

await t.test('bad checkpoints to resume from', async (t) => {
  const resumed = (from: string | true, message: string | RegExp, other: Options = {}): Bad => [
    train({ 'resume-from-checkpoint': from, ...other }),
    message,
  ];
  const copy = (name: string, files: Record<string, Uint8Array>): string => {
    cpSync(join(folder, 'single/checkpoint-50'), join(folder, name), { recursive: true });
    for (const [file, content] of Object.entries(files)) write(join(name, file), content);
    return name;
  };
  /** With sums that fit: what a person copied together rather than what a disk did. */
  const summed = async (name: string, files: Record<string, Uint8Array>): Promise<string> => {
    await writeChecksums(join(folder, copy(name, files)));
    return name;
  };
  const half = (file: string): Record<string, Uint8Array> => {
    const bytes = read(join('single/checkpoint-50', file));
    return { [file]: bytes.subarray(0, bytes.length / 2) };
  };
  const foreign = (file: string): Uint8Array => readFileSync(join(modelFixtures, 'float32', file));
  const weights = 'model.safetensors';
  const words = 'bert.embeddings.word_embeddings.weight';
  const ofThisRun = 'Use a checkpoint of this run.';
  await refuseAll(t, [
    resumed(true, 'new/out has no checkpoint-N folder to resume from; leave --resume-from-checkpoint out'),
    resumed(
      'single',
      'single is not a checkpoint of bertune: it has no bertune_state.json, ' +
        'or was saved with --save-only-model. Name a checkpoint-N folder, or start a new run from its weights, with single as its model',
    ),
    resumed(
      'single/checkpoint-50',
      /^single\/checkpoint-50 cannot be resumed with these settings: seed was 42 and is now 7;.* Use those of the first run/,
      { seed: '7' },
    ),
    resumed(
      await summed('foreign', { 'config.json': foreign('config.json'), [weights]: foreign(weights) }),
      `foreign does not belong to the model in training: its ${words} is [30, 8], not [25, 32]. ${ofThisRun}`,
    ),
    resumed(
      await summed('moments', { 'optimizer.safetensors': foreign(weights) }),
      'moments/optimizer.safetensors does not belong to the model in training: ' +
        `it has no tensor exp_avg.${words} of [25, 32]. ${ofThisRun}`,
    ),
    resumed(
      copy('half-model', half(weights)),
      'half-model/model.safetensors is damaged: it does not hold what was written. Resume from an earlier checkpoint, ' +
        'or from the newest good one with --resume-from-checkpoint auto.',
    ),
    resumed(
      copy('half-state', half('bertune_state.json')),
      /^half-state\/bertune_state\.json is damaged: it does not hold what was written/,
    ),
  ]);
});
