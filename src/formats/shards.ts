// A checkpoint in several safetensors files, held together by an index.

import { dirname, join } from 'node:path';
import { UsageError } from '../util/errors.js';
import { readJson } from '../util/json.js';
import { openSafetensors } from './safetensors-reader.js';
import type { SafetensorsFile, TensorSource } from './safetensors-reader.js';
import { quoted } from '../util/text.js';

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
    throw new UsageError(
      `${path} has no weight_map that says which shard holds which tensor; download it again`,
    );
  }
  const entries = Object.entries(map).map(([name, shard]: [string, unknown]): [string, string] => {
    if (isShardName(shard)) return [name, shard];
    throw new UsageError(
      `${path} names ${quoted(shard)} as a shard; expected a plain name that ends in .safetensors`,
    );
  });
  return new Map(entries);
}
