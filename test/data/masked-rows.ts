// What a masked language model reads: how texts become rows, and which of their tokens are masked, as DataCollatorForLanguageModeling
// of transformers does it: https://github.com/huggingface/transformers/blob/v5.18.0/src/transformers/data/data_collator.py
import { join } from 'node:path';
import { mkdirSync, writeFileSync } from 'node:fs';
import tap from 'tap';

import {
  BertTokenizer,
  createTokenizerPool,
  loadDataset,
  maskedRows,
  textsInMemory,
  type BatchPlace,
  type MaskedRowsOptions,
  type PackedBatch,
} from '../../dist/index.js';

const NONE = -100;
const SPECIALS = ['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]'];
const WORDS = Array.from({ length: 95 }, (_, i) => (i % 3 === 2 ? `##w${i}` : `w${i}`));
const [CLS, SEP, MASK] = [2, 3, 4];
const FIRST = SPECIALS.length;

const folder = tap.testdir();
mkdirSync(join(folder, 'model'));
writeFileSync(join(folder, 'model', 'vocab.txt'), `${[...SPECIALS, ...WORDS].join('\n')}\n`);
writeFileSync(join(folder, 'model', 'tokenizer_config.json'), JSON.stringify({ do_lower_case: true }));
const tokenizer = await BertTokenizer.fromPretrained(join(folder, 'model'));

/** Texts of words that are one token or two. */
function textOf(row: number): string {
  return Array.from({ length: 3 + (row % 17) }, (_, i) => {
    const word = (row * 7 + i * i * 3) % 95;
    return word % 3 === 1
      ? `w${word}w${word + 1 - (word === 94 ? 94 : 0)}`
      : `w${word - (word % 3 === 2 ? 2 : 0)}`;
  }).join(' ');
}
const texts = Array.from({ length: 400 }, (_, row) => textOf(row));
const pool = createTokenizerPool(tokenizer, { maxLength: 12, workers: 0 });

async function batchOf(
  options: Partial<MaskedRowsOptions>,
  at: BatchPlace,
  rows: readonly number[],
  of: readonly string[] = texts,
): Promise<PackedBatch & { labels: Int32Array }> {
  const made = await maskedRows(textsInMemory(of), tokenizer, { maxLength: 12, ...options });
  const batch = await made.batch(Uint32Array.from(rows), at, pool);
  await made.close();
  return { ...batch, labels: Int32Array.from(batch.labels ?? []) };
}

const numbers = (count: number): number[] => Array.from({ length: count }, (_, i) => i);
const START = { epoch: 0, progress: 0 };

/** What the rows were before they were masked. */
function original({ inputIds, labels }: { inputIds: Int32Array; labels: Int32Array }): number[] {
  return Array.from(inputIds, (id, i) => (labels[i] === NONE ? id : (labels[i] ?? NaN)));
}

tap.test('texts are put together and cut as group_texts of run_mlm.py does it', async (t) => {
  const concatenated = texts.flatMap((text) => [...tokenizer.encode(text).ids]);
  const size = 12;
  const total = Math.floor(concatenated.length / size) * size;
  const rows = await maskedRows(textsInMemory(texts), tokenizer, { maxLength: size });
  t.equal(rows.size, total / size, 'the rest is dropped');
  const batch = await rows.batch(Uint32Array.from(numbers(rows.size)), START, pool);
  t.same(original({ ...batch, labels: Int32Array.from(batch.labels ?? []) }), concatenated.slice(0, total));
  t.same(
    [...batch.cuSeqlens],
    numbers(rows.size + 1).map((row) => row * size),
  );
  await t.rejects(rows.read([0]), /put together/);
  await rows.close();
  const few = await maskedRows(textsInMemory(['w0 w3']), tokenizer, { maxLength: size });
  t.equal(few.size, 1, 'unless it is all there is');
  await few.close();
  await t.rejects(maskedRows(textsInMemory([]), tokenizer, { maxLength: size }), /no tokens/);
});

tap.test('line by line each text is a row of its own, cut at the length', async (t) => {
  const rows = [3, 16, 2];
  const batch = await batchOf({ lineByLine: true }, START, rows);
  const expected = rows.map((row) => [
    ...tokenizer.encode(texts[row] ?? '', undefined, { maxLength: 12 }).ids,
  ]);
  t.same(original(batch), expected.flat());
});

/** Chi-square of counts against shares, of one degree of freedom less than there are. */
function chiSquare(counts: readonly number[], shares: readonly number[]): number {
  const total = counts.reduce((sum, count) => sum + count, 0);
  return counts.reduce((sum, count, i) => {
    const expected = total * (shares[i] ?? NaN);
    return sum + (count - expected) ** 2 / expected;
  }, 0);
}

tap.test('15 % are chosen, 80/10/10, special tokens never', async (t) => {
  for (const wholeWordMask of [false, true]) {
    let [chosen, others, masked, random, kept, specials] = [0, 0, 0, 0, 0, 0];
    const drawn = new Map<number, number>();
    const rows = await maskedRows(textsInMemory(texts), tokenizer, { maxLength: 12, wholeWordMask });
    for (let epoch = 0; epoch < 60; epoch++) {
      const batch = await rows.batch(Uint32Array.from(numbers(rows.size)), { epoch, progress: 0 }, pool);
      for (const [i, label] of (batch.labels ?? []).entries()) {
        const id = batch.inputIds[i] ?? NaN;
        if (id === CLS || id === SEP) {
          if (label !== NONE && id !== label) drawn.set(id, (drawn.get(id) ?? 0) + 1);
          if (label === NONE) continue; // a special token, or a random one
        }
        if (label === NONE) others += 1;
        else {
          if (label < FIRST && label !== 1) specials += 1;
          chosen += 1;
          if (id === MASK) masked += 1;
          else if (id === label) kept += 1;
          else {
            random += 1;
            drawn.set(id, (drawn.get(id) ?? 0) + 1);
          }
        }
      }
    }
    await rows.close();
    t.equal(specials, 0, 'no special token is chosen');
    // Bounds of p = 1e-6: whole words move together, and so vary about twice as much.
    const wider = wholeWordMask ? 2 : 1;
    t.ok(
      chiSquare([chosen, others], [0.15, 0.85]) < 24 * wider,
      `${wholeWordMask}: share ${chosen / (chosen + others)}`,
    );
    t.ok(
      chiSquare([masked, random, kept], [0.8, 0.1, 0.1]) < 27.7 * wider,
      `${masked} ${random} ${kept} of ${chosen}`,
    );
    t.ok(
      drawn.size === tokenizer.vocabSize - 1 || drawn.size === tokenizer.vocabSize,
      `${drawn.size} different words are drawn, all but the mask`,
    );
  }
});

tap.test('what is masked depends on seed, epoch and row, and on nothing else', async (t) => {
  const whole = await batchOf({}, START, numbers(20));
  const second = await batchOf({}, START, numbers(20).slice(10));
  t.same([...second.inputIds], [...whole.inputIds.subarray(120)], 'not on how a step is cut');
  t.same([...second.labels], [...whole.labels.subarray(120)]);
  const again = await batchOf({}, { epoch: 0, progress: 0.9 }, numbers(20));
  t.same([...again.inputIds], [...whole.inputIds], 'nor on the step');
  t.not(String((await batchOf({}, { epoch: 1, progress: 0 }, numbers(20))).inputIds), String(whole.inputIds));
  t.not(String((await batchOf({ seed: 43 }, START, numbers(20))).inputIds), String(whole.inputIds));
  const evaluated = await batchOf({}, 'evaluation', numbers(20));
  const other = await batchOf({ seed: 7, mlmProbability: 0.4 }, 'evaluation', numbers(20));
  t.same(
    [...other.inputIds],
    [...evaluated.inputIds],
    'an evaluation masks the same tokens whatever the training',
  );
  t.not(String(evaluated.inputIds), String(whole.inputIds));
});

tap.test('a schedule goes evenly from one share to the other', async (t) => {
  for (const [progress, expected] of [
    [0, 0.6],
    [0.5, 0.4],
    [1, 0.2],
  ] as const) {
    const batch = await batchOf({ mlmProbability: '0.6:0.2' }, { epoch: 0, progress }, numbers(350));
    const words = original(batch).filter((id) => id >= FIRST).length;
    const chosen = batch.labels.filter((label) => label !== NONE).length;
    const error = Math.abs(chosen / words - expected) / Math.sqrt((expected * (1 - expected)) / words);
    t.ok(error < 5, `${chosen / words} at ${progress}`);
  }
});

tap.test('with whole words the tokens of a word are masked together and alike', async (t) => {
  const batch = await batchOf({ wholeWordMask: true, lineByLine: true }, START, numbers(300));
  const ids = original(batch);
  const kind = (i: number): string => {
    if (batch.labels[i] === NONE) return 'none';
    return batch.inputIds[i] === MASK ? 'mask' : batch.inputIds[i] === ids[i] ? 'kept' : 'random';
  };
  let [pairs, others] = [0, 0];
  for (const [i, id] of ids.entries()) {
    if (tokenizer.idToToken(id)?.startsWith('##') !== true || batch.labels[i] === NONE) continue;
    pairs += 1;
    const kinds = [kind(i - 1), kind(i)];
    // A random token may by chance be the one that was there, or the mask.
    if (kinds[0] !== kinds[1] && (kinds.includes('none') || !kinds.includes('random'))) others += 1;
  }
  t.equal(others, 0, `of ${pairs} pairs`);
  t.ok(pairs > 50, `${pairs} pairs`);
});

tap.test('paragraphs of a .txt file are texts between blank lines', async (t) => {
  const path = join(folder, 'book.txt');
  writeFileSync(path, '\n\nfirst line\n  second line\r\n\r\nthird\n \t\n\n\nlast one\nends here');
  const options = { task: 'masked-lm', textUnit: 'paragraph' } as const;
  await using data = await loadDataset({ train: path }, options);
  const { examples } = await data.train.read([2, 0, 1]);
  t.same(
    examples.map(({ text }) => text),
    ['last one ends here', 'first line second line', 'third'],
  );
  t.equal(data.train.place(1), `${path} line 6`);
  await using lines = await loadDataset({ train: path }, { task: 'masked-lm' });
  t.equal(lines.train.size, 5);
  await using parts = await loadDataset({ train: path }, { ...options, validationSplit: 0.34 });
  t.same([parts.train.size, parts.validation.size], [1, 2]);
  await t.rejects(
    loadDataset({ train: path }, { ...options, maxRowBytes: 12 }),
    /paragraph is longer than 12 bytes/,
  );
});
