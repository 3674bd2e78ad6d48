// Shows that a training of several processes survives what happens to one of them: a random one of 2 to 4 is killed or stopped at a
// random time. Each time the others must end in time, with a line that names it; no process may be left; and the training, resumed
// from its last checkpoint, must end with the bits of one that was left alone. The last line is `N passed, N failed`.
//
//   node scripts/check-kills.mjs                      100 kills, some 15 minutes on two cores
//   node scripts/check-kills.mjs --kills 5 --seed 7   fewer, and others
//   --jobs N (default 2): trainings at a time
//
// Needs `npm run build` and the addon, and /proc.
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const { verifyChecksums } = await import('../dist/training/checkpoint.js');
const { randomNumbers } = await import('../dist/util/random.js');

/** Seconds of --ddp-timeout, and until the others have ended: they also look who is gone, and tell each other. */
const TIMEOUT = 5;
const IN_TIME = TIMEOUT + 15;
const STEPS = 150;
const WORDS = 'the a plot film actor scene music was and with good great fine bad poor dull'.split(' ');
const CLI = fileURLToPath(new URL('../dist/cli.js', import.meta.url));

const { values: options } = parseArgs({
  options: {
    kills: { type: 'string', default: '100' },
    seed: { type: 'string', default: '1' },
    jobs: { type: 'string', default: '2' },
  },
});

const folder = mkdtempSync(path.join(tmpdir(), 'bertune-kills-'));
/** @type {Map<number, Promise<{ digest: string, seconds: number }>>} by the number of processes */
const undisturbed = new Map();
let passed = 0;
let failed = 0;
try {
  writeTask();
  const numbers = Array.from({ length: Number(options.kills) }, (_, i) => i).values();
  const worker = async () => {
    for (const number of numbers) await killOnce(number);
  };
  await Promise.all(Array.from({ length: Number(options.jobs) }, worker));
} finally {
  rmSync(folder, { recursive: true });
}
print(`\n${passed} passed, ${failed} failed`);
process.exitCode = failed > 0 ? 1 : 0;

/** One training that is disturbed, and what becomes of it. @param {number} number */
async function killOnce(number) {
  const random = randomNumbers(Number(options.seed) * 10_000 + number);
  const size = 2 + Math.floor(random() * 3);
  const rank = Math.floor(random() * size);
  const signal = random() < 0.6 ? 'SIGKILL' : 'SIGSTOP';
  const whole = await leftAlone(size);
  const output = path.join(folder, `disturbed-${number}`);
  let end = null;
  // One that is faster than that which was left alone is over by then.
  for (let at = random() * whole.seconds; end === null; at *= 0.8) {
    rmSync(output, { recursive: true, force: true });
    end = await disturb(output, { size, rank, signal, at });
  }
  const faults = faultsOf(end, { size, rank });
  const checkpoints = existsSync(output)
    ? readdirSync(output).filter((name) => /^checkpoint-\d+$/.test(name))
    : [];
  for (const name of checkpoints)
    await verifyChecksums(path.join(output, name), 'resume').catch((error) => faults.push(error.message));
  const resumed = await train(output, size, ['--resume-from-checkpoint', 'auto']).outcome;
  if (resumed.code !== 0)
    faults.push(`resumed, it ended with ${resumed.code}: ${resumed.stderr.slice(-500)}`);
  else if (digestOf(output) !== whole.digest) faults.push('other bits');
  if (readdirSync(output).some((name) => name.includes('.tmp-'))) faults.push('half a checkpoint is left');
  rmSync(output, { recursive: true });

  if (faults.length === 0) passed += 1;
  else failed += 1;
  print(
    `${faults.length === 0 ? 'ok  ' : 'FAIL'} ${signal} of rank ${rank} of ${size} at ${end.at.toFixed(2)} s, ` +
      `${checkpoints.length} checkpoints: ended after ${end.seconds.toFixed(1)} s; ${(end.lines[0] ?? '').slice(0, 80)}`,
  );
  for (const fault of faults) print(`  ${fault}`);
  if (faults.length > 0) print(`  ${end.stderr.trim().slice(-2000).replaceAll('\n', '\n  ')}`);
}

/**
 * @typedef {object} End how a disturbed training ended
 * @property {number} at seconds from its start to the signal
 * @property {number} seconds from the signal to the end of all but the process that got it
 * @property {number | null} code
 * @property {string} stderr
 * @property {string[]} lines why processes ended
 * @property {boolean} isLeft whether one of them is still there
 */

/**
 * @param {string} output
 * @param {{ size: number, rank: number, signal: NodeJS.Signals, at: number }} how
 * @returns {Promise<End | null>} null where it was over before
 */
async function disturb(output, { size, rank, signal, at }) {
  const run = train(output, size);
  const started = performance.now();
  await sleep(at * 1000);
  let processes = processesOf(run.pid);
  // At first the launcher is still about to start them.
  for (let left = at < 1 ? 1000 : 0; left > 0 && processes.size < size && !run.hasEnded(); left -= 5) {
    await sleep(5);
    processes = processesOf(run.pid);
  }
  const victim = processes.get(rank);
  if (victim === undefined) {
    await run.outcome;
    return null;
  }
  const killed = performance.now();
  process.kill(victim, signal);
  const others = [...processes.values()].filter((id) => id !== victim);
  while (others.some(isThere) && secondsSince(killed) < 2 * IN_TIME) await sleep(20);
  const seconds = secondsSince(killed);
  const { code, stderr } = await run.outcome;
  return {
    at: (killed - started) / 1000,
    seconds,
    code,
    stderr,
    lines: stderr.split('\n').filter((line) => line.startsWith('bertune: ')),
    isLeft: [victim, ...others].some(isThere),
  };
}

/** @param {End} end @param {{ size: number, rank: number }} of */
function faultsOf({ seconds, code, lines, isLeft }, { size, rank }) {
  const name = new RegExp(`\\b[Rr]anks? (?:\\d+, )*${rank}\\b`);
  return [
    seconds > IN_TIME && `the others took ${seconds.toFixed(1)} s`,
    code === 0 && 'exit code 0',
    !lines.some((line) => name.test(line)) && `no line names rank ${rank}`,
    lines.length > size && `${lines.length} lines`,
    isLeft && 'a process is left',
  ].filter((fault) => fault !== false);
}

/** @param {number} size */
function leftAlone(size) {
  const known = undisturbed.get(size);
  if (known !== undefined) return known;
  const output = path.join(folder, `of-${size}`);
  const run = async () => {
    const started = performance.now();
    const { code, stderr } = await train(output, size).outcome;
    if (code !== 0) throw new Error(`a training of ${size} processes that was left alone failed:\n${stderr}`);
    return { digest: digestOf(output), seconds: secondsSince(started) };
  };
  const outcome = run();
  undisturbed.set(size, outcome);
  return outcome;
}

/** @param {string} output @param {number} size @param {readonly string[]} more */
function train(output, size, more = []) {
  const child = spawn(
    process.execPath,
    [CLI, 'train', '--config', 'model/config.json', '--tokenizer', 'model', '--train-file', 'train.csv']
      .concat('--output-dir', output, '--nproc', `${size}`, '--ddp-timeout', `${TIMEOUT}`)
      .concat('--max-steps', `${STEPS}`, '--save-steps', '30', '--save-total-limit', '2', '--threads', '1')
      .concat(more),
    { cwd: folder, stdio: ['ignore', 'ignore', 'pipe'] },
  );
  let stderr = '';
  child.stderr.setEncoding('utf8').on('data', (text) => (stderr += text));
  let hasEnded = false;
  /** @type {Promise<{ code: number | null, stderr: string }>} */
  const outcome = new Promise((resolve, reject) => {
    child.on('error', reject).on('close', (code) => {
      hasEnded = true;
      resolve({ code, stderr });
    });
  });
  return { pid: child.pid ?? 0, outcome, hasEnded: () => hasEnded };
}

/**
 * The processes that a launcher has started, by rank.
 *
 * @param {number} launcher
 * @returns {Map<number, number>}
 */
function processesOf(launcher) {
  const found = new Map();
  for (const id of readdirSync('/proc').filter((name) => /^\d+$/.test(name)))
    try {
      const parent = /^\d+ \(.*\) \S (\d+)/.exec(readFileSync(`/proc/${id}/stat`, 'utf8'))?.[1];
      const rank = /(?:^|\0)RANK=(\d+)/.exec(readFileSync(`/proc/${id}/environ`, 'utf8'))?.[1];
      if (Number(parent) === launcher && rank !== undefined) found.set(Number(rank), Number(id));
    } catch {
      // ended meanwhile
    }
  return found;
}

/** A zombie is. @param {number} id */
function isThere(id) {
  return existsSync(`/proc/${id}`);
}

/** @param {string} output */
function digestOf(output) {
  return createHash('sha256')
    .update(readFileSync(path.join(output, 'model.safetensors')))
    .digest('hex');
}

/** @param {number} started */
function secondsSince(started) {
  return (performance.now() - started) / 1000;
}

/** A task that can be learnt, and the configuration of a small BERT for it. */
function writeTask() {
  const model = path.join(folder, 'model');
  mkdirSync(model);
  const vocabulary = ['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]', ...WORDS];
  const config = {
    model_type: 'bert',
    vocab_size: vocabulary.length,
    hidden_size: 32,
    num_hidden_layers: 2,
    num_attention_heads: 2,
    intermediate_size: 64,
    max_position_embeddings: 32,
  };
  writeFileSync(path.join(model, 'config.json'), JSON.stringify(config));
  writeFileSync(path.join(model, 'vocab.txt'), `${vocabulary.join('\n')}\n`);
  const words = randomNumbers(1);
  const rows = Array.from({ length: 300 }, () => {
    const text = Array.from(
      { length: 3 + Math.floor(words() * 12) },
      () => WORDS[Math.floor(words() * WORDS.length)],
    );
    return `${text.join(' ')},${text.some((word) => word === 'good' || word === 'great') ? 'pos' : 'neg'}`;
  });
  writeFileSync(path.join(folder, 'train.csv'), `text,label\n${rows.join('\n')}\n`);
}

/** @param {string} line */
function print(line) {
  process.stdout.write(`${line}\n`);
}
