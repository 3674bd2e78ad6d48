// The fuzz of the native boundary: random calls in processes of their own, and sessions opened and closed.
//   node test/fuzz/native/run.mjs [--calls 100000] [--sessions 1000] [--seed 1]
// Prints what was counted, and of each failure the seed that brings it about again.
import { spawn } from 'node:child_process';
import { mkdtemp, open, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

/** A process makes so many calls: few enough that its log can be read. */
const CALLS_PER_PROCESS = 500;
const TIMEOUT = 300_000;
const LINES_OF_LOG = 12;
/** Of memory, by the sessions after the warm-up. */
const MOST_GROWTH = 0.02;

/**
 * @typedef {{ calls: number, fulfilled: number, refused: number, passedOn: number, collections: number, wrong: string[] }} Counts
 * @typedef {Counts & { processes: number, crashes: string[] }} Report `wrong` and `crashes` say what went wrong
 */

/** @param {string} name */
function program(name) {
  return fileURLToPath(new URL(name, import.meta.url));
}

/**
 * Runs a program of this folder to its end, whatever that is.
 *
 * @param {string} name
 * @param {readonly number[]} parameters
 * @param {number | 'ignore'} log what its file descriptor 3 is
 * @returns {Promise<{ end: string, out: string, err: string }>} `end` is empty when it ended with exit code 0
 */
function ended(name, parameters, log = 'ignore') {
  return new Promise((resolve) => {
    const child = spawn(process.execPath, ['--expose-gc', program(name), ...parameters.map(String)], {
      stdio: ['ignore', 'pipe', 'pipe', log],
      timeout: TIMEOUT,
      killSignal: 'SIGKILL',
    });
    const text = { out: '', err: '' };
    child.stdout?.setEncoding('utf8').on('data', (part) => (text.out += part));
    child.stderr?.setEncoding('utf8').on('data', (part) => (text.err += part));
    child.on('close', (code, signal) => {
      const how =
        signal === 'SIGKILL'
          ? `killed, after ${TIMEOUT / 1000} s or for memory`
          : (signal ?? `exit code ${code}`);
      resolve({ end: code === 0 ? '' : how, ...text });
    });
  });
}

/**
 * Makes random calls, process after process.
 *
 * @param {{ seed: number, calls: number, onProcess?: (report: Report) => void }} options
 * @returns {Promise<Report>}
 */
export async function fuzzCalls({ seed, calls, onProcess }) {
  const report = { processes: 0, calls: 0, fulfilled: 0, refused: 0, passedOn: 0, collections: 0 };
  /** @type {Report} */
  const all = { ...report, wrong: [], crashes: [] };
  const folder = await mkdtemp(join(tmpdir(), 'bertune-fuzz-'));
  try {
    for (let each = seed; all.calls < calls && all.crashes.length < 10; each++) {
      const path = join(folder, 'calls.log');
      const log = await open(path, 'w');
      const { end, out, err } = await ended(
        'calls.mjs',
        [each, Math.min(CALLS_PER_PROCESS, calls - all.calls)],
        log.fd,
      );
      await log.close();
      const lines = (await readFile(path, 'utf8')).trim().split('\n');
      all.processes++;
      if (end !== '' || err !== '' || out === '')
        all.crashes.push(
          `seed ${each}: ${end || 'exit code 0'}\n${err.trim().slice(-2000)}\nthe last calls:\n${lines.slice(-LINES_OF_LOG).join('\n')}`,
        );
      if (out !== '') add(all, JSON.parse(out), each);
      else all.calls += lines.length;
      onProcess?.(all);
    }
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
  return all;
}

/** @param {Report} all @param {Counts} counts @param {number} seed */
function add(all, counts, seed) {
  for (const key of /** @type {const} */ (['calls', 'fulfilled', 'refused', 'passedOn', 'collections']))
    all[key] += counts[key];
  all.wrong.push(...counts.wrong.map((line) => `seed ${seed}: ${line}`));
}

/**
 * Opens, trains and closes sessions one after another in a process.
 *
 * @param {{ sessions: number, warmUp: number }} options
 * @returns {Promise<import('./sessions.mjs').Growth>}
 */
export async function openAndClose({ sessions, warmUp }) {
  const { end, out, err } = await ended('sessions.mjs', [sessions, warmUp]);
  if (end !== '') throw new Error(`the process that opens sessions ended: ${end}\n${err}`);
  return JSON.parse(out);
}

async function main() {
  const { values } = parseArgs({
    options: {
      calls: { type: 'string', default: '100000' },
      sessions: { type: 'string', default: '1000' },
      seed: { type: 'string', default: '1' },
    },
  });
  const say = (/** @type {string} */ line) => void process.stdout.write(`${line}\n`);
  const report = await fuzzCalls({
    seed: Number(values.seed),
    calls: Number(values.calls),
    onProcess: ({ processes, calls }) => processes % 20 === 0 && say(`... ${calls} calls`),
  });
  const { processes, calls, fulfilled, refused, passedOn, collections, wrong, crashes } = report;
  for (const line of [...crashes, ...wrong]) say(line);
  say(
    `${calls} calls in ${processes} processes: ${fulfilled} fulfilled, ${refused} refused (${passedOn} of them with what a ` +
      `getter had thrown), ${collections} garbage collections, ${wrong.length} wrong answers, ${crashes.length} crashes`,
  );
  const failed = wrong.length + crashes.length;
  const sessions = Number(values.sessions);
  if (sessions === 0) return { inputs: calls, failed };
  const { before, after, growth, threads } = await openAndClose({
    sessions,
    warmUp: Math.ceil(sessions / 5),
  });
  say(
    `${sessions} sessions: ${before} MB after a fifth of them, ${after} MB at the end (${(growth * 100).toFixed(2)} %), ` +
      `${threads} threads more`,
  );
  const leaks = growth > MOST_GROWTH || threads > 0;
  return { inputs: calls + sessions, failed: failed + Number(leaks) };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const count = await main();
  process.send?.(count);
  process.exitCode = count.failed === 0 ? 0 : 1;
}
