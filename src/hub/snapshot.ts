// One commit of a repository: what files it has, and the local paths of those asked for, from the hub or the cache.
import { readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { errorCode, messageOf, RunError, UsageError } from '../util/errors.js';
import { listCommit, resolveCommit } from './api.js';
import * as caching from './cache.js';
import { downloadFile, WrongContent } from './download.js';
import { createGet, HubUnavailable, type Get } from './http.js';
import type { DownloadProgress } from './progress.js';
import { isCommit, titleOf, type Listing, type Repo } from './repo.js';
import type { HubSettings } from './settings.js';

/** Bytes of a file that is read as a whole: a data set's card, an index of weights. The longest known have 2 MB. */
const LONGEST_TEXT = 8 << 20;

/** A repository at one commit. */
export interface Snapshot {
  readonly repo: Repo;
  /** The local folder; it holds what was fetched so far. */
  readonly directory: string;
  readonly files: Listing;
  /** Brings files to the local folder and resolves to their paths, in the order given. */
  fetch(paths: readonly string[]): Promise<string[]>;
  /** Brings a file that is to be read as a whole, and resolves to its text. */
  read(path: string): Promise<string>;
  /** To be called when all that is needed has been fetched: later offline runs then find this commit. */
  keep(): Promise<void>;
  /** The error for something that the repository lacks, or, where the listing is not known, the cache. */
  lacks(what: string): Error;
}

/**
 * Resolves the revision to a commit and lists its files. Without a hub (HF_HUB_OFFLINE, no network, an outage) the
 * commit that the cache remembers for this revision is used.
 *
 * @throws UsageError when the hub has no such repository or revision or wants a token;
 *   RunError when the hub cannot be asked and nothing is cached, with the ways out
 */
export async function openSnapshot(
  repo: Repo,
  settings: HubSettings,
  progress: DownloadProgress,
): Promise<Snapshot> {
  const cache = caching.repoCache(settings.cacheDir, repo);
  const get = createGet(settings, repo);
  if (settings.offline) return fromCache(repo, settings, cache, 'HF_HUB_OFFLINE is set');
  try {
    const commit = isCommit(repo.revision) ? repo.revision : await resolveCommit(repo, settings, get);
    const known = await caching.readListing(cache, commit);
    const files = known ?? (await listCommit(repo, commit, settings, get));
    const fetch = (paths: readonly string[]): Promise<string[]> =>
      fetchFiles({ repo, settings, cache, commit, files, get, progress }, paths);
    return {
      repo,
      files,
      directory: cache.snapshot(commit),
      fetch,
      read: (path) => readWhole(repo, files, path, fetch),
      keep: async () => {
        if (known === null) await caching.writeListing(cache, commit, files);
        await caching.recordCommit(cache, repo.revision, commit);
      },
      lacks: (what) => new UsageError(`The hub's ${titleOf(repo)} has no ${what}`),
    };
  } catch (error) {
    if (!(error instanceof HubUnavailable)) throw error;
    const snapshot = await fromCache(repo, settings, cache, error.message);
    progress.note(`${error.message}: using the copy of ${titleOf(repo)} in the cache`);
    return snapshot;
  }
}

/** The snapshot as far as it is in the cache, without any request. */
async function fromCache(
  repo: Repo,
  settings: HubSettings,
  cache: caching.RepoCache,
  why: string,
): Promise<Snapshot> {
  const lacks = (what: string): RunError => notCached(repo, settings, why, what);
  const commit = await caching.cachedCommit(cache, repo.revision);
  const complete = commit === null ? null : await caching.readListing(cache, commit);
  const files = commit === null ? null : (complete ?? (await caching.listSnapshot(cache, commit)));
  if (commit === null || files === null || files.size === 0) throw lacks(titleOf(repo));
  const directory = cache.snapshot(commit);
  const fetch = async (paths: readonly string[]): Promise<string[]> => {
    for (const path of paths) {
      const size = files.get(path)?.size ?? -1;
      if (!(await caching.isPresent(join(directory, path), size))) throw lacks(`${path} of ${titleOf(repo)}`);
    }
    return paths.map((path) => join(directory, path));
  };
  return {
    repo,
    directory,
    files,
    fetch,
    read: (path) => readWhole(repo, files, path, fetch),
    keep: async () => undefined,
    lacks: (what) =>
      complete === null
        ? lacks(`${what} of ${titleOf(repo)}`)
        : new UsageError(`The hub's ${titleOf(repo)} has no ${what}`),
  };
}

async function readWhole(
  repo: Repo,
  files: Listing,
  path: string,
  fetch: Snapshot['fetch'],
): Promise<string> {
  const size = files.get(path)?.size ?? 0;
  if (size > LONGEST_TEXT)
    throw new UsageError(
      `${path} of the hub's ${titleOf(repo)} has ${size} bytes, more than the ${LONGEST_TEXT} that are read`,
    );
  const [local = ''] = await fetch([path]);
  return readFile(local, 'utf8');
}

interface Fetching {
  repo: Repo;
  settings: HubSettings;
  cache: caching.RepoCache;
  commit: string;
  files: Listing;
  get: Get;
  progress: DownloadProgress;
}

async function fetchFiles(from: Fetching, paths: readonly string[]): Promise<string[]> {
  const { repo, cache, commit, files, progress } = from;
  const local: string[] = [];
  for (const path of paths) {
    const file = files.get(path);
    if (file === undefined) throw new UsageError(`The hub's ${titleOf(repo)} has no ${path}`);
    const target = join(cache.snapshot(commit), path);
    local.push(target);
    if (await caching.isPresent(target, file.size)) continue;
    const blob = cache.blob(file);
    const name = `${repo.id}/${path}`;
    const onProgress = (done: number): void => progress.report(name, done, file.size);
    try {
      if (!(await caching.isPresent(blob, file.size))) {
        const { stallSeconds } = from.settings;
        await caching.makeFolderInside(cache, dirname(blob));
        await downloadFile(
          from.get,
          { url: fileUrl(from, path), name, file, onProgress, stallSeconds },
          blob,
        );
      }
      await caching.link(cache, blob, target);
    } catch (error) {
      if (error instanceof WrongContent) await caching.forgetListing(cache, commit);
      if (error instanceof HubUnavailable)
        throw new RunError(`${error.message}; run the command again to resume the download`);
      throw diskError(error, from.settings.cacheDir) ?? error;
    }
  }
  return local;
}

function fileUrl({ repo, settings, commit }: Fetching, path: string): string {
  const prefix = repo.type === 'dataset' ? 'datasets/' : '';
  return `${settings.endpoint}/${prefix}${repo.id}/resolve/${commit}/${path.split('/').map(encodeURIComponent).join('/')}`;
}

function notCached(repo: Repo, settings: HubSettings, why: string, what: string): RunError {
  const noun = repo.type === 'model' ? 'the model option' : 'trainFile and validationFile';
  const type = repo.type === 'model' ? '' : '--repo-type dataset ';
  const ways = [
    `If ${repo.id} was meant to be a folder here: there is none of that name.`,
    ...(settings.offline ? ['Unset HF_HUB_OFFLINE to let it be downloaded.'] : []),
    ...(settings.unusedProxy
      ? ['HTTPS_PROXY is set, but Node (22.21 or 24.5 and later) uses it only with NODE_USE_ENV_PROXY=1.']
      : []),
    `Elsewhere, run "hf download ${type}${repo.id} --local-dir FOLDER", bring the folder here and give its path to ${noun}.`,
    'If a cache of another place has it, set HF_HOME to that folder.',
    'If a mirror of the hub can be reached from here, set HF_ENDPOINT to its address.',
  ];
  return new RunError(
    `${why}, and ${what} is not in the cache ${settings.cacheDir}\n${ways.map((way) => `  - ${way}`).join('\n')}`,
  );
}

/** A full or unwritable cache, with its place and what to do; null for any other error. */
function diskError(error: unknown, cacheDir: string): RunError | null {
  if (!/^E[A-Z0-9]+$/.test(errorCode(error))) return null;
  return new RunError(
    `Cannot write to the hub's cache ${cacheDir} (${messageOf(error)}): make room or permission, or set HF_HOME to another folder`,
  );
}
