// Calls of the file system done at once instead of through the thread pool. The readers stay the product's own; but an
// input is a small file in memory, and where the machine is busy the ways to the pool and back are nearly all that it costs.
import fs from 'node:fs';
import promises from 'node:fs/promises';
import { syncBuiltinESMExports } from 'node:module';

const NAMES = /** @type {const} */ ([
  'access',
  'lstat',
  'mkdir',
  'mkdtemp',
  'readdir',
  'readFile',
  'rename',
  'rm',
  'rmdir',
  'stat',
  'unlink',
  'writeFile',
]);
/** What streams call. */
const CALLED_BACK = /** @type {const} */ (['open', 'read', 'write', 'close']);

/** To be called before an input is read. */
export function readFilesAtOnce() {
  for (const name of NAMES) {
    const call = atOnce(`${name}Sync`);
    Reflect.set(promises, name, async (/** @type {unknown[]} */ ...args) => call(...args));
  }
  for (const name of CALLED_BACK) Reflect.set(fs, name, calledBack(atOnce(`${name}Sync`)));
  Reflect.set(promises, 'open', async (/** @type {Parameters<typeof fs.openSync>} */ ...args) =>
    Promise.resolve(new Handle(fs.openSync(...args))),
  );
  syncBuiltinESMExports();
}

/** @param {string} name @returns {(...args: unknown[]) => unknown} */
function atOnce(name) {
  return Reflect.get(fs, name).bind(fs);
}

/** @param {(...args: unknown[]) => unknown} call */
function calledBack(call) {
  return (/** @type {unknown[]} */ ...args) => {
    const callback = /** @type {(...results: unknown[]) => void} */ (args.pop());
    try {
      // The bytes that were read or written come back beside their number.
      process.nextTick(callback, null, call(...args), args[1]);
    } catch (error) {
      process.nextTick(callback, error);
    }
  };
}

/** As much of a FileHandle as readers use. */
class Handle {
  /** @param {number} fd */
  constructor(fd) {
    this.fd = fd;
  }

  /** @param {[buffer: Uint8Array, offset: number, length: number, position: number]} args */
  async read(...args) {
    return { bytesRead: fs.readSync(this.fd, ...args), buffer: args[0] };
  }

  /** @param {[data: Uint8Array, offset: number, length: number, position: number]} args */
  async write(...args) {
    return { bytesWritten: fs.writeSync(this.fd, ...args), buffer: args[0] };
  }

  /** @param {string | Uint8Array} data */
  async writeFile(data) {
    fs.writeFileSync(this.fd, data);
  }

  async stat() {
    return fs.fstatSync(this.fd);
  }

  /** What is in memory is on its disk. */
  async sync() {}

  async close() {
    if (this.fd >= 0) fs.closeSync(this.fd);
    this.fd = -1;
  }
}
