// What the set-up scripts show a person: plain lines and one progress line, all on stderr (stdout is for results).
import { SetupError } from './errors.mjs';

/** @param {string} line */
export function say(line) {
  process.stderr.write(`${line}\n`);
}

/**
 * Runs a script's main function; a SetupError becomes its message, anything else keeps its stack.
 *
 * @param {() => Promise<number | void>} main its number is the exit code
 */
export async function runMain(main) {
  try {
    process.exitCode = (await main()) ?? 0;
  } catch (error) {
    say(
      error instanceof SetupError
        ? `\n${error.message}`
        : String(error instanceof Error ? error.stack : error),
    );
    process.exitCode = error instanceof SetupError ? error.exitCode : 1;
  }
}

/**
 * A progress line: redrawn in place on a terminal, else, after two seconds, one line for every quarter done.
 *
 * @param {string} label
 * @param {{ stream?: NodeJS.WriteStream, now?: () => number }} [options]
 * @returns {{ update(done: number, total: number, text: string): void, end(): void }}
 */
export function progressLine(label, { stream = process.stderr, now = Date.now } = {}) {
  const started = now();
  let drawn = 0;
  let quarter = 0;
  return {
    update(done, total, text) {
      const share = total > 0 ? Math.min(done / total, 1) : 0;
      if (stream.isTTY) {
        if (share < 1 && now() - drawn < 100) return;
        drawn = now();
        const filled = Math.round(share * 24);
        stream.write(`\r\x1b[2K${label} [${'#'.repeat(filled)}${'.'.repeat(24 - filled)}] ${text}`);
      } else if (Math.floor(share * 4) > quarter && now() - started > 2000) {
        quarter = Math.floor(share * 4);
        stream.write(`${label} ${quarter * 25} % ${text}\n`);
      }
    },
    end() {
      if (stream.isTTY && drawn > 0) stream.write('\n');
    },
  };
}

/** @param {number} bytes */
export function megabytes(bytes) {
  return `${(bytes / 1e6).toFixed(bytes < 1e7 ? 1 : 0)} MB`;
}
