// Brings a repository of the hub to the state of files here, as one commit: what it has already is not sent again, and so a push
// that was broken off goes on where it was. The writing is that of @huggingface/hub.
import { setTimeout as sleep } from 'node:timers/promises';
import { messageOf, RunError, UsageError } from '../util/errors.js';
import { listCommit, resolveHead, whoAmI } from './api.js';
import { createGet, HubUnavailable, NotFound, UnexpectedStatus } from './http.js';
import { hashOf, OpenFile } from './open-file.js';
import type { DownloadProgress } from './progress.js';
import {
  checkedRepo,
  isCommit,
  isRepoId,
  printable,
  type Listing,
  type Repo,
  type RepoFile,
} from './repo.js';
import type { HubSettings } from './settings.js';
import { ANY_TOKEN, createUploadFetch } from './upload-request.js';

const TRIES = 5;

/** A repository that takes what is pushed. */
export interface Target {
  readonly repo: Repo;
  /** Whether it is made so where it is not there; undefined: as its owner's default is. */
  readonly isPrivate: boolean | undefined;
}

/** What a repository is to hold. */
export interface Upload {
  /** By their paths in the repository: files here, or texts. */
  readonly files: ReadonlyMap<string, { readonly path: string } | { readonly text: string }>;
  /** The paths of the repository that go, of those that are not among the files. */
  readonly removed: (there: readonly string[]) => readonly string[];
  /** One line. */
  readonly message: string;
}

/** What became of it. */
export interface Uploaded extends Difference {
  /** The commit that has all of it. */
  readonly commit: string;
}

/** How files here and a repository differ. */
interface Difference {
  /** Files that the repository lacks, or has another content of, by their paths there. */
  readonly changed: ReadonlyMap<string, Blob>;
  /** Paths that go, and those that stay beside the files. */
  readonly unwanted: readonly string[];
  readonly others: readonly string[];
}

/**
 * Finds out whether the token may push there, and makes the repository where it is not there.
 *
 * @param id `organization/name`, or `name` for one of the token's account
 * @param branch made from `main` where it is not there
 * @throws UsageError without a token or a network, for a token that cannot write, and for a public repository where a private
 *   one was asked for; RunError when the hub does not answer
 */
export async function openTarget(
  settings: HubSettings,
  { id, branch, isPrivate }: { id: string; branch: string | undefined; isPrivate: boolean | undefined },
  progress: DownloadProgress,
): Promise<Target> {
  if (settings.offline)
    throw new UsageError('HF_HUB_OFFLINE is set, so nothing is pushed to the hub; unset it to push');
  if (settings.token === null)
    throw new UsageError(
      `Pushing to the hub needs a token that may write: make one at ${settings.endpoint}/settings/tokens and set HF_TOKEN to it`,
    );
  const named = checkedTarget(id, branch);
  const account = await whoAmI(settings, createGet(settings, named));
  if (account.isReadOnly)
    throw new UsageError(
      `The token (HF_TOKEN or the token file) can only read; make one that may write at ${settings.endpoint}/settings/tokens`,
    );
  const repo = id.includes('/') ? named : checkedTarget(`${account.name}/${id}`, branch);
  const target = { repo, isPrivate };
  await headOf(target, settings, progress);
  return target;
}

function checkedTarget(id: string, branch: string | undefined): Repo {
  if (!isRepoId(id))
    throw new UsageError(`No repository of the hub can be called "${id}"; give organization/name, or name`);
  if (branch !== undefined && isCommit(branch))
    throw new UsageError(`"${branch}" is a commit; name the branch to push to`);
  return checkedRepo('model', id, branch);
}

/** The commit that the branch points to; what is not there of repository and branch is made. */
async function headOf(
  { repo, isPrivate }: Target,
  settings: HubSettings,
  progress: DownloadProgress,
): Promise<string> {
  for (let tries = 1; ; tries++) {
    try {
      const head = await resolveHead(repo, settings, createGet(settings, repo));
      if (isPrivate === true && head.isPrivate === false)
        throw new UsageError(
          `${addressOf(repo, settings)} is there already and is public, so nothing was pushed to it; make it private in its settings, or name another`,
        );
      return head.commit;
    } catch (error) {
      if (!(error instanceof NotFound) || repo.revision.startsWith('refs/') || tries === TRIES) throw error;
      await make(error.missing, { repo, isPrivate }, settings, progress);
    }
  }
}

async function make(
  missing: NotFound['missing'],
  { repo, isPrivate }: Target,
  settings: HubSettings,
  progress: DownloadProgress,
): Promise<void> {
  const { createBranch, createRepo } = await import('@huggingface/hub');
  const request = {
    repo: { type: repo.type, name: repo.id },
    hubUrl: settings.endpoint,
    accessToken: ANY_TOKEN,
    fetch: createUploadFetch(settings, repo),
  };
  try {
    if (missing === 'revision') await createBranch({ ...request, branch: repo.revision });
    else {
      const visibility = isPrivate === true ? 'private' : 'public';
      await createRepo({ ...request, ...(isPrivate !== undefined && { visibility }) });
      progress.note(`Created ${addressOf(repo, settings)}${isPrivate === true ? ', private' : ''}`);
    }
  } catch (error) {
    // It was made meanwhile, or the hub is making another one of this account.
    if (!isConflict(error)) throw ownError(error, settings);
    await sleep(500);
  }
}

/**
 * Pushes: one commit with all that differs, or none.
 *
 * @throws UsageError for what the hub refuses; RunError when it does not answer, a file is written to meanwhile, or others push
 *   to the same branch all the time
 */
export async function upload(
  target: Target,
  { files, removed, message }: Upload,
  settings: HubSettings,
  progress: DownloadProgress,
): Promise<Uploaded> {
  const opened = new Map<string, OpenFile | Blob>();
  const { repo } = target;
  try {
    for (const [path, file] of files)
      opened.set(path, 'text' in file ? new Blob([file.text]) : await OpenFile.open(file.path));
    let first: Difference | undefined;
    for (let tries = 1; ; tries++) {
      const head = await headOf(target, settings, progress);
      const there = await listCommit(repo, head, settings, createGet(settings, repo));
      const changed = await changedFiles(opened, there);
      const beside = [...there.keys()].filter((path) => !opened.has(path));
      const unwanted = removed(beside);
      first ??= { changed, unwanted, others: beside.filter((path) => !unwanted.includes(path)) };
      if (changed.size === 0 && unwanted.length === 0) return { commit: head, ...first };
      try {
        const request = { repo, head, message, changed, unwanted };
        return { commit: await commitTo(request, settings, progress), ...first };
      } catch (error) {
        // Another push came first; or this very one did, and its answer was lost: the next listing tells.
        if (!isConflict(error) || tries === TRIES) throw error;
        await sleep(200 * tries);
      }
    }
  } catch (error) {
    if (!(error instanceof HubUnavailable)) throw error;
    throw new RunError(`${error.message}; push again to go on from there`, { cause: error });
  } finally {
    for (const file of opened.values()) if (file instanceof OpenFile) await file.close();
  }
}

/** Where a browser finds it. */
export function addressOf({ id, revision }: Repo, { endpoint }: HubSettings): string {
  return `${endpoint}/${id}${revision === 'main' ? '' : `/tree/${encodeURI(revision)}`}`;
}

async function changedFiles(
  opened: ReadonlyMap<string, OpenFile | Blob>,
  there: Listing,
): Promise<ReadonlyMap<string, OpenFile | Blob>> {
  const changed = new Map<string, OpenFile | Blob>();
  for (const [path, file] of opened) if (!(await isSame(file, there.get(path)))) changed.set(path, file);
  return changed;
}

/** Large files have the hash of their content in the listing, small ones that of git. */
async function isSame(file: OpenFile | Blob, there: RepoFile | undefined): Promise<boolean> {
  if (there?.size !== file.size) return false;
  if (there.sha256 !== null) return there.sha256 === (await hashOf(file, 'sha256'));
  return there.blobId === (await hashOf(file, 'git'));
}

/** @returns the new commit */
async function commitTo(
  {
    repo,
    head,
    message,
    changed,
    unwanted,
  }: Omit<Difference, 'others'> & { repo: Repo; head: string; message: string },
  settings: HubSettings,
  progress: DownloadProgress,
): Promise<string> {
  const { commit } = await import('@huggingface/hub');
  const paths = new Map([...changed].map(([path, blob]) => [blob, path]));
  const done = new Map<Blob, number>();
  const requireUnchanged = async (): Promise<void> => {
    for (const file of changed.values()) if (file instanceof OpenFile) await file.requireUnchanged();
  };
  const watch = {
    beforeCommit: requireUnchanged,
    onBytes(blob: Blob, bytes: number): void {
      const path = paths.get(blob);
      if (path === undefined) return; // a part of a file
      const sum = bytes === 0 ? 0 : (done.get(blob) ?? 0) + bytes;
      done.set(blob, sum);
      if (sum > 0) progress.report(`${repo.id}/${path}`, sum, blob.size);
    },
  };
  try {
    const result = await commit({
      repo: { type: repo.type, name: repo.id },
      branch: repo.revision,
      parentCommit: head,
      title: message,
      operations: [
        ...unwanted.map((path) => ({ operation: 'delete' as const, path })),
        ...[...changed].map(([path, content]) => ({ operation: 'addOrUpdate' as const, path, content })),
      ],
      hubUrl: settings.endpoint,
      accessToken: ANY_TOKEN,
      fetch: createUploadFetch(settings, repo, watch),
      useXet: false, // Xet's chunks are a protocol of their own; the hub takes LFS, which any server with git's has
    });
    const oid = result?.commit.oid ?? '';
    if (isCommit(oid)) return oid;
  } catch (error) {
    await requireUnchanged(); // that may be why the storage refused what it was sent
    throw ownError(error, settings);
  }
  throw notOfTheHub(settings);
}

/** 409: something of it is there, or in progress; 412: the branch has another commit since. */
function isConflict(error: unknown): boolean {
  return error instanceof UnexpectedStatus && (error.status === 409 || error.status === 412);
}

/** What the library throws itself is about an answer that it cannot use. */
function ownError(error: unknown, settings: HubSettings): unknown {
  return error instanceof UsageError || error instanceof RunError ? error : notOfTheHub(settings, error);
}

function notOfTheHub({ endpoint }: HubSettings, cause?: unknown): RunError {
  const detail = cause === undefined ? '' : ` (${printable(messageOf(cause))})`;
  return new RunError(`${endpoint} answered with something that is not the hub's${detail}`, { cause });
}
