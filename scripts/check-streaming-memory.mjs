// Shows that memory does not grow with the texts: the peak RSS with a made-up 2 GB JSONL file against that with a 2 MB
// one. Exit code 1 when the difference is 400 MB or more.
//
//   node scripts/check-streaming-memory.mjs                        opens each file and reads 200 random batches of 32
//   node scripts/check-streaming-memory.mjs --train -- --model M   trains 200 steps on each; what follows -- goes to bertune
//   node scripts/check-streaming-memory.mjs --predict --row-bytes 70 --gigabytes 0.06 -- --model M   a million short rows
//   node scripts/check-streaming-memory.mjs --evaluate ...       the same, with metrics instead of predictions
//   --output-format jsonl|csv|parquet (default parquet): what --predict writes
//   --row-bytes N: length of a made-up row (default 1300, as in IMDB); --gigabytes N (default 2)
//
// Needs `npm run build` and room for the file in TMPDIR.

import { spawn } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const LIMIT_MB = 400;
const STEPS = 200;
const BATCH = 32;
const WORDS =
  'the film was a long and slow but rather good story of people who never had time to look back'.split(' ');
const root = fileURLToPath(new URL('..', import.meta.url));

const { values: options, positionals: commandArguments } = parseArgs({
  allowPositionals: true,
  options: {
    train: { type: 'boolean', default: false },
    predict: { type: 'boolean', default: false },
    evaluate: { type: 'boolean', default: false },
    'output-format': { type: 'string', default: 'parquet' },
    'row-bytes': { type: 'string', default: '1300' },
    gigabytes: { type: 'string', default: '2' },
    read: { type: 'string' },
  },
});
if (options.read === undefined) process.exitCode = await compare();
else await readBatches(options.read);

/** @returns {Promise<number>} the exit code */
async function compare() {
  const folder = mkdtempSync(path.join(tmpdir(), 'bertune-memory-'));
  try {
    const small = await peakOf(folder, 'small', 2e6);
    const large = await peakOf(folder, 'large', Number(options.gigabytes) * 1e9);
    const difference = large - small;
    const verdict = difference < LIMIT_MB ? 'ok' : 'TOO MUCH';
    print(`difference: ${difference.toFixed(0)} MB, limit ${LIMIT_MB} MB: ${verdict}`);
    return difference < LIMIT_MB ? 0 : 1;
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/**
 * @param {string} folder
 * @param {string} name
 * @param {number} bytes
 * @returns {Promise<number>} peak RSS in MB of a process that uses a file of that size
 */
async function peakOf(folder, name, bytes) {
  const file = path.join(folder, `${name}.jsonl`);
  const rows = writeRows(file, bytes, Number(options['row-bytes']));
  const command = commandFor(file, path.join(folder, `${name}-out`));
  const started = performance.now();
  const peak = await peakRss(command);
  const seconds = (performance.now() - started) / 1000;
  print(
    `${name}: ${(bytes / 1e6).toFixed(0)} MB, ${rows} rows: peak RSS ${peak.toFixed(0)} MB, ${seconds.toFixed(1)} s`,
  );
  rmSync(file);
  return peak;
}

/**
 * @param {string} file
 * @param {string} output
 * @returns {string[]} what node is to run
 */
function commandFor(file, output) {
  const cli = path.join(root, 'dist/cli.js');
  const format = options['output-format'];
  if (options.predict)
    return [cli, 'predict', '--test-file', file, '--output-file', output, '--output-format', format].concat(
      commandArguments,
    );
  if (options.evaluate) return [cli, 'evaluate', '--validation-file', file].concat(commandArguments);
  if (!options.train) return [fileURLToPath(import.meta.url), '--read', file];
  return [cli, 'train', '--train-file', file, '--max-steps', `${STEPS}`, '--output-dir', output]
    .concat('--save-strategy', 'no', '--eval-strategy', 'no')
    .concat(commandArguments);
}

/**
 * Runs node and watches the kernel's high-water mark of its memory.
 *
 * @param {string[]} args
 * @returns {Promise<number>} MB
 */
function peakRss(args) {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, args, { stdio: ['ignore', 'inherit', 'inherit'] });
    let peak = 0;
    const timer = setInterval(() => {
      peak = Math.max(peak, highWaterMark(child.pid));
    }, 50);
    child.on('error', reject);
    child.on('exit', (code) => {
      clearInterval(timer);
      if (code === 0) resolve(peak);
      else reject(new Error(`node ${args.join(' ')} failed with exit code ${code}`));
    });
  });
}

/** @param {number | undefined} pid */
function highWaterMark(pid) {
  try {
    return Number(/VmHWM:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0) / 1024;
  } catch {
    return 0;
  }
}

/**
 * Writes rows of made-up words with two labels.
 *
 * @param {string} file
 * @param {number} bytes
 * @param {number} rowBytes
 * @returns {number} how many rows
 */
function writeRows(file, bytes, rowBytes) {
  const descriptor = openSync(file, 'w');
  let written = 0;
  let rows = 0;
  while (written < bytes) {
    let block = '';
    while (block.length < 1 << 20 && written + block.length < bytes) block += madeUpRow(rows++, rowBytes);
    writeSync(descriptor, block);
    written += block.length;
  }
  closeSync(descriptor);
  return rows;
}

/**
 * @param {number} row
 * @param {number} rowBytes
 */
function madeUpRow(row, rowBytes) {
  let text = `row ${row}`;
  for (let i = row; text.length < rowBytes - 40; i = (i * 7 + row + 3) % 1009)
    text += ` ${WORDS[i % WORDS.length]}`;
  return `${JSON.stringify({ text, label: row % 3 === 0 ? 'good' : 'bad' })}\n`;
}

/**
 * What the child does without --train, --predict and --evaluate.
 *
 * @param {string} file
 */
async function readBatches(file) {
  const { openSplit, inferTask, labelReader } = await import('../dist/data/index.js');
  const started = performance.now();
  const split = await openSplit({ name: 'train', files: [file], needsLabels: true });
  const seconds = (performance.now() - started) / 1000;
  const labelsOf = labelReader(split, inferTask([split], { forTraining: true }));
  let characters = 0;
  for (let step = 0; step < STEPS; step++) {
    const rows = Array.from({ length: BATCH }, () => Math.floor(Math.random() * split.size));
    for (const { text } of await split.read(rows)) characters += text.length;
    labelsOf(rows);
  }
  print(`  indexed in ${seconds.toFixed(1)} s, read ${STEPS * BATCH} rows with ${characters} characters`);
  await split.close();
}

/** @param {string} line */
function print(line) {
  process.stdout.write(`${line}\n`);
}
