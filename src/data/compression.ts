// The bytes of a data file as a stream of buffers, decompressed on the way, and how much they may become.
import { createReadStream } from 'node:fs';
import { pipeline } from 'node:stream';
import { createGunzip } from 'node:zlib';
import { Decompress } from 'fzstd';
import { errorCode, messageOf, RunError, UsageError } from '../util/errors.js';
import type { DataFile } from './files.js';

/** Limits that can be raised. */
export interface DataLimits {
  /** Bytes of one row of a text file, decompressed; a longer one is a bad row. */
  readonly maxRowBytes: number;
  /** How many times larger than the file its decompressed content may be, beyond the first 64 MiB. */
  readonly maxCompressionRatio: number;
}

export const DEFAULT_LIMITS: DataLimits = { maxRowBytes: 16 * 2 ** 20, maxCompressionRatio: 100 };

/** What may be decompressed whatever the ratio: small files of equal rows compress by thousands. */
const FREE_BYTES = 64 * 2 ** 20;

/** Bytes that so many compressed ones may become. */
export function mostDecompressed(compressed: number, { maxCompressionRatio }: DataLimits): number {
  return FREE_BYTES + compressed * maxCompressionRatio;
}

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
    `${path} becomes more than ${maxCompressionRatio} times as large when decompressed, which rows of text never do; ` +
      'if this is intended, raise maxCompressionRatio',
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
    // In pieces, so that a dense chunk is never in memory as a whole once decompressed.
    for (let at = 0; at < chunk.length; at += PIECE_BYTES)
      yield* decode(chunk.subarray(at, at + PIECE_BYTES), false);
  }
  yield* decode(new Uint8Array(0), true);
}

function zstdFault(error: unknown): string {
  return `the zstd data are damaged: ${messageOf(error)}`;
}

/** As the zstd tool has it without --long. */
const MAX_WINDOW = 128 * 2 ** 20;
/** Bytes moved in the window. Frames of 128 KiB blocks in the largest window stay below it for each byte they hold. */
const FREE_MOVES = 2 ** 32;
const MOVES_A_BYTE = 2048;
const MOST_BLOCK = 2 ** 17;
/** Assumed content of a compressed block, for each of its bytes: the header has no size. */
const EXPANSION = 64;
const MAGIC = 0xfd2fb528;

/** Follows the frames of zstd data (RFC 8878) without decompressing them, to bound the memory and time of fzstd. */
export class ZstdFrames {
  private header = Buffer.alloc(0);
  private passing = 0;
  private window = 0;
  private isInFrame = false;
  private checksum = 0;
  private moved = 0;
  private held = 0;

  /** @throws Error for a window that is too large, and blocks too small for theirs */
  push(chunk: Uint8Array): void {
    let at = 0;
    while (at < chunk.length) {
      const passed = Math.min(this.passing, chunk.length - at);
      this.passing -= passed;
      at += passed;
      if (at >= chunk.length) return;
      this.header = Buffer.concat([this.header, chunk.subarray(at, at + 1)]);
      at++;
      this.advance();
    }
  }

  /** Acts on a header as soon as it is whole. */
  private advance(): void {
    if (this.isInFrame) {
      if (this.header.length === 3) this.block(this.header.readUIntLE(0, 3));
      return;
    }
    if (this.header.length < 5) return;
    const magic = this.header.readUInt32LE(0);
    if ((magic & 0xfffffff0) >>> 0 === 0x184d2a50) {
      if (this.header.length === 8) this.pass(this.header.readUInt32LE(4));
    } else if (magic === MAGIC) this.frame();
    else throw new Error('invalid zstd data');
  }

  private frame(): void {
    const flags = this.header[4] ?? 0;
    const isSingle = (flags & 0x20) !== 0;
    const dictionary = [0, 1, 2, 4][flags & 3] ?? 0;
    const sizeBytes = [Number(isSingle), 2, 4, 8][flags >> 6] ?? 0;
    const length = 5 + Number(!isSingle) + dictionary + sizeBytes;
    if (this.header.length < length) return;
    const exponent = this.header[5] ?? 0;
    const base = 2 ** (10 + (exponent >> 3));
    this.window = isSingle
      ? sizeOf(this.header.subarray(length - sizeBytes, length))
      : base + (base / 8) * (exponent & 7);
    if (this.window > MAX_WINDOW)
      throw new Error(
        `its window of ${this.window} bytes is larger than 128 MiB; compress it again without --long`,
      );
    this.checksum = (flags & 4) === 0 ? 0 : 4;
    this.isInFrame = true;
    this.header = Buffer.alloc(0);
  }

  private block(head: number): void {
    const [isLast, type, size] = [head & 1, (head >> 1) & 3, head >> 3];
    this.moved += this.window;
    this.held += type === 2 ? Math.min(MOST_BLOCK, size * EXPANSION) : size;
    if (this.moved > FREE_MOVES + MOVES_A_BYTE * this.held)
      throw new Error('its blocks are too small for its window');
    this.pass((type === 1 ? 1 : size) + (isLast === 1 ? this.checksum : 0));
    this.isInFrame = isLast === 0;
  }

  private pass(bytes: number): void {
    this.passing = bytes;
    this.header = Buffer.alloc(0);
  }
}

function sizeOf(bytes: Uint8Array): number {
  const size = bytes.reduceRight((sum, byte) => sum * 256 + byte, 0);
  return bytes.length === 2 ? size + 256 : size;
}
