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

// Without a terminal: a line for every quarter done, and one after this long, since silence looks like a hang.
const SILENCE_MS = 15_000;

/**
 * A progress line: redrawn in place on a terminal; else, after two seconds, a line now and then.
 *
 * @param {string} label
 * @param {{ stream?: Pick<NodeJS.WriteStream, 'isTTY' | 'write'>, now?: () => number }} [options]
 * @returns {{ update(done: number, total: number, text: string): void, end(): void }}
 */
export function progressLine(label, { stream = process.stderr, now = Date.now } = {}) {
  const started = now();
  let drawn = started;
  let isDrawn = false;
  let quarter = 0;
  return {
    update(done, total, text) {
      const share = total > 0 ? Math.min(done / total, 1) : 0;
      const percent = `${Math.floor(share * 100)} %`;
      if (stream.isTTY) {
        if (isDrawn && share < 1 && now() - drawn < 100) return;
        const filled = Math.round(share * 24);
        stream.write(
          `\r\x1b[2K${label} [${'#'.repeat(filled)}${'.'.repeat(24 - filled)}] ${percent} ${text}`,
        );
        isDrawn = true;
      } else {
        const isNew = Math.floor(share * 4) > quarter && now() - started > 2000;
        if (!isNew && now() - drawn < SILENCE_MS) return;
        quarter = Math.floor(share * 4);
        stream.write(`${label} ${percent} ${text}\n`);
      }
      drawn = now();
    },
    end() {
      if (isDrawn) stream.write('\n');
    },
  };
}

/** @param {number} bytes */
export function megabytes(bytes) {
  return `${(bytes / 1e6).toFixed(bytes < 1e7 ? 1 : 0)} MB`;
}
