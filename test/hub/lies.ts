// A hub that lies about what it sends: connections, lengths, encodings, waits, answers of its API, redirects. Downloads
// finish or fail with one line, and the token stays where it belongs.
import { randomBytes } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import type { ServerResponse } from 'node:http';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import t from 'tap';
import { RunError, UsageError } from '../../dist/util/errors.js';
import { datasetFiles } from '../../dist/hub/dataset.js';
import { modelDirectory } from '../../dist/hub/model.js';
import type { Bend } from '../fixtures/hub-server.js';
import {
  BERT_ID,
  dataset,
  failure,
  json,
  model,
  refused,
  startHub,
  TOKEN,
  tree,
  weights,
} from '../fixtures/hub.js';
import { quickWaits } from '../fixtures/quick-waits.mjs';

const large = randomBytes(1_050_000);
const waits = quickWaits();
const { server, home, blobBytes, sentTo } = await startHub([
  ...['org/cut', 'org/stall', 'org/trickle'].map((id) =>
    model(id, { 'config.json': '{}', 'model.safetensors': randomBytes(100_000) }),
  ),
  model('org/large', { 'config.json': '{}', 'model.safetensors': large }),
  dataset('org/leaky', {
    'README.md': `---\nconfigs:\n- config_name: ${TOKEN}\n- config_name: b\n---\n`,
    'a.csv': '',
  }),
]);
t.beforeEach(() => void (waits.length = 0));

const IMPATIENT = { HF_HUB_DOWNLOAD_TIMEOUT: '1', HF_HUB_ETAG_TIMEOUT: '1' };
const MB = 1 << 20;
const onWeights =
  (bend: Bend) =>
  (path: string): Bend =>
    path === 'model.safetensors' ? bend : {};
const answer = (response: ServerResponse, status: number, headers: object = {}, body: string | Buffer = '') =>
  Boolean(response.writeHead(status, { ...headers }).end(body));

t.test('a connection that is reset at every 100th kilobyte', async (test) => {
  const { options } = home(test);
  server.bend = onWeights({ cutAfter: 100_000 });
  const directory = await modelDirectory('org/large', options);
  test.ok(readFileSync(join(directory, 'model.safetensors')).equals(large));
  const starts = blobBytes().map(([range]) => Number(/^bytes=(\d+)-$/.exec(String(range))?.[1] ?? 0));
  test.ok(starts.length > 10, `${starts.length} connections`);
  test.strictSame(
    starts,
    [...new Set(starts)].toSorted((a, b) => a - b),
    'each resumes where the last one ended',
  );
  test.ok(
    waits.every((seconds) => seconds === 0),
    'what makes progress is not waited for',
  );
});

t.test('connections that bring a byte each, nothing, or next to nothing', async (test) => {
  const slow = { 'org/cut': { cutAfter: 1 }, 'org/stall': { stallAfter: 0 }, 'org/trickle': { trickle: 10 } };
  server.bend = (path, id) =>
    path === 'model.safetensors' ? (new Map(Object.entries(slow)).get(id) ?? {}) : {};
  const tried = Object.keys(slow).map((id) => {
    const { options, env } = home(test, { HF_HOME: join(test.testdirName, id) });
    return {
      id,
      options,
      failed: failure(modelDirectory(id, { ...options, env: { ...env, ...IMPATIENT } })),
    };
  });
  const messages = await Promise.all(tried.map(async ({ failed }) => (await failed).message));
  test.match(messages, [
    /^Cannot reach \S+ \(.*\); run the command again to resume the download$/,
    /^Cannot reach \S+ \(no data for 1 s\); run the command again to resume the download$/,
    /^Cannot reach \S+ \(only \d+ bytes in 1 s\); run the command again to resume the download$/,
  ]);
  test.strictSame(
    waits.toSorted((a, b) => a - b),
    [1, 1, 1, 2, 2, 2, 4, 4, 4, 8, 8, 8],
    'five attempts each',
  );
  server.reset();
  for (const { id, options } of tried) {
    const directory = await modelDirectory(id, options);
    test.equal(readFileSync(join(directory, 'model.safetensors')).length, 100_000, 'an honest hub ends it');
  }
  test.match(blobBytes()[0]?.[0], /^bytes=\d+-$/, 'from where it was');
  const { options, env } = home(test);
  for (const bad of ['0', '-1', 'soon', '1e9', 'NaN', 'Infinity']) {
    const set = { ...options, env: { ...env, HF_HUB_DOWNLOAD_TIMEOUT: bad } };
    await refused(
      test,
      modelDirectory(BERT_ID, set),
      UsageError,
      /^Expected seconds from 1 to 86400 for HF_HUB_D/,
    );
  }
});

t.test('another part than was asked for', async (test) => {
  for (const [status, headers] of [
    [206, { 'content-range': 'bytes 0-199999/300000' }],
    [206, { 'content-range': `bytes ${'9'.repeat(400)}-/300000` }],
    [206, {}],
    [416, { 'content-range': 'bytes */1' }],
  ] as const) {
    const { options } = home(test);
    server.reset();
    let cuts = 0;
    server.bend = onWeights({ cutAfter: 100_000 });
    server.intercept = ({ host, range }, response) => {
      if (host !== 'cdn') return false;
      if (range === undefined && cuts++ > 0) server.bend = () => ({});
      return range !== undefined && answer(response, status, headers, weights.subarray(0, 200_000));
    };
    await refused(
      test,
      modelDirectory(BERT_ID, options),
      RunError,
      /from byte \d+ on but has or sent another part/,
    );
    const directory = await modelDirectory(BERT_ID, options);
    test.ok(readFileSync(join(directory, 'model.safetensors')).equals(weights), 'the next run starts over');
  }
});

t.test('compressed although plain was asked for', async (test) => {
  const { options, hub } = home(test);
  server.bend = () => ({ gzip: true });
  const directory = await modelDirectory(BERT_ID, options);
  test.ok(readFileSync(join(directory, 'model.safetensors')).equals(weights));

  // What is right, and behind it spaces up to just more than an answer or the file may have.
  const sha = server.commit('org/large');
  const long = (text: string): Buffer => gzipSync(text + ' '.repeat(4 * MB));
  for (const [path, body, says] of [
    [
      'cdn',
      gzipSync(Buffer.concat([large, Buffer.alloc(MB)])),
      /lists .*model.safetensors with 1050000 bytes but sent (?!2098576)\d+, so it was deleted/,
    ],
    [
      '/api/models/org/large/revision/',
      long(json({ sha })),
      /answered with something that is not the hub's, and model "org\/large" is not in the cache/,
    ],
  ] as const) {
    server.reset();
    server.intercept = (seen, response) =>
      (seen.host === path || seen.path.startsWith(path)) &&
      answer(response, 200, { 'content-encoding': 'gzip' }, body);
    await refused(test, modelDirectory('org/large', options), RunError, says);
  }
  test.notOk(tree(hub).some((path) => path.includes('incomplete')));
});

t.test('waits that are refused', async (test) => {
  for (const [after, asked] of [
    ['9'.repeat(400), [1, 2, 4, 8]],
    ['1000000000', []],
    ['-5', [0, 0, 0, 0]],
    ['soon', [1, 2, 4, 8]],
    ['Fri, 31 Dec 9999 23:59:59 GMT', []],
    ['Thu, 01 Jan 1970 00:00:00 GMT', [0, 0, 0, 0]],
    ['50', [50, 50]],
    ['1e3', [1, 2, 4, 8]],
  ] as const) {
    const { options } = home(test);
    waits.length = 0;
    server.intercept = (_, response) => answer(response, 429, { 'retry-after': after });
    await refused(
      test,
      modelDirectory(BERT_ID, options),
      RunError,
      /answered 429 for model .*not in the cache/,
    );
    test.strictSame(waits, asked, `${after.slice(0, 40)}: two minutes at most`);
  }
});

t.test('answers of the API that are none', async (test) => {
  const { options, env, root } = home(test);
  const entry = { type: 'file', path: 'x', size: 1, oid: '0'.repeat(40) };
  const strange = [
    'null',
    '{}',
    '"x"',
    '7',
    '',
    '[',
    '[null]',
    '[[]]',
    '[{}]',
    json([{ ...entry, path: 5 }]),
  ];
  const shapes = [
    { ...entry, size: '1' },
    { ...entry, size: null },
    { ...entry, oid: [] },
    { ...entry, lfs: 'x' },
  ];
  const long = [
    json(Array.from({ length: 10_001 }, (_, i) => ({ ...entry, path: `${i}` }))), // one more than a page may have
    '['.repeat(129),
    `"${'x'.repeat(4 * MB)}"`,
    `[${'{},'.repeat(9000)}{}]`,
  ];
  for (const body of [...strange, ...shapes.map((shape) => json([shape])), ...long]) {
    for (const question of ['/revision/', '/tree/']) {
      server.intercept = ({ path }, response) => path.includes(question) && answer(response, 200, {}, body);
      if (question === '/revision/' && body === '{}') continue;
      await refused(
        test,
        modelDirectory(BERT_ID, options),
        RunError,
        /^http:\S+ answered with something that is not the hub's, and model "google-bert/,
      );
    }
  }
  for (const sha of ['../../x', '0'.repeat(39), `${'0'.repeat(40)}\n`, 'A'.repeat(40)]) {
    server.intercept = ({ path }, response) =>
      path.includes('/revision/') && answer(response, 200, {}, json({ sha }));
    await refused(test, modelDirectory(BERT_ID, options), RunError, /names no commit/);
  }
  for (const size of [-1, 0.5, 1e300, 2 ** 60]) {
    server.reset();
    server.listing = (entries) => entries.map((each) => ({ ...each, size, lfs: undefined }));
    await refused(test, modelDirectory(BERT_ID, options), RunError, /name, size or hash that is not safe/);
  }
  server.listing = (entries) => entries.map((each) => ({ ...each, size: 1e15, lfs: undefined }));
  await refused(
    test,
    modelDirectory(BERT_ID, options),
    RunError,
    /config.json needs 1000000000000000 bytes, but only \d+ are free in .*blobs: make room/,
  );
  server.reset();
  server.intercept = ({ path }, response) => path.includes('/tree/') && response.writeHead(200).write('['); // and then nothing more
  await refused(
    test,
    modelDirectory(BERT_ID, { ...options, env: { ...env, ...IMPATIENT } }),
    RunError,
    /^Cannot reach .*no whole answer in 1 s.*not in the cache/,
  );
  test.strictSame(tree(root), [], 'nothing was written');
});

t.test('a listing without end', async (test) => {
  const { options } = home(test);
  const folder = { type: 'directory', path: 'x', size: 0, oid: '0'.repeat(40) };
  for (const page of ['[]', json(Array.from({ length: 9999 }, () => folder))]) {
    server.reset();
    server.intercept = ({ path }, response) =>
      path.includes('/tree/') &&
      answer(response, 200, { link: `<${server.endpoint}${path}>; rel="next"` }, page);
    await refused(test, modelDirectory(BERT_ID, options), RunError, /lists files of .* without end$/);
  }
  for (const next of [
    'file:///etc/passwd',
    'gopher://x',
    'https://u:p@x',
    'http://',
    `http://[${'x'.repeat(9)}`,
  ]) {
    server.intercept = ({ path }, response) =>
      path.includes('/tree/') && answer(response, 200, { link: `<${next}>; rel="next"` }, json([folder]));
    await refused(
      test,
      modelDirectory(BERT_ID, options),
      RunError,
      /names an address that is not safe to follow/,
    );
  }
});

t.test('redirects that are not followed', async (test) => {
  const { options } = home(test, { HF_TOKEN: TOKEN });
  for (const location of [
    'file:///etc/passwd',
    'data:,x',
    'ftp://127.0.0.1/x',
    'javascript:x',
    'blob:x',
    'http://',
    `http://user:${TOKEN}@127.0.0.1/`,
    'http://user@127.0.0.1/',
  ]) {
    for (const where of ['/revision/', '/resolve/']) {
      server.reset();
      server.intercept = ({ path }, response) => path.includes(where) && answer(response, 302, { location });
      await refused(
        test,
        modelDirectory(BERT_ID, options),
        RunError,
        /names an address that is not safe to follow$/,
      );
    }
  }
  server.intercept = ({ path }, response) => answer(response, 307, { location: path });
  await refused(test, modelDirectory(BERT_ID, options), RunError, /redirects without end/);
  let hops = 0;
  server.intercept = (_, response) =>
    answer(
      response,
      302,
      { location: `${[server.endpoint, server.cdnOrigin][++hops % 2]}/x` },
      'x'.repeat(MB),
    );
  await refused(test, modelDirectory(BERT_ID, options), RunError, /redirects without end/);
  test.equal(hops, 10);
});

t.test('the token goes to the hub alone, and not to an address that another host chose', async (test) => {
  const { options, lines } = home(test, { HF_TOKEN: TOKEN });
  server.intercept = ({ host, path }, response) =>
    path.includes('/tree/') &&
    host === 'hub' &&
    answer(response, 307, { location: `${server.cdnOrigin}/elsewhere${path}` });
  await refused(test, modelDirectory(BERT_ID, options), RunError, /answered 404/);
  test.strictSame(sentTo('cdn'), new Set([undefined]));

  server.reset();
  const through = (path: string) => `${server.cdnOrigin}/back${path}`;
  server.intercept = ({ host, path }, response) => {
    if (host === 'cdn')
      return answer(response, 302, { location: server.endpoint + path.slice('/back'.length) });
    return !path.endsWith('/seen') && answer(response, 302, { location: through(`${path}/seen`) });
  };
  await failure(modelDirectory(BERT_ID, options));
  const [first, , back] = server.seen;
  test.equal(first?.authorization, `Bearer ${TOKEN}`);
  test.equal(back?.host, 'hub');
  test.equal(back?.authorization, undefined, 'the way back is not trusted');
  test.strictSame(sentTo('cdn'), new Set([undefined]));
  test.notOk(server.seen.some(({ host, head }) => host === 'cdn' && head.includes(TOKEN)));
  test.notMatch(lines.join('\n'), TOKEN);
});

t.test('the token in what the hub answers does not show', async (test) => {
  const { options, hub, lines } = home(test, { HF_TOKEN: TOKEN });
  const silent = (error: Error) => {
    test.match(error.message, /\*\*\*|not safe/);
    test.notMatch(`${error.message} ${error.stack} ${String(error.cause)}`.toLowerCase(), TOKEN);
  };
  server.intercept = ({ path }, response) =>
    path.includes('/revision/') && answer(response, 302, { location: `http://${TOKEN}.invalid/` });
  silent(await failure(modelDirectory(BERT_ID, options)));
  server.reset();
  server.listing = (entries) => [
    ...entries,
    { type: 'file', path: `${TOKEN}.csv`, size: 1, oid: '0'.repeat(40) },
  ];
  silent(await failure(modelDirectory(BERT_ID, options)));
  server.reset();
  silent(await failure(datasetFiles('org/leaky', options)));
  await modelDirectory(BERT_ID, options);
  server.intercept = ({ path }, response) =>
    path.includes('/revision/') && answer(response, 302, { location: `http://${TOKEN}.invalid/` });
  await modelDirectory(BERT_ID, options);
  test.match(lines.at(-1), /\*\*\*.*: using the copy/);
  test.notMatch(lines.join('\n'), TOKEN);
  test.notOk(tree(hub).some((path) => path.includes(TOKEN)));
  server.reset();
  const short = { ...options, env: { ...options.env, HF_TOKEN: 'model' } };
  await modelDirectory(BERT_ID, short);
  test.equal(server.seen[0]?.authorization, 'Bearer model', 'a short token is a word like any other');
});

t.test('hostile headers change nothing', async (test) => {
  const { options, root } = home(test);
  server.intercept = (_, response) => {
    const headers = {
      etag: '"../../x"',
      'x-linked-etag': '../../../x',
      'x-repo-commit': '../x',
      'x-linked-size': '-1',
    };
    for (const [name, value] of Object.entries(headers)) response.setHeader(name, value);
    response.setHeader('x-error-code', 'RepoNotFound').setHeader('content-disposition', 'filename=/etc/x');
    return false;
  };
  const directory = await modelDirectory(BERT_ID, options);
  test.ok(readFileSync(join(directory, 'model.safetensors')).equals(weights));
  test.strictSame(readdirSync(root), ['hf']);
});

t.test('a listing that what came did not fit is not kept', async (test) => {
  const { options } = home(test);
  server.listing = (entries) => entries.map((each) => ({ ...each, oid: '1'.repeat(40), lfs: undefined }));
  await refused(test, modelDirectory(BERT_ID, options), RunError, /its hash differs/);
  server.reset();
  server.listing = () => [];
  await refused(test, modelDirectory(BERT_ID, options), UsageError, /has no config.json/);
  server.reset();
  await modelDirectory(BERT_ID, options);
});
