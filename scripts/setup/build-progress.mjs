// The lines of a native build, condensed to how far it is and how long it has taken.
import { progressLine } from './terminal.mjs';

const SECOND = 1000;

/**
 * Tells every second where a build is: a file takes the compiler half a minute, in which it prints nothing.
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
