// The cache folder of one repository, laid out as Python's huggingface_hub lays it out, so that both share it:
// blobs/<hash>, refs/<revision>, snapshots/<commit>/<file> -> ../../blobs/<hash>, trees/<commit>.json.
import { randomUUID } from 'node:crypto';
import { lstat, readdir, readFile, rename, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { dirname, join, relative, sep } from 'node:path';
import { z } from 'zod';
import { RunError } from '../util/errors.js';
import { makeFolder } from '../util/file-system.js';
import { isCommit, isSafePath, type Listing, type Repo, type RepoFile } from './repo.js';

/** The paths of one repository's cache folder. */
export interface RepoCache {
  /** The cache of all repositories. */
  readonly root: string;
  readonly folder: string;
  snapshot(commit: string): string;
  /** Where the content of a file lies; files with the same content share it. */
  blob(file: RepoFile): string;
}

/** `<cacheDir>/models--org--name` under the id that the person gave, as Python does. */
export function repoCache(cacheDir: string, repo: Repo): RepoCache {
  const folder = join(cacheDir, [`${repo.type}s`, ...repo.id.split('/')].join('--'));
  return {
    root: cacheDir,
    folder,
    snapshot: (commit) => join(folder, 'snapshots', commit),
    blob: (file) => join(folder, 'blobs', z.string().parse(file.sha256 ?? file.blobId)),
  };
}

/** The commit a revision pointed to when it was last fetched; null when it never was. A full commit is itself. */
export async function cachedCommit(cache: RepoCache, revision: string): Promise<string | null> {
  if (isCommit(revision)) return revision;
  const text = await readFile(join(cache.folder, 'refs', revision), 'utf8').catch(() => '');
  return isCommit(text.trim()) ? text.trim() : null;
}

/** Remembers the commit of a branch or tag. A read-only cache is no reason to stop, so a failure is ignored. */
export async function recordCommit(cache: RepoCache, revision: string, commit: string): Promise<void> {
  if (revision === commit || (await cachedCommit(cache, revision)) === commit) return;
  await writeWhole(cache, join(cache.folder, 'refs', revision), commit).catch(() => undefined);
}

const treeFile = z.object({
  format_version: z.literal(1),
  files: z.record(
    z.string().refine(isSafePath),
    z.object({
      size: z.int().nonnegative(),
      blob_id: z.string().refine(isCommit),
      lfs_sha256: z
        .string()
        .regex(/^[0-9a-f]{64}$/)
        .optional(),
      lfs_size: z.int().nonnegative().optional(),
      xet_hash: z.string().optional(),
    }),
  ),
});

/** The listing of a commit as huggingface_hub 2.x keeps it (its _tree_cache.py); null when there is none. */
export async function readListing(cache: RepoCache, commit: string): Promise<Listing | null> {
  const text = await readFile(treePath(cache, commit), 'utf8').catch(() => 'null');
  const tree = treeFile.safeParse(parseJson(text));
  if (!tree.success) return null;
  return new Map(
    Object.entries(tree.data.files).map(([path, file]) => [
      path,
      {
        size: file.lfs_size ?? file.size,
        blobId: file.blob_id,
        sha256: file.lfs_sha256 ?? null,
        xetHash: file.xet_hash ?? null,
      },
    ]),
  );
}

/** Writes the listing in the same form; like the refs it is a convenience, so a failure is ignored. */
export async function writeListing(cache: RepoCache, commit: string, listing: Listing): Promise<void> {
  const files = [...listing]
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .map(([path, file]) => [
      path,
      {
        size: file.size,
        blob_id: file.blobId,
        ...(file.sha256 !== null && { lfs_sha256: file.sha256, lfs_size: file.size }),
        ...(file.xetHash !== null && { xet_hash: file.xetHash }),
      },
    ]);
  const text = JSON.stringify({ format_version: 1, files: Object.fromEntries(files) }, null, 1);
  await writeWhole(cache, treePath(cache, commit), text).catch(() => undefined);
}

/** Drops a listing that the downloaded content did not match, so that the next run fetches it again. */
export async function forgetListing(cache: RepoCache, commit: string): Promise<void> {
  await rm(treePath(cache, commit), { force: true }).catch(() => undefined);
}

/** The files that lie in a snapshot folder, for a cache written without a listing. */
export async function listSnapshot(cache: RepoCache, commit: string): Promise<Listing | null> {
  const root = cache.snapshot(commit);
  const found = await readdir(root, { recursive: true }).catch(() => null);
  if (found === null) return null;
  const listing = new Map<string, RepoFile>();
  for (const path of found) {
    const entry = await stat(join(root, path)).catch(() => null); // null: a link whose blob is gone
    if (entry?.isFile()) listing.set(path, { size: entry.size, blobId: null, sha256: null, xetHash: null });
  }
  return listing;
}

/** True when a file of the expected size exists; its hash was checked when it was downloaded. */
export async function isPresent(path: string, size: number): Promise<boolean> {
  const entry = await stat(path).catch(() => null);
  return entry !== null && entry.isFile() && entry.size === size;
}

/** Makes `path` a relative link to `blob`, in one step even when something lies there. */
export async function link(cache: RepoCache, blob: string, path: string): Promise<void> {
  await makeFolderInside(cache, dirname(path));
  const temporary = temporaryBeside(path);
  await symlink(relative(dirname(path), blob), temporary);
  await rename(temporary, path);
}

/**
 * Makes a folder of the cache. The cache itself may be a link, and what is read may be reached through one; but a link
 * further down could lead what is written out of the cache.
 *
 * @throws RunError where a link is in the way
 */
export async function makeFolderInside(cache: RepoCache, folder: string): Promise<void> {
  await makeFolder(cache.root);
  let path = cache.root;
  for (const part of relative(cache.root, folder).split(sep)) {
    path = join(path, part);
    const entry = await lstat(path).catch(() => null);
    if (entry?.isSymbolicLink())
      throw new RunError(
        `${path} in the hub's cache is a link, so nothing is written there: remove it, or set HF_HOME to another folder`,
      );
    await makeFolder(path);
  }
}

async function writeWhole(cache: RepoCache, path: string, text: string): Promise<void> {
  await makeFolderInside(cache, dirname(path));
  const temporary = temporaryBeside(path);
  await writeFile(temporary, text, { flag: 'wx' });
  await rename(temporary, path);
}

/** In the same folder, so that a rename is one step; short, since the name itself may have the longest length. */
function temporaryBeside(path: string): string {
  return join(dirname(path), `tmp-${randomUUID()}`);
}

function treePath(cache: RepoCache, commit: string): string {
  return join(cache.folder, 'trees', `${commit}.json`);
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
