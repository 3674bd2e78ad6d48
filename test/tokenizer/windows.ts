// Long texts as overlapping windows. Expected windows: scripts/reference/windows.py; pooled logits by definition.
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';

import {
  BertForSequenceClassification,
  BertTokenizer,
  classify,
  pack,
  parseBertConfig,
  predictRows,
  type Prediction,
} from '../../dist/index.js';
import { longTextsOf, textReading, type Pooling } from '../../dist/evaluation/long-texts.js';
import { createWindows } from '../../dist/tokenizer/index.js';
import { bertune, flags, type Options, type Outcome } from '../fixtures/cli.js';
import { makeToy, TOY_CONFIG, toyRow } from '../fixtures/toy.js';

interface Fixture {
  vocab: string[];
  cases: { side: string; text: string; max_length: number; stride: number; windows: number[][] }[];
}
const fixture = JSON.parse(
  readFileSync(join(import.meta.dirname, '../fixtures/windows.json'), 'utf8'),
) as Fixture;

const folder = t.testdir({
  letters: { 'vocab.txt': fixture.vocab.join('\n'), 'tokenizer_config.json': '{"do_lower_case": true}' },
  left: {
    'vocab.txt': fixture.vocab.join('\n'),
    'tokenizer_config.json': '{"do_lower_case": true, "truncation_side": "left"}',
  },
});
makeToy(folder, { train: 40, test: 20 });
const tokenizer = await BertTokenizer.fromPretrained(join(folder, 'model'));
const labels = ['neg', 'pos'];
const model = BertForSequenceClassification.fromConfig(parseBertConfig(TOY_CONFIG, 'toy'), { labels });
await model.savePretrained(join(folder, 'trained'));
await tokenizer.savePretrained(join(folder, 'trained'));
t.teardown(() => model.close());

/** Texts of 4 to 11 words, and two long ones among them. */
const texts = Array.from({ length: 12 }, (_, row) => toyRow(row).text);
texts[3] = Array.from({ length: 9 }, (_, row) => toyRow(row).text).join(' ');
texts[10] = Array.from({ length: 4 }, (_, row) => toyRow(row + 5).text).join(' ');
const data = {
  size: texts.length,
  read: (rows: ArrayLike<number>) => Promise.resolve(Array.from(rows, (row) => ({ text: texts[row] ?? '' }))),
};

async function logitsOf(options: { stride?: number; pooling?: Pooling }): Promise<number[][]> {
  const maxLength = 14;
  const longTexts = longTextsOf(tokenizer, { maxLength, ...options });
  const reading = textReading(tokenizer, { maxLength, workers: 1, longTexts, tokenTypes: 2 });
  const rows: number[][] = [];
  for await (const batch of predictRows(model, data, { ...reading, batchSize: 4 }))
    for (let i = 0; i < batch.rows; i++) rows.push(Array.from(batch.logits.subarray(2 * i, 2 * i + 2)));
  await reading.pool.close();
  return rows;
}

await t.test('windows are those of transformers', async (t) => {
  const tokenizers: Record<string, BertTokenizer> = {
    right: await BertTokenizer.fromPretrained(join(folder, 'letters')),
    left: await BertTokenizer.fromPretrained(join(folder, 'left')),
  };
  for (const { side, text, max_length: maxLength, stride, windows } of fixture.cases) {
    const own = tokenizers[side] ?? tokenizer;
    const cut = createWindows(own, { maxLength, stride })(own.encode(text));
    t.same(
      cut.map(({ ids }) => Array.from(ids)),
      windows,
      `${side}, ${maxLength} tokens, stride ${stride}: ${text}`,
    );
    t.same(
      cut[0]?.ids,
      own.encode(text, undefined, { maxLength }).ids,
      'the first is what truncation leaves',
    );
  }
});

await t.test('logits are pooled', async (t) => {
  const whole = await logitsOf({});
  const windowsOf = createWindows(tokenizer, { maxLength: 14, stride: 5 });
  const expectations: [Pooling, (values: number[]) => number][] = [
    ['mean', (values) => values.reduce((sum, value) => sum + value, 0) / values.length],
    ['max', (values) => Math.max(...values)],
  ];
  for (const [pooling, pool] of expectations) {
    const pooled = await logitsOf({ stride: 5, pooling });
    for (const [row, text] of texts.entries()) {
      const windows = windowsOf(tokenizer.encode(text));
      if (windows.length === 1) {
        t.same(pooled[row], whole[row], `row ${row} fits: the same bits`);
        continue;
      }
      const logits = await Promise.all(windows.map((window) => model.session.predict(pack([window]))));
      const expected = [0, 1].map((label) => pool(logits.map((values) => values[label] ?? Number.NaN)));
      const difference = Math.max(...expected.map((value, id) => Math.abs(value - (pooled[row]?.[id] ?? 9))));
      t.ok(difference < 1e-6, `${pooling} of ${windows.length} windows (${difference})`);
      t.notSame(pooled[row], whole[row], 'not the logits of the cut text');
    }
  }
  t.same(await logitsOf({ stride: 5 }), await logitsOf({ stride: 5, pooling: 'mean' }), 'mean by default');
});

await t.test('classify', async (t) => {
  const long = texts[3] ?? '';
  const [cut] = await classify(model, tokenizer, [long], { maxLength: 14 });
  const [whole] = await classify(model, tokenizer, [long], { maxLength: 14, stride: 5 });
  const [logits] = (await logitsOf({ stride: 5 })).slice(3);
  t.notSame(whole, cut);
  const [a = 0, b = 0] = logits ?? [];
  t.ok(Math.abs((whole?.probabilities['pos'] ?? 0) - 1 / (1 + Math.exp(a - b))) < 1e-6);
  // @ts-expect-error -- as in a script of JavaScript
  await t.rejects(classify(model, tokenizer, 'a'), {
    name: 'UsageError',
    message: 'Expected an array of texts for texts but received "a"',
  });
  await t.rejects(classify(model, tokenizer, [{ text: 'a', textPair: 'b' }], { stride: 5 }), {
    name: 'UsageError',
    message: 'A stride goes with single texts, not with pairs; leave the stride out',
  });
  await t.rejects(classify(model, tokenizer, ['a'], { maxLength: 14, stride: 12 }), {
    message: 'A stride of 12 tokens is too long: a window of 14 tokens holds 12 of the text; use at most 11',
  });
  for (const stride of [-1, 1.5])
    await t.rejects(classify(model, tokenizer, ['a'], { stride }), /whole number from 0/);
});

const shared = { threads: '1', 'dataloader-num-workers': '0', model: 'trained', 'max-seq-length': '14' };

function run(command: string, options: Options): Promise<Outcome> {
  return bertune([command, ...flags({ ...shared, ...options })], { cwd: folder });
}

await t.test('the commands', async (t) => {
  const rows = texts.map((text, row) => `${text},${labels[row % 2]}\n`);
  writeFileSync(join(folder, 'long.csv'), `text,label\n${rows.join('')}`);
  writeFileSync(join(folder, 'pairs.csv'), 'sentence1,sentence2,label\nfilm,plot,pos\nfilm,actor,neg\n');
  const predicted = await run('predict', { 'test-file': 'long.csv', stride: '5', 'text-column': 'text' });
  t.equal(predicted.code, 0, predicted.stderr);
  const predictions = predicted.stdout
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as Prediction);
  const probabilities = predictions.map((prediction) => prediction.probabilities['pos'] ?? 0);
  const logits = await logitsOf({ stride: 5 });
  const expected = logits.map(([a = 0, b = 0]) => 1 / (1 + Math.exp(a - b)));
  t.ok(Math.max(...expected.map((value, i) => Math.abs(value - (probabilities[i] ?? 9)))) < 1e-6);

  const evaluated = await run('evaluate', { 'validation-file': 'long.csv', stride: '5' });
  t.equal(evaluated.code, 0, evaluated.stderr);
  const { eval_loss: loss } = JSON.parse(evaluated.stdout) as { eval_loss: number };
  const nll = expected.map((p, row) => -Math.log(row % 2 === 1 ? p : 1 - p));
  t.ok(Math.abs(loss - nll.reduce((sum, value) => sum + value, 0) / nll.length) < 1e-6, 'evaluate pools too');

  const refusals: [string, Options, RegExp][] = [
    [
      'predict',
      { 'test-file': 'long.csv', stride: '12' },
      /A stride of 12 tokens is too long: .* use at most 11/,
    ],
    [
      'predict',
      { 'test-file': 'long.csv', stride: '-1' },
      /Expected a whole number of at least 0, or none for --stride/,
    ],
    ['predict', { 'test-file': 'long.csv', pooling: 'max' }, /--pooling needs --stride: without windows/],
    [
      'evaluate',
      { 'validation-file': 'long.csv', pooling: 'max' },
      /--pooling needs --stride: without windows/,
    ],
    [
      'predict',
      { 'test-file': 'long.csv', stride: '1', pooling: 'sum' },
      /Expected one of mean, max for --pooling/,
    ],
    ['predict', { 'test-file': 'pairs.csv', stride: '1' }, /A stride goes with single texts, not with pairs/],
    [
      'evaluate',
      { 'validation-file': 'pairs.csv', stride: '1' },
      /A stride goes with single texts, not with pairs/,
    ],
    ['train', { 'train-file': 'long.csv', 'output-dir': 'out', stride: '1' }, /--stride/],
  ];
  for (const [command, options, message] of refusals) {
    const outcome = await run(command, options);
    t.equal(outcome.code, 2, message.source);
    t.match(outcome.stderr, message);
  }
});
