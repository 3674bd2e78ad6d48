// Exported models where people use them: transformers.js in Node and in a browser. Labels and scores are those of `predict`, long
// texts among them, which transformers.js cuts without their last token.
import { join } from 'node:path';
import {
  AutoModelForSequenceClassification,
  AutoTokenizer,
  env,
  pipeline,
  type Tensor,
} from '@huggingface/transformers';
import type { Browser, Page } from 'playwright-core';
import t, { type Test } from 'tap';

import { serveExample, withoutNetwork } from '../../scripts/browser-example.mjs';
import { noBrowser, startBrowser } from '../fixtures/browser.js';
import { bertune, flags, type Options } from '../fixtures/cli.js';
import { toyRow } from '../fixtures/toy.js';
import { cheap, succeeded, toyTraining, workspace } from '../fixtures/workspace.js';

interface Scored {
  label: string;
  score: number;
}
interface Predicted extends Scored {
  probabilities: Record<string, number>;
}
type Classify = (texts: string | string[], options?: object) => Promise<(Scored | Scored[])[]>;

const folder = t.testdir();
const { here, read, write } = workspace(folder);
env.allowRemoteModels = false;
env.localModelPath = `${folder}/`;

/** At eight tokens nearly all of them are cut. */
const TEXTS = Array.from({ length: 200 }, (_, row) => toyRow(1000 + row).text);
const PAIRS = TEXTS.slice(0, 40).map((text, row) => ({
  text: text.split(' ').slice(0, 3).join(' '),
  other:
    TEXTS[row + 100]
      ?.split(' ')
      .slice(0, 3 + (row % 3))
      .join(' ') ?? '',
}));

async function run(t: Test, command: string, options: Options): Promise<void> {
  succeeded(t, command, await bertune([command, ...flags(options)], here));
}

/** Trains, exports and predicts; the model is in `NAME`, its export in `NAME-onnx`. */
async function made(t: Test, name: string, training: Options): Promise<Predicted[]> {
  await run(t, 'train', { ...toyTraining, ...training, 'output-dir': name });
  await run(t, 'export', { model: name, 'output-dir': `${name}-onnx`, dtype: 'fp32,fp16,q8,q4' });
  const output = `${name}-predicted.jsonl`;
  const rows = { 'test-file': `${training['text-pair-column'] === undefined ? 'texts' : 'pairs'}.jsonl` };
  await run(t, 'predict', { ...cheap, model: name, dtype: 'float32', ...rows, 'output-file': output });
  const lines = String(read(output)).trim().split('\n');
  return lines.map((line) => JSON.parse(line) as Predicted);
}

let single: Predicted[] = [];

t.before(async () => {
  const lines = (rows: readonly object[]): string => rows.map((row) => `${JSON.stringify(row)}\n`).join('');
  write('texts.jsonl', lines(TEXTS.map((text) => ({ text }))));
  write('pairs.jsonl', lines(PAIRS));
  write(
    'many.jsonl',
    lines(
      Array.from({ length: 60 }, (_, row) => toyRow(row)).map(({ text, label }, row) => ({
        text,
        labels: row % 3 === 0 ? [label, 'short'] : [label],
      })),
    ),
  );
  write(
    'both.jsonl',
    lines(
      Array.from({ length: 60 }, (_, row) => ({
        text: toyRow(row).text,
        other: toyRow(row + 7).text,
        label: toyRow(row).label,
      })),
    ),
  );
  single = await made(t, 'single', { 'max-seq-length': '8' });
});

/** Largest difference of scores; labels have to be the same. */
function compare(t: Test, found: readonly Scored[], expected: readonly Predicted[], what: string): void {
  t.equal(found.length, expected.length);
  const wrong = found.filter(({ label }, i) => label !== expected[i]?.label).length;
  const worst = Math.max(...found.map(({ score }, i) => Math.abs(score - (expected[i]?.score ?? NaN))));
  t.ok(
    wrong === 0 && worst < 1e-4,
    `${what}: ${wrong} other labels, scores differ by ${worst.toExponential(1)}`,
  );
}

const classifier = async (name: string, dtype?: 'fp32' | 'fp16' | 'q8' | 'q4'): Promise<Classify> =>
  pipeline('text-classification', name, dtype === undefined ? {} : { dtype });

t.test('a pipeline in Node', async (t) => {
  const classify = await classifier('single-onnx');
  const together = (await classify(TEXTS)) as Scored[];
  compare(t, together, single, '200 texts at once');
  const alone = await Promise.all(
    TEXTS.slice(0, 20).map(async (text) => (await classify(text))[0] as Scored),
  );
  compare(t, alone, single.slice(0, 20), 'one by one');
  const tokenizer = await AutoTokenizer.from_pretrained('single-onnx');
  const { input_ids: ids } = tokenizer(TEXTS, { padding: true, truncation: true }) as {
    input_ids: Tensor;
  };
  const rows = ids.tolist() as bigint[][];
  t.ok(
    rows.filter((row) => row.at(-1) !== 3n && row.at(-1) !== 0n).length > 100,
    'most have lost their last token',
  );
});

t.test('in fewer bits the answer to a text is the same in every batch', async (t) => {
  for (const dtype of ['q8', 'q4', 'fp16'] as const) {
    const classify = await classifier('single-onnx', dtype);
    const together = (await classify(TEXTS)) as Scored[];
    const alone: Scored[] = [];
    for (const text of TEXTS) alone.push((await classify(text))[0] as Scored);
    const worst = Math.max(...alone.map(({ score }, i) => Math.abs(score - (together[i]?.score ?? NaN))));
    t.ok(worst < (dtype === 'fp16' ? 1e-3 : 1e-5), `${dtype}: ${worst.toExponential(1)}`);
    const same = together.filter(({ label }, i) => label === single[i]?.label).length;
    t.ok(same >= 0.97 * TEXTS.length, `${dtype}: ${same} of 200 labels are those of predict`);
  }
});

t.test('several labels a text', async (t) => {
  const training = { 'train-file': 'many.jsonl', 'max-seq-length': '8' };
  const predicted = await made(t, 'several', training);
  const classify = await classifier('several-onnx');
  const scores = (await classify(TEXTS, { top_k: null })) as Scored[][];
  const worst = Math.max(
    ...scores.flatMap((own, i) =>
      own.map(({ label, score }) => Math.abs(score - (predicted[i]?.probabilities[label] ?? NaN))),
    ),
  );
  t.equal(scores[0]?.length, 3);
  t.ok(worst < 1e-4, `each for itself, as in predict (${worst})`);
});

t.test('pairs, by tokenizer and model', async (t) => {
  const predicted = await made(t, 'pairs', { 'train-file': 'both.jsonl', 'text-pair-column': 'other' });
  const tokenizer = await AutoTokenizer.from_pretrained('pairs-onnx');
  const model = await AutoModelForSequenceClassification.from_pretrained('pairs-onnx');
  const inputs = tokenizer(
    PAIRS.map(({ text }) => text),
    { text_pair: PAIRS.map(({ other }) => other), padding: true, truncation: true },
  );
  const { logits } = (await model(inputs)) as { logits: Tensor };
  const worst = Math.max(
    ...(logits.tolist() as number[][]).flatMap((row, i) => {
      const sum = row.reduce((total, logit) => total + Math.exp(logit), 0);
      return Object.values(predicted[i]?.probabilities ?? {}).map((p, label) =>
        Math.abs(Math.exp(row[label] ?? NaN) / sum - p),
      );
    }),
  );
  t.ok(worst < 1e-4, `probabilities differ by ${worst}`);
});

t.test('in a browser', { skip: noBrowser }, async (t) => {
  const browser: Browser = await startBrowser();
  const server = await serveExample(join(folder, 'single-onnx'));
  t.teardown(async () => {
    await browser.close();
    server.close();
  });
  const context = await browser.newContext();
  await withoutNetwork(context);
  for (const path of ['', 'model/']) {
    const page: Page = await context.newPage();
    const problems: string[] = [];
    page.on('pageerror', (error) => problems.push(String(error)));
    await page.goto(server.url + path);
    await page.getByText('Nothing leaves this page.').waitFor();
    const [text = ''] = TEXTS;
    await page.locator('#text').pressSequentially(text, { delay: 5 });
    const first = `document.querySelector('output div')?.textContent.split(' ').at(-1)`;
    await page.waitForFunction(`${first} === ${JSON.stringify(single[0]?.label)}`);
    t.equal(await page.locator('output meter').count(), 2, 'a bar for each label');
    t.same(problems, []);
    await page.close();
  }
  const alone = await browser.newContext();
  await alone.route(/^https:/, (route) => route.abort());
  const file = new URL('../../examples/browser/index.html', import.meta.url).href;
  for (const [url, message] of [
    [server.url, 'Failed to fetch'],
    [file, 'serve this folder, as with npx serve'],
  ] as const) {
    const page = await alone.newPage();
    await page.goto(url);
    await page.getByText(`The model could not be loaded: ${message}`).waitFor();
  }
  const page = await context.newPage();
  await page.goto(server.url);
  const inBrowser = (texts: string[], options: object): Promise<Scored[]> =>
    page.evaluate(
      async ([own, settings]) => {
        const library = 'https://cdn.jsdelivr.net/npm/@huggingface/transformers@4.3.2';
        const { env: clients, pipeline: load } = (await import(
          library
        )) as typeof import('@huggingface/transformers');
        clients.allowLocalModels = true;
        clients.allowRemoteModels = false;
        clients.localModelPath = '/';
        const classify = (await load('text-classification', 'model', settings)) as unknown as Classify;
        return (await classify(own)) as Scored[];
      },
      [texts, options] as const,
    );
  compare(t, await inBrowser(TEXTS, { dtype: 'fp32' }), single, '200 texts in float32');
  const usual = await inBrowser(TEXTS, {});
  const inNode = (await (await classifier('single-onnx', 'q8'))(TEXTS)) as Scored[];
  const worst = Math.max(...usual.map(({ score }, i) => Math.abs(score - (inNode[i]?.score ?? NaN))));
  t.ok(worst < 1e-4, `a page that names no dtype takes q8, and gets the answers of Node (${worst})`);
});
