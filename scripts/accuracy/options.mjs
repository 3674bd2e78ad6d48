// The options of scripts/accuracy.mjs.
import { existsSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { messageOf, SetupError } from '../setup/errors.mjs';
import { projectRoot } from '../setup/paths.mjs';

const TASKS = 'sms-spam,stsb,trec,sst2,goemotions,imdb-small';

export const HELP = `Usage: BERTUNE_PYTHON=python node scripts/accuracy.mjs --model DIR --data DIR --results FILE [options]

Trains configs/TASK.json with every seed, by bertune and by HF Trainer in turns, and prints the table of docs/measurements.md.

  --model DIR       the model that both sides start from
  --data DIR        has for each task a folder TASK with the files that configs/TASK.json names
  --results FILE    JSON Lines, one line a run; a run that is in it is not done again
  --tasks A,B       default ${TASKS}
  --seeds A,B       default 1,2,3
  --dtype TYPE      float32 or bfloat16, on both sides (default float32)
  --device DEVICE   cpu or cuda, on both sides (default cpu)
  --threads N       CPU threads on both sides (default all cores)

The Python needs the packages of scripts/reference/requirements.txt.
`;

/** @typedef {NonNullable<ReturnType<typeof accuracyOptions>>} AccuracyOptions */

/**
 * Reads the command line.
 *
 * @param {readonly string[]} args
 * @returns undefined for --help
 * @throws {SetupError} (exit code 2) for an option that does not exist or cannot be used
 */
export function accuracyOptions(args) {
  const given = parse(args);
  if (given.help) return undefined;
  const python = process.env['BERTUNE_PYTHON'] ?? '';
  if (python === '') throw new SetupError('BERTUNE_PYTHON does not name a Python that has transformers', 2);
  const data = path('--data', given.data);
  const results = resolve(required('--results', given.results));
  if (!existsSync(dirname(results)))
    throw new SetupError(`The folder of --results ${results} does not exist`, 2);
  return {
    python,
    model: path('--model', given.model),
    data,
    results,
    tasks: (given.tasks ?? TASKS).split(',').map((task) => taskOf(task, data)),
    seeds: (given.seeds ?? '1,2,3').split(',').map(seedOf),
    dtype: oneOf('--dtype', given.dtype ?? 'float32', ['float32', 'bfloat16']),
    device: oneOf('--device', given.device ?? 'cpu', ['cpu', 'cuda']),
    threads: given.threads === undefined ? availableParallelism() : threadsOf(given.threads),
  };
}

/** @param {readonly string[]} args */
function parse(args) {
  const text = /** @type {const} */ ({ type: 'string' });
  try {
    return parseArgs({
      args: [...args],
      options: {
        model: text,
        data: text,
        results: text,
        tasks: text,
        seeds: text,
        dtype: text,
        device: text,
        threads: text,
        help: { type: 'boolean', short: 'h' },
      },
    }).values;
  } catch (error) {
    throw new SetupError(`${messageOf(error)}\nAll options: node scripts/accuracy.mjs --help`, 2);
  }
}

/**
 * @param {string} name
 * @param {string | undefined} value
 */
function required(name, value) {
  if (value === undefined)
    throw new SetupError(`${name} is needed\nAll options: node scripts/accuracy.mjs --help`, 2);
  return value;
}

/**
 * @param {string} name
 * @param {string | undefined} value
 */
function path(name, value) {
  const found = resolve(required(name, value));
  if (!existsSync(found)) throw new SetupError(`${name} ${found} does not exist`, 2);
  return found;
}

/**
 * @param {string} task
 * @param {string} data
 */
function taskOf(task, data) {
  if (!existsSync(join(projectRoot, 'configs', `${task}.json`)))
    throw new SetupError(`There is no configs/${task}.json for the task "${task}" of --tasks`, 2);
  if (!existsSync(join(data, task)))
    throw new SetupError(
      `--data ${data} has no folder ${task} with the files that configs/${task}.json names`,
      2,
    );
  return task;
}

/** @param {string} seed */
function seedOf(seed) {
  if (!/^\d{1,9}$/.test(seed))
    throw new SetupError(
      `Expected integers of at least 0, separated by commas, for --seeds but received "${seed}"`,
      2,
    );
  return Number(seed);
}

/**
 * @template {string} Word
 * @param {string} name
 * @param {string} text
 * @param {readonly Word[]} words
 */
function oneOf(name, text, words) {
  const found = words.find((word) => word === text);
  if (found === undefined)
    throw new SetupError(`Expected ${words.join(' or ')} for ${name} but received "${text}"`, 2);
  return found;
}

/** @param {string} threads */
function threadsOf(threads) {
  if (!/^[1-9]\d{0,3}$/.test(threads))
    throw new SetupError(`Expected an integer of at least 1 for --threads but received "${threads}"`, 2);
  return Number(threads);
}
