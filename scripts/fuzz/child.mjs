// A process that feeds inputs to one reader and reports faults. It is a process of its own because it may crash or hang; its
// parent (runner.mjs) notices, and finds the input in the work folder.
import { mkdirSync, openSync, readdirSync, readFileSync, rmSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { Coverage } from './coverage.mjs';
import { SeededRandom } from './seeded-random.mjs';
import { useSyncFileSystem } from './sync-file-system.mjs';
import { formatNamed } from './formats/index.mjs';
import { MAX_EXTRA_BYTES, MAX_MS } from './format.mjs';

/** @typedef {import('./format.mjs').Files} Files */
/**
 * @typedef {object} Job
 * @property {string} name of the format
 * @property {string} work a folder to work in: `input` is the current input, `done` the number of inputs before it
 * @property {string} keep where inputs with a fault are saved
 * @property {number} seed
 * @property {number} first the number of the first input
 * @property {number} count
 * @property {string} [repeat] a folder with one input, to be run instead of all these
 */
/** @typedef {{ done: number, accepted: number, corpus: number, parts: number } | { fault: string, folder: string }} Report */

/** Inputs between two looks at the coverage, which takes milliseconds. */
const BATCH = 64;
const MAX_CORPUS = 2000;
/** Milliseconds above which an input is not changed again: variants of one slow input would take most of the time. */
const QUICK_MS = 50;
const NEWEST = 50;
const PROTOTYPE = prototypeNames();

// Without its parent this process must not continue.
const orphaned = () => process.exit(1);
process.once('disconnect', orphaned);

/** @type {Job} */
const job = JSON.parse(process.argv[2] ?? '');
const format = formatNamed(job.name);
const current = join(job.work, 'input');
mkdirSync(current, { recursive: true });
/** The files in the folder, so that only changed ones are written. @type {Files} */
let present = {};
let memoryLimit = Infinity;

useSyncFileSystem();
const seeds = await format.seeds();
for (const seed of seeds) {
  const { fault, refusal } = await runInput(seed);
  // A fuzzer whose valid files are refused would test the first check and nothing else.
  if (fault !== null || refusal !== null)
    throw new Error(`a valid ${job.name} was refused: ${fault ?? refusal}`);
}
memoryLimit = process.resourceUsage().maxRSS * 1024 + MAX_EXTRA_BYTES;
report({ done: 0, accepted: 0, corpus: 0, parts: 0 }); // from now on every input has its time limit

if (job.repeat === undefined) await run();
else {
  const { fault } = await runInput(filesOf(job.repeat));
  report({ fault: fault ?? '', folder: job.repeat });
}
process.off('disconnect', orphaned);
process.disconnect?.();
process.exitCode = 0;

async function run() {
  const coverage = new Coverage();
  const corpus = [...seeds];
  let accepted = 0;
  let lastReport = 0;
  /** @type {Files[]} */
  let batch = [];
  const counter = openSync(join(job.work, 'done'), 'w');
  for (let done = 0; done < job.count; done++) {
    writeSync(counter, String(done), 0);
    const random = new SeededRandom(job.seed * 1_000_003 + job.first + done);
    // Half of them from the newest inputs that reached new code.
    const files = format.mutate(random.pick(random.chance(0.5) ? corpus : corpus.slice(-NEWEST)), random);
    const { fault, refusal, ms } = await runInput(files);
    accepted += Number(refusal === null);
    if (fault !== null) report({ fault, folder: saveInput(files, job.first + done) });
    if (ms < QUICK_MS) batch.push(files);
    if (batch.length === BATCH) {
      const found = await coverage.newAmong(batch, runInput);
      if (corpus.length < MAX_CORPUS) corpus.push(...found);
      batch = [];
    }
    if (Date.now() - lastReport < 200) continue;
    lastReport = Date.now();
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
async function runInput(files) {
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
  if (ms > MAX_MS) fault = `took ${Math.round(ms)} ms`;
  const size = Object.values(files).reduce((sum, { length }) => sum + length, 0);
  const memory = process.resourceUsage().maxRSS * 1024;
  if (memory > memoryLimit + size) {
    fault = `took ${Math.round((memory - memoryLimit + MAX_EXTRA_BYTES) / 2 ** 20)} MiB`;
    memoryLimit = memory; // reported once
  }
  return { fault, refusal, ms };
}

/** CPU time, which does not depend on the load of the machine; runner.mjs notices an input that hangs. */
function cpuMs() {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}

/** The fault of a refusal: an error that is a bug, or an unusable message. @param {unknown} error */
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
function saveInput(files, index) {
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
