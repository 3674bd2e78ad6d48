// A new model takes the place of an older one as a whole: whenever the process ends and wherever the disk is full,
// the folder holds one of the two, or is refused until a training finishes it.
import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import fs from 'node:fs/promises';
import { syncBuiltinESMExports } from 'node:module';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t from 'tap';

import { BertForSequenceClassification, parseBertConfig } from '../../dist/index.js';
import { INDEX, OF_TRAINING, replaceFiles, OF_WEIGHTS } from '../../dist/formats/replace-files.js';
import { openModelFolder } from '../../dist/formats/model-folder.js';
import { parseConfig } from '../../dist/models/config.js';
import { writeFileAtomic, writeJson } from '../../dist/util/files.js';
import { removeLeftovers } from '../../dist/training/output-folder.js';
import { bertune, flags, tree } from '../fixtures/cli.js';
import { mountTmpfs, noTmpfs } from '../fixtures/tmpfs.js';
import { makeToy, TOY_CONFIG } from '../fixtures/toy.js';

const PLAIN = fileURLToPath(new URL('../fixtures/model/float32', import.meta.url));
const SHARDED = fileURLToPath(new URL('../fixtures/model/sharded', import.meta.url));
const REPLACE = new URL('../../dist/formats/replace-files.js', import.meta.url).href;
const FILES = new URL('../../dist/util/files.js', import.meta.url).href;

const training = {
  config: 'model/config.json',
  tokenizer: 'model',
  'train-file': 'train.csv',
  'max-steps': '1',
  'save-strategy': 'no',
  threads: '1',
  'dataloader-num-workers': '0',
};

/** What a folder holds by file, without what lies in folders. */
function contentOf(folder: string): Record<string, string> {
  const files = readdirSync(folder, { withFileTypes: true }).filter((entry) => entry.isFile());
  const names = files.map(({ name }) => name).toSorted();
  return Object.fromEntries(names.map((name) => [name, readFileSync(join(folder, name), 'latin1')]));
}

/** A model with its training's results. */
const before = {
  'bertune_calibration.json': '{}',
  'bertune_reading.json': '{"textColumn":"old"}',
  'config.json': 'old',
  'eval_results.json': 'old',
  'mine.txt': 'mine',
  'model.safetensors': 'old',
  'tokenizer.json': 'old',
};
/** A model in its place; an adapter, since it has two files without which nothing loads. */
const after = {
  'adapter_config.json': 'new',
  'adapter_model.safetensors': 'new',
  'config.json': 'new',
  'mine.txt': 'mine',
  'tokenizer.json': 'new',
};

/**
 * Puts the new model in place of old ones in `out-1`, `out-2` ..., in a process that comes no further in each than to its
 * n-th call of the file system, and ends.
 *
 * @returns the number of folders
 */
function replaceUntilEachCall(folder: string): number {
  const { 'mine.txt': _, ...files } = after;
  const script = `
    import fs, { cp } from 'node:fs/promises';
    import { syncBuiltinESMExports } from 'node:module';
    let calls, stop, last = 0;
    for (const name of ['rename', 'rm', 'rmdir', 'mkdir', 'open']) {
      const call = fs[name];
      fs[name] = (...args) => (++calls < last ? call(...args) : new Promise(stop));
    }
    syncBuiltinESMExports();
    const { replaceFiles, OF_TRAINING } = await import(${JSON.stringify(REPLACE)});
    const { writeFileAtomic } = await import(${JSON.stringify(FILES)});
    const fill = async (folder) => {
      for (const [name, text] of Object.entries(${JSON.stringify(files)})) await writeFileAtomic(folder + '/' + name, text);
    };
    for (let n = 1, isDone = false; !isDone; n++) {
      calls = -Infinity;
      await cp('before', 'out-' + n, { recursive: true });
      [calls, last] = [0, n];
      const stopped = new Promise((resolve) => (stop = () => resolve(false)));
      isDone = await Promise.race([stopped, replaceFiles('out-' + n, OF_TRAINING, fill).then(() => true)]);
      if (isDone) process.stdout.write(String(n));
    }
    process.exit();`;
  const { stdout, stderr, status } = spawnSync(process.execPath, ['--input-type=module', '-e', script], {
    cwd: folder,
    env: { ...process.env, NODE_OPTIONS: '' },
    encoding: 'utf8',
  });
  if (status !== 0) throw new Error(stderr);
  return Number(stdout);
}

await t.test('ended at any call of the file system, no mixture of two models is left', async (t) => {
  const folder = t.testdir({ before });
  const found = { old: 0, new: 0, refused: 0 };
  const times = replaceUntilEachCall(folder);
  for (let n = 1; n <= times; n++) {
    const out = join(folder, `out-${n}`);
    const left = contentOf(out);
    const isOld = left['config.json'] === 'old';
    const isReady = tree(out).some((name) => name.endsWith('bertune_replacing.json'));
    if (isOld) {
      t.same(left, before, `the old one at call ${n}`);
      found.old += 1;
    } else if ('config.json' in left && 'adapter_config.json' in left) {
      t.same(left, after, `the new one at call ${n}`);
      found.new += 1;
    } else {
      if ('config.json' in left) t.notOk('model.safetensors' in left, `nothing to load at call ${n}`);
      else
        await t.rejects(BertForSequenceClassification.fromPretrained(out), {
          name: 'UsageError',
          message: /was to get a new model when .* was ended, and holds parts of both: any bertune command/,
        });
      found.refused += 1;
    }
    await removeLeftovers(out);
    t.same(contentOf(out), isOld && !isReady ? before : after, 'one of them, whole');
    t.notOk(
      readdirSync(out).some((name) => name.includes('.tmp-')),
      'nothing is left behind',
    );
  }
  t.ok(found.old > 10 && found.refused > 5 && found.new > 1, JSON.stringify(found));
});

await t.test('what waits is moved only by its own names', async (t) => {
  const folder = t.testdir({
    'mine.txt': 'mine',
    out: {
      'model.tmp-99999999-0': { 'bertune_replacing.json': '{"removed":["../mine.txt"]}', 'config.json': '' },
    },
  });
  await removeLeftovers(join(folder, 'out'));
  t.same(contentOf(folder), { 'mine.txt': 'mine' });
  t.same(contentOf(join(folder, 'out')), {});
});

/** Writes files of this content. */
function filling(names: readonly string[], content: string): (folder: string) => Promise<void> {
  return async (folder) => {
    for (const name of names) await writeFileAtomic(join(folder, name), content);
  };
}

await t.test('a model that a killed process left waiting never takes the place of a newer one', async (t) => {
  // In a container every run has the same number: that it runs says nothing.
  for (const pid of [1, process.pid]) {
    const waiting = {
      'bertune_replacing.json': '{"removed":["config.json"]}',
      'model.safetensors': 'older',
      'vocab.txt': 'older',
    };
    const out = t.testdir({ 'tokenizer.json': 'older', [`model.tmp-${pid}-0`]: waiting });
    await replaceFiles(
      out,
      ['config.json', 'model.safetensors'],
      filling(['config.json', 'model.safetensors'], 'new'),
    );
    await removeLeftovers(out);
    const newer = { 'config.json': 'new', 'model.safetensors': 'new' };
    t.same(contentOf(out), { ...newer, 'tokenizer.json': 'older', 'vocab.txt': 'older' });
    t.same(readdirSync(out).length, 4);

    const left = t.testdir({ [`model.tmp-${pid}-0`]: waiting });
    await removeLeftovers(left);
    t.same(contentOf(left), { 'model.safetensors': 'older', 'vocab.txt': 'older' }, 'it is finished');
  }
});

await t.test('a folder of the name of a file', async (t) => {
  const old = { 'config.json': 'old', 'model.safetensors': 'old' };
  const out = t.testdir({ ...old, 'vocab.txt': {} });
  await t.rejects(replaceFiles(out, OF_TRAINING, filling(Object.keys(old), 'new')), {
    name: 'RunError',
    message: `${join(out, 'vocab.txt')} is a folder, but a model has a file of that name; move it away`,
  });
  t.same(contentOf(out), old, 'the older model is whole');
  t.same(readdirSync(out).length, 3, 'nothing is left behind');

  const waiting = { 'bertune_replacing.json': '{"removed":["vocab.txt"]}', 'config.json': 'new' };
  const half = t.testdir({ 'vocab.txt': {}, 'model.tmp-99999999-0': waiting });
  const message = `whole in ${join(half, 'model.tmp-99999999-0')}: any bertune command on the model ${half} moves them`;
  await t.rejects(removeLeftovers(half), { name: 'RunError', message: new RegExp(message) });
  rmSync(join(half, 'vocab.txt'), { recursive: true });
  await removeLeftovers(half);
  t.same(contentOf(half), { 'config.json': 'new' });
});

await t.test('weights in shards go with their index, wherever the process is killed', async (t) => {
  const out = t.testdir();
  cpSync(SHARDED, out, { recursive: true });
  const weightMap = { a: 'more.safetensors', b: 'more.safetensors' };
  const index = JSON.parse(readFileSync(join(out, INDEX), 'utf8')) as { weight_map: object };
  const changed = { ...index, weight_map: { ...index.weight_map, ...weightMap } };
  writeFileSync(join(out, INDEX), JSON.stringify(changed));
  for (const name of ['more.safetensors', 'mine.safetensors']) writeFileSync(join(out, name), 'x');
  const adapter = ['adapter_config.json', 'adapter_model.safetensors', 'config.json'];
  await replaceFiles(out, OF_WEIGHTS, filling(adapter, 'new'));
  t.same(Object.keys(contentOf(out)), [...adapter, 'mine.safetensors'], 'what no index names stays');

  const removed = [INDEX, 'model-00001-of-00002.safetensors', 'model-00002-of-00002.safetensors'];
  const half = t.testdir({
    ...Object.fromEntries(removed.map((name) => [name, 'old'])),
    'model.tmp-1-0': { 'bertune_replacing.json': JSON.stringify({ removed }), 'config.json': 'new' },
  });
  await removeLeftovers(half);
  t.same(contentOf(half), { 'config.json': 'new' });

  const broken = t.testdir({ [INDEX]: '{"weight_map":{"a":"../mine.safetensors"}}' });
  await replaceFiles(broken, OF_WEIGHTS, filling(['config.json'], 'new'));
  t.same(contentOf(broken), { 'config.json': 'new' });
});

await t.test('a disk that is full leaves the older model whole', { skip: noTmpfs() }, async (t) => {
  const disk = mountTmpfs(join(t.testdir(), 'disk'));
  const out = join(disk.folder, 'out');
  const task = { labels: ['neg', 'pos'], problemType: 'single_label_classification' } as const;
  const older = BertForSequenceClassification.fromConfig(parseBertConfig(TOY_CONFIG, 'toy'), task);
  const config = parseBertConfig({ ...TOY_CONFIG, intermediate_size: 96 }, 'toy');
  const newer = BertForSequenceClassification.fromConfig(config, task);
  try {
    for (const model of [older, newer]) await model.open({ threads: 1 });
    await older.savePretrained(out);
    const whole = contentOf(out);
    let times = 0;
    for (let pages = 0; ; pages += 4) {
      disk.leave({ pages });
      const error = await newer.savePretrained(out).then(
        () => null,
        (reason: unknown) => reason as Error,
      );
      disk.restore();
      if (error === null) break;
      times += 1;
      t.match(error.message, /^Could not write \S*out(\/[a-z._]+)?: the disk is full; free some space/);
      t.same(contentOf(out), whole, `with room for ${pages} pages`);
      t.same(readdirSync(out).toSorted(), ['config.json', 'model.safetensors'], 'nothing is left behind');
    }
    t.ok(times > 5, `${times} times`);
    t.not(contentOf(out)['config.json'], whole['config.json']);
  } finally {
    await older.close();
    await newer.close();
    disk.unmount();
  }
});

await t.test('a command finishes the model that it is given before it reads it', async (t) => {
  const folder = t.testdir();
  makeToy(folder, { train: 12, test: 6 });
  const trained = ['train', ...flags({ ...training, 'output-dir': 'model' })];
  const first = await bertune(trained, { cwd: folder });
  t.equal(first.code, 0, first.stderr);
  const halfMove = (): void => {
    const waiting = join(folder, 'model/model.tmp-1-0');
    mkdirSync(waiting);
    for (const name of ['config.json', 'model.safetensors', 'tokenizer.json'])
      renameSync(join(folder, 'model', name), join(waiting, name));
    writeFileSync(join(waiting, 'bertune_replacing.json'), '{"removed":[]}');
  };
  halfMove();
  const read = await bertune(
    ['predict', ...flags({ model: 'model', 'test-file': 'test.csv', threads: '1' })],
    { cwd: folder },
  );
  t.equal(read.code, 0, read.stderr);
  t.match(read.stderr, /^model: a run was ended while it saved its model there; that is complete now$/m);
  halfMove();
  const further = {
    ...training,
    config: undefined,
    tokenizer: undefined,
    model: 'model',
    'output-dir': 'model',
  };
  const again = await bertune(['train', ...flags(further)], { cwd: folder });
  t.equal(again.code, 0, again.stderr);
  t.notOk(readdirSync(join(folder, 'model')).some((name) => /tmp|lock/.test(name)));
});

await t.test('a training takes away what was true of the older model only', async (t) => {
  const folder = t.testdir();
  makeToy(folder, { train: 12, test: 6 });
  const train = (options: Record<string, string | undefined>): ReturnType<typeof bertune> =>
    bertune(
      [
        'train',
        ...flags({
          config: 'model/config.json',
          tokenizer: 'model',
          'train-file': 'train.csv',
          'max-steps': '1',
          'output-dir': 'out',
          threads: '1',
          ...options,
        }),
      ],
      { cwd: folder },
    );
  const first = await train({ 'validation-file': 'test.csv' });
  t.equal(first.code, 0, first.stderr);
  const out = join(folder, 'out');
  t.ok('eval_results.json' in contentOf(out));
  for (const name of ['bertune_calibration.json', 'bad_rows_train.jsonl', 'mine.txt'])
    writeFileSync(join(out, name), '{}');
  const second = await train({ seed: '7' });
  t.equal(second.code, 0, second.stderr);
  t.same(Object.keys(contentOf(out)), [
    'README.md',
    'all_results.json',
    'bertune_reading.json',
    'bertune_run.json', // beside the checkpoint of the first
    'config.json',
    'mine.txt',
    'model.safetensors',
    'report.html',
    'report.json',
    'tokenizer.json',
    'tokenizer_config.json',
    'train_results.json',
    'trainer_state.json',
    'training_options.json',
    'vocab.txt',
  ]);

  // No other command knows whose they are.
  const lists = ['bad_rows_test.jsonl', 'bad_rows_train.jsonl', 'bad_rows_validation.jsonl'];
  for (const name of lists) writeFileSync(join(out, name), '{}');
  for (const [command, options] of [
    ['predict', { 'test-file': 'test.csv', 'output-file': 'out/predictions.jsonl' }],
    ['evaluate', { 'validation-file': 'test.csv', 'output-dir': 'out' }],
  ] as const) {
    const { code, stderr } = await bertune([command, ...flags({ model: 'out', threads: '1', ...options })], {
      cwd: folder,
    });
    t.equal(code, 0, stderr);
  }
  t.same(
    readdirSync(out).filter((name) => name.startsWith('bad_rows')),
    lists,
  );
});

await t.test('a reader never joins the config of one model and the weights of another', async (t) => {
  const out = t.testdir();
  cpSync(PLAIN, out, { recursive: true });
  const config = JSON.parse(readFileSync(join(out, 'config.json'), 'utf8')) as object;
  const replace = (): Promise<void> =>
    replaceFiles(out, OF_WEIGHTS, async (folder) => {
      cpSync(join(PLAIN, 'model.safetensors'), join(folder, 'model.safetensors'));
      await writeJson(join(folder, 'config.json'), { ...config, id2label: { 0: 'new', 1: 'newer' } });
    });
  const { open } = fs;
  let times = 1;
  fs.open = async (path, ...rest) => {
    if (path === join(out, 'model.safetensors') && times-- > 0) await replace();
    return open(path, ...rest);
  };
  syncBuiltinESMExports();
  t.teardown(() => {
    fs.open = open;
    syncBuiltinESMExports();
  });
  const opened = await openModelFolder(out, parseConfig);
  await opened.close();
  t.same(opened.config.id2label, ['new', 'newer']);
  t.equal(times, -1, 'opened twice');
  times = Infinity;
  await t.rejects(openModelFolder(out, parseConfig), {
    name: 'UsageError',
    message: /config\.json was replaced each time/,
  });
});
