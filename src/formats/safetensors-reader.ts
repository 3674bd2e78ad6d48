// Reads a safetensors file: the header at once, each tensor when it is asked for.

import { open, stat } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import { RunError } from '../util/errors.js';
import type { TensorLayout } from './dtype.js';
import { readError } from '../util/file-errors.js';
import { badFile, MAX_HEADER_BYTES, parseHeader } from './safetensors-header.js';
import type { Header } from './safetensors-header.js';

/** One system call reads less than 2 GiB, so larger tensors are read in parts. */
const MAX_READ_BYTES = 1 << 30;

/** A tensor of a checkpoint, read when asked for. */
export interface TensorSource extends TensorLayout {
  /** The tensor's bytes as the file has them: little-endian, row-major. The file must still be open. */
  read: () => Promise<Uint8Array>;
}

/** An open safetensors file. */
export interface SafetensorsFile {
  tensors: Map<string, TensorSource>;
  metadata: Record<string, string>;
  close: () => Promise<void>;
}

/**
 * Opens a safetensors file. Only its header is read; the tensors share one file handle, which `close` closes.
 *
 * @throws UsageError when the file cannot be read or its header is not sound; one line names file and fault
 */
export async function openSafetensors(path: string): Promise<SafetensorsFile> {
  const { file, size } = await openFile(path);
  try {
    const { header, dataStart } = await readHeader(file, size, path);
    const tensors = new Map<string, TensorSource>();
    for (const { name, dtype, shape, begin, end } of header.entries) {
      const read = () => readBytes(file, dataStart + begin, end - begin, path);
      tensors.set(name, { name, dtype, shape, read });
    }
    return { tensors, metadata: header.metadata, close: () => file.close() };
  } catch (error) {
    await file.close();
    throw error;
  }
}

async function openFile(path: string): Promise<{ file: FileHandle; size: number }> {
  try {
    const stats = await stat(path);
    // Asked before opening: to open a pipe would wait for its writer.
    if (!stats.isFile())
      throw badFile(path, stats.isDirectory() ? 'it is a folder' : 'it is not a regular file');
    return { file: await open(path), size: stats.size };
  } catch (error) {
    throw readError(error, path);
  }
}

async function readHeader(
  file: FileHandle,
  size: number,
  path: string,
): Promise<{ header: Header; dataStart: number }> {
  if (size < 8) throw badFile(path, `it has only ${size} bytes`);
  const prefix = await readBytes(file, 0, 8, path);
  const length = new DataView(prefix.buffer).getBigUint64(0, true);
  if (length > MAX_HEADER_BYTES) {
    throw badFile(path, `it claims a header of ${length} bytes, over the limit of 32 MiB`);
  }
  const dataStart = 8 + Number(length);
  if (dataStart > size) {
    throw badFile(
      path,
      `it claims a header of ${length} bytes but has only ${size - 8} after the length (cut short?)`,
    );
  }
  const header = parseHeader(await readBytes(file, 8, Number(length), path), size - dataStart, path);
  return { header, dataStart };
}

async function readBytes(
  file: FileHandle,
  position: number,
  length: number,
  path: string,
): Promise<Uint8Array<ArrayBuffer>> {
  const bytes = new Uint8Array(length);
  for (let done = 0; done < length;) {
    const wanted = Math.min(length - done, MAX_READ_BYTES);
    const { bytesRead } = await file.read(bytes, done, wanted, position + done).catch((error: unknown) => {
      throw readError(error, path);
    });
    if (bytesRead === 0)
      throw new RunError(`${path} became shorter while it was read; is something writing to it?`);
    done += bytesRead;
  }
  return bytes;
}
