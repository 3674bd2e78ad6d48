// The HTTP server: requests and answers as Hugging Face's clients send and read them, and all that is refused.
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import tap, { type Test } from 'tap';
import { predict, type Prediction, type TextExample } from '../../dist/index.js';
import { softmax } from '../../dist/tasks/probabilities.js';
import { writeCalibration } from '../../dist/tasks/calibration.js';
import { post, randomModel, RUNTIME, serving, type TestServer } from '../fixtures/serving.js';
import { toyRow } from '../fixtures/toy.js';

interface Scored {
  label: string;
  score: number;
  predicted?: boolean;
}

const folder = tap.testdir();
const texts = Array.from({ length: 12 }, (_, row) => toyRow(row).text);
const directory = await randomModel(folder, {
  problemType: 'single_label_classification',
  labels: ['neg', 'pos', 'so-so'],
});
await writeCalibration(
  directory,
  { temperature: 2 },
  {
    problemType: 'single_label_classification',
    labels: ['neg', 'pos', 'so-so'],
  },
);

/** What predict says of texts, each by itself. */
async function predicted(
  { model, tokenizer }: TestServer,
  own: readonly (string | TextExample)[],
): Promise<Prediction[]> {
  const all = own.map((text) => predict(model, tokenizer, [text], RUNTIME));
  return (await Promise.all(all)).flat();
}

async function answersOf(t: Test, url: string, request: unknown): Promise<Scored[][]> {
  const { status, body } = await post(url, request);
  t.equal(status, 200, JSON.stringify(body).slice(0, 200));
  return body as Scored[][];
}

/** Labels with their scores, the highest first, within 1e-6. */
function same(t: Test, found: readonly Scored[][], wanted: readonly Record<string, number>[]): void {
  const sorted = wanted.map((row) => Object.entries(row).toSorted(([, a], [, b]) => b - a));
  t.same(
    found.map((row) => row.map(({ label }) => label)),
    sorted.map((row) => row.map(([label]) => label)),
  );
  const off = found.flatMap((row, i) =>
    row.map(({ score }, j) => Math.abs(score - (sorted[i]?.[j]?.[1] ?? NaN))),
  );
  t.ok(Math.max(...off) < 1e-6, `scores within ${Math.max(...off)}`);
}

await tap.test('texts and pairs get the probabilities of predict, as lists of labels', async (t) => {
  const served = await serving(t, directory);
  const { url } = served;
  const pair = { text: texts[0] ?? '', text_pair: texts[1] ?? '' };
  const [first, second, both] = await predicted(served, [
    texts[0] ?? '',
    texts[1] ?? '',
    { text: pair.text, textPair: pair.text_pair },
  ]);
  const rows = (...all: (Prediction | undefined)[]) => all.map((one) => one?.probabilities ?? {});
  same(t, await answersOf(t, url, { inputs: texts[0] }), rows(first));
  same(t, await answersOf(t, url, { inputs: [texts[0]] }), rows(first));
  same(t, await answersOf(t, url, { inputs: texts.slice(0, 2) }), rows(first, second));
  same(t, await answersOf(t, url, { inputs: pair }), rows(both));
  same(
    t,
    await answersOf(t, url, { inputs: [pair, texts[1], { text: texts[0] }] }),
    rows(both, second, first),
  );
  same(
    t,
    await answersOf(t, url, { inputs: { text: texts[0], text_pair: null }, parameters: null }),
    rows(first),
  );

  const [best] = await answersOf(t, url, { inputs: texts[0], parameters: { top_k: 1 } });
  t.same(
    best?.map(({ label }) => label),
    [first?.label],
    'the best',
  );
  t.equal((await answersOf(t, url, { inputs: 'a', parameters: { top_k: 99 } }))[0]?.length, 3);
  t.equal((await answersOf(t, url, { inputs: 'a', parameters: { top_k: null } }))[0]?.length, 3);

  const [logits = new Float32Array()] = await served.classifier.logits([texts[0] ?? '']);
  const named = (scores: readonly number[]) => [
    Object.fromEntries(served.model.task.labels.map((label, id) => [label, scores[id] ?? 0])),
  ];
  const asked = (name: string) =>
    answersOf(t, url, { inputs: texts[0], parameters: { function_to_apply: name } });
  same(t, await asked('none'), named(Array.from(logits)));
  same(t, await asked('softmax'), named(softmax(logits.map((logit) => logit / 2))));
  same(t, await asked('sigmoid'), named(Array.from(logits, (logit) => 1 / (1 + Math.exp(-logit / 2)))));
  // What clients may add.
  same(
    t,
    await answersOf(t, url, { inputs: texts[0], model: 'm', options: { use_cache: false } }),
    rows(first),
  );
});

await tap.test('several labels, with those above their thresholds; values of a regression', async (t) => {
  const task = { problemType: 'multi_label_classification', labels: ['film', 'music', 'actor'] } as const;
  const path = await randomModel(folder, { ...task, labels: [...task.labels] });
  const medians = async ({ classifier }: TestServer) => {
    const rows = await classifier.logits(texts);
    const sorted = task.labels.map((_, id) => rows.map((row) => row[id] ?? 0).toSorted((a, b) => a - b));
    // Between two texts, so that rounding decides nothing.
    return sorted.map((column) => 1 / (1 + Math.exp(-((column[5] ?? 0) + (column[6] ?? 0)) / 2)));
  };
  await writeCalibration(path, { thresholds: await medians(await serving(t, path)) }, task);
  const labels = await serving(t, path);
  const wanted = await predicted(labels, texts);
  const found = await answersOf(t, labels.url, { inputs: texts });
  same(
    t,
    found,
    wanted.map(({ probabilities }) => probabilities),
  );
  const given = found.map((row) => row.filter((one) => one.predicted).map(({ label }) => label));
  t.same(
    given.map((row) => new Set(row)),
    wanted.map(({ label }) => new Set([label].flat())),
  );
  t.ok(new Set(given.map((row) => row.join())).size > 1, 'not the same for all');

  const values = await serving(
    t,
    await randomModel(folder, { problemType: 'regression', labels: ['LABEL_0'] }),
  );
  const numbers = await predicted(values, texts);
  same(
    t,
    await answersOf(t, values.url, { inputs: texts }),
    numbers.map(({ score }) => ({ LABEL_0: score })),
  );
});

await tap.test('concurrent requests share steps, and each gets its own answer', async (t) => {
  const served = await serving(t, directory);
  const release = served.hold();
  const asked = texts.map((text) => answersOf(t, served.url, { inputs: text }));
  while (served.classifier.pending < texts.length) await new Promise((resolve) => setTimeout(resolve, 5));
  release();
  same(
    t,
    (await Promise.all(asked)).flat(),
    (await predicted(served, texts)).map(({ probabilities }) => probabilities),
  );
  t.ok(served.steps.length <= 3, `${served.steps.join()} texts a step`);
});

await tap.test('what is no request', async (t) => {
  const { url, steps } = await serving(t, directory, { maxClientBatchSize: 3 });
  const text = 'a text, or {"text", "text_pair"} for a pair';
  const cases: [unknown, number, string][] = [
    ['{"inputs": ', 400, 'The body is not JSON; send {"inputs": "a text"}'],
    ['', 400, 'The body is not JSON; send {"inputs": "a text"}'],
    ['"a"', 422, 'Expected an object with inputs for the body but received "a"'],
    [[1, 2], 422, 'Expected an object with inputs for the body but received an array of length 2'],
    [{}, 422, `inputs is needed: ${text}, or a list of these`],
    [{ inputs: null }, 422, `Expected ${text}, or a list of these for inputs but received null`],
    [{ inputs: 5 }, 422, `Expected ${text}, or a list of these for inputs but received 5`],
    [{ inputs: [] }, 422, 'inputs has no texts; give it one'],
    [{ inputs: ['a', 5] }, 422, `Expected ${text} for inputs[1] but received 5`],
    [{ inputs: [['a', 'b']] }, 422, `Expected ${text} for inputs[0] but received an array of length 2`],
    [
      { inputs: [{ text: 'a', textPair: 'b' }] },
      422,
      'inputs[0] has no textPair; it takes text and text_pair',
    ],
    [
      { inputs: ['a', 'b', 'c', 'd'] },
      422,
      'inputs has 4 texts, and a request takes 3; make several requests',
    ],
    [
      { inputs: [5, {}, null, 5] },
      422,
      'inputs has 4 texts, and a request takes 3; make several requests', // before each is looked at
    ],
    [
      { inputs: { text: 'a', a: 1, b: 1, c: 1, ['d'.repeat(99)]: 1 } },
      422,
      'inputs has no a, b, c ... (4); it takes text and text_pair',
    ],
    [{ inputs: 'a', parameters: 5 }, 422, 'Expected an object for parameters but received 5'],
    [
      { inputs: 'a', parameters: { topk: 1 } },
      422,
      'parameters has no topk; it takes top_k and function_to_apply',
    ],
    [
      { inputs: 'a', parameters: { top_k: 0 } },
      422,
      'Expected a whole number of at least 1 for parameters.top_k but received 0',
    ],
    [
      { inputs: 'a', parameters: { function_to_apply: 'tanh' } },
      422,
      'Expected one of sigmoid, softmax, none for parameters.function_to_apply but received "tanh"',
    ],
  ];
  for (const [body, status, error] of cases) {
    const reply = await post(url, body);
    t.same([reply.status, reply.body], [status, { error }], error);
  }
  const bytes = { body: Buffer.from('7b22696e70757473223a22ff227d', 'hex') }; // {"inputs":"\xff"}
  t.match(await post(url, '', bytes), { status: 400, body: { error: /not UTF-8/ } });
  t.match(await post(url, '{"inputs":"a"}', { headers: { 'Content-Type': 'text/plain' } }), { status: 415 });
  t.same(steps, [], 'none of them reached the model');
});

await tap.test('other paths and methods', async (t) => {
  const { url } = await serving(t, directory);
  for (const [path, method, status, allow] of [
    ['/', 'GET', 405, 'POST'],
    ['/', 'PUT', 405, 'POST'],
    ['/health', 'POST', 405, 'GET, HEAD'],
    ['/metrics', 'DELETE', 405, 'GET, HEAD'],
    ['/none', 'GET', 404, null],
    ['/none', 'POST', 404, null],
    ['//', 'POST', 404, null],
  ] as const) {
    const response = await fetch(`${url}${path}`, { method, ...(method === 'POST' && { body: '{}' }) });
    t.same([response.status, response.headers.get('allow')], [status, allow], `${method} ${path}`);
    const { error } = (await response.json()) as { error: string };
    t.match(error, status === 404 ? 'There is no such path' : `${path} takes ${allow}`);
    if (path === '/') t.match(error, 'POST of {"inputs": "a text"} as application/json');
  }
});

await tap.test('a body in chunks of any size', async (t) => {
  const served = await serving(t, directory);
  const text = texts.join(' ').repeat(60);
  const body = Buffer.from(JSON.stringify({ inputs: text }));
  t.ok(body.length > 10_000);
  const wanted = (await predicted(served, [text])).map(({ probabilities }) => probabilities);
  for (const size of [7, 4096, 5000, body.length]) {
    const stream = new ReadableStream({
      start: (controller) => {
        for (let i = 0; i < body.length; i += size) controller.enqueue(body.subarray(i, i + size));
        controller.close();
      },
    });
    const reply = await post(served.url, '', { body: stream, duplex: 'half' } as RequestInit);
    t.equal(reply.status, 200);
    same(t, reply.body as Scored[][], wanted);
  }
});

await tap.test('too much at a time', async (t) => {
  const { url, steps } = await serving(t, directory, { payloadLimit: 1000 });
  const error = 'The body has more than 1000 bytes; send less at a time';
  const exact = JSON.stringify({ inputs: 'a'.repeat(1000 - 13) });
  t.equal(exact.length, 1000);
  t.equal((await post(url, exact)).status, 200);
  t.match(await post(url, `${exact} `), { status: 413, body: { error } }, 'by its length');
  const stream = new ReadableStream({
    start: (controller) => {
      for (let i = 0; i < 11; i++) controller.enqueue(Buffer.alloc(100, 'a'));
      controller.close();
    },
  });
  const chunked = { body: stream, duplex: 'half' } as RequestInit;
  t.match(await post(url, '', chunked), { status: 413, body: { error } }, 'in chunks');
  t.equal(steps.length, 1);
});

await tap.test('/health and /metrics', async (t) => {
  const { url, failWith, lines } = await serving(t, directory);
  const health = async () => {
    const response = await fetch(`${url}/health`);
    return [response.status, await response.json()];
  };
  t.same(await health(), [200, { status: 'ok' }]);
  t.equal((await fetch(`${url}/health`, { method: 'HEAD' })).status, 200);
  await post(url, { inputs: ['a film', 'a plot'] });
  await post(url, { inputs: 5 });
  failWith(new Error('secret'));
  t.match(await post(url, { inputs: 'a' }), { status: 500, body: { error: 'Internal error' } });
  t.same(lines, ['a request failed: secret'], 'the log has what the client does not get');
  const { RunError } = await import('../../dist/index.js');
  failWith(new RunError('the session is closed'));
  t.match(await post(url, { inputs: 'a' }), { status: 500, body: { error: 'the session is closed' } });
  t.same(await health(), [503, { error: 'the session is closed' }]);
  failWith(undefined);
  t.equal((await post(url, { inputs: 'a' })).status, 200);
  t.same(await health(), [200, { status: 'ok' }], 'healthy again');

  const response = await fetch(`${url}/metrics`);
  t.match(response.headers.get('content-type'), /^text\/plain; version=0\.0\.4/);
  const metrics = await response.text();
  for (const line of [
    'bertune_requests_total{status="200"} 2',
    'bertune_requests_total{status="422"} 1',
    'bertune_requests_total{status="500"} 2',
    'bertune_request_duration_seconds_count 5',
    'bertune_batch_texts_bucket{le="1"} 1',
    'bertune_batch_texts_bucket{le="2"} 2',
    'bertune_texts_total 3',
    'bertune_tokens_total 11', // two texts of four tokens, one of three
    'bertune_queue_length 0',
    'bertune_pending_texts 0',
  ])
    t.ok(metrics.split('\n').includes(line), line);
  t.match(metrics, /^process_resident_memory_bytes \d/m);
});

const python = process.env['BERTUNE_PYTHON'];
const unless = python === undefined && 'needs BERTUNE_PYTHON';
await tap.test('the client of huggingface_hub', { skip: unless }, async (t) => {
  const { url, classifier } = await serving(t, directory);
  const script = `
import json, sys
from huggingface_hub import InferenceClient
client = InferenceClient(sys.argv[1])
answers = [client.text_classification("a film"), client.text_classification("a film", top_k=1, function_to_apply="none")]
print(json.dumps([[[one.label, one.score] for one in answer] for answer in answers]))
try:
    client.text_classification(5)
except Exception as error:
    print(error.response.status_code)
`;
  const { stdout } = await promisify(execFile)(python ?? '', ['-c', script, url], {
    env: { ...process.env, HF_HOME: join(folder, 'hub') },
  });
  const [answers = '', status] = stdout.split('\n');
  const { probabilities, label } = await classifier.classify('a film');
  const [logits = new Float32Array()] = await classifier.logits(['a film']);
  t.same(JSON.parse(answers), [
    Object.entries(probabilities).toSorted(([, a], [, b]) => b - a),
    [[label, Math.max(...logits)]],
  ]);
  t.equal(status, '422');
});
