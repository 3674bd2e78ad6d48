// Accuracies of trained models beside HF Trainer's: the table of docs/measurements.md. Both sides alternate, each run is a
// process of its own in the folder of its data, and finished runs are recorded: the same command resumes where it stopped.
import { existsSync } from 'node:fs';
import { appendFile, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { accuracyOptions, HELP } from './accuracy/options.mjs';
import { accuracyTable, figuresOf, SIDES } from './accuracy/table.mjs';
import { SetupError } from './setup/errors.mjs';
import { distDir, projectRoot } from './setup/paths.mjs';
import { capture } from './setup/process.mjs';
import { runMain, log } from './setup/terminal.mjs';

/** @import { AccuracyOptions } from './accuracy/options.mjs' */
/** @import { Result, Run } from './accuracy/table.mjs' */

await runMain(async () => {
  const options = accuracyOptions(process.argv.slice(2));
  if (options === undefined) {
    process.stdout.write(HELP);
    return;
  }
  const runs = runsOf(options);
  for (const run of runs) {
    if ((await resultsIn(options.results)).some(isOf(run))) continue;
    const result = { ...run, metrics: await train(run, options) };
    await appendFile(options.results, `${JSON.stringify(result)}\n`);
    log(`${titleOf(run)}: ${figuresOf(result)}`);
  }
  const results = await resultsIn(options.results);
  process.stdout.write(`${accuracyTable(runs.flatMap((run) => results.find(isOf(run)) ?? []))}\n`);
});

/**
 * @param {AccuracyOptions} options
 * @returns {Run[]}
 */
function runsOf({ tasks, seeds, dtype, device }) {
  return tasks.flatMap((task) =>
    seeds.flatMap((seed) => SIDES.map((side) => ({ task, side, seed, dtype, device }))),
  );
}

/** @param {Run} run */
function titleOf({ task, side, seed, dtype, device }) {
  return `${task}, seed ${seed}, ${side}, ${dtype}, ${device}`;
}

/**
 * @param {Run} run
 * @returns {(result: Result) => boolean}
 */
function isOf(run) {
  return (result) => titleOf(result) === titleOf(run);
}

/**
 * @param {string} file
 * @returns {Promise<Result[]>}
 */
async function resultsIn(file) {
  if (!existsSync(file)) return [];
  const lines = (await readFile(file, 'utf8')).split('\n');
  return lines.filter((line) => line !== '').map((line) => JSON.parse(line));
}

/**
 * Trains and evaluates once.
 *
 * @param {Run} run
 * @param {AccuracyOptions} options
 * @returns {Promise<Record<string, number>>} the metrics by name, without `eval_`
 * @throws {SetupError} with the end of what the run wrote to stderr
 */
async function train({ task, side, seed, dtype, device }, { python, model, data, threads }) {
  const config = join(projectRoot, 'configs', `${task}.json`);
  const same = { model, seed, dtype, device, threads };
  const args = [config, ...Object.entries(same).flatMap(([name, value]) => [`--${name}`, String(value)])];
  const folder = await mkdtemp(join(tmpdir(), 'bertune-accuracy-'));
  try {
    const [command, script, output] =
      side === 'HF'
        ? [python, [join(projectRoot, 'scripts', 'reference', 'accuracy.py')], []]
        : [process.execPath, [join(distDir, 'cli.js'), 'train'], ['--output-dir', folder]];
    const { code, stdout, stderr } = await capture(command, [...script, ...args, ...output], {
      cwd: join(data, task),
    });
    if (code !== 0)
      throw new SetupError(
        `${titleOf({ task, side, seed, dtype, device })} failed: ${stderr.trim().split('\n').slice(-10).join('\n')}`,
      );
    /** @type {Record<string, number>} */
    const found = JSON.parse(stdout.slice(stdout.lastIndexOf('{'))); // logs come before
    return Object.fromEntries(
      Object.entries(found).map(([name, value]) => [name.replace(/^eval_/, ''), value]),
    );
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
