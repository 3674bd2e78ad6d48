// Keeps the option tables of README.md (the most used) and docs/options.md (all) equal to the one in
// src/options/table.ts. `--check` only reports whether they are.
import { readFileSync, writeFileSync } from 'node:fs';

import { format, resolveConfig } from 'prettier';

import { optionsMarkdown, optionsTable, trainCommand } from '../dist/options/index.js';

const MOST_USED = [
  'model',
  'trainFile',
  'validationFile',
  'validationSplit',
  'outputDir',
  'numTrainEpochs',
  'learningRate',
  'perDeviceTrainBatchSize',
  'maxSeqLength',
  'evalStrategy',
  'loadBestModelAtEnd',
  'resumeFromCheckpoint',
];

const [begin, end] = ['<!-- options: npm run readme -->\n', '<!-- end of options -->'];
const isCheck = process.argv.includes('--check');

await keep('README.md', optionsTable(trainCommand, MOST_USED));
await keep('docs/options.md', optionsMarkdown(trainCommand));

/**
 * @param {string} name of the file
 * @param {string} table what is to stand between its marks
 */
async function keep(name, table) {
  const path = new URL(`../${name}`, import.meta.url);
  const text = readFileSync(path, 'utf8');
  const from = text.indexOf(begin) + begin.length;
  const to = text.indexOf(end);
  if (from < begin.length || to < from) throw new Error(`${name} has lost the marks around its option table`);
  const whole = `${text.slice(0, from)}\n${table}\n${text.slice(to)}`;
  const updated = await format(whole, { ...(await resolveConfig(path)), parser: 'markdown' });
  if (!isCheck) writeFileSync(path, updated);
  else if (updated !== text) throw new Error(`The option table of ${name} is out of date: npm run readme`);
}
