// `bertune push`, and a training that pushes: what is in the repository afterwards, and a training whose pushes fail is not lost.
import { existsSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';

import { bertune, flags, type Options, type Outcome } from '../fixtures/cli.js';
import { startHub, TOKEN } from '../fixtures/hub.js';
import type { Seen } from '../fixtures/hub-server.js';
import { makeToy } from '../fixtures/toy.js';

const folder = t.testdir();
makeToy(folder, { train: 24, test: 12 });
const { server } = await startHub();
const { writes, repos } = server;
t.beforeEach(() => void writes.accounts.set(TOKEN, { name: 'me', role: 'write', organizations: ['org'] }));

const SAVED = ['README.md', 'bertune_reading.json', 'config.json', 'model.safetensors'];
const TOKENIZER = ['tokenizer.json', 'tokenizer_config.json', 'vocab.txt'];
const MODEL = [...SAVED, ...TOKENIZER];

function run(command: 'train' | 'push' | 'predict', options: Options, env = {}): Promise<Outcome> {
  const hub = { HF_HUB_OFFLINE: '0', HF_ENDPOINT: server.endpoint, HF_TOKEN: TOKEN };
  return bertune([command, ...flags(options)], { cwd: folder, env: { ...hub, ...env } });
}

const training = (outputDir: string, more: Options = {}): Options => ({
  config: 'model/config.json',
  tokenizer: 'model',
  'train-file': 'train.csv',
  'validation-file': 'test.csv',
  'max-steps': '6',
  'save-steps': '2',
  threads: '1',
  'output-dir': outputDir,
  ...more,
});

function filesOf(id: string): string[] {
  return Object.keys(repos.find((repo) => repo.id === id)?.branches['main'] ?? {})
    .filter((path) => path !== '.gitattributes')
    .toSorted();
}

function contentOf(id: string, path: string): Buffer {
  return Buffer.from(repos.find((repo) => repo.id === id)?.branches['main']?.[path] ?? '');
}

await t.test('a folder is pushed, and the model is used from there', async (t) => {
  const trained = await run('train', training('out'));
  t.equal(trained.code, 0, trained.stderr);
  const pushed = await run('push', { model: 'out', repo: 'org/toy' });
  t.equal(pushed.code, 0, pushed.stderr);
  t.match(pushed.stderr, /Created http.*\/org\/toy\n[^]*Pushed to http.*\/org\/toy \(7 files, /);
  t.equal(pushed.stdout, '');
  t.same(filesOf('org/toy'), MODEL);
  for (const name of MODEL.filter((one) => one !== 'README.md'))
    t.strictSame(contentOf('org/toy', name), readFileSync(join(folder, 'out', name)), name);
  const card = contentOf('org/toy', 'README.md').toString();
  t.match(card, /^# toy$/m);
  t.match(card, 'pipeline("text-classification", model="org/toy")');
  t.notMatch(card, '"out"');
  const again = await run('push', { model: 'out', repo: 'org/toy', quiet: true });
  t.same([again.code, again.stderr], [0, ''], 'nothing to say of nothing new');
  const predict = (model: string): Promise<Outcome> => run('predict', { model, text: 'good', threads: '1' });
  const [here, there] = [await predict('out'), await predict('org/toy')];
  t.equal(there.code, 0, there.stderr);
  t.equal(there.stdout, here.stdout);
});

await t.test('refusals', async (t) => {
  for (const step of [4, 20]) mkdirSync(join(folder, `stopped/checkpoint-${step}`), { recursive: true });
  const cases: [Options, string | RegExp, object?][] = [
    [{ model: 'out', repo: 'org/x' }, /^bertune: HF_HUB_OFFLINE is set, [^\n]*\n$/, { HF_HUB_OFFLINE: '1' }],
    [
      { model: 'out', repo: 'org/x' },
      /^bertune: Pushing to the hub needs a token [^\n]*\n$/,
      { HF_TOKEN: '' },
    ],
    [{ model: 'nowhere', repo: 'org/x' }, 'bertune: nowhere is not a folder; name that of a trained model\n'],
    [{ model: 'model', repo: 'org/x' }, /^bertune: model has no model to push: config.json with [^\n]*\n$/],
    [
      { model: 'stopped', repo: 'org/x' },
      /^bertune: stopped has no config\.json, only checkpoints [^\n]*such as stopped\/checkpoint-20\n$/,
    ],
    [
      { model: 'out', repo: 'a b' },
      'bertune: Expected organization/name, or a name for --repo but received "a b"\n',
    ],
    [{ model: 'out' }, /^bertune: --repo is needed: /],
  ];
  for (const [options, stderr, env] of cases) {
    const outcome = await run('push', options, env);
    t.equal(outcome.code, 2);
    t.match(outcome.stderr, stderr);
  }
});

await t.test('a training pushes at its end', async (t) => {
  const outcome = await run('train', training('my-toy', { 'push-to-hub': true, 'hub-private-repo': true }));
  t.equal(outcome.code, 0, outcome.stderr);
  t.match(outcome.stderr, /Pushed to http.*\/me\/my-toy \(7 files, /);
  t.same(writes.commits, ['End of training']);
  t.same(filesOf('me/my-toy'), MODEL);
  t.equal(repos.find(({ id }) => id === 'me/my-toy')?.isPrivate, true);
  t.match(JSON.parse(outcome.stdout), { eval_samples: 12 });
});

await t.test('and on the way', async (t) => {
  const push: Options = {
    'push-to-hub': true,
    'hub-model-id': 'org/on-the-way',
    'hub-strategy': 'checkpoint',
  };
  const outcome = await run('train', training('on-the-way', push));
  t.equal(outcome.code, 0, outcome.stderr);
  t.match(writes.commits, ['Training in progress, step 2', 'Training in progress, step 2, checkpoint']);
  const stored = server.seen.filter(({ method }) => method === 'PUT').map(({ path }) => path);
  t.equal(new Set(stored).size, stored.length, 'no weights are uploaded twice');
  t.equal(writes.commits.at(-1), 'End of training');
  const last = readdirSync(join(folder, 'on-the-way/checkpoint-6'));
  t.ok(last.includes('optimizer.safetensors'));
  t.same(filesOf('org/on-the-way'), [...MODEL, ...last.map((name) => `last-checkpoint/${name}`)].toSorted());
  for (const name of last)
    t.strictSame(
      contentOf('org/on-the-way', `last-checkpoint/${name}`),
      readFileSync(join(folder, 'on-the-way/checkpoint-6', name)),
      `${name} is that of the last one`,
    );
});

await t.test('the last checkpoint is one to resume from elsewhere', async (t) => {
  for (const path of filesOf('org/on-the-way').filter((one) => one.startsWith('last-checkpoint/'))) {
    mkdirSync(join(folder, 'elsewhere/last-checkpoint'), { recursive: true });
    writeFileSync(join(folder, 'elsewhere', path), contentOf('org/on-the-way', path));
  }
  const resume = { 'resume-from-checkpoint': 'elsewhere/last-checkpoint' };
  const outcome = await run('train', training('elsewhere', { ...resume }));
  t.equal(outcome.code, 0, outcome.stderr);
  t.match(outcome.stderr, /elsewhere\/last-checkpoint/);
});

await t.test('a hub that takes nothing', async (t) => {
  const push: Options = { 'push-to-hub': true, 'hub-model-id': 'org/failing', 'hub-strategy': 'every_save' };
  const isCommit = ({ path }: Seen): boolean => path.endsWith('/commit/main');
  server.intercept = (seen, response) => isCommit(seen) && Boolean(response.writeHead(400).end());
  const outcome = await run('train', training('failing', push));
  t.equal(outcome.code, 1);
  t.match(
    outcome.stderr,
    /note: failing\/checkpoint-2 was not pushed, and the training goes on: http.* answered 400/,
  );
  t.match(
    outcome.stderr,
    /\nbertune: The trained model is in failing, but it was not pushed: http.* answered 400 for model "org\/failing"\. To push it: npx bertune push --model failing --repo org\/failing\n$/,
  );
  t.match(JSON.parse(outcome.stdout), { eval_samples: 12 }, 'its results are printed');
  t.ok(existsSync(join(folder, 'failing/model.safetensors')));
});

await t.test('what cannot be pushed is known before the training', async (t) => {
  writes.accounts.set(TOKEN, { name: 'me', role: 'read', organizations: [] });
  const push: Options = { 'push-to-hub': true, 'hub-model-id': 'org/never' };
  const outcome = await run('train', training('never', push));
  t.equal(outcome.code, 2);
  t.match(outcome.stderr, /bertune: The token \(HF_TOKEN or the token file\) can only read/);
  const offline = await run('train', training('never', push), { HF_HUB_OFFLINE: '1' });
  t.match([offline.code, offline.stderr], [2, /bertune: HF_HUB_OFFLINE is set, so nothing is pushed/]);
  t.notOk(existsSync(join(folder, 'never/model.safetensors')));
});
