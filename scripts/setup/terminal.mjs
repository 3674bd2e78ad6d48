// Terminal output of the scripts: log lines and one progress line, all on stderr (stdout is for results).
import { SetupError } from './errors.mjs';

const SECOND = 1000;

/** @param {string} line */
export function log(line) {
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
    log(
      error instanceof SetupError
        ? `\n${error.message}`
        : String(error instanceof Error ? error.stack : error),
    );
    process.exitCode = error instanceof SetupError ? error.exitCode : 1;
  }
}

// Without a terminal: a line for every quarter done, and one after this long, since silence looks like a hang.
const SILENCE_MS = 15 * SECOND;

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

/**
 * The progress of a native build, redrawn every second: a file takes the compiler half a minute, in which it prints nothing.
 *
 * @param {{ stream?: Pick<NodeJS.WriteStream, 'isTTY' | 'write'>, now?: () => number }} [options]
 * @returns {{ read(line: string): void, end(): void }} `read` takes each line that the build prints
 */
export function buildProgress(options = {}) {
  const { now = Date.now } = options;
  const bar = progressLine('Compiling', options);
  const started = now();
  let [done, total, files] = [0, 0, ''];
  const update = () => bar.update(done, total, `${files}${clock((now() - started) / SECOND)}`);
  const timer = setInterval(update, SECOND);
  update();
  return {
    read(line) {
      // Ninja counts files, Make gives per cent.
      const [, count, of] = /^\[ *(\d+)(?:\/(\d+)|%)\]/.exec(line) ?? [];
      if (count === undefined) return;
      [done, total] = [Number(count), Number(of ?? 100)];
      if (of !== undefined) files = `${count} of ${of} files, `;
      update();
    },
    end() {
      clearInterval(timer);
      bar.end();
    },
  };
}

/** @param {number} seconds shown as 1:05 */
function clock(seconds) {
  return `${Math.floor(seconds / 60)}:${String(Math.floor(seconds % 60)).padStart(2, '0')}`;
}
