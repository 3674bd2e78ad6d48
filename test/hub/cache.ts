// The cache without a hub: offline, filled by another program, shared with Python.
import { execFile } from 'node:child_process';
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import t from 'tap';
import { RunError } from '../../dist/util/errors.js';
import { datasetFiles } from '../../dist/hub/dataset.js';
import { modelDirectory } from '../../dist/hub/model.js';
import { BERT_ID, refused, startHub, tree } from '../fixtures/hub.js';

const { server, home } = await startHub();

t.test('offline', async (test) => {
  const { options, env, lines } = home(test);
  const offline = { ...options, env: { ...env, HF_HUB_OFFLINE: '1' } };
  const unreachable = { ...options, env: { ...env, HF_ENDPOINT: 'http://127.0.0.1:9' } };
  const missing = await refused(
    test,
    modelDirectory(BERT_ID, offline),
    RunError,
    /^HF_HUB_OFFLINE is set, and model "google-bert/,
  );
  for (const way of ['Unset HF_HUB_OFFLINE', 'hf download google-bert', 'set HF_HOME', 'set HF_ENDPOINT']) {
    test.match(missing.message, way);
  }
  test.equal(server.seen.length, 0, 'nothing was asked');
  await refused(
    test,
    modelDirectory(BERT_ID, unreachable),
    RunError,
    /^Cannot reach http:\/\/127.0.0.1:9 \(.+\), and model .* not in the cache/,
  );
  await refused(
    test,
    datasetFiles('imdb', offline),
    RunError,
    /data set "imdb" is not in the cache[^]*--repo-type dataset/,
  );

  const directory = await modelDirectory(BERT_ID, { ...options, files: 'tokenizer' });
  test.equal(await modelDirectory(BERT_ID, { ...offline, files: 'tokenizer' }), directory);
  await refused(
    test,
    modelDirectory(BERT_ID, offline),
    RunError,
    /model\.safetensors of model .* is not in the cache/,
  );
  await modelDirectory(BERT_ID, options);
  const data = await datasetFiles('imdb', options);
  server.reset();
  test.equal(await modelDirectory(BERT_ID, offline), directory);
  test.strictSame(await datasetFiles('imdb', offline), data);
  test.equal(server.seen.length, 0);
  test.equal(await modelDirectory(BERT_ID, unreachable), directory);
  test.match(
    lines.at(-1),
    /^Cannot reach .*: using the copy of model "google-bert\/bert-base-uncased" in the cache$/,
  );
  server.intercept = (_, response) => Boolean(response.writeHead(500, { 'retry-after': '0' }).end());
  test.equal(await modelDirectory(BERT_ID, options), directory, 'an outage');
  server.intercept = (_, response) => Boolean(response.end('<html>Please log in</html>'));
  test.equal(await modelDirectory(BERT_ID, options), directory, 'a login page in between');
  await refused(
    test,
    modelDirectory('org/other', options),
    RunError,
    /answered with something that is not the hub's, and model "org\/other"/,
  );
});

t.test('offline with a cache that another program filled, without a listing', async (test) => {
  const { options, env, hub } = home(test, { HF_HUB_OFFLINE: '1' });
  const commit = '0123456789abcdef0123456789abcdef01234567';
  const put = (path: string, text: string) => {
    mkdirSync(dirname(join(hub, 'models--org--x', path)), { recursive: true });
    writeFileSync(join(hub, 'models--org--x', path), text);
  };
  put('refs/main', commit);
  put(`snapshots/${commit}/config.json`, '{}');
  await refused(
    test,
    modelDirectory('org/x', options),
    RunError,
    /model.safetensors of model "org\/x" is not in the cache/,
  );
  put(`snapshots/${commit}/model.safetensors`, 'w');
  test.equal(await modelDirectory('org/x', options), join(hub, 'models--org--x/snapshots', commit));
  test.equal(
    await modelDirectory('org/x', { ...options, revision: commit, env }),
    join(hub, 'models--org--x/snapshots', commit),
  );
});

/** What Python's cache has beside files and listings: locks, a tag for backup programs, notes on missing files. */
const withoutExtras = (paths: string[]) =>
  paths.filter((path) => !/^\.locks|CACHEDIR\.TAG|\.no_exist/.test(path));

const python = process.env['BERTUNE_PYTHON'];
t.test(
  'one cache with Python',
  { skip: python ? false : 'BERTUNE_PYTHON names no Python with huggingface_hub' },
  async (test) => {
    const { hub, options, env, root } = home(test);
    const directory = await modelDirectory('bert-base-uncased', options);
    const { splits } = await datasetFiles('imdb', options);
    const run = async (cache: string, ...args: string[]) => {
      const full = { ...env, HF_HUB_CACHE: cache, HF_HUB_DISABLE_TELEMETRY: '1', PATH: process.env['PATH'] };
      const { stdout } = await promisify(execFile)(
        python ?? '',
        ['scripts/reference/hub_cache.py', ...args],
        { env: full },
      );
      const paths: string[] = JSON.parse(stdout);
      return paths;
    };
    const asked = [
      ['model', 'bert-base-uncased', ...readdirSync(directory)],
      [
        'dataset',
        'imdb',
        'README.md',
        ...Object.values(splits)
          .flat()
          .map((path) => `plain_text/${path.split('/').at(-1)}`),
      ],
    ];
    for (const args of asked) {
      const found = await run(hub, 'find', ...args);
      test.equal(found.length, args.length - 2);
      test.ok(
        found.every((path) => path.startsWith(hub)),
        'Python finds what we downloaded',
      );
      await run(join(root, 'theirs'), 'download', ...args);
    }
    test.strictSame(
      withoutExtras(tree(hub)),
      withoutExtras(tree(join(root, 'theirs'))),
      'the same folders, links and listings',
    );
    server.reset();
    const theirs = { ...options, env: { ...env, HF_HUB_CACHE: join(root, 'theirs'), HF_HUB_OFFLINE: '1' } };
    test.match(await modelDirectory('bert-base-uncased', theirs), 'theirs', 'we find what Python downloaded');
    await datasetFiles('imdb', theirs);
  },
);
