// Downloads that are disturbed: broken connections, killed runs, wrong content, a busy hub.
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { lstatSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import type { ServerResponse } from 'node:http';
import { join } from 'node:path';
import t from 'tap';
import { RunError } from '../../dist/util/errors.js';
import { modelDirectory } from '../../dist/hub/model.js';
import { BERT_ID, refused, sha256, startHub, TOKEN, tree, weights } from '../fixtures/hub.js';

const { server, home, blobBytes } = await startHub();

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
  const code = `const { modelDirectory } = await import('./dist/hub/model.js'); await modelDirectory('${BERT_ID}');`;
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

t.test(
  'a question whose connection ends, or brings something that is not HTTP, is put again',
  async (test) => {
    const faults: ((response: ServerResponse) => void)[] = [
      (response) => response.socket?.destroy(),
      (response) => response.socket?.end('not HTTP'),
      (response) => response.socket?.end('HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n'),
    ];
    for (const [i, fault] of faults.entries()) {
      for (const question of ['/revision/', '/tree/']) {
        const { options } = home(test, { HF_HOME: join(test.testdirName, `${i}${question}`) });
        let asked = 0;
        server.intercept = ({ path }, response) => {
          if (!path.includes(question) || ++asked > 1) return false;
          fault(response);
          return true;
        };
        await modelDirectory(BERT_ID, { ...options, files: 'config' });
        test.ok(asked > 1, `fault ${i} of ${question}`);
      }
    }
  },
);
