// The options of `npm run bench`.
import { existsSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { messageOf, SetupError } from '../setup/errors.mjs';
import { projectRoot } from '../setup/paths.mjs';
import { MAX_TOKENS, MODEL_TYPES, shapeOf } from './shape.mjs';

export const HELP = `Usage: npm run bench -- [options]

What is measured, in real tokens a second (padding does not count):

  --steps                 forward, backward and update on made-up ids of fixed lengths (the default without --data)
  --data FILE             end to end: one epoch with Trainer, from texts on disk to the last update
  --evaluate              a model's metrics on labelled texts, from texts on disk (without --data: quickstart mails)
  --forward               forward passes on made-up ids, without gradients
  --open                  opening a model folder, up to a first prediction
  --first-step            the command line up to the end of its first step, from the start of the process
  --targets               all of them, as a table of ratios to transformers beside this project's targets for this
                          processor (10 to 15 minutes on two cores)

How:

  --data FILE             csv, tsv, jsonl, json or parquet with a text and a label column, also .gz
  --rows N                its first N rows (default 96; with --evaluate 2000; with --targets of the evaluation, and of
                          the training too where it is less than 96)
  --tokenizer DIR_OR_ID   folder with tokenizer.json or vocab.txt, or a hub id (default configs/quickstart-model)
  --model-shape LxH[xA]   layers x hidden size [x attention heads], random weights (default 6x384x12, MiniLM)
  --model-type TYPE       bert, roberta, xlm-roberta, camembert, distilbert, electra, modernbert, albert,
                          mpnet or deberta-v2 (default bert)
  --batch-size N          rows a batch (default 8)
  --batches RxT[,RxT...]  of steps and forward passes: rows x tokens of the batches (default 8x256,32x64,8x512)
  --task masked-lm        of steps: a masked language model, 15 % of the tokens to predict, in place of a classifier; the
                          vocabulary is that of --tokenizer
  --gradient-checkpointing, --lora-rank N, --freeze PATTERN...
                          of steps: train this way, alternating with plain training
  --no-cuda-graphs        of steps on a GPU: launched one by one, alternating with steps that are recorded as graphs
  --nproc N               of steps, or end to end: N processes that sum their gradients, each with the whole batch (weak
                          scaling) or of steps with its part of it (strong scaling), alternating with one process and
                          with processes that share nothing
  --gradient-reduce-dtype TYPE
                          with --nproc: float32 or bfloat16, what gradients are summed in (default float32)
  --device DEVICE         auto, cpu, cuda or one such as cuda:1 (default auto); cuda needs an NVIDIA driver, nothing else
  --dtype TYPE            auto, float32 or bfloat16 (default auto); of steps also for the other side
  --threads N             CPU threads of a process, on both sides of a comparison (default all cores, with --nproc the
                          cores divided by the processes)
  --repeat N              repetitions, each in a process of its own (default 3)
  --json FILE             write the machine, the options and all figures there

Against what:

  --compare               alternating with transformers. Steps: its model with torch's autocast and fused AdamW, with
                          --nproc in DistributedDataParallel under torchrun, by Gloo. End to
                          end: HF Trainer at its best, with bf16, group_by_length, dynamic padding, fused AdamW (on a
                          CPU without bfloat16 arithmetic in float32). Evaluation: Trainer.evaluate with rows sorted
                          by length and the fastest precision and batch size of those tried
  --against DIR           alternating with another build of bertune: DIR is a checkout with its dependencies that is
                          built and set up; also with --compare or --targets. It does what its own bench can do
  --compile               of steps, with --compare: also against torch.compile (needs a C++ compiler; slow to start)
  --compare-tutorial      end to end: also against HF Trainer as tutorials have it, float32, padded to 512 (slow)

The comparison needs a Python with the packages of scripts/reference/requirements.txt: the one that BERTUNE_PYTHON
names, else .venv/bin/python, which is made where it is missing. On a GPU its torch must be a CUDA build; --lora-rank
needs peft there.
`;

const aText = /** @type {const} */ ({ type: 'string' });
const aFlag = /** @type {const} */ ({ type: 'boolean' });
const OPTIONS = /** @type {const} */ ({
  steps: aFlag,
  evaluate: aFlag,
  forward: aFlag,
  open: aFlag,
  'first-step': aFlag,
  targets: aFlag,
  data: aText,
  rows: aText,
  tokenizer: aText,
  'model-shape': aText,
  'model-type': aText,
  'batch-size': aText,
  batches: aText,
  task: aText,
  'gradient-checkpointing': aFlag,
  'lora-rank': aText,
  freeze: { ...aText, multiple: true },
  'no-cuda-graphs': aFlag,
  nproc: aText,
  'gradient-reduce-dtype': aText,
  device: aText,
  dtype: aText,
  threads: aText,
  repeat: aText,
  json: aText,
  compare: aFlag,
  against: aText,
  compile: aFlag,
  'compare-tutorial': aFlag,
  help: { ...aFlag, short: 'h' },
});

/** Without their dashes. */
export const OPTION_NAMES = Object.keys(OPTIONS);

/** @typedef {(typeof FLAGS)[number] | 'endToEnd'} Mode */
/** @typedef {ReturnType<typeof optionsFor>} BenchOptions */

/** How steps train, beside the plain way. @typedef {BenchOptions['variant']} Variant */

const FLAGS = /** @type {const} */ (['steps', 'evaluate', 'forward', 'open', 'first-step', 'targets']);
/** With a file of texts. */
const ROWS = /** @type {const} */ (['endToEnd', 'evaluate', 'targets']);
const BUT_TARGETS = /** @type {const} */ (['steps', 'endToEnd', 'evaluate', 'forward', 'open', 'first-step']);

/** Which options make sense for what. */
const ONLY = /** @type {const} */ ({
  data: ROWS,
  rows: ROWS,
  'batch-size': ['endToEnd', 'evaluate'],
  'compare-tutorial': ['endToEnd'],
  batches: ['steps', 'forward'],
  compile: ['steps'],
  task: ['steps'],
  'gradient-checkpointing': ['steps'],
  'lora-rank': ['steps'],
  freeze: ['steps'],
  'no-cuda-graphs': ['steps'],
  nproc: ['steps', 'endToEnd'],
  compare: BUT_TARGETS,
  dtype: BUT_TARGETS,
  'model-shape': BUT_TARGETS,
  'model-type': BUT_TARGETS,
});

/**
 * Reads the command line.
 *
 * @param {readonly string[]} args
 * @throws {SetupError} (exit code 2) for an option that does not exist or cannot be used
 */
export function benchOptions(args) {
  const given = parse(args);
  const mode = modeOf(given);
  for (const [option, modes] of Object.entries(ONLY))
    if (option in given && !modes.some((one) => one === mode))
      throw new SetupError(`--${option} goes with ${modes.map(howOf).join(' or ')} only`, 2);
  if (given.compile && !given.compare) throw new SetupError('--compile needs --compare', 2);
  const nproc = given.nproc === undefined ? 1 : count('--nproc', given.nproc);
  if (given['gradient-reduce-dtype'] !== undefined && nproc === 1)
    throw new SetupError('--gradient-reduce-dtype needs --nproc of at least 2', 2);
  for (const option of /** @type {const} */ (['compile', 'compare-tutorial']))
    if (given[option] && nproc > 1) throw new SetupError(`--${option} and --nproc exclude each other`, 2);
  if (given.json !== undefined && !existsSync(dirname(resolve(given.json))))
    throw new SetupError(`The folder of --json ${given.json} does not exist`, 2);
  return {
    help: given.help ?? false,
    mode,
    data: fileOf(given.data),
    rows: given.rows === undefined ? undefined : count('--rows', given.rows),
    tokenizer: given.tokenizer ?? join(projectRoot, 'configs', 'quickstart-model'),
    shape: shapeOf(
      given['model-shape'] ?? '6x384x12',
      oneOf('--model-type', given['model-type'] ?? 'bert', MODEL_TYPES),
    ),
    batchSize: count('--batch-size', given['batch-size'] ?? '8'),
    device: deviceOf(given.device ?? 'auto'),
    dtype: oneOf('--dtype', given.dtype ?? 'auto', /** @type {const} */ (['auto', 'float32', 'bfloat16'])),
    nproc,
    reduceDtype: oneOf(
      '--gradient-reduce-dtype',
      given['gradient-reduce-dtype'] ?? 'float32',
      /** @type {const} */ (['float32', 'bfloat16']),
    ),
    threads: count(
      '--threads',
      given.threads ?? String(Math.max(1, Math.floor(availableParallelism() / nproc))),
    ),
    repeat: count('--repeat', given.repeat ?? '3'),
    batches: batchesOf(given.batches ?? (nproc === 1 ? '8x256,32x64,8x512' : '8x256'), nproc),
    variant: {
      gradientCheckpointing: given['gradient-checkpointing'] ?? false,
      loraRank: given['lora-rank'] === undefined ? 0 : count('--lora-rank', given['lora-rank']),
      freeze: given.freeze ?? [],
      cudaGraphs: !(given['no-cuda-graphs'] ?? false),
    },
    task: oneOf(
      '--task',
      given.task ?? 'sequence-classification',
      /** @type {const} */ (['sequence-classification', 'masked-lm']),
    ),
    compare: given.compare ?? false,
    against: given.against,
    compareTutorial: given['compare-tutorial'] ?? false,
    compile: given.compile ?? false,
    json: given.json,
  };
}

/** @param {readonly string[]} args */
function parse(args) {
  try {
    const { values, positionals } = parseArgs({ args: [...args], allowPositionals: true, options: OPTIONS });
    // As for `bertune train`, several patterns may follow one --freeze.
    if (positionals.length > 0 && values.freeze === undefined)
      throw new TypeError(`Unexpected argument '${positionals[0]}'`);
    return { ...values, ...(values.freeze && { freeze: [...values.freeze, ...positionals] }) };
  } catch (error) {
    const [message = ''] = messageOf(error).split('\n');
    throw new SetupError(`${message.replace(/\.$/, '')}; all options: npm run bench -- --help`, 2);
  }
}

/**
 * The same with what depends on the machine or the kind of measurement.
 *
 * @param {ReturnType<typeof benchOptions>} given
 * @param {Pick<import('./machine.mjs').Machine, 'bfloat16'>} machine
 */
export function optionsFor(given, { bfloat16 }) {
  const { rows: givenRows, mode } = given;
  /** @type {'float32' | 'bfloat16'} */
  const best = bfloat16 ? 'bfloat16' : 'float32';
  const dtype = given.dtype === 'auto' ? best : given.dtype;
  /** @type {('float32' | 'bfloat16')[]} of the other side's steps: emulated bfloat16 is many times slower than float32 */
  const theirs = given.dtype === 'auto' && bfloat16 ? ['float32', dtype] : [dtype];
  return { ...given, dtype, theirs, givenRows, rows: givenRows ?? (mode === 'evaluate' ? 2000 : 96) };
}

/** @param {Partial<Record<(typeof FLAGS)[number], boolean>> & { data?: string }} given @returns {Mode} */
function modeOf(given) {
  const flags = FLAGS.filter((flag) => given[flag]);
  if (flags.length > 1)
    throw new SetupError(`${flags.map((flag) => `--${flag}`).join(' and ')} exclude each other`, 2);
  return flags[0] ?? (given.data === undefined ? 'steps' : 'endToEnd');
}

/** How a kind of measurement is requested. @param {Mode} mode */
const howOf = (mode) => (mode === 'endToEnd' ? 'an end-to-end run (--data FILE)' : `--${mode}`);

/** @param {string | undefined} data */
function fileOf(data) {
  if (data !== undefined && !existsSync(data)) throw new SetupError(`--data ${data} does not exist`, 2);
  return data === undefined ? undefined : resolve(data);
}

/** @param {string} name @param {string} text */
function count(name, text) {
  if (!/^[1-9]\d{0,8}$/.test(text))
    throw new SetupError(`Expected an integer of at least 1 for ${name} but received "${text}"`, 2);
  return Number(text);
}

/**
 * @template {string} Word
 * @param {string} name
 * @param {string} text
 * @param {readonly Word[]} words
 * @returns {Word}
 */
function oneOf(name, text, words) {
  const found = words.find((word) => word === text);
  if (found === undefined)
    throw new SetupError(`Expected ${words.join(', ')} for ${name} but received "${text}"`, 2);
  return found;
}

/** @param {string} text */
function deviceOf(text) {
  if (!/^(?:auto|cpu|cuda|cuda:\d{1,3})$/.test(text))
    throw new SetupError(
      `Expected auto, cpu, cuda or one such as cuda:1 for --device but received "${text}"`,
      2,
    );
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- it matches the pattern
  return /** @type {import('../../dist/index.js').Device} */ (text);
}

/** @param {string} text @param {number} nproc */
function batchesOf(text, nproc) {
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
    const batchRows = count('the rows of --batches', rows);
    if (batchRows % nproc !== 0)
      throw new SetupError(
        `${batchRows} rows of --batches cannot be shared out evenly to the ${nproc} processes of --nproc`,
        2,
      );
    return { rows: batchRows, length: tokens };
  });
}
