// The questions put to the hub's API: which commit a revision is, what files it has, and whose the token is.
import { z } from 'zod';
import { RunError } from '../util/errors.js';
import { type Answer, type Get, HubUnavailable, withRetries } from './http.js';
import { showsToken } from './progress.js';
import { isCommit, isSafePath, type Listing, type Repo, type RepoFile, titleOf } from './repo.js';
import type { HubSettings } from './settings.js';

/** Bytes of one answer, decompressed; a page of a listing has 1,000 entries and about 300 kB. */
export const LONGEST_ANSWER = 4 << 20;
const LONGEST_PAGE = 10_000;
/** Files and folders; the hub asks its users to stay below 100,000 files in a repository. */
const MOST_ENTRIES = 250_000;

const commitAnswer = z.object({ sha: z.string(), private: z.boolean().optional() });

const entry = z.object({
  type: z.string(),
  path: z.string(),
  size: z.number(),
  oid: z.string(),
  lfs: z.object({ oid: z.string(), size: z.number() }).nullish(),
  xetHash: z.string().nullish(),
});
type Entry = z.output<typeof entry>;
// The length comes first, since zod collects the faults of every entry.
const listingPage = z.array(z.unknown()).max(LONGEST_PAGE).pipe(z.array(entry));

/** The commit that the repository's revision points to now. */
export async function resolveCommit(repo: Repo, settings: HubSettings, get: Get): Promise<string> {
  return (await resolveHead(repo, settings, get, 'expand=sha')).commit;
}

/** The same, and whether only its owners can read it; undefined where the hub does not say. */
export async function resolveHead(
  repo: Repo,
  settings: HubSettings,
  get: Get,
  query = 'expand=sha&expand=private',
): Promise<{ commit: string; isPrivate: boolean | undefined }> {
  const url = `${apiUrl(repo, settings)}/revision/${encodeURIComponent(repo.revision)}?${query}`;
  const { value } = await ask(commitAnswer, url, settings, get);
  if (!isCommit(value.sha)) throw new RunError(`${settings.endpoint} names no commit for ${titleOf(repo)}`);
  return { commit: value.sha, isPrivate: value.private };
}

const accountAnswer = z.object({
  name: z.string(),
  auth: z.object({ accessToken: z.object({ role: z.string() }).nullish() }).nullish(),
});

/** Whose the token is, and whether it can only read. */
export async function whoAmI(
  settings: HubSettings,
  get: Get,
): Promise<{ name: string; isReadOnly: boolean }> {
  const { value } = await ask(accountAnswer, `${settings.endpoint}/api/whoami-v2`, settings, get);
  return { name: value.name, isReadOnly: value.auth?.accessToken?.role === 'read' };
}

/** Every file of a commit, with the hashes that its content must have. */
export async function listCommit(
  repo: Repo,
  commit: string,
  settings: HubSettings,
  get: Get,
): Promise<Listing> {
  const files = new Map<string, RepoFile>();
  const deadline = performance.now() + settings.answerSeconds * 10_000;
  let url: string | undefined = `${apiUrl(repo, settings)}/tree/${commit}?recursive=true&expand=false`;
  let entries = 0;
  while (url !== undefined) {
    const { value: page, headers } = await ask(listingPage, url, settings, get, deadline);
    for (const found of page) {
      if (found.type === 'file') files.set(found.path, checkedFile(found, repo, settings));
    }
    entries += page.length;
    url = nextPage(headers);
    if (entries > MOST_ENTRIES || (url !== undefined && page.length === 0))
      throw new RunError(`${settings.endpoint} lists files of ${titleOf(repo)} without end`);
  }
  return files;
}

function checkedFile({ path, size, oid, lfs, xetHash }: Entry, repo: Repo, settings: HubSettings): RepoFile {
  const file = {
    size: lfs?.size ?? size,
    blobId: oid,
    sha256: lfs?.oid ?? null,
    xetHash: xetHash ?? null,
  };
  const isSafe =
    isSafePath(path) &&
    !showsToken(path, settings) &&
    Number.isSafeInteger(file.size) &&
    file.size >= 0 &&
    isCommit(oid) &&
    (file.sha256 === null || /^[0-9a-f]{64}$/.test(file.sha256));
  if (isSafe) return file;
  throw new RunError(
    `${settings.endpoint} lists a file of ${titleOf(repo)} with a name, size or hash that is not safe`,
  );
}

function apiUrl({ type, id }: Repo, settings: HubSettings): string {
  return `${settings.endpoint}/api/${type}s/${id}`;
}

function nextPage(headers: Headers): string | undefined {
  return /<([^<>]+)>;\s*rel="next"/.exec(headers.get('link') ?? '')?.[1];
}

/** One question. A login page or a proxy's error page is no answer: then the hub was not reached. */
function ask<T>(
  schema: z.ZodType<T>,
  url: string,
  settings: HubSettings,
  get: Get,
  deadline = Infinity,
): Promise<{ value: T; headers: Headers }> {
  const attempt = async (): Promise<{ value: T; headers: Headers }> => {
    const abort = new AbortController();
    const seconds = Math.min(settings.answerSeconds, Math.max(0, (deadline - performance.now()) / 1000));
    const late = (): void => abort.abort(new Error(`no whole answer in ${seconds.toFixed(0)} s`));
    const timer = setTimeout(late, seconds * 1000);
    try {
      const answer = await get(url, { accept: 'application/json' }, abort.signal);
      const parsed = schema.safeParse(parseJson(await textOf(answer)));
      if (parsed.success) return { value: parsed.data, headers: answer.headers };
    } finally {
      clearTimeout(timer);
    }
    throw new HubUnavailable(`${settings.endpoint} answered with something that is not the hub's`, false);
  };
  return withRetries(attempt, (error) => error.connected);
}

/** The whole body; '' when it is longer than any answer of the hub. */
async function textOf({ body }: Answer): Promise<string> {
  const parts: Uint8Array[] = [];
  let length = 0;
  for await (const part of body) {
    length += part.length;
    if (length > LONGEST_ANSWER) return '';
    parts.push(part);
  }
  return Buffer.concat(parts).toString('utf8');
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
