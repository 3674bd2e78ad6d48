// The options of `npm run bench`.
import { existsSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { messageOf, SetupError } from '../setup/errors.mjs';
import { projectRoot } from '../setup/paths.mjs';
import { MAX_TOKENS, shapeOf } from './shape.mjs';

export const HELP = `Usage: npm run bench -- [options]

Trains one epoch with Trainer on real texts and prints real tokens per second (padding does not count).

  --data FILE             csv, tsv, jsonl, json or parquet with a text and a label column, also .gz
                          (default: the mails of the quickstart)
  --rows N                the first N rows of the file (default 96)
  --tokenizer DIR_OR_ID   folder with tokenizer.json or vocab.txt, or a hub id (default configs/quickstart-model)
  --model-shape LxH[xA]   layers x hidden size [x attention heads], random weights (default 6x384x12, MiniLM)
  --batch-size N          rows a batch (default 8)
  --dtype TYPE            auto, float32 or bfloat16 (default auto)
  --threads N             CPU threads of a training step, on both sides of a comparison (default all cores)
  --repeat N              repetitions, each in a process of its own (default 3)
  --steps                 instead: forward, backward and update on made-up ids of fixed lengths; with --compare in
                          alternation with transformers' model, torch's autocast and fused AdamW
  --batches RxT[,RxT...]  with --steps: rows x tokens of the batches (default 8x256,32x64,8x512)
  --compile               with --steps --compare: also against torch.compile (needs a C++ compiler; slow to start)
  --compare               in alternation with HF Trainer at its best: bf16, group_by_length, dynamic padding, fused
                          AdamW; on a CPU without bfloat16 arithmetic float32 too, and the faster of the two counts
  --compare-tutorial      and with HF Trainer as tutorials have it: float32, every text padded to 512 (slow)
  --json FILE             write the machine, the options and all figures there

The comparison needs a Python with the packages of scripts/reference/requirements.txt: the one that BERTUNE_PYTHON
names, else .venv/bin/python, which is made where it is missing.
`;

/** @typedef {ReturnType<typeof benchOptions>} BenchOptions */

/**
 * Reads the command line.
 *
 * @param {readonly string[]} args
 * @throws {SetupError} (exit code 2) for an option that does not exist or cannot be used
 */
export function benchOptions(args) {
  const given = parse(args);
  const compareTutorial = given['compare-tutorial'] ?? false;
  const compare = given.compare ?? false;
  if (given.steps && compareTutorial)
    throw new SetupError('--compare-tutorial measures end to end; leave out --steps', 2);
  if (given.compile && !(given.steps && compare))
    throw new SetupError('--compile needs --steps and --compare', 2);
  if (given.batches !== undefined && !given.steps) throw new SetupError('--batches needs --steps', 2);
  if (given.json !== undefined && !existsSync(dirname(resolve(given.json))))
    throw new SetupError(`The folder of --json ${given.json} does not exist`, 2);
  return {
    help: given.help ?? false,
    data: given.data === undefined ? undefined : resolve(given.data),
    rows: count('--rows', given.rows ?? '96'),
    tokenizer: given.tokenizer ?? join(projectRoot, 'configs', 'quickstart-model'),
    shape: shapeOf(given['model-shape'] ?? '6x384x12'),
    batchSize: count('--batch-size', given['batch-size'] ?? '8'),
    dtype: dtypeOf(given.dtype ?? 'auto'),
    threads: count('--threads', given.threads ?? String(availableParallelism())),
    repeat: count('--repeat', given.repeat ?? '3'),
    steps: given.steps ?? false,
    batches: batchesOf(given.batches ?? '8x256,32x64,8x512'),
    compare,
    compareTutorial,
    compile: given.compile ?? false,
    json: given.json,
  };
}

/** @param {readonly string[]} args */
function parse(args) {
  const text = /** @type {const} */ ({ type: 'string' });
  const flag = /** @type {const} */ ({ type: 'boolean' });
  try {
    return parseArgs({
      args: [...args],
      options: {
        data: text,
        rows: text,
        tokenizer: text,
        'model-shape': text,
        'batch-size': text,
        dtype: text,
        threads: text,
        repeat: text,
        steps: flag,
        batches: text,
        compare: flag,
        compile: flag,
        'compare-tutorial': flag,
        json: text,
        help: { ...flag, short: 'h' },
      },
    }).values;
  } catch (error) {
    throw new SetupError(`${messageOf(error)}\nAll options: npm run bench -- --help`, 2);
  }
}

/**
 * @param {string} name
 * @param {string} text
 */
function count(name, text) {
  if (!/^[1-9]\d{0,8}$/.test(text))
    throw new SetupError(`Expected an integer of at least 1 for ${name} but received "${text}"`, 2);
  return Number(text);
}

/** @param {string} text */
function dtypeOf(text) {
  if (text !== 'auto' && text !== 'float32' && text !== 'bfloat16')
    throw new SetupError(`Expected auto, float32 or bfloat16 for --dtype but received "${text}"`, 2);
  return text;
}

/** @param {string} text */
function batchesOf(text) {
  return text.split(',').map((batch) => {
    const [rows, length, ...more] = batch.split('x');
    if (rows === undefined || length === undefined || more.length > 0)
      throw new SetupError(`Expected rows x tokens such as 8x128 for --batches but received "${batch}"`, 2);
    const tokens = count('the tokens of --batches', length);
    if (tokens > MAX_TOKENS)
      throw new SetupError(
        `The model has ${MAX_TOKENS} positions but --batches asks for ${tokens} tokens a row`,
        2,
      );
    return { rows: count('the rows of --batches', rows), length: tokens };
  });
}
