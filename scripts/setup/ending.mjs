// Ctrl-C ends what was started too: a compiler that goes on by itself would keep both cores busy for minutes.
import { constants } from 'node:os';

const SIGNALS = /** @type {const} */ (['SIGINT', 'SIGTERM', 'SIGHUP']);
// ninja wants a moment to remove what is half written; what is still there then is killed.
const PATIENCE_MS = 3000;

/** @type {Set<import('node:child_process').ChildProcess>} */
const running = new Set();
let exitCode = 0;

/**
 * Lets a signal to this process end a child and everything in its process group, and then this process.
 *
 * @param {import('node:child_process').ChildProcess} child spawned with `detached`
 */
export function endWithUs(child) {
  if (running.size === 0) for (const signal of SIGNALS) process.on(signal, endAll);
  running.add(child);
  // 'close' comes when nobody holds the child's output any more, but not for a program that is not there.
  for (const event of ['close', 'error']) child.once(event, () => forget(child));
}

/** @param {import('node:child_process').ChildProcess} child */
function forget(child) {
  if (!running.delete(child) || running.size > 0) return;
  if (exitCode > 0) process.exit(exitCode);
  for (const signal of SIGNALS) process.off(signal, endAll);
}

/** @param {typeof SIGNALS[number]} signal */
function endAll(signal) {
  if (exitCode > 0) return; // npm passes on a Ctrl-C that the terminal has already sent
  exitCode = 128 + constants.signals[signal];
  killAll('SIGTERM');
  setTimeout(() => {
    killAll('SIGKILL');
    process.exit(exitCode);
  }, PATIENCE_MS);
}

/** @param {NodeJS.Signals} signal */
function killAll(signal) {
  for (const { pid } of running) {
    try {
      if (pid !== undefined) process.kill(-pid, signal);
    } catch {
      // It has just ended by itself.
    }
  }
}
