// Writes a safetensors file as the Rust writer would, tensor by tensor as they come.

import { RunError } from '../util/errors.js';
import { byteLength } from './dtype.js';
import type { TensorLayout } from './dtype.js';
import { writeAt, writeFileAtomic } from '../util/files.js';
import { formatHeader } from './safetensors-header.js';

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
