// Patterns and cards of data sets. What a pattern matches comes from fsspec: scripts/reference/globs.py. Cards come from
// strangers, so none may keep us busy for long, fill the memory or write to the terminal what it likes.
import { readFileSync } from 'node:fs';
import t, { type Test } from 'tap';
import { UsageError } from '../../dist/util/errors.js';
import { splitsByConvention, splitsByPattern, globMatcher } from '../../dist/hub/data-files.js';
import { parseDatasetCard, readDatasetCard } from '../../dist/hub/dataset-card.js';
import { datasetFiles } from '../../dist/hub/dataset.js';
import { dataset, refused, startHub } from '../fixtures/hub.js';

interface Globs {
  paths: string[];
  /** Null where fsspec calls the pattern invalid. */
  matches: Record<string, string[] | null>;
}
const { paths, matches }: Globs = JSON.parse(readFileSync('test/fixtures/globs.json', 'utf8'));

const BROAD_CARD = `---\nconfigs:\n${Array.from({ length: 1000 }, (_, i) => `- {config_name: c${i}, data_files: a.csv}\n`).join('')}---\n`;

const { home } = await startHub([
  dataset('org/broad-card', { 'README.md': BROAD_CARD, 'a.csv': 'a' }),
  dataset('org/long-card', { 'README.md': `---\n# ${'x'.repeat(8 << 20)}\n---\n`, 'a.csv': 'a' }),
]);

/** Runs an action that must not take longer than anyone waits; in seconds of the processor, whoever else needs it. */
function quickly(test: Test, name: string, action: () => void): void {
  const start = process.cpuUsage();
  action();
  const { user, system } = process.cpuUsage(start);
  const seconds = (user + system) / 1e6;
  test.ok(seconds < 5, `${name}: ${seconds.toFixed(2)} s`);
}

function thrownBy(action: () => unknown): Error {
  try {
    action();
  } catch (error) {
    if (error instanceof Error) return error;
  }
  return new Error('nothing was thrown');
}

t.test('patterns match as in fsspec', (test) => {
  for (const [pattern, expected] of Object.entries(matches)) {
    if (expected === null) continue;
    test.strictSame(paths.filter(globMatcher(pattern)), expected, pattern);
  }
  test.end();
});

t.test('patterns and listings that would keep one busy', (test) => {
  const path = `${'a'.repeat(250)}.csv`;
  for (const pattern of [
    `${'*a'.repeat(4)}b`,
    `${'**/'.repeat(3)}b`,
    '*'.repeat(1000),
    '*?'.repeat(3),
    '['.repeat(1000),
    `[${'a-'.repeat(500)}]`,
  ]) {
    quickly(test, pattern.slice(0, 12), () => {
      const split = splitsByPattern(
        Array.from({ length: 40 }, () => path),
        new Map([['train', [pattern]]]),
      );
      test.ok(split.size <= 1);
    });
  }
  const many = Array.from({ length: 200_000 }, (_, i) => `train/${i}.csv`);
  quickly(test, '200,000 files by convention', () => {
    test.equal(splitsByConvention(many).get('train')?.length, many.length);
  });
  test.throws(() => splitsByPattern(many, new Map([['train', ['*a'.repeat(500)]]])), UsageError);
  quickly(test, '200,000 files by name', () => {
    const names = new Map([['test', many.slice(0, 10_000)]]);
    test.equal(splitsByPattern(many, names).get('test')?.length, 10_000);
  });
  test.end();
});

t.test('cards that would keep one busy, or say what they like', (test) => {
  const config = (yaml: string): string => `configs:\n- ${yaml}`;
  const refusedCards = {
    'an anchor that is used too often': `a: &a [x]\nb: [${'*a,'.repeat(101)}x]`,
    'lists that are not closed': `configs: ${'['.repeat(100)}`,
    'an unknown anchor with an escape sequence': 'configs: *x\x1b[2J',
    'control characters in a name': config('config_name: "\\e[2Jx"'),
    'a line end in a name': config('config_name: "a\\nb"'),
    'a long name': config(`config_name: ${'x'.repeat(256)}`),
    'a long pattern': config(`{config_name: a, data_files: "${'x'.repeat(5000)}"}`),
    'many patterns': config(`{config_name: a, data_files: [${'x,'.repeat(10_001)}x]}`),
    'patterns that are none': config(`{config_name: a, data_files: [${'7,'.repeat(9000)}7]}`),
    'a list of lists': config('[]'),
    'a split that leads astray': config('{config_name: a, data_files: [{split: ../x, path: a}]}'),
    'a long folder': config(`{config_name: a, data_dir: "${'/'.repeat(100_000)}x"}`),
    'not a mapping': '- 1',
  };
  for (const [name, yaml] of Object.entries(refusedCards)) {
    quickly(test, name, () => {
      const error = thrownBy(() => parseDatasetCard(`---\n${yaml}\n---\n`, 'README.md of x'));
      test.ok(error instanceof UsageError, error.name);
      test.match(
        error.message,
        /^The head of README.md of x does not describe a data set \([^\p{Cc}]{1,200}\): give its files[ \w]+$/u,
      );
    });
  }
  const warnings: Error[] = [];
  const listen = (warning: Error) => void warnings.push(warning);
  process.on('warning', listen);
  parseDatasetCard('---\nconfigs: []\nother: !evil x\n? {a: b}\n: c\n---\n', 'x');
  parseDatasetCard(`---\nconfigs: []\n---${' '.repeat(1 << 20)}x`, 'x');
  quickly(
    test,
    'a head without an end',
    () => void parseDatasetCard(`---\n${'\n---'.repeat(1 << 20)}x`, 'x'),
  );
  setImmediate(() => {
    process.off('warning', listen);
    test.strictSame(warnings, [], 'nothing is said about what is not used');
    test.end();
  });
});

t.test('a long card is read by a thread that is ended when it takes too much', async (test) => {
  const { options } = home(test);
  const { splits } = await datasetFiles('org/broad-card', { ...options, config: 'c999' });
  test.strictSame(Object.keys(splits), ['train']);
  for (const limits of [
    { seconds: 0, megabytes: 512 },
    { seconds: 60, megabytes: 1 },
  ])
    await refused(
      test,
      readDatasetCard(BROAD_CARD, 'README.md of x', limits),
      UsageError,
      new RegExp(
        `^README.md of x takes more than ${limits.seconds} s or ${limits.megabytes} MB to read: give the files`,
      ),
    );
});

t.test('a card that is too long is not even fetched', async (test) => {
  const { options } = home(test);
  await refused(
    test,
    datasetFiles('org/long-card', options),
    UsageError,
    /^README.md of the hub's data set "org\/long-card" has 83\d+ bytes, more than the 8388608 that are read$/,
  );
});
