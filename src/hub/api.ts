// The two questions put to the hub's API, through @huggingface/hub: which commit a revision is, and what files it has.
import { RunError } from '../errors.js';
import { HubUnavailable, networkError, withRetries, type Get } from './http.js';
import { isCommit, isSafePath, titleOf, type Listing, type Repo, type RepoFile } from './repo.js';
import type { HubSettings } from './settings.js';

/** Loaded with the first question, so that start-up does without it: a local model asks none. */
const hub = () => import('@huggingface/hub');

/** The commit that the repository's revision points to now. */
export async function resolveCommit(repo: Repo, settings: HubSettings, get: Get): Promise<string> {
  const parameters = {
    name: repo.id,
    revision: repo.revision,
    hubUrl: settings.endpoint,
    additionalFields: ['sha' as const],
    fetch: apiFetch(get),
  };
  const { datasetInfo, modelInfo } = await hub();
  const ask = repo.type === 'model' ? modelInfo(parameters) : datasetInfo(parameters);
  const { sha } = await ask.catch(notTheHub(settings));
  if (!/^[0-9a-f]{40}$/.test(sha))
    throw new RunError(`${settings.endpoint} names no commit for ${titleOf(repo)}`);
  return sha;
}

/** Every file of a commit, with the hashes that its content must have. */
export async function listCommit(
  repo: Repo,
  commit: string,
  settings: HubSettings,
  get: Get,
): Promise<Listing> {
  const files = new Map<string, RepoFile>();
  const { listFiles } = await hub();
  const listing = listFiles({
    repo: { type: repo.type, name: repo.id },
    revision: commit,
    recursive: true,
    hubUrl: settings.endpoint,
    fetch: apiFetch(get),
  });
  try {
    for await (const { type, path, size, oid, lfs, xetHash } of listing) {
      if (type !== 'file') continue;
      const hashes = isCommit(oid ?? '') && /^([0-9a-f]{64})?$/.test(lfs?.oid ?? '');
      if (!isSafePath(path) || !hashes) {
        throw new RunError(
          `${settings.endpoint} lists a file of ${titleOf(repo)} with a name or hash that is not safe`,
        );
      }
      files.set(path, {
        size: lfs?.size ?? size,
        blobId: oid ?? null,
        sha256: lfs?.oid ?? null,
        xetHash: xetHash ?? null,
      });
    }
  } catch (error) {
    notTheHub(settings)(error);
  }
  return files;
}

/** Our GET in the form that @huggingface/hub takes; it brings the token itself, so the library gets none. */
function apiFetch(get: Get): typeof fetch {
  return (input, init) => {
    const url = input instanceof Request ? input.url : String(input);
    const headers = Object.fromEntries(new Headers(init?.headers));
    return withRetries(
      async () => {
        const response = await get(url, headers, AbortSignal.timeout(60_000));
        const body = await response.arrayBuffer().catch((error: unknown) => {
          throw networkError(new URL(url), error);
        });
        return new Response(body, { headers: response.headers });
      },
      (error) => error.connected,
    );
  };
}

/** A login page or a proxy's error page is no JSON: then the hub was not reached. */
function notTheHub(settings: HubSettings): (error: unknown) => never {
  return (error) => {
    if (!(error instanceof SyntaxError)) throw error;
    throw new HubUnavailable(`${settings.endpoint} answered with something that is not the hub's`, false);
  };
}
