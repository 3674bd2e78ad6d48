// Runs the inputs of a format in child processes, so that one that crashes or hangs its reader is found, saved and
// distinguished from a busy machine; then continues with the next input.
import { fork } from 'node:child_process';
import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { HEAP_MIB, MAX_MS } from './format.mjs';

/** @typedef {import('./child.mjs').Job} Job */
/** @typedef {import('./child.mjs').Report} Report */
/** @typedef {{ fault: string, folder: string }} Finding folder: where the input was saved */
/** @typedef {{ name: string, inputs: number, accepted: number, corpus: number, parts: number, seconds: number, findings: Finding[] }} Outcome */

/** A format with this many findings has a defect to fix first. */
const MAX_FINDINGS = 20;
/** Of children that run. @type {Set<string>} */
const workFolders = new Set();
process.on('exit', () => workFolders.forEach(removeWorkFolder));
const CHILD = new URL('child.mjs', import.meta.url);

/**
 * @param {{ name: string, inputs: number, seed: number, keep: string }} options keep: where inputs with a fault are saved
 * @returns {Promise<Outcome>}
 */
export async function fuzzFormat({ name, inputs, seed, keep }) {
  const started = Date.now();
  const work = workFolder();
  /** @type {Outcome} */
  const outcome = { name, inputs: 0, accepted: 0, corpus: 0, parts: 0, seconds: 0, findings: [] };
  try {
    while (outcome.inputs < inputs && outcome.findings.length < MAX_FINDINGS) {
      const first = outcome.inputs;
      const job = { name, work, keep, seed, first, count: inputs - first };
      const ended = await child(job, (finding) => outcome.findings.push(finding) < MAX_FINDINGS);
      outcome.inputs += ended.done;
      outcome.accepted += ended.accepted;
      outcome.corpus = Math.max(outcome.corpus, ended.corpus);
      outcome.parts = Math.max(outcome.parts, ended.parts);
      if (ended.fault === null) continue;
      outcome.inputs = first + doneBefore(work) + 1;
      const folder = join(keep, `${name}-${seed}-${outcome.inputs - 1}`);
      cpSync(join(work, 'input'), folder, { recursive: true });
      const fault = await repeat(name, folder);
      // A hang that cannot be reproduced was the machine's; a crash always counts.
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
 * Runs one saved input.
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

const HUNG = `took more than ${MAX_MS} ms`;

/**
 * @param {Job} job
 * @param {(finding: Finding) => boolean} onFault whether to continue
 * @returns {Promise<{ done: number, accepted: number, corpus: number, parts: number, fault: string | null }>} fault: how
 *   the process ended, unless normally
 */
function child(job, onFault) {
  const last = { done: 0, accepted: 0, corpus: 0, parts: 0 };
  const process = fork(CHILD, [JSON.stringify(job)], {
    execArgv: [`--max-old-space-size=${HEAP_MIB}`],
    stdio: ['ignore', 'inherit', 'pipe', 'ipc'],
    // What a child leaves in its temporary folder goes with its work folder, even if it was killed.
    env: { ...globalThis.process.env, NODE_OPTIONS: '', TMPDIR: job.work },
  });
  let errors = '';
  process.stderr?.on('data', (text) => (errors = `${errors}${text}`.slice(-2000)));
  let lastReport = { at: Date.now(), computed: 0 };
  let hasBegun = false;
  let hung = false;
  let stopped = false;
  const watchdog = setInterval(() => {
    const allowed = 2 * MAX_MS + START_MS * Number(!hasBegun);
    const waited = Date.now() - lastReport.at;
    // Twice the limit: the child itself reports inputs that took too long but returned. On a busy machine it may get a
    // twentieth of a core.
    const computed = computedMs(process.pid) - lastReport.computed;
    hung ||= waited > 20 * allowed || (waited > allowed && computed > allowed);
    if (hung) process.kill('SIGKILL');
  }, 500);
  process.on('message', (/** @type {Report} */ report) => {
    lastReport = { at: Date.now(), computed: computedMs(process.pid) };
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

/** CPU time of a process in milliseconds, to a hundredth of a second; Infinity where the system does not report it. @param {number | undefined} pid */
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

/** The peak of memory includes earlier inputs: such a finding counts only if the input alone reproduces it. */
async function confirmed(/** @type {string} */ name, /** @type {Finding[]} */ findings) {
  const reproduced = [];
  for (const finding of findings) {
    const counts =
      !/^took \d+ (MiB|ms)$/.test(finding.fault) || (await repeat(name, finding.folder)) !== null;
    if (counts) reproduced.push(finding);
    else rmSync(finding.folder, { recursive: true });
  }
  return reproduced;
}

/** In memory where possible: every input is a file. */
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

/** How many inputs a child had finished when it ended. @param {string} work */
function doneBefore(work) {
  return Number(readFileSync(join(work, 'done'), 'utf8'));
}
