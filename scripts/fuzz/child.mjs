// A process that feeds one reader: it makes input after input, and says what is wrong with those that went wrong. That it
// may crash or hang is why it is a process; its parent (runner.mjs) notices, and finds the input in the work folder.
import { mkdirSync, openSync, readdirSync, readFileSync, rmSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { Coverage } from './coverage.mjs';
import { Dice } from './dice.mjs';
import { readFilesAtOnce } from './files-at-once.mjs';
import { formatNamed } from './formats/index.mjs';
import { MOST_MEMORY, MOST_MS } from './limits.mjs';

/** @typedef {import('./format.mjs').Files} Files */
/**
 * @typedef {object} Job
 * @property {string} name of the format
 * @property {string} work a folder to work in: `input` is the input at hand, `done` how many were done before it
 * @property {string} keep where inputs with a fault are kept
 * @property {number} seed
 * @property {number} first the number of the first input
 * @property {number} count
 * @property {string} [repeat] a folder with one input, to be run instead of all these
 */
/** @typedef {{ done: number, accepted: number, corpus: number, parts: number } | { fault: string, folder: string }} Report */

/** Inputs between two looks at the coverage, which takes milliseconds. */
const BATCH = 64;
const MOST_KEPT = 2000;
/** Milliseconds above which an input is not changed again: what came of one bomb would take most of the time. */
const QUICK_MS = 50;
const NEWEST = 50;
const PROTOTYPE = prototypeNames();

// What belongs to nobody must not go on.
const orphaned = () => process.exit(1);
process.once('disconnect', orphaned);

/** @type {Job} */
const job = JSON.parse(process.argv[2] ?? '');
const format = formatNamed(job.name);
const current = join(job.work, 'input');
mkdirSync(current, { recursive: true });
/** What lies in the folder, so that only what differs is written. @type {Files} */
let present = {};
let memoryLimit = Infinity;

readFilesAtOnce();
const seeds = await format.seeds();
for (const seed of seeds) {
  const { fault, refusal } = await tried(seed);
  // A fuzzer whose valid files are refused would test the first check and nothing else.
  if (fault !== null || refusal !== null)
    throw new Error(`a valid ${job.name} was refused: ${fault ?? refusal}`);
}
memoryLimit = process.resourceUsage().maxRSS * 1024 + MOST_MEMORY;
report({ done: 0, accepted: 0, corpus: 0, parts: 0 }); // from now on every input has its time

if (job.repeat === undefined) await run();
else {
  const { fault } = await tried(filesOf(job.repeat));
  report({ fault: fault ?? '', folder: job.repeat });
}
process.off('disconnect', orphaned);
process.disconnect?.();
process.exitCode = 0;

async function run() {
  const coverage = new Coverage();
  const corpus = [...seeds];
  let accepted = 0;
  let said = 0;
  /** @type {Files[]} */
  let batch = [];
  const counter = openSync(join(job.work, 'done'), 'w');
  for (let done = 0; done < job.count; done++) {
    writeSync(counter, String(done), 0);
    const dice = new Dice(job.seed * 1_000_003 + job.first + done);
    // Half of them from what reached something new not long ago.
    const files = format.mutate(dice.pick(dice.chance(0.5) ? corpus : corpus.slice(-NEWEST)), dice);
    const { fault, refusal, ms } = await tried(files);
    accepted += Number(refusal === null);
    if (fault !== null) report({ fault, folder: kept(files, job.first + done) });
    if (ms < QUICK_MS) batch.push(files);
    if (batch.length === BATCH) {
      const found = await coverage.newAmong(batch, tried);
      if (corpus.length < MOST_KEPT) corpus.push(...found);
      batch = [];
    }
    if (Date.now() - said < 200) continue;
    said = Date.now();
    report({ done: done + 1, accepted, corpus: corpus.length, parts: coverage.size });
  }
  report({ done: job.count, accepted, corpus: corpus.length, parts: coverage.size });
}

/**
 * Lets the product read one input.
 *
 * @param {Files} files
 * @returns {Promise<{ fault: string | null, refusal: string | null, ms: number }>}
 */
async function tried(files) {
  place(files);
  const started = cpuMs();
  let fault = null;
  let refusal = null;
  try {
    const result = await format.read(current);
    fault = (await format.check?.(/** @type {never} */ (result), files)) ?? null;
  } catch (error) {
    refusal = error instanceof Error ? error.message : String(error);
    fault = faultOf(error);
  }
  const ms = cpuMs() - started;
  if (prototypeNames() !== PROTOTYPE) fault = `Object.prototype changed: ${prototypeNames()}`;
  if (ms > MOST_MS) fault = `took ${Math.round(ms)} ms`;
  const size = Object.values(files).reduce((sum, { length }) => sum + length, 0);
  const memory = process.resourceUsage().maxRSS * 1024;
  if (memory > memoryLimit + size) {
    fault = `took ${Math.round((memory - memoryLimit + MOST_MEMORY) / 2 ** 20)} MiB`;
    memoryLimit = memory; // said once
  }
  return { fault, refusal, ms };
}

/** Milliseconds of computing, which a busy machine does not change; runner.mjs sees who waits for ever. */
function cpuMs() {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}

/** What is wrong with a refusal: an error that is a bug, or a message that is no message. @param {unknown} error */
function faultOf(error) {
  if (!(error instanceof Error)) return `threw ${typeof error}`;
  if (error.name !== 'UsageError' && error.name !== 'RunError')
    return `threw ${error.stack ?? error.message}`;
  // No file changes here while it is read.
  if (error.message.includes('cannot be read again')) return error.message;
  if (error.message.length > 20_000) return `a message of ${error.message.length} characters`;
  if (/[\p{Cc}\u202a-\u202e\u2066-\u2069]/u.test(error.message.replaceAll('\n', '')))
    return `a message with control characters: ${JSON.stringify(error.message.slice(0, 500))}`;
  return null;
}

/** @param {Files} files */
function place(files) {
  for (const name of Object.keys(present)) if (!(name in files)) rmSync(join(current, name));
  for (const [name, bytes] of Object.entries(files)) {
    if (present[name] !== bytes) writeFileSync(join(current, name), bytes);
  }
  present = files;
}

/** @param {string} folder @returns {Files} */
function filesOf(folder) {
  return Object.fromEntries(
    readdirSync(folder).map((name) => [name, new Uint8Array(readFileSync(join(folder, name)))]),
  );
}

/** @param {Files} files @param {number} index */
function kept(files, index) {
  const folder = join(job.keep, `${job.name}-${job.seed}-${index}`);
  mkdirSync(folder, { recursive: true });
  for (const [name, bytes] of Object.entries(files)) writeFileSync(join(folder, name), bytes);
  return folder;
}

/** @param {Report} message */
function report(message) {
  process.send?.(message);
}

function prototypeNames() {
  return Object.getOwnPropertyNames(Object.prototype).join();
}
