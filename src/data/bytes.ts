// The bytes of a file as a stream of buffers, decompressed on the way.

import { createReadStream } from 'node:fs';
import { pipeline } from 'node:stream';
import { createGunzip } from 'node:zlib';
import { Decompress } from 'fzstd';
import { RunError, errorCode, messageOf } from '../errors.js';
import type { DataFile } from './files.js';

const CHUNK_BYTES = 1 << 20;

/** The compressed data cannot be decoded to the end: cut off or damaged. What came before it is good. */
export class DamagedInput extends Error {}

/**
 * Streams a file's content in buffers of about 1 MiB.
 *
 * @param onRead called with the number of bytes just read from disk
 * @throws DamagedInput when gzip or zstd data are truncated or corrupt; RunError when the disk fails
 */
export async function* readBytes(file: DataFile, onRead: (bytes: number) => void): AsyncGenerator<Buffer> {
  const raw = diskBytes(file.path, onRead);
  try {
    if (file.compression === 'gzip') yield* gunzip(raw);
    else if (file.compression === 'zstd') yield* unzstd(raw);
    else yield* raw;
  } catch (error) {
    if (error instanceof DamagedInput) throw error;
    throw new RunError(`${file.path} cannot be read: ${messageOf(error)}`);
  }
}

async function* diskBytes(path: string, onRead: (bytes: number) => void): AsyncGenerator<Buffer> {
  for await (const chunk of createReadStream(path, { highWaterMark: CHUNK_BYTES }) as AsyncIterable<Buffer>) {
    onRead(chunk.length);
    yield chunk;
  }
}

async function* gunzip(raw: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  const unzip = createGunzip({ chunkSize: CHUNK_BYTES });
  // Its errors arrive at the loop over `unzip` as well; the callback only keeps them from being unhandled.
  pipeline(raw, unzip, () => {});
  try {
    yield* unzip as AsyncIterable<Buffer>;
  } catch (error) {
    const code = errorCode(error);
    if (code === 'Z_BUF_ERROR') throw new DamagedInput('the gzip data end in the middle (truncated file?)');
    if (code.startsWith('Z_')) throw new DamagedInput(`the gzip data are damaged: ${messageOf(error)}`);
    throw error;
  }
}

async function* unzstd(raw: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  let blocks: Buffer[] = [];
  // fzstd hands out views of its own window, which it overwrites: copy them.
  const decoder = new Decompress((block) => void blocks.push(Buffer.from(block)));
  const decode = (chunk: Uint8Array, isLast: boolean): Buffer[] => {
    try {
      decoder.push(chunk, isLast);
    } catch (error) {
      throw new DamagedInput(isLast ? 'the zstd data end in the middle (truncated file?)' : zstdFault(error));
    }
    const decoded = blocks;
    blocks = [];
    return decoded;
  };
  for await (const chunk of raw) yield* decode(chunk, false);
  yield* decode(new Uint8Array(0), true);
}

function zstdFault(error: unknown): string {
  return `the zstd data are damaged: ${messageOf(error)}`;
}
