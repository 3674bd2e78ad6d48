// How the rows of a step are shared out among processes.
import t from 'tap';

import { balance, sharesOf } from '../../dist/distributed/shares.js';
import { randomNumbers } from '../../dist/util/random.js';

/** Lengths as IMDB reviews have them in tokens: log-normal, median 230, cut at 512. */
function reviews(count: number, seed: number): number[] {
  const random = randomNumbers(seed);
  return Array.from({ length: count }, () => {
    const normal = Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
    return Math.max(8, Math.min(512, Math.round(230 * Math.exp(0.6 * normal))));
  });
}

function loads(lengths: readonly number[], owners: readonly number[], size: number): number[] {
  const sums = Array.from({ length: size }, () => 0);
  owners.forEach((rank, i) => (sums[rank] = (sums[rank] ?? 0) + (lengths[i] ?? 0)));
  return sums;
}

t.test('the longest comes first, to the process with fewest tokens', (t) => {
  // By hand: 9 -> 0, 7 -> 1, 6 -> 1 (7 < 9), 5 -> 0 (9 < 13), 1 -> 1 (13 < 14).
  t.same(balance([5, 9, 1, 7, 6], 2), [0, 0, 1, 1, 1]);
  t.same(balance([3], 4), [0]);
  t.same(balance([], 3), []);
  t.end();
});

t.test('8 processes have about as many tokens each', (t) => {
  // 16 rows a process: the batch that HF's recipes have for IMDB.
  const excess = Array.from({ length: 200 }, (_, seed) => {
    const lengths = reviews(8 * 16, seed);
    const sums = loads(lengths, balance(lengths, 8), 8);
    return (Math.max(...sums) * 8) / sums.reduce((a, b) => a + b) - 1;
  });
  t.ok(Math.max(...excess) < 0.05, `at most ${Math.max(...excess)} more than the mean`);
  t.end();
});

t.test('each row is somebody’s, with its place in the whole step', (t) => {
  const lengths = reviews(100, 1);
  const step = [Uint32Array.of(5, 17, 3, 99, 42), Uint32Array.of(8, 1), Uint32Array.of(60)];
  for (const size of [1, 2, 3, 8]) {
    const found = Array.from({ length: size }, (_, rank) => sharesOf(step, lengths, { rank, size })).flatMap(
      (shares) =>
        shares.flatMap(({ rows, places }, batch) =>
          Array.from(rows, (row, i) => ({
            batch,
            row,
            token: places.tokens[i],
            sequence: places.sequences[i],
          })),
        ),
    );
    let token = 0;
    const expected = step.flatMap((rows, batch) =>
      Array.from(rows, (row) => {
        const place = { batch, row, token };
        token += lengths[row] ?? 0;
        return place;
      }),
    );
    t.same(
      found.toSorted((a, b) => (a.sequence ?? 0) - (b.sequence ?? 0)),
      expected.map((place, sequence) => ({ ...place, sequence })),
      `${size} processes`,
    );
  }
  t.end();
});
