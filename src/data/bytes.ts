// The bytes of a file as a stream of buffers, decompressed on the way.

import { createReadStream } from 'node:fs';
import { pipeline } from 'node:stream';
import { createGunzip } from 'node:zlib';
import { Decompress } from 'fzstd';
import { RunError, UsageError, errorCode, messageOf } from '../util/errors.js';
import type { DataFile } from './files.js';
import { mostDecompressed, type DataLimits } from './limits.js';
import { ZstdFrames } from './zstd.js';

const CHUNK_BYTES = 1 << 20;
/** Of what is decompressed, for the smallest file. */
const LEAST_CHUNK_BYTES = 1 << 13;
const PIECE_BYTES = 1 << 12;

/** The compressed data cannot be decoded to the end: cut off or damaged. What came before it is good. */
export class DamagedInput extends Error {}

/**
 * Streams a file's content in buffers of about 1 MiB.
 *
 * @param onRead called with the number of bytes just read from disk
 * @throws DamagedInput when gzip or zstd data are truncated or corrupt; UsageError when they become more than the limits
 *   allow; RunError when the disk fails
 */
export async function* readBytes(
  file: DataFile,
  onRead: (bytes: number) => void,
  limits: DataLimits,
): AsyncGenerator<Buffer> {
  let compressed = 0;
  const raw = diskBytes(file, (bytes) => {
    compressed += bytes;
    onRead(bytes);
  });
  let decompressed = 0;
  const spend = (bytes: number): void => {
    decompressed += bytes;
    if (decompressed > mostDecompressed(compressed, limits)) throw tooDense(file.path, limits);
  };
  try {
    if (file.compression === 'gzip') yield* gunzip(raw, file.bytes, spend);
    else if (file.compression === 'zstd') yield* unzstd(raw, spend);
    else yield* raw;
  } catch (error) {
    if (error instanceof DamagedInput || error instanceof UsageError) throw error;
    throw new RunError(`${file.path} cannot be read: ${messageOf(error)}`);
  }
}

async function* diskBytes(file: DataFile, onRead: (bytes: number) => void): AsyncGenerator<Buffer> {
  // A stream takes so much memory at once, however little there is to read.
  const highWaterMark = Math.min(CHUNK_BYTES, file.bytes);
  for await (const chunk of createReadStream(file.path, { highWaterMark }) as AsyncIterable<Buffer>) {
    onRead(chunk.length);
    yield chunk;
  }
}

function tooDense(path: string, { maxCompressionRatio }: DataLimits): UsageError {
  return new UsageError(
    `${path} becomes more than ${maxCompressionRatio} times as large when it is decompressed, as no rows of texts do; ` +
      'if it is meant, --max-compression-ratio allows more',
  );
}

type Spend = (bytes: number) => void;

async function* gunzip(raw: AsyncIterable<Buffer>, fileBytes: number, spend: Spend): AsyncGenerator<Buffer> {
  const unzip = createGunzip({ chunkSize: Math.min(CHUNK_BYTES, LEAST_CHUNK_BYTES + 8 * fileBytes) });
  // Its errors arrive at the loop over `unzip` as well; the callback only keeps them from being unhandled.
  pipeline(raw, unzip, () => {});
  try {
    for await (const chunk of unzip as AsyncIterable<Buffer>) {
      spend(chunk.length);
      yield chunk;
    }
  } catch (error) {
    const code = errorCode(error);
    if (code === 'Z_BUF_ERROR') throw new DamagedInput('the gzip data end in the middle (truncated file?)');
    if (code.startsWith('Z_')) throw new DamagedInput(`the gzip data are damaged: ${messageOf(error)}`);
    throw error;
  }
}

async function* unzstd(raw: AsyncIterable<Buffer>, spend: Spend): AsyncGenerator<Buffer> {
  let blocks: Buffer[] = [];
  const frames = new ZstdFrames();
  // fzstd hands out views of its own window, which it overwrites: copy them.
  const decoder = new Decompress((block) => {
    spend(block.length); // before it is kept
    blocks.push(Buffer.from(block));
  });
  const decode = (chunk: Uint8Array, isLast: boolean): Buffer[] => {
    try {
      frames.push(chunk);
      decoder.push(chunk, isLast);
    } catch (error) {
      if (error instanceof UsageError) throw error;
      throw new DamagedInput(isLast ? 'the zstd data end in the middle (truncated file?)' : zstdFault(error));
    }
    const decoded = blocks;
    blocks = [];
    return decoded;
  };
  for await (const chunk of raw) {
    // In pieces, so that what a dense chunk becomes is never there as a whole.
    for (let at = 0; at < chunk.length; at += PIECE_BYTES)
      yield* decode(chunk.subarray(at, at + PIECE_BYTES), false);
  }
  yield* decode(new Uint8Array(0), true);
}

function zstdFault(error: unknown): string {
  return `the zstd data are damaged: ${messageOf(error)}`;
}
