// What the hub does not give, and names that nothing can have: each is refused in a line that says what to do.
import { readdirSync } from 'node:fs';
import t from 'tap';
import { RunError, UsageError } from '../../dist/util/errors.js';
import { datasetFiles } from '../../dist/hub/dataset.js';
import { modelDirectory } from '../../dist/hub/model.js';
import {
  BERT_ID,
  failure,
  json,
  model,
  pickle,
  refused,
  SHARDED,
  startHub,
  TOKEN,
  weights,
} from '../fixtures/hub.js';

const { server, home } = await startHub([
  model('org/bad-index', {
    ...SHARDED,
    'model.safetensors.index.json': json({ weight_map: { a: '../../x' } }),
  }),
  model('org/pickled', { 'config.json': '{}', 'pytorch_model.bin': pickle }),
  model('org/no-config', { 'model.safetensors': weights }),
  model('org/no-tokenizer', { 'config.json': '{}', 'model.safetensors': 'w' }),
]);

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
      /not a folder here and no repository of the hub has such a name/,
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
    /no tokenizer.json, vocab.txt, vocab.json with merges.txt or SentencePiece model/,
  );
  await refused(test, modelDirectory('org/bad-index', options), UsageError, /is not an index of weights/);
  for (const endpoint of ['hub.local', 'ftp://x', 'https://user:pass@host']) {
    const error = await failure(modelDirectory('a', { ...options, env: { ...env, HF_ENDPOINT: endpoint } }));
    test.match(error.message, /^Expected an http or https address/);
    test.notMatch(error.message, 'pass');
  }
  test.strictSame(readdirSync(root), ['hf'], 'nothing outside the cache');
});
