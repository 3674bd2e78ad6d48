// Pushes to the loopback hub: what is sent and what is not, what others do meanwhile, and every way in which a hub refuses or breaks.
// That the loopback hub speaks as the hub does, Python's own client shows: it pushes there too, and reads what was pushed.
import { execFile } from 'node:child_process';
import { mkdirSync, readFileSync, renameSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import t, { type Test } from 'tap';

import { modelDirectory } from '../../dist/hub/model.js';
import { pushToHub, type PushOptions } from '../../dist/publishing/push.js';
import { RunError, UsageError } from '../../dist/util/errors.js';
import { failure, json, model, refused, startHub, TOKEN, weights } from '../fixtures/hub.js';
import { gitSha1, type Files } from '../fixtures/hub-server.js';
import { SIGNATURE, type Account } from '../fixtures/hub-writes.js';
import { quickWaits } from '../fixtures/quick-waits.mjs';

const waits = quickWaits();
const { server, home } = await startHub([model('other/theirs', { 'a.txt': 'a' })]);
const { writes, repos } = server;
const ME: Account = { name: 'me', role: 'write', organizations: ['org'] };
const MODEL: Files = {
  'config.json': json({ model_type: 'bert' }),
  'model.safetensors': weights,
  'tokenizer.json': json({ version: '1.0' }),
  'README.md': '# Mine\n',
};
const OTHERS: Files = {
  'trainer_state.json': '{}',
  'training_options.json': '{}',
  'bad_rows_train.jsonl': '{}',
  'checkpoint-1/model.safetensors': 'w',
  'checkpoint-1/optimizer.safetensors': 'o',
  'onnx/notes.txt': 'n',
  '.env': TOKEN,
};

/** A model's folder, and how it is pushed by someone who may. */
function setUp(test: Test, files: Files = { ...MODEL, ...OTHERS }) {
  const { root, lines, env } = home(test, { HF_TOKEN: TOKEN });
  writes.accounts.set(TOKEN, ME);
  waits.length = 0;
  const folder = join(root, 'out');
  for (const [path, data] of Object.entries(files)) {
    mkdirSync(join(folder, path, '..'), { recursive: true });
    writeFileSync(join(folder, path), data);
  }
  const push = (repo: string, more: Partial<PushOptions> = {}): Promise<string> =>
    pushToHub(folder, { repo, env, progress: (line) => void lines.push(line), ...more });
  return { folder, env, lines, push };
}

/** Content by path, as hashes. */
const hashed = (files: Files): Record<string, string> =>
  Object.fromEntries(Object.entries(files).map(([path, data]) => [path, gitSha1(Buffer.from(data))]));

function filesOf(id: string, branch = 'main'): Record<string, string> {
  return hashed(repos.find((repo) => repo.id === id)?.branches[branch] ?? {});
}

/** What was asked of hub and storage, without what is read. */
function writesSeen(): string[] {
  return server.seen.filter(({ method }) => method !== 'GET').map(({ method, path }) => `${method} ${path}`);
}

t.test('a new repository gets the model and nothing else', async (t) => {
  const { push, lines, folder, env } = setUp(t);
  t.match(
    await push('org/new'),
    /^Pushed to http:\/\/127\.0\.0\.1:\d+\/org\/new \(4 files, 0\.3 MB; commit [0-9a-f]{8}\)$/,
  );
  const { '.gitattributes': _, ...pushed } = filesOf('org/new');
  t.same(pushed, hashed(MODEL));
  t.same(writes.commits, ['Upload model with bertune']);
  t.match(lines, [
    /^Created http.*\/org\/new$/,
    /^Uploading org\/new\/model\.safetensors: 300\.0 kB of 300\.0 kB, 100 %/,
  ]);
  t.notMatch(lines.join('\n'), TOKEN);
  server.seen.length = 0;
  t.match(await push('org/new'), /\/org\/new has all files already$/);
  t.same(writesSeen(), [], 'nothing is sent again');

  writeFileSync(join(folder, 'config.json'), json({ model_type: 'bert', id2label: {} }));
  t.match(await push('org/new', { commitMessage: 'More' }), /\(1 file, 0\.0 MB; commit/);
  t.same(writesSeen(), ['POST /api/models/org/new/preupload/main', 'POST /api/models/org/new/commit/main']);
  t.same(writes.commits.at(-1), 'More');
  const back = await modelDirectory('org/new', { env });
  for (const name of ['config.json', 'model.safetensors', 'tokenizer.json'])
    t.strictSame(readFileSync(join(back, name)), readFileSync(join(folder, name)), `${name} comes back`);
});

t.test('the token goes to the hub, and to no storage', async (t) => {
  const { push } = setUp(t);
  await push('org/token');
  for (const { host, authorization, path } of server.seen)
    t.equal(authorization, host === 'hub' ? `Bearer ${TOKEN}` : undefined, path);
  t.ok(server.seen.some(({ host, method }) => host === 'cdn' && method === 'PUT'));
});

t.test('of which account, private, on which branch', async (t) => {
  const { push, env } = setUp(t);
  await push('mine', { private: true });
  t.equal(repos.find(({ id }) => id === 'me/mine')?.isPrivate, true);
  await refused(
    t,
    modelDirectory('me/mine', { env: { ...env, HF_TOKEN: '' } }),
    UsageError,
    /no model "me\/mine"/,
  );
  t.match(await push('me/mine', { private: true, revision: 'v2' }), /\/me\/mine\/tree\/v2 has all files/);
  t.same(Object.keys(repos.find(({ id }) => id === 'me/mine')?.branches ?? {}), ['main', 'v2']);
  await push('org/open', { private: false });
  await refused(
    t,
    push('org/open', { private: true }),
    UsageError,
    /\/org\/open is there already and is public/,
  );
  await refused(
    t,
    push('org/open', { revision: 'a'.repeat(40) }),
    UsageError,
    /is a commit; name the branch/,
  );
  await refused(t, push('org/open', { revision: 'refs/pr/9' }), UsageError, /no revision "refs\/pr\/9"/);
});

t.test('what an older model left goes, what is not of a model stays', async (t) => {
  const adapter = { 'adapter_config.json': '{}', 'adapter_model.safetensors': 'a' };
  const { push } = setUp(t, adapter);
  const older = {
    ...MODEL,
    'model.safetensors.index.json': '{}',
    'model-00001-of-00002.safetensors': 'w',
    'bertune_calibration.json': '{}',
    'other.bin': 'b',
    'onnx/model.onnx': 'older',
  };
  repos.push(model('org/older', older));
  t.match(await push('org/older'), /\(2 files, 0\.0 MB, 5 files removed; commit/);
  t.same(Object.keys(filesOf('org/older')).toSorted(), [
    'README.md',
    'adapter_config.json',
    'adapter_model.safetensors',
    'onnx/model.onnx',
    'other.bin',
    'tokenizer.json',
  ]);
});

t.test('notes on what others do not get', async (t) => {
  const base = { 'adapter_config.json': json({ base_model_name_or_path: './base' }) };
  const adapter = setUp(t, { ...base, 'adapter_model.safetensors': 'a' });
  await adapter.push('org/adapter');
  t.match(adapter.lines.join('\n'), /note: the adapter names \.\/base as its base/);
  repos.push(model('org/with-onnx', { 'onnx/model.onnx': 'older' }));
  const whole = setUp(t);
  await whole.push('org/with-onnx');
  t.match(
    whole.lines.join('\n'),
    /note: the weights are new, and onnx\/ of the repository is that of an older/,
  );
});

t.test('an export is pushed, and adds to a model', async (t) => {
  const { push } = setUp(t, {
    'config.json': '{"a":1}',
    'onnx/model.onnx': 'graph',
    'onnx/model_quantized.onnx': 'q',
    'onnx/model.onnx_data': 'data',
  });
  repos.push(model('org/both', MODEL));
  await push('org/both');
  t.same(filesOf('org/both'), {
    ...hashed(MODEL),
    ...hashed({
      'config.json': '{"a":1}',
      'onnx/model.onnx': 'graph',
      'onnx/model_quantized.onnx': 'q',
      'onnx/model.onnx_data': 'data',
    }),
  });
});

t.test('large files in parts', async (t) => {
  const { push } = setUp(t);
  writes.partBytes = 100_000;
  await push('org/parts');
  t.equal(writesSeen().filter((line) => line.startsWith('PUT /part/')).length, 3);
  t.equal(filesOf('org/parts')['model.safetensors'], gitSha1(weights));
});

t.test('a hub that is busy, and connections that break', async (t) => {
  const { push } = setUp(t);
  const faults = new Map([
    ['GET /api/whoami-v2', 1],
    ['POST /api/repos/create', 2],
    ['POST /api/models/org/busy/preupload/main', 2],
    ['POST /org/busy.git/info/lfs/objects/batch', 1],
    ['PUT /upload', 3],
    ['POST /api/models/org/busy/commit/main', 2],
  ]);
  let turn = 0;
  server.intercept = ({ method, path }, response) => {
    const key = `${method} ${path.startsWith('/upload/') ? '/upload' : path}`;
    const left = faults.get(key) ?? 0;
    if (left === 0) return false;
    faults.set(key, left - 1);
    turn++;
    if (turn % 3 === 0) response.writeHead(429, { 'retry-after': '7' }).end();
    else if (turn % 3 === 1 && key !== 'GET /api/whoami-v2')
      response.req.once('data', () => response.destroy());
    else response.writeHead(503).end();
    return true;
  };
  await push('org/busy');
  t.equal([...faults.values()].join(''), '000000', 'each fault came');
  t.equal(filesOf('org/busy')['model.safetensors'], gitSha1(weights));
  t.ok(waits.includes(7), 'as long as the hub asks');
  t.equal(writes.commits.length, 1);
});

t.test('a break for good, and the push after it', async (t) => {
  const { push } = setUp(t);
  server.intercept = ({ path }, response) =>
    /commit\/main/.test(path) && Boolean(response.writeHead(502).end());
  await refused(
    t,
    push('org/resumed'),
    RunError,
    /answered 502 for model "org\/resumed"; push again to go on from there$/,
  );
  server.intercept = () => false;
  server.seen.length = 0;
  await push('org/resumed');
  t.same(
    writesSeen().filter((line) => line.startsWith('PUT')),
    [],
    'the weights are there already',
  );
});

t.test('an answer that was lost is no second commit', async (t) => {
  const { push } = setUp(t);
  let isLost = false;
  writes.losesAnswer = () => !isLost && (isLost = true);
  t.match(await push('org/lost'), /\(4 files, 0\.3 MB; commit/);
  t.equal(writes.commits.length, 1);
});

t.test('others push to it meanwhile', async (t) => {
  const { push } = setUp(t);
  repos.push(model('org/race', { 'a.txt': 'a' }));
  const branches = repos.at(-1)?.branches ?? {};
  let others = 0;
  server.intercept = ({ path }) => {
    if (path.endsWith('/commit/main') && others++ < 2)
      branches['main'] = { ...branches['main'], 'a.txt': `${others}` };
    return false;
  };
  await push('org/race');
  t.same(filesOf('org/race'), hashed({ ...MODEL, 'a.txt': '2' }), 'both are in it');
  branches['main'] = {};
  server.intercept = ({ path }) => {
    if (path.endsWith('/commit/main')) branches['main'] = { 'a.txt': `${others++}` };
    return false;
  };
  await refused(t, push('org/race'), RunError, /answered 412 .*\(A commit has happened since\./);
});

t.test('a repository that is made meanwhile', async (t) => {
  const { push } = setUp(t);
  server.intercept = ({ path }) => {
    if (path === '/api/repos/create' && !repos.some(({ id }) => id === 'org/made'))
      repos.push(model('org/made', { 'a.txt': 'a' }));
    return false;
  };
  await push('org/made');
  t.same(filesOf('org/made'), hashed({ ...MODEL, 'a.txt': 'a' }));
});

t.test('refusals, in a line each', async (t) => {
  const { push, env, folder } = setUp(t);
  const as = (change: NodeJS.ProcessEnv) => push('org/no', { env: { ...env, ...change } });
  await refused(t, as({ HF_HUB_OFFLINE: '1' }), UsageError, /^HF_HUB_OFFLINE is set, so nothing is pushed/);
  await refused(t, as({ HF_TOKEN: '' }), UsageError, /needs a token that may write: make one at/);
  await refused(t, as({ HF_TOKEN: 'hf_wrongwrongwrong' }), UsageError, /^The hub refused the token/);
  t.same(writesSeen(), []);
  await refused(
    t,
    push('other/theirs'),
    UsageError,
    /^The token \(HF_TOKEN or the token file\) may not write to model "other\/theirs" \(Forbidden/,
  );
  await refused(t, push('other/new'), UsageError, /may not write to model "other\/new"/);
  for (const name of ['a/b/c', '.a/b', 'a b', 'me/a..b', ''])
    await refused(
      t,
      push(name),
      UsageError,
      /^No repository of the hub can be called ".*"; give organization\/name/,
    );
  writes.accounts.set(TOKEN, { ...ME, role: 'read' });
  await refused(t, push('org/no'), UsageError, /can only read; make one that may write at/);
  writes.accounts.set(TOKEN, ME);
  const answer = (path: RegExp, status: number, body: string, headers = {}): void => {
    server.intercept = (seen, response) =>
      path.test(seen.path) && Boolean(response.writeHead(status, headers).end(body));
  };
  answer(
    /\/commit\//,
    400,
    json({ error: 'Invalid metadata in README.md.\n- "license" must be one of ...' }),
  );
  await refused(
    t,
    push('org/no'),
    RunError,
    /answered 400 .*\(Invalid metadata in README.md\..*"license" must/,
  );
  writes.storage.clear();
  answer(/\/upload\//, 403, '<Error>SignatureDoesNotMatch</Error>');
  const stored = await refused(t, push('org/no'), RunError, /127\.0\.0\.1:\d+ answered 403/);
  t.notMatch(stored.message, SIGNATURE);
  answer(/\/commit\//, 400, json({ error: `your token ${TOKEN} is not good` }));
  await refused(t, push('org/no'), RunError, /your token \*\*\* is not good/);
  for (const body of ['<html>Log in</html>', '[]', json({ commitOid: 7 })]) {
    answer(/\/commit\//, 200, body);
    await refused(t, push('org/no'), RunError, /answered with something that is not the hub's/);
  }
  answer(
    /batch$/,
    200,
    json({
      transfer: 'basic',
      objects: [{ oid: 'x', size: 1, actions: { upload: { href: 'file:///etc/passwd' } } }],
    }),
  );
  await refused(t, push('org/no'), RunError, /not the hub's/);
  answer(/\/commit\//, 302, '', { location: 'https://example.org' });
  await refused(t, push('org/no'), RunError, /answered 302/);
  server.intercept = () => false;
  await refused(
    t,
    pushToHub(join(folder, 'onnx'), { repo: 'org/no', env }),
    UsageError,
    /has no model to push/,
  );
  await refused(
    t,
    pushToHub(join(folder, 'none'), { repo: 'org/no', env }),
    UsageError,
    /there is no such file/,
  );
});

t.test('files that change meanwhile', async (t) => {
  const { push, folder } = setUp(t);
  const path = join(folder, 'model.safetensors');
  const during = (change: () => void): void => {
    server.intercept = (seen) => {
      if (seen.path.endsWith('/objects/batch')) change();
      return false;
    };
  };
  during(() => writeFileSync(path, Buffer.alloc(weights.length)));
  await refused(
    t,
    push('org/changing'),
    RunError,
    /\/model\.safetensors was written to while it was being uploaded/,
  );
  during(() => writeFileSync(path, 'short'));
  writeFileSync(path, weights);
  await refused(
    t,
    push('org/changing'),
    RunError,
    /\/model\.safetensors was written to while it was being uploaded/,
  );
  t.same(writes.commits, [], 'nothing of it is in the repository');
  writeFileSync(path, weights);
  during(() => {
    writeFileSync(`${path}.new`, 'of the next training');
    renameSync(`${path}.new`, path);
  });
  await push('org/changing');
  t.equal(filesOf('org/changing')['model.safetensors'], gitSha1(weights), 'what was there at first');
});

t.test('links lead to files, as in the cache of the hub', async (t) => {
  const { push, folder } = setUp(t);
  renameSync(join(folder, 'config.json'), join(folder, 'blob'));
  symlinkSync('blob', join(folder, 'config.json'));
  await push('org/links');
  t.equal(filesOf('org/links')['config.json'], hashed(MODEL)['config.json']);
});

t.test("Python's client pushes here too, and reads what was pushed", async (t) => {
  const python = process.env['BERTUNE_PYTHON'];
  if (python === undefined) return t.comment('BERTUNE_PYTHON is not set: without huggingface_hub');
  const { push, folder, env } = setUp(t);
  await push('org/python', { private: true });
  const script = `
import sys
from pathlib import Path
from huggingface_hub import HfApi, snapshot_download
folder, target = sys.argv[1:]
found = Path(snapshot_download("org/python", cache_dir=target))
for name in ("config.json", "model.safetensors", "tokenizer.json", "README.md"):
    assert (found / name).read_bytes() == (Path(folder) / name).read_bytes(), name
api = HfApi()
assert api.model_info("org/python", revision="main").private is True
assert api.create_repo("org/python", exist_ok=True).repo_id == "org/python"
api.create_repo("org/by-python", private=True)
api.upload_folder(repo_id="org/by-python", folder_path=folder, allow_patterns=["*.json", "*.safetensors"], commit_message="By Python")
`;
  const all = { ...process.env, ...env, HF_HUB_DISABLE_XET: '1', HF_HUB_DISABLE_TELEMETRY: '1' };
  await promisify(execFile)(python, ['-c', script, folder, join(folder, '../cache')], { env: all });
  t.equal(writes.commits.at(-1), 'By Python');
  t.match(await push('org/by-python'), /\(1 file, /, 'all but the card was there');
});

t.test('nothing secret in an error, whatever the stack', async (t) => {
  const { push } = setUp(t);
  server.intercept = (seen, response) => seen.method === 'PUT' && Boolean(response.writeHead(400).end());
  const error = await failure(push('org/secret'));
  t.notMatch([error.stack, String(error.cause)].join('\n'), new RegExp(`${TOKEN}|${SIGNATURE}`));
});
