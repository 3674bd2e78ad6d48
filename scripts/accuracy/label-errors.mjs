// How many of the wrong labels that were planted `bertune inspect --label-errors` finds: the figures of docs/little-data.md.
//   node scripts/accuracy/label-errors.mjs --model DIR --train-file FILE [--share 0.05] [--seeds 1] [-- options of inspect]
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { SetupError } from '../setup/errors.mjs';
import { distDir } from '../setup/paths.mjs';
import { capture } from '../setup/process.mjs';
import { log, runMain } from '../setup/terminal.mjs';

/** @typedef {{ text: string, label: string }} Row */
/** @typedef {{ row: number }} LabelError */

const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: {
    model: { type: 'string' },
    'train-file': { type: 'string' },
    share: { type: 'string', default: '0.05' },
    seeds: { type: 'string', default: '1' },
  },
});

await runMain(async () => {
  const { model, 'train-file': file } = values;
  if (model === undefined || file === undefined)
    throw new SetupError('Give --model DIR and --train-file FILE, with one label a row', 2);
  const rows = await rowsOf(resolve(file));
  log('seed  planted  found  precision  recall  precision at k = planted  random');
  for (const seed of values.seeds.split(',').map(Number)) {
    const planted = await plant(rows, Number(values.share), seed);
    const found = await labelErrors(planted.rows, { model: resolve(model), seed });
    const hits = (/** @type {LabelError[]} */ some) =>
      some.filter(({ row }) => planted.wrong.has(row)).length;
    const k = planted.wrong.size;
    const figures = [
      hits(found) / found.length,
      hits(found) / k,
      hits(found.slice(0, k)) / k,
      k / rows.length,
    ];
    log([seed, k, found.length, ...figures.map((figure) => `${(100 * figure).toFixed(1)} %`)].join('  '));
  }
});

/**
 * @param {string} file
 * @returns {Promise<Row[]>}
 */
async function rowsOf(file) {
  const { loadDataset } = await import(join(distDir, 'index.js'));
  const data = await loadDataset({ train: file });
  const rows = await data.train.preview(data.train.size);
  await data.close();
  return rows;
}

/**
 * Gives a share of the rows another label, each of the others with equal probability.
 *
 * @param {readonly Row[]} rows
 * @param {number} share
 * @param {number} seed
 */
async function plant(rows, share, seed) {
  const { randomNumbers, shuffle } = await import(join(distDir, 'util', 'random.js'));
  const random = randomNumbers(seed);
  const labels = [...new Set(rows.map(({ label }) => label))].toSorted();
  /** @type {Set<number>} */
  const wrong = new Set(shuffle([...rows.keys()], random).slice(0, Math.round(share * rows.length)));
  const changed = rows.map(({ text, label }, row) => {
    if (!wrong.has(row)) return { text, label };
    const others = labels.filter((other) => other !== label);
    return { text, label: others[Math.floor(random() * others.length)] };
  });
  return { rows: changed, wrong };
}

/**
 * @param {readonly object[]} rows
 * @param {{ model: string, seed: number }} options
 * @returns {Promise<LabelError[]>}
 */
async function labelErrors(rows, { model, seed }) {
  const folder = await mkdtemp(join(tmpdir(), 'bertune-planted-'));
  try {
    const file = join(folder, 'planted.jsonl');
    await writeFile(file, rows.map((row) => `${JSON.stringify(row)}\n`).join(''));
    const args = ['inspect', file, '--label-errors', '--model', model, '--seed', String(seed)];
    const run = await capture(process.execPath, [join(distDir, 'cli.js'), ...args, ...positionals]);
    if (run.code !== 0) throw new SetupError(run.stderr.trim().split('\n').slice(-5).join('\n'));
    return JSON.parse(run.stdout).labelErrors;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
