// Rows that a script brings instead of a data set: they are read once a batch, with their labels or beside them.
import t from 'tap';

import { loadBatch, measureLengths } from '../../dist/data/batch.js';
import { UsageError, type LabelledRows, type TextRows } from '../../dist/index.js';
import type { TokenizerPool } from '../../dist/tokenizer/index.js';

/** One token for each character. */
const pool: Pick<TokenizerPool, 'encode'> = {
  encode: async (examples) =>
    examples.map(({ text }) => ({ ids: Int32Array.from(text, (c) => c.charCodeAt(0)), typeIds: null })),
};
const TEXTS = ['a', 'bb', 'ccc'];
const calls: string[] = [];

function examplesOf(rows: ArrayLike<number>): { text: string }[] {
  calls.push(`read ${Array.from(rows).join()}`);
  return Array.from(rows, (row) => ({ text: TEXTS[row] ?? '' }));
}

const texts: TextRows = { size: 3, read: async (rows) => examplesOf(rows) };
const labels = (rows: ArrayLike<number>): Int32Array => {
  calls.push(`labels ${Array.from(rows).join()}`);
  return Int32Array.from(rows, (row) => row * 10);
};
const beside: LabelledRows = { ...texts, labels };
const together: LabelledRows = {
  size: 3,
  labels,
  read: async (rows) => ({
    examples: examplesOf(rows),
    labels: Int32Array.from(rows, (row) => row * 10),
  }),
};

async function batchOf(data: TextRows | LabelledRows): Promise<unknown> {
  calls.length = 0;
  return loadBatch(data, Uint32Array.of(2, 0), pool as TokenizerPool);
}

t.test('texts, with labels or without', async (t) => {
  const packed = { inputIds: Int32Array.of(99, 99, 99, 97), cuSeqlens: Int32Array.of(0, 3, 4) };
  t.strictSame(await batchOf(texts), packed);
  t.strictSame(await batchOf(together), { ...packed, labels: Int32Array.of(20, 0) });
  t.strictSame(calls, ['read 2,0'], 'asked once');
  t.strictSame(await batchOf(beside), { ...packed, labels: Int32Array.of(20, 0) });
  t.strictSame(calls, ['read 2,0', 'labels 2,0']);
  for (const data of [texts, together, beside])
    t.strictSame(
      [...(await measureLengths(data, pool as TokenizerPool, () => undefined))],
      [1, 2, 3],
      'lengths in tokens',
    );
});

t.test('what read() must not give', async (t) => {
  for (const given of [undefined, null, 'abc', {}, { examples: [] }, [{ text: 'a' }], { labels: [1, 2] }]) {
    const wrong = { size: 3, labels, read: async () => given } as unknown as LabelledRows;
    const error = await batchOf(wrong).catch((caught: unknown) => caught);
    t.ok(error instanceof UsageError, JSON.stringify(given));
    t.match(error, {
      message:
        'read() of the data has to give 2 examples for as many rows: an array, or { examples, labels }',
    });
  }
});
