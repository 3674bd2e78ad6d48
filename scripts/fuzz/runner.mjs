// Runs the inputs of a format in child processes, so that one that crashes or hangs its reader is found, kept and told
// from a machine that was busy; then goes on behind it.
import { fork } from 'node:child_process';
import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { HEAP_MIB, MOST_MS } from './limits.mjs';

/** @typedef {import('./child.mjs').Job} Job */
/** @typedef {import('./child.mjs').Report} Report */
/** @typedef {{ fault: string, folder: string }} Finding folder: where the input was kept */
/** @typedef {{ name: string, inputs: number, accepted: number, corpus: number, parts: number, seconds: number, findings: Finding[] }} Outcome */

/** A format that finds this much has a defect that the others wait behind. */
const MOST_FINDINGS = 20;
/** Of children that run. @type {Set<string>} */
const workFolders = new Set();
process.on('exit', () => workFolders.forEach(removeWorkFolder));
const CHILD = new URL('child.mjs', import.meta.url);

/**
 * @param {{ name: string, inputs: number, seed: number, keep: string }} options keep: where inputs with a fault are kept
 * @returns {Promise<Outcome>}
 */
export async function fuzzFormat({ name, inputs, seed, keep }) {
  const started = Date.now();
  const work = workFolder();
  /** @type {Outcome} */
  const outcome = { name, inputs: 0, accepted: 0, corpus: 0, parts: 0, seconds: 0, findings: [] };
  try {
    while (outcome.inputs < inputs && outcome.findings.length < MOST_FINDINGS) {
      const first = outcome.inputs;
      const job = { name, work, keep, seed, first, count: inputs - first };
      const ended = await child(job, (finding) => outcome.findings.push(finding) < MOST_FINDINGS);
      outcome.inputs += ended.done;
      outcome.accepted += ended.accepted;
      outcome.corpus = Math.max(outcome.corpus, ended.corpus);
      outcome.parts = Math.max(outcome.parts, ended.parts);
      if (ended.fault === null) continue;
      outcome.inputs = first + doneBefore(work) + 1;
      const folder = join(keep, `${name}-${seed}-${outcome.inputs - 1}`);
      cpSync(join(work, 'input'), folder, { recursive: true });
      const fault = await repeat(name, folder);
      // A hang that does not come back was the machine's; a crash is one all the same.
      if (fault !== null || ended.fault !== HUNG)
        outcome.findings.push({ fault: fault ?? `${ended.fault} (not alone)`, folder });
      else rmSync(folder, { recursive: true });
    }
  } finally {
    removeWorkFolder(work);
  }
  outcome.findings = await confirmed(name, outcome.findings);
  outcome.seconds = (Date.now() - started) / 1000;
  return outcome;
}

/**
 * Runs one input that was kept.
 *
 * @param {string} name
 * @param {string} folder
 * @returns {Promise<string | null>} its fault
 */
export async function repeat(name, folder) {
  const work = workFolder();
  try {
    let found = '';
    const job = { name, work, keep: work, seed: 0, first: 0, count: 1, repeat: folder };
    const { fault } = await child(job, (finding) => {
      found = finding.fault;
      return true;
    });
    return fault ?? (found === '' ? null : found);
  } finally {
    removeWorkFolder(work);
  }
}

const HUNG = `took more than ${MOST_MS} ms`;

/**
 * @param {Job} job
 * @param {(finding: Finding) => boolean} onFault whether to go on
 * @returns {Promise<{ done: number, accepted: number, corpus: number, parts: number, fault: string | null }>} fault: how
 *   the process ended, if not as it should
 */
function child(job, onFault) {
  const last = { done: 0, accepted: 0, corpus: 0, parts: 0 };
  const process = fork(CHILD, [JSON.stringify(job)], {
    execArgv: [`--max-old-space-size=${HEAP_MIB}`],
    stdio: ['ignore', 'inherit', 'pipe', 'ipc'],
    // What a child leaves in its temporary folder goes with its work folder, also where it was killed.
    env: { ...globalThis.process.env, NODE_OPTIONS: '', TMPDIR: job.work },
  });
  let errors = '';
  process.stderr?.on('data', (text) => (errors = `${errors}${text}`.slice(-2000)));
  let heard = { at: Date.now(), computed: 0 };
  let hasBegun = false;
  let hung = false;
  let stopped = false;
  const watchdog = setInterval(() => {
    const allowed = 2 * MOST_MS + START_MS * Number(!hasBegun);
    const waited = Date.now() - heard.at;
    // Twice the limit: the child itself tells of inputs that took too long but came back. On a busy machine it may get a
    // twentieth of a core.
    const computed = computedMs(process.pid) - heard.computed;
    hung ||= waited > 20 * allowed || (waited > allowed && computed > allowed);
    if (hung) process.kill('SIGKILL');
  }, 500);
  process.on('message', (/** @type {Report} */ report) => {
    heard = { at: Date.now(), computed: computedMs(process.pid) };
    hasBegun = true;
    if ('done' in report) Object.assign(last, report);
    else if (!onFault(report) && !stopped) {
      stopped = true;
      process.kill('SIGKILL');
    }
  });
  return new Promise((resolve) => {
    process.on('close', (code, signal) => {
      clearInterval(watchdog);
      const crash = code === 0 || stopped ? null : `ended with ${signal ?? `code ${code}`}: ${errors.trim()}`;
      resolve({ ...last, fault: hung ? HUNG : crash });
    });
  });
}

/** Milliseconds for which a process has computed, to a hundredth of a second; Infinity where the system does not tell. @param {number | undefined} pid */
function computedMs(pid) {
  try {
    // https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html: utime and stime, behind the name in brackets.
    const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? [];
    return (Number(fields[11]) + Number(fields[12])) * 10;
  } catch {
    return Infinity;
  }
}

/** To load LibTorch and run the valid files. */
const START_MS = 30_000;

/** Memory counts what went before, too: such a finding stands only when the input alone shows it. */
async function confirmed(/** @type {string} */ name, /** @type {Finding[]} */ findings) {
  const standing = [];
  for (const finding of findings) {
    const counts =
      !/^took \d+ (MiB|ms)$/.test(finding.fault) || (await repeat(name, finding.folder)) !== null;
    if (counts) standing.push(finding);
    else rmSync(finding.folder, { recursive: true });
  }
  return standing;
}

/** In memory where there is a file system there: every input is a file. */
function workFolder() {
  const folder = mkdtempSync(join(existsSync('/dev/shm') ? '/dev/shm' : tmpdir(), 'bertune-fuzz-'));
  workFolders.add(folder);
  return folder;
}

/** @param {string} folder */
function removeWorkFolder(folder) {
  rmSync(folder, { recursive: true, force: true });
  workFolders.delete(folder);
}

/** How many inputs a child had done when it ended. @param {string} work */
function doneBefore(work) {
  return Number(readFileSync(join(work, 'done'), 'utf8'));
}
