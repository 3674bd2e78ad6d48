// Reads tap's machine output (TAP 14): the result of each file, and true counts of its assertions.
import { Parser } from 'tap-parser';

/**
 * @typedef {{ passed: number, failed: number, skipped: number }} Counts of assertions; a todo counts as skipped
 * @typedef {{ path: string, diag: unknown }} Failure path: the names of the tests around it, then its own
 * @typedef {{ name: string, ms: number, counts: Counts, failures: Failure[], isEmpty: boolean }} Result
 *   of a file or of a test in it; isEmpty: nothing was reported from inside it
 */

/**
 * @param {(file: Result) => void} onFile called when a test file has ended
 * @returns {{ parser: Parser, total: Counts }} write tap's stdout to `parser`; `total` then holds the sums
 */
export function tapReader(onFile) {
  const all = newResult();
  const parser = new Parser();
  watch(parser, null, all, onFile);
  parser.on('bailout', () => (all.counts.failed += 1));
  return { parser, total: all.counts };
}

/**
 * Adds up in `self` what the parser of a file or test reports, subtests included.
 *
 * @param {Parser} parser
 * @param {readonly string[] | null} path the names of the tests around; null outside the files
 * @param {Result} self
 * @param {(below: Result) => void} [onEnd] called with each line of results, its subtest's included
 */
function watch(parser, path, self, onEnd) {
  let below = newResult();
  parser.on('child', (/** @type {Parser} */ child) => {
    below = newResult();
    watch(child, path === null ? [] : [...path, child.name], below);
  });
  parser.on('plan', () => (self.isEmpty = false));
  parser.on('assert', (result) => {
    note(result, path ?? [], below);
    self.isEmpty = false;
    self.failures.push(...below.failures);
    self.counts.passed += below.counts.passed;
    self.counts.failed += below.counts.failed;
    self.counts.skipped += below.counts.skipped;
    onEnd?.({ ...below, name: result.name, ms: result.time ?? 0 });
    below = newResult();
  });
}

/**
 * Counts one line of results. The line that ends a subtest is no assertion, unless the subtest failed by itself:
 * a crash, a time-out, no test found.
 *
 * @param {import('tap-parser').Result} result
 * @param {readonly string[]} path
 * @param {Result} below the result of the subtest that the line ends
 */
function note(result, path, below) {
  const excused = Boolean(result.skip) || Boolean(result.todo);
  const failed = !result.ok && !excused;
  if (!below.isEmpty && !(failed && below.counts.failed === 0)) return;
  below.counts[excused ? 'skipped' : failed ? 'failed' : 'passed'] += 1;
  if (failed) below.failures.push({ path: [...path, result.name].join(' > '), diag: result.diag });
}

/** @returns {Result} */
function newResult() {
  return { name: '', ms: 0, counts: { passed: 0, failed: 0, skipped: 0 }, failures: [], isEmpty: true };
}
