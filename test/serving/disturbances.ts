// Clients that go away, are slow or too many, steps that take too long, and the end of the server: nobody else loses an answer.
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { Hono } from 'hono';
import tap, { type Test } from 'tap';
import type { Prediction } from '../../dist/index.js';
import { startServer } from '../../dist/serving/server.js';
import { post, randomModel, serving, type Reply, type TestServer } from '../fixtures/serving.js';
import { toyRow } from '../fixtures/toy.js';

const texts = Array.from({ length: 8 }, (_, row) => toyRow(row).text);
const directory = await randomModel(tap.testdir(), {
  problemType: 'single_label_classification',
  labels: ['neg', 'pos'],
});

const ask = (url: string, own = texts): Promise<Reply>[] => own.map((text) => post(url, { inputs: text }));

async function until(what: () => boolean): Promise<void> {
  while (!what()) await sleep(2);
}

/** Each reply is that of its own text. */
async function answered(
  t: Test,
  { classifier }: TestServer,
  replies: readonly Reply[],
  own = texts,
): Promise<void> {
  const wanted: Prediction[] = await classifier.classify(own);
  const off = replies.map(({ status, body }, row) => {
    t.equal(status, 200);
    const [answer] = body as { label: string; score: number }[][];
    return Math.max(
      ...(answer ?? []).map(({ label, score }) =>
        Math.abs(score - (wanted[row]?.probabilities[label] ?? NaN)),
      ),
    );
  });
  t.ok(Math.max(...off) < 1e-6, 'each answer is that of its own text');
}

/** A connection that has sent a head, and so much of its body. */
async function begun(url: string, body: string, length = Buffer.byteLength(body)): Promise<Socket> {
  const { hostname, port } = new URL(url);
  const socket = connect(Number(port), hostname);
  socket.on('error', () => undefined);
  await once(socket, 'connect');
  socket.write(
    `POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: ${length}\r\n\r\n${body}`,
  );
  return socket;
}

async function replyOn(socket: Socket): Promise<string> {
  let text = '';
  for await (const chunk of socket) text += String(chunk);
  return text;
}

const metricsOf = async (url: string): Promise<string> => (await fetch(`${url}/metrics`)).text();

await tap.test('a full queue refuses with 429 and when to come again', async (t) => {
  const served = await serving(t, directory, { maxQueue: 8 });
  const release = served.hold();
  const waiting = ask(served.url);
  await until(() => served.classifier.isFull);
  const refused = await post(served.url, { inputs: 'one more' });
  t.match(refused, { status: 429, body: { error: 'The queue is full; try again later' } });
  t.equal(refused.headers.get('retry-after'), '1');
  release();
  await answered(t, served, await Promise.all(waiting));
  const several = { inputs: texts.slice(0, 5) };
  const again = served.hold();
  const five = post(served.url, several);
  await until(() => served.classifier.pending === 5);
  t.equal((await post(served.url, several)).status, 429, 'five more are too many');
  again();
  t.equal((await five).status, 200);
});

await tap.test('an answer that takes too long is 504, and its text leaves the queue', async (t) => {
  const served = await serving(t, directory, { requestTimeout: 0.2 });
  const release = served.hold();
  const [first] = await Promise.all(ask(served.url));
  t.match(first, { status: 504, body: { error: 'There was no answer within 0.2 seconds' } });
  t.equal(served.classifier.pending, 0);
  t.equal(served.classifier.waiting, 0);
  release();
  await answered(t, served, await Promise.all(ask(served.url)));
});

await tap.test('clients that go away while they wait', async (t) => {
  const served = await serving(t, directory, { maxBatchTokens: 1 });
  const release = served.hold();
  const sockets: Socket[] = [];
  const replies: Promise<Reply>[] = [];
  for (const text of texts) {
    sockets.push(await begun(served.url, JSON.stringify({ inputs: text })));
    replies.push(post(served.url, { inputs: text }));
  }
  await until(() => served.classifier.pending === 16);
  for (const socket of sockets) socket.destroy();
  await until(() => served.classifier.pending === 8);
  release();
  const own = await Promise.all(replies);
  t.ok(served.steps.length <= 9, `of those that went at most the one that ran: ${served.steps.length} steps`);
  await answered(t, served, own);
  t.match(await metricsOf(served.url), /bertune_requests_total\{status="499"\} 8/);
});

await tap.test('bodies that do not come, or only in part, hold up nobody', async (t) => {
  const served = await serving(t, directory, { requestTimeout: 0.5 });
  const slow = await Promise.all(Array.from({ length: 20 }, () => begun(served.url, '{"inputs": "', 1000)));
  const cut = await Promise.all(Array.from({ length: 5 }, () => begun(served.url, '{"inputs": "', 1000)));
  for (const socket of cut) socket.end();
  await answered(t, served, await Promise.all(ask(served.url)));
  for (const reply of await Promise.all(slow.map(replyOn))) {
    t.match(reply, /^HTTP\/1\.1 408 /);
    t.match(reply, /\{"error":"The request did not arrive within 0\.5 seconds"\}$/);
    t.match(reply, /^connection: close/im);
  }
  await answered(t, served, await Promise.all(ask(served.url)));
  // A head that never ends.
  const head = connect(Number(new URL(served.url).port), '127.0.0.1');
  head.write('POST / HTTP/1.1\r\nHost: a\r\n');
  t.match(await replyOn(head), /^HTTP\/1\.1 408 /);
  t.same(served.lines, []);
});

await tap.test('bodies that hold too much together are refused, not the small ones before', async (t) => {
  const served = await serving(t, directory, { payloadLimit: 2000, requestTimeout: 2 });
  const small = await begun(served.url, '{"inputs": "a fi', 20);
  const half = `{"inputs": "${'a'.repeat(1900)}`;
  const sockets = await Promise.all(Array.from({ length: 70 }, () => begun(served.url, half, 2000)));
  const replies = Promise.all(sockets.map(replyOn));
  await sleep(200);
  small.write('lm"}');
  t.match(await replyOn(small), /^HTTP\/1\.1 200 /);
  const statuses = (await replies).map((reply) => reply.slice(9, 12));
  t.same(new Set(statuses), new Set(['429', '408']), 'the last were too many, the others too slow');
  t.ok(statuses.filter((status) => status === '429').length <= 5);
  await answered(t, served, await Promise.all(ask(served.url)));
});

await tap.test('a flood gets answers or 429, each its own', async (t) => {
  const served = await serving(t, directory, { maxQueue: 20 });
  const own = Array.from({ length: 200 }, (_, row) => toyRow(row % 30).text);
  const replies = await Promise.all(ask(served.url, own));
  t.same(
    replies.filter(({ status }) => status !== 200 && status !== 429),
    [],
  );
  const taken = [...replies.entries()].filter(([, { status }]) => status === 200);
  t.ok(taken.length >= 20, `${taken.length} of 200`);
  const slices = Array.from({ length: Math.ceil(taken.length / 20) }, (_, i) =>
    taken.slice(i * 20, i * 20 + 20),
  );
  for (const slice of slices)
    await answered(
      t,
      served,
      slice.map(([, reply]) => reply),
      slice.map(([row]) => own[row] ?? ''),
    );
});

await tap.test('the end: what has arrived is answered, what comes later is refused', async (t) => {
  const served = await serving(t, directory);
  const idle = await fetch(`${served.url}/health`); // its connection stays open
  await idle.text();
  const slow = await begun(served.url, '{"inputs": "', 1000);
  const release = served.hold();
  const waiting = ask(served.url);
  const late = await begun(served.url, '{"inputs": "a', 15);
  await until(() => served.classifier.pending === 8);
  const stopped = Promise.all([served.classifier.close(), served.server.stop()]);
  late.write('"}');
  t.match(await replyOn(late), /^HTTP\/1\.1 503 .*\{"error":"The server is stopping"\}$/s);
  await t.rejects(fetch(served.url), 'no new connections');
  const isStopped = stopped.then(() => true);
  t.equal(await Promise.race([isStopped, sleep(50)]), undefined, 'it waits for the answers');
  release();
  const replies = await Promise.all(waiting);
  t.same(
    replies.map(({ status }) => status),
    texts.map(() => 200),
  );
  t.ok(await isStopped, 'and not for the body that does not come');
  t.equal(await replyOn(slow), '');
});

await tap.test('a client that does not read its answer does not hold its connection', async (t) => {
  const app = new Hono();
  const most = 64e6; // more than the buffers of a connection
  app.get('/', (c) => c.body('a'.repeat(most)));
  const server = await startServer(app, { host: '127.0.0.1', port: 0, requestTimeout: 0.1 });
  t.teardown(() => server.stop());
  const { hostname, port } = new URL(server.url);
  const socket = connect(Number(port), hostname);
  await once(socket, 'connect');
  socket.write('GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n');
  await sleep(4500); // a pause is noticed at the second look, a second later
  let bytes = 0;
  try {
    for await (const chunk of socket) bytes += Buffer.byteLength(String(chunk));
  } catch {
    // that it was closed is what is asked for
  }
  t.ok(bytes < most, `${bytes} bytes came`);
});
