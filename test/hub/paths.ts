// Names that lead astray and links that were put into the cache: nothing is ever written outside of it.
import { execFileSync } from 'node:child_process';
import {
  linkSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import t, { type Test } from 'tap';
import { RunError, UsageError } from '../../dist/util/errors.js';
import { modelDirectory } from '../../dist/hub/model.js';
import { BERT_ID, refused, sha256, startHub, weights } from '../fixtures/hub.js';

const { server, home } = await startHub();
const SIZE = weights.length;

t.test('names, sizes and hashes that lead astray', async (test) => {
  const { options, root, hub } = home(test);
  const good = { type: 'file', size: 1, oid: '0'.repeat(40) };
  const names = [
    '../../../../escaped',
    '/etc/escaped',
    'a/../escaped',
    './escaped',
    'a//escaped',
    'escaped/',
    '..',
    '',
    'a\\escaped',
    '..\\..\\escaped',
    'esc\0aped',
    'esc\naped',
    'esc\x1b[2Japed',
    'esc\u009baped',
    'esc\u202eaped',
    'esc\u2028aped',
    'esc\ud800aped',
    'x'.repeat(256),
    'ü'.repeat(128),
    'x/'.repeat(600) + 'x',
  ];
  for (const bad of [
    ...names.map((path) => ({ ...good, path })),
    { ...good, path: 'x', oid: '../../escaped' },
    { ...good, path: 'x', oid: 'A'.repeat(40) },
    { ...good, path: 'x', lfs: { oid: '../escaped', size: 1, pointerSize: 1 } },
    { ...good, path: 'x', lfs: { oid: '', size: 1, pointerSize: 1 } },
    { ...good, path: 'x', lfs: { oid: '0'.repeat(64), size: -1, pointerSize: 1 } },
  ]) {
    server.listing = (entries) => [...entries, bad];
    await refused(
      test,
      modelDirectory(BERT_ID, options),
      RunError,
      /^http:\S+ lists a file of model "[\w/-]+" with a name, size or hash that is not safe$/,
    );
  }
  server.reset();
  for (const revision of ['../x', '/x', 'a//b', 'a\0b', 'a\nb', 'x'.repeat(256), '.', '']) {
    await refused(
      test,
      modelDirectory(BERT_ID, { ...options, revision }),
      UsageError,
      /cannot be a revision/,
    );
  }
  test.strictSame(readdirSync(root), [], 'nothing was written');
  const longest = 'x'.repeat(255);
  server.listing = (entries) => [...entries, { ...good, path: `${longest}/${longest}` }];
  await modelDirectory(BERT_ID, options);
  test.strictSame(readdirSync(root), ['hf'], 'the longest name that a file can have is no reason to stop');
  test.ok(lstatSync(hub).isDirectory());
});

t.test('a file where the cache should be, folders where files should be', async (test) => {
  const { options, hub } = home(test);
  mkdirSync(dirname(hub), { recursive: true });
  writeFileSync(hub, 'a file where the cache should be');
  await refused(
    test,
    modelDirectory(BERT_ID, options),
    RunError,
    /^Cannot write to the hub's cache .*set HF_HOME/,
  );
  const other = home(test, { HF_HOME: join(test.testdirName, 'other') });
  const folder = join(test.testdirName, 'other/hub', 'models--google-bert--bert-base-uncased');
  mkdirSync(join(folder, 'snapshots', server.commit(BERT_ID), 'config.json', 'x'), { recursive: true });
  await refused(
    test,
    modelDirectory(BERT_ID, other.options),
    RunError,
    /^Cannot write to the hub's cache .*EISDIR/,
  );
});

/** A cache with something planted in it, and a folder outside that must stay as it is. */
function planted(test: Test, plant: (at: { folder: string; outside: string; commit: string }) => void) {
  const made = home(test);
  const outside = join(made.root, 'outside');
  const folder = join(made.hub, 'models--google-bert--bert-base-uncased');
  const commit = server.commit(BERT_ID);
  mkdirSync(outside);
  mkdirSync(join(folder, 'blobs'), { recursive: true });
  writeFileSync(join(outside, 'file'), 'kept');
  plant({ folder, outside, commit });
  const untouched = () => {
    const found = readdirSync(outside, { recursive: true, encoding: 'utf8' }).toSorted();
    return found.map((name) => [name, lstatSync(join(outside, name)).size]);
  };
  return { ...made, folder, outside, untouched, before: untouched() };
}

for (const [name, plant] of Object.entries({
  'a link to a file': (partial, outside) => symlinkSync(join(outside, 'file'), partial),
  'a link to no file yet': (partial, outside) => symlinkSync(join(outside, 'new'), partial),
  'a hard link': (partial, outside) => linkSync(join(outside, 'file'), partial),
  'a link to a longer file': (partial, outside) => {
    truncateSync(join(outside, 'file'), 2 * SIZE);
    symlinkSync(join(outside, 'file'), partial);
  },
  'a pipe': (partial) => void execFileSync('mkfifo', [partial]),
} satisfies Record<string, (partial: string, outside: string) => void>)) {
  t.test(`in place of the partial file: ${name}`, async (test) => {
    const { options, untouched, before } = planted(test, ({ folder, outside }) =>
      plant(join(folder, 'blobs', `${sha256(weights)}.incomplete`), outside),
    );
    const directory = await modelDirectory(BERT_ID, options);
    test.ok(readFileSync(join(directory, 'model.safetensors')).equals(weights));
    test.strictSame(untouched(), before);
  });
}

t.test('a link in place of a file of the snapshot is replaced', async (test) => {
  const { options, untouched, before } = planted(test, ({ folder, outside, commit }) => {
    mkdirSync(join(folder, 'snapshots', commit), { recursive: true });
    symlinkSync(join(outside, 'file'), join(folder, 'snapshots', commit, 'config.json'));
    symlinkSync(join(outside, 'new'), join(folder, 'snapshots', commit, 'model.safetensors'));
    mkdirSync(join(folder, 'refs'));
    symlinkSync(join(outside, 'file'), join(folder, 'refs/main'));
  });
  const directory = await modelDirectory(BERT_ID, options);
  test.ok(readFileSync(join(directory, 'model.safetensors')).equals(weights));
  test.strictSame(untouched(), before);
});

for (const place of ['blobs', 'snapshots', 'refs', 'trees', 'snapshots/COMMIT', '']) {
  t.test(`a link in place of the folder "${place}"`, async (test) => {
    const { options, untouched, before } = planted(test, ({ folder, outside, commit }) => {
      const path = join(folder, place.replace('COMMIT', commit));
      execFileSync('rm', ['-rf', path]);
      mkdirSync(dirname(path), { recursive: true });
      symlinkSync(outside, path);
    });
    const isWrittenAnyway = place === 'refs' || place === 'trees'; // conveniences: the run continues without them
    if (isWrittenAnyway) await modelDirectory(BERT_ID, options);
    else
      await refused(
        test,
        modelDirectory(BERT_ID, options),
        RunError,
        /^\/\S+ in the hub's cache is a link, so nothing is written there: remove it, or set HF_HOME/,
      );
    test.strictSame(untouched(), before);
  });
}

t.test('the cache itself may be a link', async (test) => {
  const { options, root, hub } = home(test);
  mkdirSync(join(root, 'disk'));
  mkdirSync(dirname(hub), { recursive: true });
  symlinkSync(join(root, 'disk'), hub);
  await modelDirectory(BERT_ID, options);
  test.strictSame(readdirSync(join(root, 'disk')), ['models--google-bert--bert-base-uncased']);
});
