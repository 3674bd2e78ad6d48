// Downloads from a loopback server that speaks the hub's routes: whole, resumed, damaged, refused, offline.
// What the splits of a data set must be comes from Python's datasets: scripts/reference/hub_datasets.py.
import { execFile, spawn } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { lstatSync, mkdirSync, readdirSync, readFileSync, readlinkSync, writeFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { promisify } from 'node:util';

import t, { type Test } from 'tap';

import { RunError, UsageError } from '../dist/errors.js';
import { datasetFiles, modelDirectory } from '../dist/hub/index.js';
import { HubServer, type HubRepo } from './fixtures/hub-server.js';

const TOKEN = 'hf_secretsecret';
const weights = randomBytes(300_000);
const pickle = Buffer.from('not a pickle');
const sha256 = (data: string | Buffer): string => createHash('sha256').update(data).digest('hex');
const json = (value: unknown): string => JSON.stringify(value);

const BERT = {
  'config.json': json({ model_type: 'bert' }),
  'model.safetensors': weights,
  'pytorch_model.bin': pickle,
  'tokenizer.json': json({ version: '1.0' }),
  'tokenizer_config.json': json({ do_lower_case: true }),
  'vocab.txt': '[PAD]\n[UNK]\n',
  'onnx/model.onnx': 'never asked for',
};
const SHARDED = {
  'config.json': '{}',
  'model.safetensors.index.json': json({
    weight_map: { a: 'model-1.safetensors', b: 'model-2.safetensors', c: 'model-1.safetensors' },
  }),
  'model-1.safetensors': 'first',
  'model-2.safetensors': 'second',
};
const IMDB_CARD = `---
dataset_info:
  config_name: plain_text
  features:
  - {name: text, dtype: string}
  - name: label
    dtype: {class_label: {names: {'0': neg, '1': pos}}}
configs:
- config_name: plain_text
  data_files:
  - {split: train, path: plain_text/train-*}
  - {split: unsupervised, path: plain_text/unsupervised-*}
---
# IMDB
`;
const SEVERAL_CARD =
  '---\nconfigs:\n- {config_name: cola, data_files: cola.csv}\n- {config_name: sst2, data_files: sst2.csv}\n---\n';
const SEPARATOR_CARD = '---\nconfigs:\n- {config_name: default, data_files: a.csv, sep: ";"}\n---\n';

interface Case {
  name: string;
  readme: string;
  files: string[];
  config: string | null;
  splits: Record<string, string[]>;
  classNames: Record<string, string[]>;
}
const { cases }: { cases: Case[] } = JSON.parse(readFileSync('test/fixtures/hub-datasets.json', 'utf8'));
const model = (id: string, main: HubRepo['branches'][string]): HubRepo => ({
  type: 'model',
  id,
  branches: { main },
});
const dataset = (
  id: string,
  main: HubRepo['branches'][string],
  parquet?: HubRepo['branches'][string],
): HubRepo => ({
  type: 'dataset',
  id,
  branches: { main, ...(parquet && { 'refs/convert/parquet': parquet }) },
});
// A parquet file is little more than its footer; this one has no rows and the metadata that `datasets` writes.
const withFeatures = readFileSync('test/fixtures/hub-classlabel.parquet');

const server = await HubServer.start([
  {
    ...model('google-bert/bert-base-uncased', BERT),
    branches: { main: BERT, 'refs/pr/1': { ...BERT, 'vocab.txt': 'other\n' } },
  },
  model('org/sharded', SHARDED),
  model('org/bad-index', {
    ...SHARDED,
    'model.safetensors.index.json': json({ weight_map: { a: '../../x' } }),
  }),
  model('org/pickled', { 'config.json': '{}', 'pytorch_model.bin': pickle }),
  model('org/no-config', { 'model.safetensors': weights }),
  model('org/no-tokenizer', { 'config.json': '{}', 'model.safetensors': 'w' }),
  dataset('stanfordnlp/imdb', {
    'README.md': IMDB_CARD,
    'plain_text/train-00000-of-00001.parquet': 'train rows',
    'plain_text/unsupervised-00000-of-00001.parquet': 'other rows',
  }),
  dataset('org/several', { 'README.md': SEVERAL_CARD, 'cola.csv': 'a', 'sst2.csv': 'b' }),
  dataset(
    'org/script',
    { 'script.py': 'import os' },
    { 'default/train/0000.parquet': withFeatures, 'default/partial-test/0000.parquet': 'x' },
  ),
  dataset('org/script-only', { 'script-only.py': 'import os' }),
  dataset(
    'org/separator',
    { 'README.md': SEPARATOR_CARD, 'a.csv': 'a;b' },
    { 'default/train/0000.parquet': withFeatures },
  ),
  dataset('org/bad-card', { 'README.md': '---\nconfigs: {a: [1}\n---\n', 'a.csv': 'x' }),
  dataset('org/wrong-card', {
    'README.md': '---\nconfigs:\n- {config_name: a, data_files: 3}\n---\n',
    'a.csv': 'x',
  }),
  dataset('org/images', { 'a.png': 'x' }),
  ...cases.map(({ readme, files }, i) =>
    dataset(`org/case-${i}`, {
      'README.md': readme,
      ...Object.fromEntries(files.map((path) => [path, `${i} ${path}`])),
    }),
  ),
]);
server.aliases.set('bert-base-uncased', 'google-bert/bert-base-uncased').set('imdb', 'stanfordnlp/imdb');
t.beforeEach(() => server.reset());
t.teardown(() => server.stop());

const BERT_ID = 'google-bert/bert-base-uncased';

/** A home of its own, and everything that was said while it was used. */
function home(test: Test, more: NodeJS.ProcessEnv = {}) {
  const root = test.testdir({});
  const lines: string[] = [];
  const env: NodeJS.ProcessEnv = {
    HOME: root,
    HF_ENDPOINT: server.endpoint,
    HF_HOME: join(root, 'hf'),
    ...more,
  };
  return {
    root,
    hub: join(root, 'hf/hub'),
    lines,
    env,
    options: { env, progress: (line: string) => void lines.push(line) },
  };
}

/** Every path under a folder; links as `path -> target`. */
function tree(folder: string): string[] {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((path) => !lstatSync(join(folder, path)).isDirectory())
    .map((path) =>
      lstatSync(join(folder, path)).isSymbolicLink()
        ? `${path} -> ${readlinkSync(join(folder, path))}`
        : path,
    )
    .toSorted();
}

/** What Python's cache has beside files and listings: locks, a tag for backup programs, notes on missing files. */
const withoutExtras = (paths: string[]) =>
  paths.filter((path) => !/^\.locks|CACHEDIR\.TAG|\.no_exist/.test(path));
const blobBytes = () =>
  server.seen.filter(({ host }) => host === 'cdn').map(({ range, bytes }) => [range, bytes]);

/** The authorization headers that a host was sent. */
function sentTo(host: string): Set<string | undefined> {
  return new Set(server.seen.filter((seen) => seen.host === host).map((seen) => seen.authorization));
}

function failure(action: Promise<unknown>): Promise<Error> {
  return action.then(
    () => new Error('nothing was thrown'),
    (error: Error) => error,
  );
}

/** A refusal is one line of the expected kind, names the thing, and never shows the token. */
async function refused(
  test: Test,
  action: Promise<unknown>,
  kind: typeof UsageError | typeof RunError,
  says: RegExp,
) {
  const error = await failure(action);
  test.ok(error instanceof kind, `${error.name}: ${error.message}`);
  test.match(error.message, says);
  test.notMatch(error.message, TOKEN);
  return error;
}

t.test('a model, whole', async (test) => {
  const { root, hub, options, lines } = home(test);
  const directory = await modelDirectory(BERT_ID, options);
  const commit = server.commit(BERT_ID);
  const folder = join(hub, 'models--google-bert--bert-base-uncased');
  test.equal(directory, join(folder, 'snapshots', commit));
  test.strictSame(readFileSync(join(directory, 'model.safetensors')), weights);
  test.equal(readFileSync(join(folder, 'refs/main'), 'utf8'), commit);
  const names = ['config.json', 'model.safetensors', 'tokenizer.json', 'tokenizer_config.json', 'vocab.txt'];
  test.strictSame(readdirSync(directory).toSorted(), names, 'what is asked for and no more');
  for (const name of names) {
    test.match(readlinkSync(join(directory, name)), /^\.\.\/\.\.\/blobs\/([0-9a-f]{40}|[0-9a-f]{64})$/);
  }
  test.strictSame(readdirSync(folder).toSorted(), ['blobs', 'refs', 'snapshots', 'trees']);
  test.strictSame(readdirSync(root), ['hf'], 'nothing outside the cache');
  test.strictSame(readdirSync(hub), ['models--google-bert--bert-base-uncased']);
  test.notOk(tree(hub).some((path) => /incomplete|tmp/.test(path)));
  test.match(
    lines.at(-1),
    'Downloading google-bert/bert-base-uncased/model.safetensors: 300.0 kB of 300.0 kB, 100 %',
  );

  server.reset();
  test.equal(await modelDirectory(BERT_ID, options), directory);
  test.strictSame(
    server.seen.map(({ path }) => path),
    [`/api/models/${BERT_ID}/revision/main`],
    'cached: one question',
  );
  test.equal(await modelDirectory(BERT_ID, { ...options, revision: commit }), directory);
  test.equal(server.seen.length, 1, 'a cached commit needs no question');
});

t.test('parts of a model, shards, revisions, folders', async (test) => {
  const { options, root } = home(test);
  const tokenizer = await modelDirectory(BERT_ID, { ...options, files: 'tokenizer' });
  test.strictSame(readdirSync(tokenizer).toSorted(), [
    'tokenizer.json',
    'tokenizer_config.json',
    'vocab.txt',
  ]);
  const sharded = await modelDirectory('org/sharded', options);
  test.strictSame(readdirSync(sharded).toSorted(), Object.keys(SHARDED).toSorted());
  const config = await modelDirectory('org/pickled', { ...options, files: 'config' });
  test.strictSame(readdirSync(config), ['config.json']);
  const proposed = await modelDirectory(BERT_ID, { ...options, files: 'tokenizer', revision: 'refs/pr/1' });
  test.equal(readFileSync(join(proposed, 'vocab.txt'), 'utf8'), 'other\n');
  test.equal(await modelDirectory(root, options), root, 'a folder is itself');
});

t.test('at the same time, twice', async (test) => {
  const { options, hub } = home(test);
  const both = await Promise.all([modelDirectory(BERT_ID, options), modelDirectory(BERT_ID, options)]);
  test.equal(both[0], both[1]);
  test.strictSame(readFileSync(join(both[0], 'model.safetensors')), weights);
  test.notOk(tree(hub).some((path) => /incomplete|tmp/.test(path)));
});

t.test('old ids are redirected and cached under the id given; the token stays with the hub', async (test) => {
  const { options, hub, lines } = home(test, { HF_TOKEN: TOKEN });
  await modelDirectory('bert-base-uncased', options);
  test.strictSame(readdirSync(hub), ['models--bert-base-uncased']);
  const { splits } = await datasetFiles('imdb', options);
  test.match(splits['train']?.[0], join(hub, 'datasets--imdb/snapshots'));
  test.strictSame(sentTo('hub'), new Set([`Bearer ${TOKEN}`]));
  test.strictSame(sentTo('cdn'), new Set([undefined]));
  test.notMatch(lines.join('\n'), TOKEN);
  test.notOk(
    tree(hub).some((path) => !path.includes(' -> ') && readFileSync(join(hub, path)).includes(TOKEN)),
  );
});

t.test('where the token comes from', async (test) => {
  const { options, root, env } = home(test, { HF_TOKEN_PATH: undefined });
  const sent = async (more: NodeJS.ProcessEnv) => {
    server.reset();
    await modelDirectory(BERT_ID, { ...options, files: 'config', env: { ...env, ...more } });
    return server.seen[0]?.authorization;
  };
  test.equal(await sent({}), undefined);
  mkdirSync(join(root, 'hf'), { recursive: true });
  writeFileSync(join(root, 'hf/token'), `${TOKEN}\n`);
  test.equal(await sent({}), `Bearer ${TOKEN}`);
  writeFileSync(join(root, 'other'), 'hf_other');
  test.equal(await sent({ HF_TOKEN_PATH: '~/other' }), 'Bearer hf_other');
  test.equal(await sent({ HF_TOKEN: ' not-hf-prefixed\n' }), 'Bearer not-hf-prefixed');
  const bad = { ...options, env: { ...env, HF_TOKEN: `${TOKEN} ${TOKEN}` } };
  await refused(test, modelDirectory(BERT_ID, bad), UsageError, /^The token in HF_TOKEN holds a space/);
});

t.test('where the cache lies', async (test) => {
  const { root, env, options } = home(test);
  const place = async (more: NodeJS.ProcessEnv) => {
    const set = { ...options, files: 'config' as const, env: { ...env, HF_HOME: undefined, ...more } };
    return relative(root, await modelDirectory(BERT_ID, set)).split('/models--')[0];
  };
  test.equal(await place({}), '.cache/huggingface/hub');
  test.equal(await place({ XDG_CACHE_HOME: join(root, 'xdg') }), 'xdg/huggingface/hub');
  test.equal(await place({ HF_HOME: '~/hf', XDG_CACHE_HOME: '/nowhere' }), 'hf/hub');
  test.equal(await place({ HUGGINGFACE_HUB_CACHE: join(root, 'old'), HF_HOME: '/nowhere' }), 'old');
  test.equal(await place({ HF_HUB_CACHE: join(root, 'new'), HUGGINGFACE_HUB_CACHE: '/nowhere' }), 'new');
});

t.test('a connection that breaks is taken up where it broke', async (test) => {
  const { options } = home(test);
  let cuts = 0;
  server.bend = (path) => (path === 'model.safetensors' && cuts++ < 5 ? { cutAfter: 50_000 } : {});
  const directory = await modelDirectory(BERT_ID, options);
  test.strictSame(readFileSync(join(directory, 'model.safetensors')), weights);
  const resumed = [50_000, 100_000, 150_000, 200_000, 250_000].map((start) => [`bytes=${start}-`, 50_000]);
  test.strictSame(
    blobBytes(),
    [[undefined, 50_000], ...resumed],
    'more often than a dead connection is tried',
  );
});

t.test('a run that was killed is taken up by the next; stdout stays empty', async (test) => {
  const { options, env, hub } = home(test, { HF_TOKEN: TOKEN });
  server.bend = (path) => (path === 'model.safetensors' ? { stallAfter: 200_000 } : {});
  const code = `const { modelDirectory } = await import('./dist/hub/index.js'); await modelDirectory('${BERT_ID}');`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', code], {
    env: { ...env, PATH: process.env['PATH'] },
  });
  let [out, err] = ['', ''];
  child.stdout.on('data', (data) => (out += String(data)));
  child.stderr.on('data', (data) => (err += String(data)));
  const partial = () => tree(hub).find((path) => path.endsWith('.incomplete'));
  const arrived = () => {
    const path = partial();
    return path === undefined ? 0 : lstatSync(join(hub, path)).size;
  };
  mkdirSync(hub, { recursive: true });
  while (arrived() < 200_000 && child.exitCode === null)
    await new Promise((resolve) => setTimeout(resolve, 20));
  child.kill('SIGKILL');
  await once(child, 'close');
  test.equal(out, '', 'nothing on stdout');
  test.match(err, 'vocab.txt: 12 B of 12 B, 100 %');
  test.notMatch(err, TOKEN);
  await refused(
    test,
    modelDirectory(BERT_ID, { ...options, env: { ...env, HF_HUB_OFFLINE: '1' } }),
    RunError,
    /not in the cache/,
  );

  server.reset();
  const directory = await modelDirectory(BERT_ID, options);
  test.strictSame(blobBytes(), [['bytes=200000-', 100_000]]);
  test.strictSame(readFileSync(join(directory, 'model.safetensors')), weights);
  test.equal(partial(), undefined);
});

t.test('a partial file that does not belong, a server without ranges', async (test) => {
  const { options, hub } = home(test);
  const blobs = join(hub, 'models--google-bert--bert-base-uncased/blobs');
  mkdirSync(blobs, { recursive: true });
  writeFileSync(join(blobs, `${sha256(weights)}.incomplete`), Buffer.alloc(1000));
  const directory = await modelDirectory(BERT_ID, options);
  test.strictSame(readFileSync(join(directory, 'model.safetensors')), weights);
  test.strictSame(
    blobBytes(),
    [
      ['bytes=1000-', 299_000],
      [undefined, 300_000],
    ],
    'the second time from the start',
  );

  server.reset();
  server.bend = () => ({ ignoreRange: true });
  const sharded = join(hub, 'models--org--sharded/blobs');
  mkdirSync(sharded, { recursive: true });
  writeFileSync(join(sharded, `${sha256('first')}.incomplete`), 'fi');
  test.equal(
    readFileSync(join(await modelDirectory('org/sharded', options), 'model-1.safetensors'), 'utf8'),
    'first',
  );
});

for (const [name, bend, says] of [
  [
    'another content of the same length',
    { body: randomBytes(300_000) },
    /its hash differs\), so it was deleted/,
  ],
  ['a longer file', { body: randomBytes(300_001) }, /lists .* with 300000 bytes but sent 300001/],
  ['a shorter file', { body: randomBytes(1000) }, /lists .* with 300000 bytes but sent 1000/],
  [
    'a longer file of no stated length',
    { body: randomBytes(500_000), chunked: true },
    /300000 bytes but sent \d+/,
  ],
] as const) {
  t.test(`refused: ${name}`, async (test) => {
    const { options, hub, env } = home(test);
    server.bend = (path) => (path === 'model.safetensors' ? bend : {});
    await refused(test, modelDirectory(BERT_ID, options), RunError, says);
    test.notOk(
      tree(hub).some((path) => /incomplete|model\.safetensors|[0-9a-f]{64}$/.test(path)),
      'nothing is left as good',
    );
    const offline = { ...options, env: { ...env, HF_HUB_OFFLINE: '1' } };
    await refused(test, modelDirectory(BERT_ID, offline), RunError, /not in the cache/);
    server.reset();
    await modelDirectory(BERT_ID, options);
  });
}

t.test('a small file with another content is refused too', async (test) => {
  const { options } = home(test);
  server.bend = (path) => (path === 'config.json' ? { body: Buffer.from('{"model_type":"BERT"}') } : {});
  await refused(test, modelDirectory(BERT_ID, options), RunError, /config.json arrived with another content/);
});

t.test('a busy hub is asked again', async (test) => {
  const { options } = home(test);
  let busy = 0;
  server.intercept = (_, response) => {
    if (++busy > 3) return false;
    response
      .writeHead(busy === 2 ? 429 : 503, { 'retry-after': busy === 1 ? new Date().toUTCString() : '0' })
      .end();
    return true;
  };
  await modelDirectory(BERT_ID, { ...options, files: 'config' });
  test.equal(
    busy,
    3 + 7,
    'three refusals, then the commit, four pages of the list, the file and its redirect',
  );
  busy = 0;
  server.intercept = ({ host }, response) => {
    if (host !== 'cdn' || ++busy > 2) return false;
    response.writeHead(500, { 'retry-after': '0' }).end();
    return true;
  };
  await modelDirectory(BERT_ID, options);
  test.equal(busy, 3);
});

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
    /config.json of model .* is not in the cache/,
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

t.test('what the hub does not give', async (test) => {
  const { options, env, root } = home(test);
  const withToken = { ...options, env: { ...env, HF_TOKEN: TOKEN } };
  const answer = (status: number, code?: string) => {
    server.intercept = (_, response) =>
      Boolean(response.writeHead(status, code ? { 'x-error-code': code } : {}).end());
  };
  await refused(
    test,
    modelDirectory('org/nobody', options),
    UsageError,
    /no model "org\/nobody": check the spelling.*set HF_TOKEN$/,
  );
  await refused(test, datasetFiles('org/nobody', options), UsageError, /no data set "org\/nobody"/);
  answer(404, 'RepoNotFound');
  await refused(test, modelDirectory('org/x', withToken), UsageError, /to a token that may read it$/);
  answer(404);
  await refused(test, modelDirectory('org/x', options), UsageError, /check the spelling/);
  answer(401, 'GatedRepo');
  await refused(
    test,
    modelDirectory('org/x', options),
    UsageError,
    /must be granted first: ask for it at .*\/org\/x and set HF_TOKEN/,
  );
  answer(403, 'GatedRepo');
  await refused(test, datasetFiles('org/x', withToken), UsageError, /ask for it at .*\/datasets\/org\/x/);
  answer(401);
  await refused(test, modelDirectory('org/x', withToken), UsageError, /^The hub refused the token/);
  answer(418);
  await refused(test, modelDirectory('org/x', options), RunError, /answered 418 for model "org\/x"/);
  server.intercept = ({ path }, response) => Boolean(response.writeHead(307, { location: path }).end());
  await refused(test, modelDirectory('org/x', options), RunError, /redirects without end/);
  server.intercept = (_, response) =>
    Boolean(response.writeHead(302, { location: 'file:///etc/passwd' }).end());
  await refused(test, modelDirectory('org/x', options), RunError, /not safe to follow/);
  server.reset();
  await refused(
    test,
    modelDirectory(BERT_ID, { ...options, revision: 'v9' }),
    UsageError,
    /but no revision "v9"/,
  );
  await refused(
    test,
    modelDirectory(BERT_ID, { ...options, revision: '../x' }),
    UsageError,
    /cannot be a revision/,
  );
  for (const id of ['./nowhere', '../up', 'a/b/c', '/abs', 'a--b', 'x'.repeat(97), '', 'a b', 'x.git']) {
    await refused(
      test,
      modelDirectory(id, options),
      UsageError,
      /no folder here and no repository of the hub has such a name/,
    );
  }
  await refused(test, modelDirectory(process.argv[1] ?? '', options), UsageError, /is a file/);
  await refused(
    test,
    modelDirectory('org/pickled', options),
    UsageError,
    /pytorch_model.bin but no model.safetensors[^]*SFconvertbot[^]*save_pretrained/,
  );
  await refused(test, modelDirectory('org/no-config', options), UsageError, /has no config.json/);
  await modelDirectory('org/no-tokenizer', options);
  await refused(
    test,
    modelDirectory('org/no-tokenizer', { ...options, files: 'tokenizer' }),
    UsageError,
    /no tokenizer.json or vocab.txt/,
  );
  await refused(test, modelDirectory('org/bad-index', options), UsageError, /is no index of weights/);
  for (const endpoint of ['hub.local', 'ftp://x', 'https://user:pass@host']) {
    const error = await failure(modelDirectory('a', { ...options, env: { ...env, HF_ENDPOINT: endpoint } }));
    test.match(error.message, /^Expected an http or https address/);
    test.notMatch(error.message, 'pass');
  }
  test.strictSame(readdirSync(root), ['hf'], 'nothing outside the cache');
});

t.test('names and hashes that lead astray', async (test) => {
  const { options, root, hub } = home(test);
  const good = { type: 'file', size: 1, oid: '0'.repeat(40) };
  for (const bad of [
    { ...good, path: '../../../../escaped' },
    { ...good, path: '/etc/escaped' },
    { ...good, path: 'a/../escaped' },
    { ...good, path: 'a\\escaped' },
    { ...good, path: 'x', oid: '../../escaped' },
    { ...good, path: 'x', lfs: { oid: '../escaped', size: 1, pointerSize: 1 } },
    { type: 'file', size: 1, path: 'x' },
  ]) {
    server.listing = (entries) => [...entries, bad];
    await refused(test, modelDirectory(BERT_ID, options), RunError, /with a name or hash that is not safe/);
  }
  server.reset();
  server.intercept = ({ path }, response) =>
    path.includes('/revision/') && Boolean(response.end('{"sha":"../../x"}'));
  await refused(test, modelDirectory(BERT_ID, options), RunError, /names no commit/);
  test.strictSame(readdirSync(root), [], 'nothing was written');
  mkdirSync(dirname(hub), { recursive: true });
  writeFileSync(hub, 'a file where the cache should be');
  server.reset();
  await refused(
    test,
    modelDirectory(BERT_ID, options),
    RunError,
    /^Cannot write to the hub's cache .*set HF_HOME/,
  );
});

for (const [i, { name, config, splits, classNames }] of cases.entries()) {
  t.test(`splits as in Python's datasets: ${name}`, async (test) => {
    const { options, hub } = home(test);
    const found = await datasetFiles(`org/case-${i}`, { ...options, ...(config !== null && { config }) });
    const root = join(hub, `datasets--org--case-${i}/snapshots`, server.commit(`org/case-${i}`));
    const paths = Object.entries(found.splits).map(([split, files]) => [
      split,
      files.map((file) => relative(root, file)),
    ]);
    test.strictSame(Object.fromEntries(paths), splits);
    test.strictSame(found.classNames, classNames);
    for (const file of Object.values(found.splits).flat()) {
      test.equal(readFileSync(file, 'utf8'), `${i} ${relative(root, file)}`);
    }
  });
}

t.test('data sets in other forms, several configurations', async (test) => {
  const { options, lines, env } = home(test);
  const names = { label: ['neg', 'pos'], tags: ['neg', 'pos'] };
  const script = await datasetFiles('org/script', options);
  test.strictSame(Object.keys(script.splits), ['test', 'train']);
  test.strictSame((await datasetFiles('org/separator', options)).classNames, names);
  test.match(lines.join('\n'), /parquet copy of data set "org\/script" holds only the first part/);
  test.strictSame(
    await datasetFiles('org/script', { ...options, env: { ...env, HF_HUB_OFFLINE: '1' } }),
    script,
  );
  await refused(
    test,
    datasetFiles('org/script-only', options),
    UsageError,
    /is a loading script \(script-only.py\), which is never run/,
  );
  await refused(
    test,
    datasetFiles('org/script', { ...options, revision: 'main' }),
    UsageError,
    /loading script/,
  );
  await refused(test, datasetFiles('org/images', options), UsageError, /no parquet, JSON or CSV files/);
  await refused(
    test,
    datasetFiles('org/several', options),
    UsageError,
    /several configurations: choose one of cola, sst2/,
  );
  await refused(
    test,
    datasetFiles('org/several', { ...options, config: 'mnli' }),
    UsageError,
    /\(cola, sst2\).* received "mnli"/,
  );
  await refused(
    test,
    datasetFiles('org/script', { ...options, config: 'x' }),
    UsageError,
    /\(default\).* received "x"/,
  );
  await refused(
    test,
    datasetFiles('org/bad-card', options),
    UsageError,
    /README.md of data set "org\/bad-card".*line/,
  );
  await refused(test, datasetFiles('org/wrong-card', options), UsageError, /configs.0.data_files/);
  await refused(test, datasetFiles('./reviews.csv', options), UsageError, /no data set id/);
});

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
