// The files of a split: paths and globs to existing, readable files of a known format, and whether they still are the same.
import path from 'node:path';
import { createHash } from 'node:crypto';
import { type BigIntStats, constants } from 'node:fs';
import { access, open, readdir, stat } from 'node:fs/promises';
import { errorCode, RunError, UsageError, readError } from '../util/errors.js';
import { hashFile, MOST_POINTER_BYTES, requireNoPointer } from '../util/file-system.js';
import { nearestName } from '../util/text.js';
import { type Compression, type Format, HEAD_BYTES, otherContent, remedyForEnding } from './file-kinds.js';

export type { Compression, Format } from './file-kinds.js';

/** A file whose name shows how to read it. `bytes` is its size on disk. */
export interface DataFile {
  path: string;
  format: Format;
  compression: Compression;
  bytes: number;
  /** Tells whether it was replaced or written to since it was found. */
  version: string;
}

const FORMATS: Readonly<Record<string, Format>> = {
  '.csv': 'csv',
  '.tsv': 'tsv',
  '.jsonl': 'jsonl',
  '.ndjson': 'jsonl',
  '.json': 'json',
  '.txt': 'text',
  '.conll': 'conll',
  '.iob': 'conll',
  '.iob2': 'conll',
  '.bio': 'conll',
  '.parquet': 'parquet',
};
const COMPRESSIONS: Readonly<Record<string, Compression>> = { '.gz': 'gzip', '.zst': 'zstd' };
const SUPPORTED = '.csv, .tsv, .jsonl, .ndjson, .json, .txt (each also with .gz or .zst) and .parquet';

/**
 * Resolves paths and globs, in the order given; the matches of one glob are sorted by name.
 *
 * @throws UsageError for a path that is missing, unreadable, empty, a folder, or of an unknown format
 */
export async function findDataFiles(patterns: readonly string[], splitName: string): Promise<DataFile[]> {
  if (patterns.length === 0) throw new UsageError(`No files were given for the ${splitName} data`);
  const files: DataFile[] = [];
  for (const pattern of patterns) {
    for (const file of await matchPattern(pattern)) files.push(await inspect(file));
  }
  return files;
}

async function matchPattern(pattern: string): Promise<string[]> {
  const isGlob = /[*?]/.test(pattern);
  if (!isGlob || (await exists(pattern))) return [pattern];
  const matches = await glob(pattern);
  if (matches.length === 0) {
    const others = await dataFilesIn(path.dirname(pattern));
    throw new UsageError(`No file matches ${pattern}${others === null ? '' : `; there is ${others}`}`);
  }
  return matches;
}

/** Files that match `*` and `?` within one folder level and `**` across levels, sorted. Node 20 has no fs.glob. */
async function glob(pattern: string): Promise<string[]> {
  const segments = path.normalize(pattern).split(path.sep);
  const firstMagic = segments.findIndex((segment) => /[*?]/.test(segment));
  const base = segments.slice(0, firstMagic).join(path.sep) || (path.isAbsolute(pattern) ? path.sep : '.');
  const rest = segments.slice(firstMagic);
  const matcher = new RegExp(`^${rest.map(segmentPattern).join('')}$`, 'u');
  const entries = await readdir(base, {
    recursive: rest.length > 1 || rest[0] === '**',
    withFileTypes: true,
  }).catch(() => []);
  return entries
    .filter((entry) => !entry.isDirectory())
    .map((entry) => path.relative(base, path.join(entry.parentPath, entry.name)))
    .filter((name) => matcher.test(name))
    .map((name) => path.join(base, name))
    .toSorted();
}

function segmentPattern(segment: string, index: number, segments: readonly string[]): string {
  const isLast = index === segments.length - 1;
  if (segment === '**') return isLast ? '.*' : '(?:[^/]+/)*';
  const body = segment
    .replace(/[.+^${}()|[\]\\/]/g, '\\$&')
    .replaceAll('*', '[^/]*')
    .replaceAll('?', '[^/]');
  return isLast ? body : `${body}/`;
}

async function inspect(file: string): Promise<DataFile> {
  try {
    const found = await stat(file, { bigint: true });
    if (found.isDirectory()) throw await folderError(file);
    const kind = formatOf(file);
    await access(file, constants.R_OK);
    if (found.size === 0n) throw new UsageError(`${file} is empty; give a file that holds rows`);
    const head = await headOf(file);
    if (found.size <= MOST_POINTER_BYTES) requireNoPointer(head, file);
    const other = otherContent(head, kind.format, kind.compression);
    if (other !== null) throw new UsageError(`${file} ${other}`);
    return { path: file, ...kind, bytes: Number(found.size), version: versionIn(found) };
  } catch (error) {
    throw error instanceof UsageError ? error : await cannotOpen(file, error);
  }
}

async function headOf(file: string): Promise<Buffer> {
  const handle = await open(file);
  try {
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(Math.max(MOST_POINTER_BYTES, HEAD_BYTES)));
    return buffer.subarray(0, bytesRead);
  } finally {
    await handle.close();
  }
}

/** What to do about a folder where files are expected. */
async function folderError(folder: string): Promise<UsageError> {
  const names = await readdir(folder).catch((): string[] => []);
  const load = `load_from_disk(${JSON.stringify(folder)})`;
  if (names.includes('dataset_dict.json'))
    return new UsageError(
      `${folder} holds the splits that save_to_disk of Hugging Face datasets wrote, in Arrow's format; ` +
        `write each as Parquet in Python, ${load}["train"].to_parquet("train.parquet"), and name that file`,
    );
  if (names.includes('state.json') && names.some((name) => name.endsWith('.arrow')))
    return new UsageError(
      `${folder} was written by save_to_disk of Hugging Face datasets, in Arrow's format; ` +
        `write it as Parquet in Python, ${load}.to_parquet("rows.parquet"), and name that file`,
    );
  const files = await dataFilesIn(folder);
  return new UsageError(
    files === null
      ? `${folder} is a folder without data files (${SUPPORTED})`
      : `${folder} is a folder; name the files in it, e.g. ${files}`,
  );
}

/** A glob for the data files of a folder by their most frequent ending, or the only one; null where there is none. */
async function dataFilesIn(folder: string): Promise<string | null> {
  const names = await readdir(folder).catch((): string[] => []);
  const byEnding = new Map<string, string[]>();
  for (const name of names) {
    const [ending] = /\.[a-z]+(?:\.gz|\.zst)?$/i.exec(name) ?? [];
    if (
      ending === undefined ||
      FORMATS[path.extname(name.replace(/\.(?:gz|zst)$/i, '')).toLowerCase()] === undefined
    )
      continue;
    byEnding.set(ending, [...(byEnding.get(ending) ?? []), name]);
  }
  const [ending, files] = [...byEnding].toSorted(([, a], [, b]) => b.length - a.length)[0] ?? [];
  if (ending === undefined || files === undefined) return null;
  return path.join(folder, files.length === 1 ? (files[0] ?? '') : `*${ending}`);
}

/** What changes when a file is written to, or another takes its name. Throws what the file system throws. */
export async function versionOf(file: string): Promise<string> {
  return versionIn(await stat(file, { bigint: true }));
}

function versionIn({ dev, ino, size, mtimeNs }: BigIntStats): string {
  return [dev, ino, size, mtimeNs].join(' ');
}

function formatOf(file: string): { format: Format; compression: Compression } {
  const extension = path.extname(file).toLowerCase();
  const compression = COMPRESSIONS[extension] ?? 'none';
  const inner =
    compression === 'none' ? extension : path.extname(file.slice(0, -extension.length)).toLowerCase();
  const format = FORMATS[inner];
  if (format === undefined || (format === 'parquet' && compression !== 'none')) {
    if (inner === '.arrow' || inner === '.feather')
      throw new UsageError(
        `${file} is in Arrow's format; write it as Parquet in Python, e.g. Dataset.from_file(${JSON.stringify(file)}).to_parquet("rows.parquet") with datasets, and name that file`,
      );
    const remedy = remedyForEnding(file);
    throw new UsageError(
      `${file} is of an unknown format; the name must end in one of ${SUPPORTED}${remedy === null ? '' : `: ${remedy}`}`,
    );
  }
  return { format, compression };
}

async function cannotOpen(file: string, error: unknown): Promise<unknown> {
  const code = errorCode(error);
  if (code === 'EACCES') return new UsageError(`${file} cannot be read: permission denied`);
  if (code !== 'ENOENT' && code !== 'ENOTDIR') return readError(error, file);
  if (file === '-') return new UsageError('-, standard input, is only read by predict; name a file here');
  const neighbours = await readdir(path.dirname(file)).catch(() => []);
  const nearest = nearestName(path.basename(file), neighbours);
  const hint = nearest === undefined ? '' : `; did you mean ${path.join(path.dirname(file), nearest)}?`;
  return new UsageError(`${file} does not exist${hint}`);
}

async function exists(file: string): Promise<boolean> {
  return access(file).then(
    () => true,
    () => false,
  );
}

/**
 * One SHA-256 over the bytes of all files, in their order.
 *
 * @throws UsageError when one cannot be read; RunError when one is no longer what it was when it was found
 */
export async function digestOf(
  files: readonly Pick<DataFile, 'path' | 'bytes' | 'version'>[],
): Promise<string> {
  const hash = createHash('sha256');
  for (const { path: file, bytes, version } of files) {
    hash.update(`${bytes}\n`); // so that a row that moves from one file to the next is a difference
    try {
      await hashFile(hash, file);
      // The rows were read before, so a change at any time up to here would make it the digest of other rows.
      if ((await versionOf(file)) !== version) throw changedInUse(file);
    } catch (error) {
      throw readError(error, file);
    }
  }
  return `sha256:${hash.digest('hex')}`;
}

/** The error for a file, or a row by its place, that is no longer what it was when it was read first. */
export function changedInUse(place: string): RunError {
  return new RunError(
    `${place} cannot be read again: the file changed while it was in use; give it back its content, or start a new run`,
  );
}
