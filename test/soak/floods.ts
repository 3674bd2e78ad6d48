// A server under floods, killed clients, bodies that stop half-way and requests that are none, for a minute: every well-behaved
// client gets each of its answers, and its own, and memory does not grow. SOAK_SECONDS and SOAK_SEED change the course.
import { once } from 'node:events';
import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';

import { createClassifier } from '../../dist/index.js';
import { randomNumbers } from '../../dist/util/random.js';
import { startBertune } from '../fixtures/cli.js';
import { post, randomModel, RUNTIME } from '../fixtures/serving.js';
import { toyRow } from '../fixtures/toy.js';

const SECONDS = Number(process.env['SOAK_SECONDS'] ?? 60);
const random = randomNumbers(Number(process.env['SOAK_SEED'] ?? 1));
const MOST_GROWTH = 64e6;

const texts = Array.from({ length: 50 }, (_, row) => toyRow(row).text);
const pick = (): number => Math.floor(random() * texts.length);

await t.test('floods', { timeout: 0 }, async (t) => {
  const folder = t.testdir();
  const directory = await randomModel(folder, {
    problemType: 'single_label_classification',
    labels: ['neg', 'pos'],
  });
  await using classifier = await createClassifier(directory, RUNTIME);
  const expected = await classifier.classify(texts);
  const flags = [
    '--port',
    '0',
    '--dtype',
    'float32',
    '--max-queue',
    '64',
    '--request-timeout',
    '5',
    '--payload-limit',
    '10000',
  ];
  // V8 lets its heap grow before it looks for what is free; a leak shows in a small one.
  const env = { NODE_OPTIONS: '--max-semi-space-size=2 --max-old-space-size=80' };
  const server = startBertune(['serve', directory, ...flags], { cwd: folder, env });
  const urlOf = (): string => / at (http:\S+) /.exec(server.stderr())?.[1] ?? '';
  while (urlOf() === '') await sleep(20);
  const url = urlOf();
  const { hostname, port } = new URL(url);
  const metric = async (name: string): Promise<number> => {
    const text = await (await fetch(`${url}/metrics`)).text();
    return Number(new RegExp(`^${name} (\\S+)$`, 'm').exec(text)?.[1]);
  };

  const counts = { answers: 0, refused: 0, wrong: 0, killed: 0, slow: 0, bad: 0, unexpected: 0 };
  const began = performance.now();
  const isOver = (): boolean => performance.now() - began > SECONDS * 1000;
  const whileRunning = async (work: () => Promise<void>): Promise<void> => {
    while (!isOver()) await work();
  };

  /** A client that comes again until it has its answer. */
  const ask = async (): Promise<void> => {
    const row = pick();
    for (;;) {
      const { status, body } = await post(url, { inputs: texts[row] });
      if (status === 429) {
        counts.refused += 1;
        await sleep(20 * random());
        continue;
      }
      const [answer = []] = status === 200 ? (body as { label: string; score: number }[][]) : [];
      const isSame = answer.every(
        ({ label, score }) => Math.abs(score - (expected[row]?.probabilities[label] ?? NaN)) < 1e-6,
      );
      if (answer.length === 2 && isSame) counts.answers += 1;
      else counts.wrong += 1;
      return;
    }
  };
  const raw = async (head: string, milliseconds: number): Promise<void> => {
    const socket = connect(Number(port), hostname);
    socket.on('error', () => undefined).resume();
    await once(socket, 'connect');
    socket.write(head);
    await sleep(milliseconds);
    socket.destroy();
  };
  const request = (body: string, length = Buffer.byteLength(body)): string =>
    `POST / HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: ${length}\r\n\r\n${body}`;
  const kill = async (): Promise<void> => {
    await raw(
      request(JSON.stringify({ inputs: Array.from({ length: 8 }, () => texts[pick()]) })),
      4 * random(),
    );
    counts.killed += 1;
  };
  const dawdle = async (): Promise<void> => {
    await raw(request('{"inputs": "', 5000), random() < 0.1 ? 6000 : 300 * random());
    counts.slow += 1;
  };
  const flood = async (): Promise<void> => {
    await Promise.all(Array.from({ length: 150 }, ask));
    await sleep(500);
  };
  const misbehave = async (): Promise<void> => {
    const bodies: [string, number][] = [
      ['{', 400],
      ['{"inputs": 5}', 422],
      [`{"inputs": "${'a'.repeat(20_000)}"}`, 413],
    ];
    const [body, status] = bodies[Math.floor(random() * 3)] ?? ['', 400];
    const found = (await post(url, body)).status;
    // A full queue refuses before it looks.
    if (found === status || found === 429) counts.bad += 1;
    else counts.unexpected += 1;
    await sleep(10);
  };

  let early = 0;
  const watch = async (): Promise<void> => {
    await sleep(SECONDS * 250);
    early = await metric('process_resident_memory_bytes');
  };
  const several = (count: number, work: () => Promise<void>): Promise<void>[] =>
    Array.from({ length: count }, () => whileRunning(work));
  await Promise.all([
    watch(),
    ...several(16, ask),
    ...several(8, kill),
    ...several(8, dawdle),
    ...several(2, misbehave),
    ...several(1, flood),
  ]);
  process.stderr.write(`  ${JSON.stringify(counts)}\n`);
  t.ok(
    counts.answers > 10 * SECONDS && counts.killed > SECONDS && counts.slow > SECONDS,
    'there was a flood',
  );
  t.equal(counts.wrong, 0, 'each answer is that of its own text');
  t.equal(counts.unexpected, 0);
  t.equal((await fetch(`${url}/health`)).status, 200);
  t.equal(await metric('bertune_pending_texts'), 0, 'nothing is left of those that went');
  t.equal(await metric('bertune_queue_length'), 0);
  const growth = (await metric('process_resident_memory_bytes')) - early;
  process.stderr.write(`  memory grew by ${(growth / 1e6).toFixed(1)} MB after the first quarter\n`);
  t.ok(growth < MOST_GROWTH, `${growth} bytes more`);
  server.kill('SIGTERM');
  const { code, stderr } = await server.outcome;
  t.equal(code, 0, stderr);
  t.notMatch(stderr, /failed/);
});
