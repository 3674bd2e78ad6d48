// Runs calls of the file system synchronously instead of on the thread pool. The readers stay the product's own; but an input
// is a small file in memory, and on a busy machine the round trip to the pool is nearly all of its cost.
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
/** Those that streams call. */
const WITH_CALLBACK = /** @type {const} */ (['open', 'read', 'write', 'close']);

/** Call it before an input is read. */
export function useSyncFileSystem() {
  for (const name of NAMES) {
    const call = synchronous(`${name}Sync`);
    Reflect.set(promises, name, async (/** @type {unknown[]} */ ...args) => call(...args));
  }
  for (const name of WITH_CALLBACK) Reflect.set(fs, name, withCallback(synchronous(`${name}Sync`)));
  Reflect.set(promises, 'open', async (/** @type {Parameters<typeof fs.openSync>} */ ...args) =>
    Promise.resolve(new Handle(fs.openSync(...args))),
  );
  syncBuiltinESMExports();
}

/** @param {string} name @returns {(...args: unknown[]) => unknown} */
function synchronous(name) {
  return Reflect.get(fs, name).bind(fs);
}

/** @param {(...args: unknown[]) => unknown} call */
function withCallback(call) {
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

  /** A file in memory needs no sync. */
  async sync() {}

  async close() {
    if (this.fd >= 0) fs.closeSync(this.fd);
    this.fd = -1;
  }
}
