// Models from the hub: what is fetched and where it lies, whose token is sent where.
import { mkdirSync, readdirSync, readFileSync, readlinkSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import t from 'tap';
import { UsageError } from '../../dist/util/errors.js';
import { datasetFiles } from '../../dist/hub/dataset.js';
import { modelDirectory } from '../../dist/hub/model.js';
import { BERT_ID, model, pickle, refused, SHARDED, startHub, TOKEN, tree, weights } from '../fixtures/hub.js';

const tuned = {
  'bertune_calibration.json': '{"temperature":2}',
  'bertune_reading.json': '{"textColumn":"body"}',
  'config.json': '{}',
  'model.safetensors': weights,
};
const { server, home, sentTo } = await startHub([
  model('org/pickled', { 'config.json': '{}', 'pytorch_model.bin': pickle }),
  model('org/tuned', { ...tuned, 'README.md': 'not fetched' }),
]);

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
    'config.json',
    'tokenizer.json',
    'tokenizer_config.json',
    'vocab.txt',
  ]);
  const sharded = await modelDirectory('org/sharded', options);
  test.strictSame(readdirSync(sharded).toSorted(), Object.keys(SHARDED).toSorted());
  const own = await modelDirectory('org/tuned', options);
  test.strictSame(readdirSync(own).toSorted(), Object.keys(tuned), 'with what bertune saved beside it');
  test.equal(readFileSync(join(own, 'bertune_reading.json'), 'utf8'), tuned['bertune_reading.json']);
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
