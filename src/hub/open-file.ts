// A file of this machine as a Blob. It is read from a handle that stays open: a file that takes its name meanwhile is not mixed
// in, and one that is written to is noticed, so that no mixture of two contents is sent.
import { createHash } from 'node:crypto';
import { open, type FileHandle } from 'node:fs/promises';
import { readError, RunError, UsageError } from '../util/errors.js';

const CHUNK = 1 << 20;

/** What an upload reads; @huggingface/hub asks for `size`, slices, streams and buffers. */
export class OpenFile extends Blob {
  override readonly size: number;

  private constructor(
    readonly path: string,
    private readonly handle: FileHandle,
    private readonly version: string,
    private readonly start: number,
    private readonly end: number,
  ) {
    super([]);
    this.size = end - start;
  }

  /**
   * Opens a regular file, by links too.
   *
   * @throws UsageError when it cannot be read, or is not a regular file
   */
  static async open(path: string): Promise<OpenFile> {
    try {
      const handle = await open(path);
      const found = await handle.stat();
      if (found.isFile()) return new OpenFile(path, handle, await versionOf(handle), 0, found.size);
      await handle.close();
    } catch (error) {
      throw readError(error, path);
    }
    throw new UsageError(`${path} is not a regular file`);
  }

  override slice(start = 0, end = this.size): OpenFile {
    const from = Math.min(this.start + start, this.end);
    const to = Math.min(this.start + end, this.end);
    return new OpenFile(this.path, this.handle, this.version, from, to);
  }

  override stream(): ReturnType<Blob['stream']> {
    return ReadableStream.from(this.#pieces());
  }

  override async arrayBuffer(): Promise<ArrayBuffer> {
    const whole = new Uint8Array(this.size);
    let length = 0;
    for await (const piece of this.#pieces()) {
      whole.set(piece, length);
      length += piece.length;
    }
    return whole.buffer;
  }

  override async text(): Promise<string> {
    return new TextDecoder().decode(await this.arrayBuffer());
  }

  /** @throws RunError where the file was written to since it was opened */
  async requireUnchanged(): Promise<void> {
    if ((await versionOf(this.handle)) !== this.version) throw this.#changed();
  }

  async close(): Promise<void> {
    await this.handle.close();
  }

  async *#pieces(): AsyncGenerator<Uint8Array<ArrayBuffer>> {
    let position = this.start;
    while (position < this.end) {
      const piece = new Uint8Array(Math.min(CHUNK, this.end - position));
      const { bytesRead } = await this.handle.read(piece, 0, piece.length, position);
      if (bytesRead === 0) throw this.#changed();
      position += bytesRead;
      yield piece.subarray(0, bytesRead);
    }
  }

  #changed(): RunError {
    return new RunError(
      `${this.path} was written to while it was being uploaded; push again when it is done`,
    );
  }
}

/** Of the whole content; with git's header it is the id that git gives it. */
export async function hashOf(file: Blob, kind: 'sha256' | 'git'): Promise<string> {
  const hash = createHash(kind === 'git' ? 'sha1' : 'sha256');
  if (kind === 'git') hash.update(`blob ${file.size}\0`);
  for await (const piece of file.stream()) hash.update(piece);
  return hash.digest('hex');
}

async function versionOf(handle: FileHandle): Promise<string> {
  const { size, mtimeNs } = await handle.stat({ bigint: true });
  return `${size} ${mtimeNs}`;
}
