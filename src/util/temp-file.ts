// A temporary file that cannot be left behind: its name is removed while it is open, so the system frees it when it is
// closed or when the process ends, however it ends.
import path from 'node:path';
import { createWriteStream, mkdtempSync, rmdirSync, unlinkSync, writeSync } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { pipeline } from 'node:stream/promises';
import { messageOf, RunError } from './errors.js';
import { linesOf } from './text.js';

const BUFFER_BYTES = 1 << 18;

/** An append-only file for data too large for memory. */
export class TempFile {
  private waiting: Buffer[] = [];
  private waitingBytes = 0;
  private written = 0;

  private constructor(readonly handle: FileHandle) {}

  static async create(): Promise<TempFile> {
    try {
      // At once: such calls take microseconds, and a way through the thread pool many times as long.
      const folder = mkdtempSync(path.join(tmpdir(), 'bertune-'));
      const file = path.join(folder, 'data');
      const handle = await open(file, 'wx+', 0o600);
      unlinkSync(file);
      rmdirSync(folder);
      return new TempFile(handle);
    } catch (error) {
      throw temporaryFileError(error);
    }
  }

  /** Bytes appended so far: the offset of what is appended next. */
  get size(): number {
    return this.written + this.waitingBytes;
  }

  append(content: string | Buffer): void {
    const bytes = typeof content === 'string' ? Buffer.from(content) : content;
    this.waiting.push(bytes);
    this.waitingBytes += bytes.length;
    if (this.waitingBytes >= BUFFER_BYTES) this.flush();
  }

  /** Makes everything appended readable through the handle. */
  flush(): void {
    const bytes = Buffer.concat(this.waiting);
    try {
      for (let done = 0; done < bytes.length;) {
        done += writeSync(this.handle.fd, bytes, done, bytes.length - done, this.written + done);
      }
    } catch (error) {
      throw temporaryFileError(error);
    }
    this.written += bytes.length;
    this.waiting = [];
    this.waitingBytes = 0;
  }

  /** @param lineOf what is written in place of each line */
  async copyTo(target: string, lineOf: (line: string) => string): Promise<void> {
    this.flush();
    try {
      const content = this.handle.createReadStream({ start: 0, autoClose: false, encoding: 'utf8' });
      await pipeline(
        content,
        (pieces: AsyncIterable<string>) => withLines(pieces, lineOf),
        createWriteStream(target),
      );
    } catch (error) {
      throw new RunError(`${target} cannot be written: ${messageOf(error)}`);
    }
  }

  async close(): Promise<void> {
    await this.handle.close();
  }
}

async function* withLines(
  pieces: AsyncIterable<string>,
  lineOf: (line: string) => string,
): AsyncGenerator<string> {
  for await (const line of linesOf(pieces)) yield `${lineOf(line)}\n`;
}

function temporaryFileError(error: unknown): RunError {
  return new RunError(
    `The temporary folder ${tmpdir()} cannot be written: ${messageOf(error)}; the environment variable TMPDIR names another`,
  );
}
