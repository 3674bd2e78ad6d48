// Entities of texts: their places are exact whatever the text, windows are joined where a token has most context, and words keep theirs.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';

import {
  AutoModelForTokenClassification,
  AutoTokenizer,
  createClassifier,
  extractEntities,
  parseConfig,
  taskOf,
} from '../../dist/index.js';
import { createTokenAligner } from '../../dist/data/token-labels.js';
import { createEntityReader } from '../../dist/evaluation/entities.js';
import { joinWindows, longTextsOf } from '../../dist/evaluation/long-texts.js';
import { createApp } from '../../dist/serving/app.js';
import { ServerMetrics } from '../../dist/serving/metrics.js';
import { aggregationStrategies } from '../../dist/tasks/index.js';
import { Tokenizer } from '../../dist/tokenizer/index.js';
import { makeToy, TOY_CONFIG } from '../fixtures/toy.js';

const { model: folder } = makeToy(t.testdir(), { train: 1, test: 1 });
const tokenizer = await AutoTokenizer.fromPretrained(folder);
const labels = ['O', 'B-X', 'I-X', 'B-Y', 'I-Y'];
const task = taskOf('token_classification', labels);

const PARTS = [
  'good',
  'The',
  'film!',
  ' ',
  '  ',
  '\n',
  'é',
  'e\u0301',
  'ﬁlm',
  '👩‍🚀',
  '𝒳',
  'ACTOR',
  '中文',
  '\u200b',
  '(plot)',
  '',
  "don't",
  '\ud83d\ude00',
];
/** A pure function of the number, so that failures repeat. */
const dice = (seed: number, below: number): number =>
  Math.floor(((((Math.sin(seed * 12.9898) * 43758.5453) % 1) + 1) % 1) * below);
const textOf = (seed: number): string =>
  Array.from({ length: 1 + dice(seed, 12) }, (_, i) => PARTS[dice(seed * 31 + i, PARTS.length)]).join(
    dice(seed, 3) === 0 ? '' : ' ',
  );

t.test('text.slice(start, end) is the entity, by each strategy, and entities do not overlap', (t) => {
  let entities = 0;
  for (let seed = 0; seed < 400; seed++) {
    const text = textOf(seed);
    const encoding = tokenizer.encode(text, undefined, { withOffsets: true });
    const logits = Float32Array.from(
      { length: encoding.ids.length * labels.length },
      (_, i) => 4 * Math.sin(seed + i * i),
    );
    for (const strategy of aggregationStrategies) {
      let before = 0;
      for (const { start, end, text: own, score, label } of createEntityReader(task, tokenizer, strategy)(
        { text },
        encoding,
        logits,
      )) {
        entities++;
        if (
          text.slice(start, end) === own &&
          own.trim() === own &&
          own !== '' &&
          start >= before &&
          score > 0 &&
          score <= 1 &&
          label !== 'O'
        ) {
          before = strategy === 'none' ? 0 : end;
          continue;
        }
        t.fail(`${JSON.stringify(text)}, ${strategy}: ${JSON.stringify({ start, end, own })}`);
      }
    }
  }
  t.ok(entities > 3000, `${entities} entities`);
  t.end();
});

t.test('windows are joined to what each token says where it has most context', (t) => {
  const text = 'the film was good and the plot was bad with music and a scene the actor was fine';
  const whole = tokenizer.encode(text);
  const longTexts = longTextsOf(tokenizer, { maxLength: 8, stride: 3 });
  if (longTexts === undefined) throw new Error('no windows');
  const windows = longTexts.windowsOf(whole);
  t.ok(windows.length > 3);
  // Of each token its id and the number of its window: those of the whole text come back, whichever window they are from.
  const logits = windows.map(({ ids }, window) => Float32Array.from([...ids].flatMap((id) => [id, window])));
  const joined = joinWindows(windows, logits, longTexts);
  t.same(
    joined.filter((_, i) => i % 2 === 0),
    Float32Array.from(whole.ids),
    'each token once, in order',
  );
  const from = joined.filter((_, i) => i % 2 === 1).slice(1, -1);
  t.same(from, from.toSorted(), 'the windows in their order');
  // Windows of 6 tokens that share 3: of these the first two have more before them, and the last has more behind it.
  t.same(Array.from(from.subarray(0, 9)), [0, 0, 0, 0, 0, 1, 1, 1, 2]);
  t.equal(joinWindows(windows.slice(0, 1), logits.slice(0, 1), longTexts), logits[0]);
  t.end();
});

t.test('texts and words in memory', async (t) => {
  const model = AutoModelForTokenClassification.fromConfig(parseConfig(TOY_CONFIG, 'toy'), { labels });
  await model.open({ device: 'cpu', dtype: 'float32', threads: 1, seed: 3 });
  const text = 'the film was good and the plot was bad with music';
  const tokens = text.split(' ');
  const [whole, byWords, none, cut, windows] = await Promise.all([
    extractEntities(model, tokenizer, [text, '']),
    extractEntities(model, tokenizer, [{ tokens }]),
    extractEntities(model, tokenizer, [text], { aggregationStrategy: 'none' }),
    extractEntities(model, tokenizer, [text], { maxLength: 6, aggregationStrategy: 'none' }),
    extractEntities(model, tokenizer, [text], { maxLength: 32, stride: 4 }),
  ]);
  t.ok((whole[0]?.length ?? 0) > 1, 'random weights find something');
  t.same(whole[1], []);
  t.same(windows[0], whole[0], 'a text that fits is its only window');
  const bare = byWords[0]?.map(({ label, score, start, end, text: word }) => ({
    label,
    score,
    start,
    end,
    text: word,
  }));
  t.same(bare, whole[0], 'words that are those of the text');
  for (const { words: [first, end] = [0, 0], text: own } of byWords[0] ?? [])
    t.equal(tokens.slice(first, end).join(' '), own);
  t.ok((none[0]?.at(-1)?.end ?? 0) > (cut[0]?.at(-1)?.end ?? 0), 'longer texts are cut');
  t.match(none[0], [{ label: /^[BI]-/ }], 'each token has its label');
  const wrong = extractEntities(model, tokenizer, [{ tokens: 'a b' } as never]);
  await t.rejects(wrong, { name: 'UsageError', message: /a text, or \{ tokens \} with its words/ });
  await model.close();
});

t.test('labels of words and parts by token, with -100 where there is none', (t) => {
  const encode = (text: string) => tokenizer.encode(text, undefined, { withOffsets: true });
  const text = 'film-dull good';
  const at = {
    words: [
      { start: 0, end: 9 },
      { start: 10, end: 14 },
    ],
    labels: ['B-X', 'O'],
  };
  const align = (which: 'first' | 'all', example: object, own = task) =>
    Array.from(createTokenAligner(own, which)?.([{ text, ...example }], [encode(text)]) ?? []);
  // [CLS] film - dull good [SEP]
  t.same(align('first', { marks: at }), [-100, 1, -100, -100, 0, -100]);
  t.same(align('all', { marks: at }), [-100, 1, 2, 2, 0, -100]);
  const spans = { spans: [{ start: 5, end: 14, label: 'Y' }] };
  t.same(align('first', { marks: spans }), [-100, 0, 0, 3, 4, -100]);
  const iobes = taskOf('token_classification', ['O', 'B-Y', 'I-Y', 'E-Y', 'S-Y']);
  t.same(align('first', { marks: spans }, iobes), [-100, 0, 0, 1, 3, -100]);
  t.same(
    align('first', { marks: spans }, taskOf('token_classification', ['O', 'Y'])),
    [-100, 0, 0, 1, 1, -100],
  );
  t.equal(createTokenAligner(taskOf('regression', ['x']), 'first'), null);
  t.throws(() => align('first', {}), /The examples have no marks/);
  t.end();
});

t.test('punctuation at the ends of a word is no part of it, however long the text', (t) => {
  // A token for each character, and no mark of what continues a word.
  const vocab = Object.fromEntries(Array.from('abc.(👍 \n', (character, id) => [character, id]));
  const characters = Tokenizer.fromSpec({
    tokenizerJson: { model: { type: 'BPE', vocab, merges: [] } },
    tokenizerConfig: {},
  });
  const read = createEntityReader(task, characters, 'first');
  const wordsOf = (text: string): string[] => {
    const encoding = characters.encode(text, undefined, { withOffsets: true });
    const logits = Float32Array.from({ length: labels.length * encoding.ids.length }, (_, i) =>
      i % labels.length === 1 ? 1 : 0,
    );
    return read({ text }, encoding, logits).map((entity) => entity.text);
  };
  t.same(wordsOf('a.b'), ['a.b']);
  t.same(wordsOf('(ab.c).\nc👍 ..'), ['(', 'ab.c', '.', 'c', '👍', '.', '.']);
  // Work that grows with more than the length would not end in the time of a test.
  const found = wordsOf(`${'a'.repeat(20_000)} ${'bb '.repeat(5_000)}`);
  t.same([found.length, found[0]?.length, found.at(-1)], [5_001, 20_000, 'bb']);
  t.end();
});

t.test('an unknown token begins a word, also in the middle of one', (t) => {
  const kinds = readFileSync(join(import.meta.dirname, '../fixtures/tokenizer-kinds.json'), 'utf8');
  const { tokenizers } = JSON.parse(kinds) as { tokenizers: { unigram: object } };
  const unigram = Tokenizer.fromSpec({ tokenizerJson: tokenizers.unigram, tokenizerConfig: {} });
  const text = 'the☃the film☃ the';
  const encoding = unigram.encode(text, undefined, { withOffsets: true });
  const logits = Float32Array.from({ length: labels.length * encoding.ids.length }, (_, i) =>
    i % labels.length === 1 ? 1 : 0,
  );
  // is_subword of gather_pre_entities in transformers 5.18
  t.same(
    createEntityReader(task, unigram, 'first')({ text }, encoding, logits).map((entity) => entity.text),
    ['the', '☃the', 'film', '☃', 'the'],
  );
  t.end();
});

t.test('a server answers in the form of the pipeline', async (t) => {
  const model = AutoModelForTokenClassification.fromConfig(parseConfig(TOY_CONFIG, 'toy'), { labels });
  await model.open({ device: 'cpu', dtype: 'float32', threads: 1, seed: 3 });
  const classifier = await createClassifier(model, { tokenizer, dataloaderNumWorkers: 0 });
  const limits = { maxClientBatchSize: 8, payloadLimit: 1e6, requestTimeout: 10 };
  const app = createApp(classifier, limits, { metrics: new ServerMetrics(), log: () => undefined });
  const post = async (body: object): Promise<[number, unknown]> => {
    const headers = { 'content-type': 'application/json' };
    const response = await app.request('/', { method: 'POST', headers, body: JSON.stringify(body) });
    return [response.status, await response.json()];
  };
  const text = 'the film was good and the plot was bad with music';
  const [own = []] = await extractEntities(model, tokenizer, [text]);
  const wanted = own.map(({ label, text: word, start, end }) => ({ entity_group: label, word, start, end }));
  t.match(await post({ inputs: text }), [200, wanted], 'one text');
  t.match(await post({ inputs: [text, 'x'] }), [200, [wanted, Array]], 'a list');
  const none = { inputs: text, parameters: { aggregation_strategy: 'none' } };
  t.match(await post(none), [200, [{ entity: /^[BI]-/ }]]);
  t.match(await post({ inputs: text, parameters: { top_k: 1 } }), [
    422,
    { error: /has no top_k; it takes aggregation_strategy/ },
  ]);
  await t.rejects(classifier.classify(text), {
    name: 'UsageError',
    message: /extractEntities\(\) gives the entities/,
  });
  await classifier.close();
  await model.close();
});
