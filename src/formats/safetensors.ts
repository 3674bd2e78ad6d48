// Safetensors files: one, or several that an index holds together. The header is read at once, each tensor on demand;
// written files are those of the Rust writer, tensor by tensor as they come.
import { open, stat, type FileHandle } from 'node:fs/promises';
import { dirname, join } from 'node:path';

import { RunError, UsageError, readError } from '../util/errors.js';
import { MOST_POINTER_BYTES, requireNoPointer } from '../util/file-system.js';
import { writeAt, writeFileAtomic } from '../util/files.js';
import { readJson } from '../util/json.js';
import { quoted } from '../util/text.js';
import {
  badFile,
  byteLength,
  formatHeader,
  MAX_HEADER_BYTES,
  parseHeader,
  type Header,
  type TensorLayout,
} from './safetensors-header.js';

/** One system call reads less than 2 GiB, so larger tensors are read in parts. */
const MAX_READ_BYTES = 1 << 30;

/** A tensor of a checkpoint, read on demand. */
export interface TensorSource extends TensorLayout {
  /**
   * Fills memory with the tensor's bytes from a position on, as the file has them: little-endian, row-major. A file that was
   * closed is opened again.
   *
   * @throws RunError where the file was replaced or changed after it was closed
   */
  read: (memory: Uint8Array, position: number) => Promise<void>;
}

/** An open safetensors file. */
export interface SafetensorsFile {
  tensors: Map<string, TensorSource>;
  metadata: Record<string, string>;
  close: () => Promise<void>;
}

/**
 * Opens a safetensors file. Only its header is read; the tensors share one file handle, which `close` closes. A later read opens
 * the file again, provided that it is the one whose header was checked, until the next `close`.
 *
 * @throws UsageError when the file cannot be read or its header is not sound; one line names file and fault
 */
export async function openSafetensors(path: string): Promise<SafetensorsFile> {
  const { file, size, version } = await openFile(path);
  let handle: Promise<FileHandle> | undefined = Promise.resolve(file);
  const close = async (): Promise<void> => {
    const closing = handle;
    handle = undefined;
    await (await closing?.catch(() => undefined))?.close();
  };
  try {
    const { header, dataStart } = await readHeader(file, size, path);
    const tensors = new Map<string, TensorSource>();
    for (const { name, dtype, shape, begin } of header.entries) {
      const read = async (memory: Uint8Array, position: number): Promise<void> => {
        handle ??= reopened(path, version);
        await fill(memory, await handle, dataStart + begin + position, path);
      };
      tensors.set(name, { name, dtype, shape, read });
    }
    return { tensors, metadata: header.metadata, close };
  } catch (error) {
    await close();
    throw error;
  }
}

async function openFile(path: string): Promise<{ file: FileHandle; size: number; version: string }> {
  try {
    const stats = await stat(path);
    // Asked before opening: to open a pipe would wait for its writer.
    if (!stats.isFile())
      throw badFile(path, stats.isDirectory() ? 'it is a folder' : 'it is not a regular file');
    const file = await open(path);
    // Of the open file: it may have been replaced meanwhile.
    const { dev, ino, size, mtimeNs } = await file.stat({ bigint: true });
    return { file, size: Number(size), version: [dev, ino, size, mtimeNs].join(' ') };
  } catch (error) {
    throw readError(error, path);
  }
}

/** @throws RunError where it is not the file that it was: its tensors would be looked for by the header of another */
async function reopened(path: string, version: string): Promise<FileHandle> {
  const now = await openFile(path);
  if (now.version === version) return now.file;
  await now.file.close();
  throw new RunError(`${path} was replaced or changed after it was checked; load the model again`);
}

async function readHeader(
  file: FileHandle,
  size: number,
  path: string,
): Promise<{ header: Header; dataStart: number }> {
  if (size < 8) throw badFile(path, `it has only ${size} bytes`);
  const prefix = new Uint8Array(Math.min(size, MOST_POINTER_BYTES));
  await fill(prefix, file, 0, path);
  requireNoPointer(prefix, path);
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
  const json = new Uint8Array(Number(length));
  await fill(json, file, 8, path);
  return { header: parseHeader(json, size - dataStart, path), dataStart };
}

async function fill(bytes: Uint8Array, file: FileHandle, position: number, path: string): Promise<void> {
  for (let done = 0; done < bytes.length;) {
    const wanted = Math.min(bytes.length - done, MAX_READ_BYTES);
    const { bytesRead } = await file.read(bytes, done, wanted, position + done).catch((error: unknown) => {
      throw readError(error, path);
    });
    if (bytesRead === 0)
      throw new RunError(`${path} became shorter while it was read; is something writing to it?`);
    done += bytesRead;
  }
}

/**
 * Opens the shards that an index (`model.safetensors.index.json`) names, as if they were one file.
 *
 * @throws UsageError when the index is broken, names a file elsewhere, or a shard or tensor is missing
 */
export async function openShards(indexPath: string): Promise<Omit<SafetensorsFile, 'metadata'>> {
  const weightMap = parseIndex(await readJson(indexPath), indexPath);
  const files = new Map<string, SafetensorsFile>();
  const close = async () => {
    for (const file of files.values()) await file.close();
  };
  try {
    for (const shard of new Set(weightMap.values())) {
      files.set(shard, await openSafetensors(join(dirname(indexPath), shard)));
    }
    const tensors = new Map<string, TensorSource>();
    for (const [name, shard] of weightMap) {
      const source = files.get(shard)?.tensors.get(name);
      if (!source)
        throw new UsageError(
          `${indexPath} places the tensor ${quoted(name)} in ${shard}, which does not have it`,
        );
      tensors.set(name, source);
    }
    return { tensors, close };
  } catch (error) {
    await close();
    throw error;
  }
}

/** The shards that an index names; none where it is not there or is broken. */
export async function shardsOf(indexPath: string): Promise<string[]> {
  try {
    return [...new Set(parseIndex(await readJson(indexPath), indexPath).values())];
  } catch (error) {
    if (error instanceof UsageError) return [];
    throw error;
  }
}

/** Whether a name is one that a shard can have: without a path. */
export function isShardName(name: unknown): name is string {
  return typeof name === 'string' && /^[\w.-]+\.safetensors$/.test(name);
}

/** Tensor name -> shard file. A shard lies beside its index; a name that leads elsewhere is an attack. */
function parseIndex(json: unknown, path: string): Map<string, string> {
  const map: unknown =
    typeof json === 'object' && json !== null && 'weight_map' in json ? json.weight_map : null;
  if (typeof map !== 'object' || map === null || Array.isArray(map) || Object.keys(map).length === 0) {
    throw new UsageError(`${path} has no weight_map from tensors to shards; download it again`);
  }
  const entries = Object.entries(map).map(([name, shard]: [string, unknown]): [string, string] => {
    if (isShardName(shard)) return [name, shard];
    throw new UsageError(
      `${path} names ${quoted(shard)} as a shard; expected a plain name that ends in .safetensors`,
    );
  });
  return new Map(entries);
}

/** A tensor with its content: little-endian, row-major, exactly as many bytes as dtype and shape ask for. */
export interface TensorData extends TensorLayout {
  data: Uint8Array;
}

/**
 * Writes a safetensors file, byte for byte the one that Python's `safetensors.torch.save_file` writes for the
 * same tensors. The header goes first, from `layout`; the tensors may then come in any order and only one at
 * a time is in memory. The file appears under its name when it is complete and on disk.
 *
 * @param tensors every tensor of `layout`, once
 * @param metadata the header's `__metadata__`; transformers asks for `{format: 'pt'}`
 * @throws RunError when the file cannot be written, or when the tensors are not those of `layout`
 */
export async function writeSafetensors(
  path: string,
  tensors: AsyncIterable<TensorData> | Iterable<TensorData>,
  layout: readonly TensorLayout[],
  metadata?: Readonly<Record<string, string>>,
): Promise<void> {
  const { bytes, entries } = formatHeader(layout, metadata);
  const pending = new Map(entries.map((entry) => [entry.name, entry]));
  if (pending.size < layout.length)
    throw new RunError(`Could not write ${path}: a tensor is twice in its layout`);
  await writeFileAtomic(path, async (file) => {
    await writeAt(file, bytes, 0);
    for await (const { name, dtype, shape, data } of tensors) {
      const entry = pending.get(name);
      if (!entry) throw new RunError(`Could not write ${path}: ${name} is not in its layout, or came twice`);
      const wanted = describe(entry, byteLength(entry));
      const given = describe({ dtype, shape }, data.byteLength);
      if (given !== wanted) {
        throw new RunError(`Could not write ${path}: expected ${wanted} for ${name} but received ${given}`);
      }
      await writeAt(file, data, bytes.byteLength + entry.begin);
      pending.delete(name);
    }
    if (pending.size > 0) {
      throw new RunError(`Could not write ${path}: no data came for ${[...pending.keys()].join(', ')}`);
    }
  });
}

function describe({ dtype, shape }: Pick<TensorLayout, 'dtype' | 'shape'>, bytes: number): string {
  return `${dtype} [${shape.join(', ')}] of ${bytes} bytes`;
}
