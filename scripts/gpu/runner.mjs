// One part in a process of its own. What it has found is read line by line, so that a crash or the end of its time loses none.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { endOnSignal } from '../setup/process.mjs';

/**
 * @typedef {object} PartJob
 * @property {string} device
 * @property {string | null} gpu its name
 * @property {boolean} isSmall no GPU computes: models are small
 * @property {boolean} bfloat16 whether the device has its arithmetic
 * @property {string} folder for temporary files
 *
 * @typedef {object} PartResult
 * @property {string} name
 * @property {string} title
 * @property {'ok' | 'FAILED' | 'skipped' | 'CRASHED' | 'TOO LONG'} result
 * @property {number} seconds
 * @property {number} limit seconds
 * @property {import('./report.mjs').Finding[]} findings
 * @property {string} reason of a crash; else empty
 */

const SCRIPT = join(import.meta.dirname, 'part.mjs');

/**
 * @param {import('./parts.mjs').Part} part
 * @param {PartJob} job
 * @param {number} factor of time limits
 * @returns {Promise<PartResult>}
 */
export async function runPart({ name, title, seconds }, job, factor) {
  const limit = Math.ceil(1.5 * seconds * factor);
  const started = performance.now();
  const child = spawn(process.execPath, [SCRIPT, JSON.stringify({ ...job, part: name })], {
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true, // what it starts ends with it
  });
  endOnSignal(child);
  /** @type {import('./report.mjs').Finding[]} */
  const findings = [];
  let stderr = '';
  createInterface({ input: child.stdout }).on('line', (line) => {
    if (line.startsWith('{"kind":')) findings.push(JSON.parse(line));
  });
  child.stderr.setEncoding('utf8').on('data', (text) => (stderr = (stderr + text).slice(-10_000)));
  let isTooLong = false;
  const timer = setTimeout(() => {
    isTooLong = true;
    if (child.pid !== undefined) process.kill(-child.pid, 'SIGKILL');
  }, limit * 1000);
  const [code, signal] = await once(child, 'close');
  clearTimeout(timer);
  const isWhole = code === 0;
  const result = isTooLong ? 'TOO LONG' : isWhole ? resultOf(findings) : 'CRASHED';
  const why = stderr.trim().split('\n').slice(-8).join('\n    ');
  const reason = isWhole
    ? ''
    : isTooLong
      ? `ended after ${limit} s; --limit 2 gives it twice as long`
      : why || `ended by ${signal ?? `code ${code}`}`;
  return { name, title, result, seconds: (performance.now() - started) / 1000, limit, findings, reason };
}

/** @param {readonly import('./report.mjs').Finding[]} findings */
function resultOf(findings) {
  if (findings.some((each) => each.kind === 'check' && !each.ok)) return 'FAILED';
  const isSkipped = findings.length > 0 && findings.every(({ kind }) => kind === 'skip' || kind === 'note');
  return isSkipped && findings.some(({ kind }) => kind === 'skip') ? 'skipped' : 'ok';
}
