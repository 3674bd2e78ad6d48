// What names a repository of the hub, and which names from outside may become paths.
import { UsageError } from '../util/errors.js';

/** A repository at a revision, as the person named it. */
export interface Repo {
  readonly type: 'model' | 'dataset';
  readonly id: string;
  /** Branch, tag, commit or `refs/...`. */
  readonly revision: string;
}

/** A file in a commit of a repository. */
export interface RepoFile {
  /** Bytes. */
  readonly size: number;
  /** Git's object id: the content's hash, or that of the LFS pointer. Null where it is not known. */
  readonly blobId: string | null;
  /** Hash of the content of an LFS file. */
  readonly sha256: string | null;
  /** Hash under the hub's newer storage; only for Python's listing file, which has it. */
  readonly xetHash: string | null;
}

/** Characters of a path in a repository. */
export const LONGEST_PATH = 1024;

/** Files by their path in the repository. */
export type Listing = ReadonlyMap<string, RepoFile>;

/**
 * Checks a repository id and revision by the hub's rules (huggingface_hub's validate_repo_id).
 *
 * @throws UsageError when no repository can have that name
 */
export function checkedRepo(type: Repo['type'], id: string, revision = 'main'): Repo {
  if (!isRepoId(id)) {
    const hint = type === 'model' ? 'is not a folder here' : 'is not a data set id';
    throw new UsageError(
      `"${id}" ${hint} and no repository of the hub has such a name (name or organization/name)`,
    );
  }
  if (!isSafePath(revision)) throw new UsageError(`"${revision}" cannot be a revision of ${type} "${id}"`);
  return { type, id, revision };
}

/** Whether a repository can have that name, with or without its owner's. */
export function isRepoId(id: string): boolean {
  const name = /^(?:[\w-][\w.-]*\/)?[\w-](?:[\w.-]*[\w-])?$/;
  return id.length <= 96 && name.test(id) && !/--|\.\.|\.git$/.test(id);
}

/** How messages name a repository: `model "org/name"`. */
export function titleOf(repo: Repo): string {
  const revision = repo.revision === 'main' ? '' : ` at revision "${repo.revision}"`;
  return `${repo.type === 'model' ? 'model' : 'data set'} "${repo.id}"${revision}`;
}

/**
 * True when a name that came from outside stays inside the folder it is joined to, can be a file there, and can be
 * printed as it is.
 */
export function isSafePath(path: string): boolean {
  return (
    path.length <= LONGEST_PATH &&
    !path.includes('\\') &&
    !UNPRINTABLE.test(path) &&
    path.split('/').every((part) => !['', '.', '..'].includes(part) && Buffer.byteLength(part) <= 255)
  );
}

/** True for a full commit id; git's object ids have the same form. */
export function isCommit(text: string): boolean {
  return /^[0-9a-f]{40}$/.test(text);
}

/** Control characters, line ends of Unicode, marks that turn the direction of writing, and halves of characters. */
export const UNPRINTABLE = /[\p{Cc}\p{Cs}\p{Zl}\p{Zp}\u202a-\u202e\u2066-\u2069]/u;

const EVERY_UNPRINTABLE = new RegExp(UNPRINTABLE, 'gu');

/** The text with `?` in place of what must not be printed, cut to `length` characters. */
export function printable(text: string, length = 200): string {
  const cut = text.length > length ? `${text.slice(0, length - 3)}...` : text;
  return cut.replaceAll(EVERY_UNPRINTABLE, '?');
}
