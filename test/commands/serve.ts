// `bertune serve` as a person starts and ends it.
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { dirname, join, normalize } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import { bertune, startBertune } from '../fixtures/cli.js';
import { post, randomModel } from '../fixtures/serving.js';
import { cheap } from '../fixtures/workspace.js';

const folder = t.testdir();
const directory = await randomModel(folder, {
  problemType: 'single_label_classification',
  labels: ['neg', 'pos'],
});
const here = { cwd: folder };
const threads = Object.entries(cheap).flatMap(([name, value]) => [`--${name}`, value]);

async function started(...flags: string[]) {
  const command = startBertune(['serve', directory, '--port', '0', ...threads, ...flags], here);
  const urlOf = (): string | undefined => / at (http:\S+) /.exec(command.stderr())?.[1];
  const ended = command.outcome.then(() => true);
  while (urlOf() === undefined && (await Promise.race([ended, sleep(20)])) !== true);
  return { ...command, url: urlOf() ?? '' };
}

async function isBusy(url: string): Promise<void> {
  while (!/bertune_pending_texts [1-9]/.test(await (await fetch(`${url}/metrics`)).text())) await sleep(1);
}

t.test('answers until a signal, then finishes what has arrived', async (t) => {
  const server = await started('--max-batch-tokens', '1');
  t.match(server.url, /^http:\/\/127\.0\.0\.1:\d+$/);
  t.match(
    server.stderr(),
    /^Serving \S+ at http:\S+ \(POST \/, GET \/health, GET \/metrics\); Ctrl-C stops it$/m,
  );
  t.notMatch(server.stderr(), /^note: .*authentication/m);
  t.match(await post(server.url, { inputs: 'a film' }), { status: 200 });
  // As many as keep it busy for a while, in steps of one.
  const asked = Array.from({ length: 15 }, () =>
    post(server.url, { inputs: Array.from({ length: 32 }, () => 'a film with music') }),
  );
  while (!/bertune_pending_texts [1-9]/.test(await (await fetch(`${server.url}/metrics`)).text()))
    await sleep(1);
  server.kill('SIGTERM');
  const replies = await Promise.allSettled(asked);
  const statuses = replies.map((one) => (one.status === 'fulfilled' ? one.value.status : 0));
  t.ok(statuses.includes(200), 'what had arrived is answered');
  t.same(
    statuses.filter((status) => status !== 200 && status !== 503 && status !== 0),
    [],
  );
  const { code, signal, stdout, stderr } = await server.outcome;
  t.same([code, signal, stdout], [0, null, '']);
  t.match(stderr, /^SIGTERM: finishing the requests that have arrived; a second SIGTERM stops at once$/m);
});

t.test('a second signal ends it at once', async (t) => {
  const server = await started('--host', '0.0.0.0');
  t.match(
    server.stderr(),
    /^note: 0\.0\.0\.0 is open to its network, and there is no authentication: put a proxy/m,
  );
  const asked = Array.from({ length: 16 }, () =>
    post(server.url.replace('0.0.0.0', '127.0.0.1'), {
      inputs: Array.from({ length: 32 }, () => 'a '.repeat(30)),
    }),
  );
  const settled = Promise.allSettled(asked);
  await isBusy(server.url.replace('0.0.0.0', '127.0.0.1'));
  server.kill('SIGTERM');
  server.kill('SIGINT');
  const { code, signal } = await server.outcome;
  t.ok(signal !== null || code !== 0, `${code} ${signal}`);
  await settled;
});

t.test('what it does not start with', async (t) => {
  const refused = async (...args: string[]) => {
    const { code, stdout, stderr } = await bertune(['serve', ...args], here);
    t.same([code, stdout], [2, ''], stderr);
    t.equal(stderr.trimEnd().split('\n').length, 1, 'one line');
    return stderr;
  };
  t.equal(
    await refused(),
    'bertune: --model is needed: the weights: a folder, or a Hugging Face hub id such as bert-base-uncased\n',
  );
  t.match(
    await refused(directory, '--port', '99999'),
    /Expected a whole number from 0 to 65535 for --port but received 99999/,
  );
  t.match(
    await refused(directory, '--max-wait', '-1'),
    /Expected a number of milliseconds from 0 to 1000 for --max-wait but received -1/,
  );
  t.match(await refused(directory, '--request-timeout', '0'), /for --request-timeout/);
  t.match(await refused(directory, '--test-file', 'x.csv'), /--test-file has no meaning for `bertune serve`/);
  t.match(await refused(join(folder, 'none')), /none/);
  const other = createServer().listen(0, '127.0.0.1');
  await once(other, 'listening');
  const address = other.address();
  const port = String(typeof address === 'object' ? address?.port : '');
  const taken = await bertune(['serve', directory, '--port', port, '--quiet', ...threads], here);
  t.same(
    [taken.code, taken.stderr],
    [
      2,
      `bertune: Cannot listen on port ${port} of 127.0.0.1: another process listens there; choose another port\n`,
    ],
  );
  other.close();
});

t.test('nothing else loads the HTTP framework', (t) => {
  const loaded = new Set<string>();
  const packages = new Set<string>();
  const load = (path: string): void => {
    if (loaded.has(path)) return;
    loaded.add(path);
    for (const [, from = ''] of readFileSync(path, 'utf8').matchAll(
      /^(?:import|export|\} from)[^;]*?'([^']+)';$/gm,
    ))
      if (from.startsWith('.')) load(normalize(join(dirname(path), from)));
      else packages.add(from);
  };
  const dist = join(import.meta.dirname, '../../dist');
  for (const file of ['index.js', 'cli.js', 'commands/predict.js']) load(join(dist, file));
  t.ok(loaded.has(join(dist, 'serving/classifier.js')) && existsSync(join(dist, 'serving/app.js')));
  t.ok(packages.has('zod') && packages.has('commander'), 'the packages were found');
  t.same(
    [...packages].filter((name) => /hono|prom-client/.test(name)),
    [],
  );
  t.end();
});
