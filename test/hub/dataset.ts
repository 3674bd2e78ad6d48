// Data sets from the hub. What their splits must be comes from Python's datasets: scripts/reference/hub_datasets.py.
import { readFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import t from 'tap';
import { UsageError } from '../../dist/util/errors.js';
import { datasetFiles } from '../../dist/hub/dataset.js';
import { dataset, refused, startHub } from '../fixtures/hub.js';

const SEVERAL_CARD =
  '---\nconfigs:\n- {config_name: cola, data_files: cola.csv}\n- {config_name: sst2, data_files: sst2.csv}\n---\n';
const SEPARATOR_CARD = '---\nconfigs:\n- {config_name: default, data_files: a.csv, sep: ";"}\n---\n';

interface Case {
  name: string;
  readme: string;
  files: string[];
  config: string | null;
  splits: Record<string, string[]>;
  classNames: Record<string, string[]>;
}
const { cases }: { cases: Case[] } = JSON.parse(readFileSync('test/fixtures/hub-datasets.json', 'utf8'));
// A parquet file is little more than its footer; this one has no rows and the metadata that `datasets` writes.
const withFeatures = readFileSync('test/fixtures/hub-classlabel.parquet');

const { server, home } = await startHub([
  dataset('org/several', { 'README.md': SEVERAL_CARD, 'cola.csv': 'a', 'sst2.csv': 'b' }),
  dataset(
    'org/script',
    { 'script.py': 'import os' },
    { 'default/train/0000.parquet': withFeatures, 'default/partial-test/0000.parquet': 'x' },
  ),
  dataset('org/script-only', { 'script-only.py': 'import os' }),
  dataset(
    'org/separator',
    { 'README.md': SEPARATOR_CARD, 'a.csv': 'a;b' },
    { 'default/train/0000.parquet': withFeatures },
  ),
  dataset('org/bad-card', { 'README.md': '---\nconfigs: {a: [1}\n---\n', 'a.csv': 'x' }),
  dataset('org/wrong-card', {
    'README.md': '---\nconfigs:\n- {config_name: a, data_files: 3}\n---\n',
    'a.csv': 'x',
  }),
  dataset('org/images', { 'a.png': 'x' }),
  ...cases.map(({ readme, files }, i) =>
    dataset(`org/case-${i}`, {
      'README.md': readme,
      ...Object.fromEntries(files.map((path) => [path, `${i} ${path}`])),
    }),
  ),
]);

for (const [i, { name, config, splits, classNames }] of cases.entries()) {
  t.test(`splits as in Python's datasets: ${name}`, async (test) => {
    const { options, hub } = home(test);
    const found = await datasetFiles(`org/case-${i}`, { ...options, ...(config !== null && { config }) });
    const root = join(hub, `datasets--org--case-${i}/snapshots`, server.commit(`org/case-${i}`));
    const paths = Object.entries(found.splits).map(([split, files]) => [
      split,
      files.map((file) => relative(root, file)),
    ]);
    test.strictSame(Object.fromEntries(paths), splits);
    test.strictSame(found.classNames, classNames);
    for (const file of Object.values(found.splits).flat()) {
      test.equal(readFileSync(file, 'utf8'), `${i} ${relative(root, file)}`);
    }
  });
}

t.test('data sets in other forms, several configurations', async (test) => {
  const { options, lines, env } = home(test);
  const script = await datasetFiles('org/script', options);
  test.strictSame(Object.keys(script.splits), ['test', 'train']);
  test.strictSame(Object.keys((await datasetFiles('org/separator', options)).splits), ['train']);
  test.match(lines.join('\n'), /parquet copy of data set "org\/script" holds only the first part/);
  test.strictSame(
    await datasetFiles('org/script', { ...options, env: { ...env, HF_HUB_OFFLINE: '1' } }),
    script,
  );
  await refused(
    test,
    datasetFiles('org/script-only', options),
    UsageError,
    /is a loading script \(script-only.py\), which is never run/,
  );
  await refused(
    test,
    datasetFiles('org/script', { ...options, revision: 'main' }),
    UsageError,
    /loading script/,
  );
  await refused(test, datasetFiles('org/images', options), UsageError, /no parquet, JSON or CSV files/);
  await refused(
    test,
    datasetFiles('org/several', options),
    UsageError,
    /several configurations: choose one of cola, sst2/,
  );
  await refused(
    test,
    datasetFiles('org/several', { ...options, config: 'mnli' }),
    UsageError,
    /\(cola, sst2\).* received "mnli"/,
  );
  await refused(
    test,
    datasetFiles('org/script', { ...options, config: 'x' }),
    UsageError,
    /\(default\).* received "x"/,
  );
  await refused(
    test,
    datasetFiles('org/bad-card', options),
    UsageError,
    /README.md of data set "org\/bad-card".*line/,
  );
  await refused(test, datasetFiles('org/wrong-card', options), UsageError, /configs.0.data_files/);
  await refused(test, datasetFiles('./reviews.csv', options), UsageError, /not a data set id/);
});
